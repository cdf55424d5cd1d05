package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// wantPageError checks a page of ours that names an error.
func (a *answer) wantPageError(status int, code string) *answer {
	a.t.Helper()
	a.wantPage(status)
	if !strings.Contains(a.body, "<code>"+code+"</code>") {
		a.t.Errorf("%s: the page does not name the error %s\n%s", a.what, code, tail(a.body, 1200))
	}
	return a
}

// postedForm is one form of our pages as its owner would send it.
type postedForm struct {
	path   string
	fields url.Values // without the form token
	token  string
}

// with is the form with another token.
func (p postedForm) with(token ...string) url.Values {
	form := url.Values{}
	for name, values := range p.fields {
		form[name] = values
	}
	if len(token) > 0 {
		form["form_token"] = token
	}
	return form
}

// ownForms are all forms that a person who is logged in can send, each with its good token.
func (b *browser) ownForms(user string) map[string]postedForm {
	b.t.Helper()
	b.authorize(ask(by(user)))
	consent, path := b.consentPage(ask(by(user)))
	_, loginPath := b.begin(ask(by(user)))
	fresh := b.get(loginPath + "/switch").want(200)
	account := b.get("/ui/account").want(200)
	revoke := revokePath.FindStringSubmatch(account.body)
	if revoke == nil {
		b.t.Fatal("the account page has no revoke button")
	}
	login := url.Values{"username": {user}, "password": {password}}
	return map[string]postedForm{
		"consent":       {path + "/consent", url.Values{"action": {"allow"}, "scope": {scopeCalendar}}, consent.field("form_token")},
		"denial":        {path + "/consent", url.Values{"action": {"deny"}}, consent.field("form_token")},
		"login":         {loginPath + "/login", login, fresh.field("form_token")},
		"account login": {"/ui/login", login, b.get("/ui/login").want(200).field("form_token")},
		"password": {"/ui/account/password", url.Values{"old_password": {password}, "new_password": {password + "!"}, "again": {password + "!"}},
			account.field("form_token")},
		"disconnection": {revoke[1], nil, account.field("form_token")},
		"logout":        {"/ui/logout", nil, account.field("form_token")}, // last: it ends the session
	}
}

// U3: no form of ours counts without its own token or when another site sends it, whoever is logged in; a login, a logout and a
// disconnection are no exceptions. Nothing has happened afterwards.
func TestFormsOfOtherSitesCountForNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	forms := b.ownForms("alice")
	stranger := s.browser(t).ownForms("bob")
	for name, f := range forms {
		for fault, form := range map[string]url.Values{
			"no token": f.with(), "an empty token": f.with(""), "a changed token": f.with(flip(f.token, 3)), "two tokens": f.with(flip(f.token, 3), f.token),
			"another person's token": f.with(stranger[name].token),
		} {
			t.Run("U3 "+name+" with "+fault, func(t *testing.T) {
				b.as(t).post(f.path, form).wantPageError(403, "forbidden")
			})
		}
		for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
			{"Origin", s.issuer + ".evil.example"}, {"Origin", s.issuer + "0"}} {
			t.Run(fmt.Sprintf("U3 %s with %s %s", name, header[0], header[1]), func(t *testing.T) {
				b.as(t).post(f.path, f.with(f.token), header[0], header[1]).wantPageError(403, "forbidden")
			})
		}
		t.Run("U4 "+name+" by GET", func(t *testing.T) {
			a := b.as(t).get(f.path + "?" + f.with(f.token).Encode())
			if name == "account login" { // the page of the form: it shows itself and reads nothing
				a.wantPage(200)
				return
			}
			a.wantPageError(405, "invalid_request")
		})
		t.Run("U3 "+name+" as JSON", func(t *testing.T) {
			b.as(t).raw(f.path, `{"form_token":"`+f.token+`"}`, "Content-Type", "text/plain").wantPageError(415, "invalid_request")
		})
		t.Run("U3 "+name+" in the URL", func(t *testing.T) {
			b.as(t).post(f.path+"?action=allow", f.with(f.token)).wantPageError(400, "invalid_request")
		})
	}
	if a := b.get("/ui/account").want(200); !strings.Contains(a.body, forms["disconnection"].path) {
		t.Error("the agent was disconnected")
	}
	b.post(forms["consent"].path, forms["consent"].with(forms["consent"].token)).want(303)
	b.post("/ui/logout", forms["logout"].with(forms["logout"].token)).want(303)
	b.get("/ui/account").want(303)
}

// as is the same browser in a part of a test.
func (b *browser) as(t testing.TB) *browser { return &browser{t: t, s: b.s, client: b.client} }

