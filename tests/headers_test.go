package tests

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// What every page must say to the browser (U1, U14, C12 and DESIGN §9).
func TestPagesAreProtected(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	b := s.browser(t)
	q := ask()
	loginPage, path := b.begin(q)
	consent := b.login(loginPage, path, "alice")
	pages := shownPages(s, b, loginPage, consent, path)
	const policy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'"
	for name, p := range pages {
		a := p.answer.wantPage(p.status)
		for header, want := range map[string]string{"Content-Security-Policy": policy, "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "", "Access-Control-Allow-Origin": ""} {
			if got := a.header.Get(header); got != want {
				t.Errorf("%s page: %s is %q, want %q", name, header, got, want)
			}
		}
		for _, bad := range []string{"<style", "style=", "onclick", "onload", "javascript:", "http-equiv"} {
			if strings.Contains(a.body, bad) {
				t.Errorf("%s page has %q, which its policy forbids", name, bad)
			}
		}
	}
	if allow := regexp.MustCompile(`<button[^>]*value="allow"[^>]*>`).FindString(consent.body); !strings.Contains(allow, "data-hold") || strings.Contains(consent.body, "autofocus") {
		t.Errorf("U2: Enter or a hijacked double click approves: %s", allow)
	}
}

// shownPage is a page and the status that it must have.
type shownPage struct {
	answer *answer
	status int
}

// shownPages are one page of every kind, errors included.
func shownPages(s *server, b *browser, login, consent *answer, path string) map[string]shownPage {
	stranger := s.browser(b.t)
	huge := strings.Repeat("a", 9000)
	id := stranger.register(`{"client_name":"x","token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/x"]}`).want(201).text("client_id")
	leaving, _ := b.begin(ask(scopes("unknown:scope"), func(q *request) { q.client, q.redirect = id, "http://127.0.0.1/x" }))
	return map[string]shownPage{
		"login": {login, 200}, "wrong password": {stranger.wrongPassword(), 403}, "consent": {consent, 200}, "nothing ticked": {b.answer(consent, path, "allow"), 400},
		"account": {b.get("/ui/account"), 200}, "account login": {stranger.get("/ui/login"), 200}, "signed out": {b.get("/ui/logged-out"), 200},
		"switching": {b.get(path + "/switch"), 200}, "unknown client": {b.get("/authorize?client_id=nobody"), 400}, "not found": {b.get("/ui/nothing"), 404},
		"no interaction": {b.get("/ui/i/AAAAAAAAAAAAAAAAAAAAAAAAAA"), 400}, "another browser": {stranger.get(path), 403}, "another method": {b.do(http.MethodDelete, "/ui/login", "", nil), 405},
		"a long URL": {b.get("/authorize?state=" + huge), 414}, "a long form": {b.post("/ui/login", url.Values{"x": {strings.Repeat(huge, 8)}}), 413},
		"no form": {b.raw("/ui/login", "x", "Content-Type", "text/plain"), 415}, "another host": {b.do(http.MethodGet, "/ui/login", "", http.Header{"Host": {"evil.example"}}), 421},
		"too much": {stranger.untilSlowed(), 429}, "an error for the client": {leaving, 200},
	}
}

// wrongPassword is the page after a wrong password.
func (b *browser) wrongPassword() *answer {
	page := b.get("/ui/login").want(200)
	return b.post("/ui/login", url.Values{"username": {"nobody"}, "password": {"wrong"}, "form_token": {page.field("form_token")}})
}

// untilSlowed begins authorizations until there are too many.
func (b *browser) untilSlowed() *answer {
	b.t.Helper()
	for range 300 {
		if a := b.get("/authorize?" + ask().params().Encode()); a.status != 303 {
			return a
		}
	}
	b.t.Fatal("three hundred in a row were all taken")
	return nil
}
