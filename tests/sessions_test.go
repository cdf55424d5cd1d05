package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// sessionOf is the session cookie of a browser, "" if it has none.
func (b *browser) sessionOf() string {
	b.t.Helper()
	home, err := url.Parse(b.s.issuer + "/ui/")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(home) {
		if strings.HasSuffix(c.Name, "portcullis_session") {
			return c.Value
		}
	}
	return ""
}

// U15: who logs in as somebody else in the middle of a request has a new session, and the old one is over.
func TestSwitchingThePersonMakesANewSession(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	_, path := b.consentPage(ask(by("alice")))
	before := b.sessionOf()
	form := b.get(path + "/switch").want(200)
	b.post(path+"/login", url.Values{"username": {"bob"}, "password": {password}, "form_token": {form.field("form_token")}}).want(303)
	after := b.sessionOf()
	if before == "" || after == "" || before == after {
		t.Fatalf("U15: session %q, then %q", before, after)
	}
	if a := b.get("/ui/account").want(200); !strings.Contains(a.body, "<bdi>bob</bdi>") {
		t.Error("the session is not bob's")
	}
	thief := s.program(t)
	a := thief.do(http.MethodGet, "/ui/account", "", http.Header{"Cookie": {"portcullis_session=" + before}})
	if a.status != 303 || a.location().Path != "/ui/login" {
		t.Errorf("U15: the session of before opens the account: %d", a.status)
	}
}

// U16: ids of 256 bits or more; a cookie that somebody else planted beside ours is neither believed nor preferred.
func TestPlantedCookiesAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	page, path := b.consentPage(ask())
	own := "portcullis_session=" + b.sessionOf()
	if n := len(b.sessionOf()); n*5 < 256 { // base32: five bits a letter
		t.Errorf("U16: the session id has %d letters", n)
	}
	home, err := url.Parse(s.issuer + "/ui/")
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	for _, c := range b.client.Jar.Cookies(home) {
		if c.Name == "portcullis_browser" {
			id = "portcullis_browser=" + c.Value
			if len(c.Value)*5 < 256 {
				t.Errorf("U16: the browser id has %d letters", len(c.Value))
			}
		}
	}
	foreign := s.browser(t)
	foreign.authorize(ask(by("bob")))
	planted := "portcullis_session=" + foreign.sessionOf()
	program := s.program(t)
	for name, cookies := range plantedCookies(id, own, planted, b.sessionOf()) {
		t.Run(name, func(t *testing.T) {
			a := program.as(t).do(http.MethodGet, "/ui/account", "", http.Header{"Cookie": {cookies}})
			if a.status != 303 || a.location().Path != "/ui/login" {
				t.Errorf("the account page opens: %d", a.status)
			}
			if login := program.as(t).do(http.MethodGet, path, "", http.Header{"Cookie": {cookies}}).wantPage(200); !hasInput(login, "password") {
				t.Error("the request goes on without a login")
			}
		})
	}
	t.Run("U6, U16 two browser ids", func(t *testing.T) {
		cookies := http.Header{"Cookie": {id + "; portcullis_browser=" + strings.Repeat("A", 52) + "; " + own}}
		program.as(t).do(http.MethodGet, path, "", cookies).wantPageError(403, "forbidden")
	})
	t.Run("the control: both alone", func(t *testing.T) {
		if a := program.as(t).do(http.MethodGet, path, "", http.Header{"Cookie": {id + "; " + own}}).wantPage(200); a.field("form_token") != page.field("form_token") {
			t.Error("the owner does not get the page")
		}
	})
}

// plantedCookies are Cookie headers in which something else stands beside or in place of the good session.
func plantedCookies(id, own, planted, session string) map[string]string {
	return map[string]string{
		"U16 two sessions, ours first":  id + "; " + own + "; " + planted,
		"U16 two sessions, ours last":   id + "; " + planted + "; " + own,
		"U16 the same session twice":    id + "; " + own + "; " + own,
		"U16 a name in another case":    id + "; " + strings.Replace(own, "portcullis_session", "Portcullis_Session", 1),
		"U16 the name for https":        id + "; " + strings.Replace(own, "portcullis_session", "__Host-portcullis_session", 1),
		"U16 a session that never was":  id + "; portcullis_session=" + strings.Repeat("A", 52),
		"U16 an empty session":          id + "; portcullis_session=",
		"U16 half of the session":       id + "; " + own[:len(own)-10],
		"U16 the session in small caps": id + "; portcullis_session=" + strings.ToLower(session),
	}
}

// U17: who signs out ends the session and nothing else, as the page says; who is disabled, by command or by vanishing from the
// file, is out everywhere at the next request.
func TestWhoIsGoneFromTheFileIsOutAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask(by("dave"))
	tokens := b.tokens(q)
	unspent := b.code(q)
	page, path := b.consentPage(q)
	others := s.browser(t).tokens(ask())
	s.stop()
	s.editConfig(func(text string) string {
		var kept []string
		for line := range strings.SplitSeq(text, "\n") {
			if !strings.Contains(line, "name: dave") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	})
	s.run()
	s.wantOut(b, q, tokens, unspent, page, path)
	if !b.active(others.text("access_token")) {
		t.Error("another person's token died")
	}
}

// wantOut tries the seven ways in for a person who must be out.
func (s *server) wantOut(b *browser, q request, tokens *answer, unspent string, page *answer, path string) {
	b.t.Helper()
	if b.active(tokens.text("access_token")) {
		b.t.Error("U17: the access token lives")
	}
	b.decide(tokens.text("access_token"), "calendar_list", `{}`).wantDecision(false, "invalid_token")
	b.refresh(q.client, tokens.text("refresh_token")).wantError(400, "invalid_grant")
	b.post("/token", q.redemption(unspent)).wantError(400, "invalid_grant")
	if a := b.get("/ui/account"); a.status != 303 || a.location().Path != "/ui/login" {
		b.t.Errorf("U17: the session lives: %d", a.status)
	}
	if a := b.answer(page, path, "allow", scopeCalendar); a.status != 400 && a.status != 200 || a.header.Get("Location") != "" || a.status == 200 && !hasInput(a, "password") {
		b.t.Errorf("U17: the open consent page still answers: %d %s", a.status, a.header.Get("Location"))
	}
	fresh := s.browser(b.t)
	login, loginPath := fresh.begin(q)
	form := url.Values{"username": {q.user}, "password": {password}, "form_token": {login.field("form_token")}}
	if a := fresh.post(loginPath+"/login", form).wantPage(403); !strings.Contains(a.body, "User name or password is wrong") {
		b.t.Errorf("U17, U18: %s", tail(a.body, 800))
	}
}