// U6: whatever belongs to an interaction is for the browser that began it, wherever in the flow the address is carried away.
func TestAnInteractionStaysInItsBrowser(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	for _, stage := range []string{"before the login", "after the login"} {
		for _, thief := range []string{"nobody", "bob"} {
			t.Run("U6 "+stage+", taken by "+thief, func(t *testing.T) {
				owner, other := s.browser(t), s.browser(t)
				if thief != "nobody" {
					other.authorize(ask(by(thief)))
				}
				page, path := owner.begin(ask())
				if stage == "after the login" {
					page = owner.login(page, path, "alice")
				}
				token := page.field("form_token")
				other.get(path).wantPageError(403, "forbidden")
				other.get(path+"/switch").wantPageError(403, "forbidden")
				other.post(path+"/login", url.Values{"form_token": {token}, "username": {"bob"}, "password": {password}}).wantPageError(403, "forbidden")
				other.post(path+"/consent", url.Values{"form_token": {token}, "action": {"allow"}, "scope": {scopeCalendar}}).wantPageError(403, "forbidden")
				if a := owner.login(owner.get(path).want(200), path, "alice"); !strings.Contains(a.body, `value="allow"`) {
					t.Errorf("the owner cannot go on: %d", a.status)
				}
			})
		}
	}
}

// U2, U4, U7: two tabs that load one request have one token, so either may answer; from wherever the browser comes it is asked.
func TestEveryNavigationIsAsked(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	b.authorize(ask()) // consented once
	for _, site := range []string{"cross-site", "same-site", "same-origin", "none", ""} {
		t.Run("U7 Sec-Fetch-Site "+site, func(t *testing.T) {
			header := http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {site}}
			if site == "" {
				header = nil
			}
			a := b.as(t).do(http.MethodGet, "/authorize?"+ask().params().Encode(), "", header).want(303)
			page := b.as(t).do(http.MethodGet, a.location().Path, "", header).wantPage(200)
			if !strings.Contains(page.body, `value="allow"`) {
				t.Error("it is not asked")
			}
		})
	}
	t.Run("U4 two tabs load it at the same time", func(t *testing.T) {
		a := b.as(t).get("/authorize?" + ask().params().Encode()).want(303)
		path := a.location().Path
		tabs := make([]*answer, 8)
		var wait sync.WaitGroup
		for i := range tabs {
			wait.Go(func() { tabs[i] = b.as(t).get(path) })
		}
		wait.Wait()
		for _, tab := range tabs {
			if tab.want(200).field("form_token") != tabs[0].field("form_token") {
				t.Fatal("the tabs have different form tokens")
			}
		}
		to := b.as(t).answer(tabs[3], path, "allow", scopeCalendar).want(303).location()
		if to.Query().Get("code") == "" {
			t.Errorf("%s", to)
		}
		if again := b.as(t).answer(tabs[5], path, "allow", scopeCalendar).want(303); again.location().String() != to.String() {
			t.Errorf("the second tab gets another answer: %s", again.location())
		}
		b.as(t).answer(tabs[6], path, "deny").wantPageError(400, "interaction_expired") // it is too late to say no here
	})
}

// U13: whoever leaves our pages leaves by 303, and by nothing that a page could be made to do.
func TestOnlyThe303LeadsAway(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	forms := b.ownForms("alice")
	for _, name := range []string{"denial", "disconnection", "login", "account login", "logout"} {
		form := forms[name]
		if name == "logout" { // the logins made new sessions
			form.token = b.get("/ui/account").want(200).field("form_token")
		}
		if a := b.post(form.path, form.with(form.token)); a.status != 303 || a.body != "" {
			t.Errorf("U13 %s: %d with %d bytes", name, a.status, len(a.body))
		}
	}
	script := regexp.MustCompile(`src="([^"]+\.js)"`).FindStringSubmatch(b.get("/ui/login").want(200).body)
	if script == nil {
		t.Fatal("the page has no script")
	}
	code := b.get(script[1]).want(200).body
	for _, bad := range []string{"location", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "Function(", "open(", "fetch(", "href", ".submit("} {
		if strings.Contains(code, bad) {
			t.Errorf("U13: the script says %q", bad)
		}
	}
	wantNothingUnescaped(t)
}

// wantNothingUnescaped looks at the templates and at the sources that fill them.
func wantNothingUnescaped(t *testing.T) {
	t.Helper()
	templates, err := filepath.Glob("../server/templates/*.html")
	if err != nil || len(templates) < 5 {
		t.Fatal("no templates", err)
	}
	for _, file := range templates {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?i)http-equiv|\son[a-z]+\s*=|<script>|javascript:|<style|\sstyle=|<iframe|<base`).FindString(string(text)); m != "" {
			t.Errorf("U12, U13: %s holds %q", file, m)
		}
	}
	sources, err := filepath.Glob("../server/*.go")
	if err != nil || len(sources) < 5 {
		t.Fatal("no sources", err)
	}
	for _, file := range sources {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`template\.(HTML|JS|JSStr|URL|CSS|HTMLAttr|Srcset)\b|"text/template"`).FindString(string(text)); m != "" {
			t.Errorf("U12: %s uses %s, which is not escaped", file, m)
		}
	}
}
