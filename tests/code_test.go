package tests

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// C13: a code, refresh token or access token is only its whole self. Nothing shorter, longer or in another case is taken for it.
func TestOnlyTheWholeSecretCounts(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask()
	code := b.code(q)
	tokens := b.tokens(ask())
	refresh, access := tokens.text("refresh_token"), tokens.text("access_token")
	form := q.redemption(code)
	for _, other := range misspelled(code) {
		form.Set("code", other)
		s.program(t).post("/token", form).wantError(400, "invalid_grant")
	}
	for _, other := range misspelled(refresh) {
		s.program(t).refresh("cli", other).wantError(400, "invalid_grant")
	}
	for _, other := range misspelled(access) {
		if b.active(other) {
			t.Errorf("C13: introspection takes %q for the token", other)
		}
	}
	b.post("/token", q.redemption(code)).want(200)
	b.refresh("cli", refresh).want(200)
}

// misspelled are texts that begin, end or look like a secret: what can be cut off, bytes before and behind, other letters. They are
// fewer than the wrong codes at which a client is slowed down.
func misspelled(secret string) []string {
	others := []string{secret + "A", secret + "=", secret + "\n", secret + "\x7f", secret + " ", " " + secret, "A" + secret, secret + secret, secret + "." + secret,
		strings.ToLower(secret), flip(secret, 0), flip(secret, len(secret)/2), flip(secret, -1), secret[1:], url.QueryEscape(secret + " ")}
	step := (len(secret) + 39) / 40
	for n := 1; n < len(secret); n += step {
		others = append(others, secret[:n])
	}
	return others
}

// C11: what is issued cannot be guessed: 52 characters of an alphabet of 32 are 260 bits, no two are equal, and every character is equally likely.
func TestSecretsAreRandom(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	seen, count, total := map[string]bool{}, map[rune]int{}, 0
	for range 60 {
		q := ask()
		code := b.code(q)
		for _, secret := range []string{code, b.post("/token", q.redemption(code)).want(200).text("refresh_token")} {
			made, secret, _ := strings.Cut(secret, "-") // the date in front is no secret
			if len(made) != 8 || len(secret) != 52 || strings.Trim(secret, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" || seen[secret] {
				t.Fatalf("C11: %q behind %q is too short, of another alphabet or not new", secret, made)
			}
			seen[secret] = true
			for _, c := range secret {
				count[c]++
				total++
			}
		}
	}
	expected, chi := float64(total)/32, 0.0
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" {
		d := float64(count[c]) - expected
		chi += d * d / expected
	}
	if chi > 110 { // 31 degrees of freedom: one run in 10^10 of a fair source
		t.Errorf("C11: the characters are not equally likely, chi² = %.0f: %v", chi, count)
	}
}

// C9: redirect_uri at the token endpoint may be absent (OAuth 2.1 §10.2); if it is sent it is the one of the authorization request.
func TestRedirectURIOfARedemption(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask()
	for name, c := range map[string]struct {
		sent   []string
		status int
	}{
		"the same":                {[]string{callback}, 200},
		"absent":                  {nil, 200},
		"empty counts as absent":  {[]string{""}, 200},
		"another port":            {[]string{"http://127.0.0.1:47812/callback"}, 400},
		"no port":                 {[]string{"http://127.0.0.1/callback"}, 400},
		"another registered one":  {[]string{"http://localhost:47811/callback"}, 400},
		"a slash more":            {[]string{callback + "/"}, 400},
		"a query more":            {[]string{callback + "?x=1"}, 400},
		"an empty query":          {[]string{callback + "?"}, 400},
		"the scheme in capitals":  {[]string{"HTTP" + strings.TrimPrefix(callback, "http")}, 400},
		"a stranger's":            {[]string{"https://evil.example/cb"}, 400},
		"escaped":                 {[]string{url.QueryEscape(callback)}, 400},
		"with user information":   {[]string{"http://u@127.0.0.1:47811/callback"}, 400},
		"a character less":        {[]string{callback[:len(callback)-1]}, 400},
		"no address at all":       {[]string{"x"}, 400},
		"white space before it":   {[]string{" " + callback}, 400},
		"the loopback of IPv6":    {[]string{"http://[::1]:47811/callback"}, 400},
		"the one of the other":    {[]string{"https://app.example/cb"}, 400},
		"with a fragment":         {[]string{callback + "#"}, 400},
		"another path, same host": {[]string{"http://127.0.0.1:47811/other"}, 400},
	} {
		t.Run("C9 "+name, func(t *testing.T) {
			b := &browser{t: t, s: s, client: b.client}
			form := q.redemption(b.code(q))
			form["redirect_uri"] = c.sent
			if c.status == 200 {
				b.post("/token", form).want(200)
				return
			}
			b.post("/token", form).wantError(400, "invalid_grant")
			form["redirect_uri"] = []string{callback}
			b.post("/token", form).want(200) // it cost nothing
		})
	}
}

