package tests

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// R7: two programs read a repeated parameter differently, so nobody may repeat one. Only resource may be there several times (RFC 8707 §2).

// sources are the ways in which parameters reach the authorization endpoint.
func sources() map[string]func(b *browser, form url.Values) *answer {
	return map[string]func(b *browser, form url.Values) *answer{
		"GET":  func(b *browser, form url.Values) *answer { return b.get("/authorize?" + form.Encode()) },
		"POST": func(b *browser, form url.Values) *answer { return b.post("/authorize", form) },
	}
}

// C3: a challenge that stands there twice is none.
func TestRepeatedParametersOfAnAuthorizationRequest(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	b.authorize(ask()) // the login
	for method, send := range sources() {
		for _, name := range []string{"client_id", "redirect_uri"} {
			t.Run("R7 "+method+" "+name, func(t *testing.T) {
				form := ask().params()
				form[name] = append(form[name], form[name]...)
				send(s.program(t), form).wantErrorPage(400, "invalid_request")
			})
		}
		for _, name := range []string{"response_type", "response_mode", "scope", "state", "code_challenge", "code_challenge_method", "prompt", "max_age",
			"acr_values", "login_hint", "request", "request_uri", "nonce", "unknown"} {
			t.Run("R7 "+method+" "+name, func(t *testing.T) {
				q := ask()
				form := q.params()
				value := form.Get(name)
				if value == "" {
					value = "1"
				}
				form[name] = []string{value, value}
				b := &browser{t: t, s: s, client: b.client}
				u := b.get(send(b, form).want(303).location().Path).want(303).location()
				wantRedirectError(t, s, u, q, "invalid_request")
			})
		}
		t.Run("R7 "+method+" resource may repeat", func(t *testing.T) {
			form := ask().params()
			form["resource"] = []string{office, office}
			b := &browser{t: t, s: s, client: b.client}
			if page := b.get(send(b, form).want(303).location().Path).want(200); !strings.Contains(page.body, `value="allow"`) {
				t.Errorf("no consent page but\n%s", tail(page.body, 500))
			}
		})
	}
	for name := range ask().params() {
		t.Run("R7 POST with "+name+" in the URL", func(t *testing.T) {
			form := ask().params()
			query := url.Values{name: form[name]}
			s.program(t).post("/authorize?"+query.Encode(), form).wantErrorPage(400, "invalid_request")
			form.Del(name)
			s.program(t).post("/authorize?"+query.Encode(), form).wantErrorPage(400, "invalid_request")
		})
	}
}

func TestRepeatedParametersOfADirectRequest(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask(func(q *request) { q.client, q.redirect = "web-post", "https://post.example/cb" })
	code := b.code(q)
	redeem := q.redemption(code)
	redeem.Set("client_secret", postSecret)
	spent := b.tokens(ask())
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {"cli"}, "refresh_token": {spent.text("refresh_token")}, "scope": {scopeCalendar}, "resource": {office}}
	token := url.Values{"token": {spent.text("access_token")}, "token_type_hint": {"access_token"}}
	revoke := url.Values{"client_id": {"cli"}}
	maps.Copy(revoke, token)
	server := []string{"Authorization", basic(officeKey, officeSecret)}
	for name, c := range map[string]struct {
		path   string
		form   url.Values
		header []string
	}{
		"code":       {"/token", redeem, nil},
		"refresh":    {"/token", refresh, nil},
		"revoke":     {"/revoke", revoke, nil},
		"introspect": {"/introspect", token, server},
	} {
		c.form.Set("unknown", "1")
		for parameter := range c.form {
			t.Run("R7 "+name+" "+parameter, func(t *testing.T) {
				b := s.program(t)
				if parameter != "resource" {
					form := maps.Clone(c.form)
					form[parameter] = append(form[parameter], form[parameter]...)
					b.post(c.path, form, c.header...).wantError(400, "invalid_request")
				}
				b.post(c.path+"?"+url.Values{parameter: c.form[parameter]}.Encode(), c.form, c.header...).wantError(400, "invalid_request")
			})
		}
	}
	// None of that cost anything.
	redeem["resource"] = []string{office, office}
	b.post("/token", redeem).want(200)
	b.post("/token", refresh).want(200)
	if !b.active(spent.text("access_token")) {
		t.Error("a refused revocation ended the token")
	}
}

// R10, U13: a 307 or 308 would have the browser post the password to the next address. Every answer to a POST that redirects is 303.
func TestPostsRedirectWith303Only(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask()
	seen := map[string]*answer{"authorize": b.post("/authorize", q.params())}
	path := seen["authorize"].location().Path
	login := b.get(path)
	form := url.Values{"username": {"alice"}, "password": {password}, "form_token": {login.field("form_token")}}
	seen["login"] = b.post(path+"/login", form)
	page := b.get(path).want(200)
	seen["allow"] = b.answer(page, path, "allow", scopeCalendar)
	page, path = b.consentPage(ask())
	seen["deny"] = b.answer(page, path, "deny")
	revoke := revokePath.FindStringSubmatch(b.get("/ui/account").want(200).body)
	account := func() url.Values { return url.Values{"form_token": {b.get("/ui/account").field("form_token")}} }
	seen["disconnect"] = b.post(revoke[1], account())
	seen["logout"] = b.post("/ui/logout", account())
	fresh := b.get("/ui/login")
	form.Set("form_token", fresh.field("form_token"))
	seen["login without a client"] = b.post("/ui/login", form)
	for name, a := range seen {
		if a.status != http.StatusSeeOther || a.header.Get("Location") == "" {
			t.Errorf("R10 %s: %d to %q, want a 303", name, a.status, a.header.Get("Location"))
		}
	}
}