// C14: a code comes only out of a request that was begun, logged in for and consented to, in this order. Every step that is tried too early or
// too late ends on a page and never at the client.
func TestNoStepCanBeSkipped(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	allow := func(token string) url.Values {
		return url.Values{"form_token": {token}, "action": {"allow"}, "scope": {scopeCalendar}}
	}
	login := func(token string) url.Values {
		return url.Values{"form_token": {token}, "username": {"alice"}, "password": {password}}
	}
	t.Run("C14 consent before the login", func(t *testing.T) {
		b := s.browser(t)
		page, path := b.begin(ask())
		for _, token := range []string{page.field("form_token"), ""} {
			a := b.post(path+"/consent", allow(token))
			if a.header.Get("Location") != "" || !hasInput(a, "password") {
				t.Errorf("%d to %q, want the login again", a.status, a.header.Get("Location"))
			}
		}
		b.login(page, path, "alice").want(200)
	})
	t.Run("C14 consent with the token of the login page", func(t *testing.T) {
		b := s.browser(t)
		page, path := b.begin(ask())
		b.login(page, path, "alice").want(200)
		b.post(path+"/consent", allow(page.field("form_token"))).wantErrorPage(403, "forbidden")
	})
	t.Run("C14 consent after a wrong password", func(t *testing.T) {
		b := s.browser(t)
		page, path := b.begin(ask())
		wrong := login(page.field("form_token"))
		wrong.Set("password", "wrong")
		b.post(path+"/login", wrong).wantPage(403)
		if a := b.post(path+"/consent", allow(page.field("form_token"))); a.header.Get("Location") != "" || !hasInput(a, "password") {
			t.Errorf("%d to %q, want the login again", a.status, a.header.Get("Location"))
		}
	})
	for name, change := range map[string]func(*request){"prompt=login": with("prompt", "login"), "max_age=0": with("max_age", "0")} {
		t.Run("C14 consent with the session of before although "+name, func(t *testing.T) {
			b := s.browser(t)
			old, _ := b.consentPage(ask())
			time.Sleep(1100 * time.Millisecond) // logins are known to the second
			page, path := b.begin(ask(change))
			for _, token := range []string{old.field("form_token"), page.field("form_token")} {
				a := b.post(path+"/consent", allow(token))
				if a.header.Get("Location") != "" || !hasInput(a, "password") {
					t.Errorf("%d to %q, want the login again", a.status, a.header.Get("Location"))
				}
			}
		})
	}
	t.Run("C14 a request that nobody began", func(t *testing.T) {
		b := s.browser(t)
		page, path := b.consentPage(ask())
		unknown := path[:strings.LastIndexByte(path, '/')+1] + strings.Repeat("A", 52)
		b.get(unknown).wantErrorPage(400, "interaction_expired")
		b.post(unknown+"/consent", allow(page.field("form_token"))).wantErrorPage(400, "interaction_expired")
		b.post(unknown+"/login", login(page.field("form_token"))).wantErrorPage(400, "interaction_expired")
	})
	t.Run("C14 everything again after the answer", func(t *testing.T) {
		b := s.browser(t)
		page, path := b.consentPage(ask())
		b.answer(page, path, "deny").want(303)
		b.get(path).wantErrorPage(400, "interaction_expired")
		b.get(path+"/switch").wantErrorPage(400, "interaction_expired")
		b.answer(page, path, "allow", scopeCalendar).wantErrorPage(400, "interaction_expired")
		b.post(path+"/login", login(page.field("form_token"))).wantErrorPage(400, "interaction_expired")
	})
	t.Run("C14 consent after the logout", func(t *testing.T) {
		b := s.browser(t)
		page, path := b.consentPage(ask())
		b.post("/ui/logout", url.Values{"form_token": {b.get("/ui/account").field("form_token")}}).want(303)
		if a := b.answer(page, path, "allow", scopeCalendar); a.header.Get("Location") != "" || !hasInput(a, "password") {
			t.Errorf("%d to %q, want the login again", a.status, a.header.Get("Location"))
		}
	})
}
