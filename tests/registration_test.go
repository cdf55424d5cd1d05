package tests

import (
	"net/url"
	"strings"
	"testing"
)

// cursor is what Cursor registers (facts CL-30).
const cursor = `{"client_name":"Cursor","redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"],
	"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"web","unknown":{"x":[1]}}`

func (b *browser) register(body string, header ...string) *answer {
	b.t.Helper()
	return b.raw("/register", body, append([]string{"Content-Type", "application/json"}, header...)...)
}

// AS-72: what clients register comes back, without nulls, and works.
func TestRegistration(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	b := s.browser(t)
	if got := b.get("/.well-known/oauth-authorization-server").text("registration_endpoint"); got != s.issuer+"/register" {
		t.Errorf("AS-11: registration_endpoint is %q", got)
	}
	public := `{"client_name":"Agent","redirect_uris":["http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","application_type":"native","logo_uri":"https://x.example/l.png"}`
	a := b.register(public).want(201)
	id := a.text("client_id")
	for path, want := range map[string]string{"client_name": "Agent", "redirect_uris": `["http://127.0.0.1:33418/"]`, "token_endpoint_auth_method": "none", "client_secret": "", "client_secret_expires_at": ""} {
		if got := a.text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if a.text("client_id_issued_at") == "" || strings.Contains(a.body, "null") || strings.HasPrefix(id, "https://") || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("AS-74: %v %s", a.header, a.body)
	}
	t.Run("interop 6 the same again is the same client, whatever its port", func(t *testing.T) {
		again := b.register(strings.Replace(public, "33418", "40001", 1)).want(201)
		if again.text("client_id") != id {
			t.Errorf("a second client %s beside %s", again.text("client_id"), id)
		}
		other := b.register(strings.Replace(public, "Agent", "Another", 1)).want(201)
		if other.text("client_id") == id {
			t.Error("another name is the same client")
		}
	})
	t.Run("AS-72 it logs in", func(t *testing.T) {
		q := ask(func(q *request) { q.client, q.redirect = id, "http://127.0.0.1:40002/" })
		b := s.browser(t)
		page, _ := b.consentPage(q)
		if !strings.Contains(page.body, "nverified") {
			t.Error("interop 30: the consent page does not say that nobody vouches for the client")
		}
		tokens := b.tokens(q)
		b.refresh(id, tokens.text("refresh_token")).want(200)
	})
}

func TestRegisteredClientsGetNoPower(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	b := s.browser(t)
	t.Run("D5, D8 confidential clients get a secret of their own, once", func(t *testing.T) {
		body := `{"client_name":"Web","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"token_endpoint_auth_method":"client_secret_post"}`
		one, two := b.register(body).want(201), b.register(body).want(201)
		if one.text("client_secret") == "" || one.text("client_secret") == two.text("client_secret") || one.text("client_id") == two.text("client_id") || one.text("client_secret_expires_at") != "0" {
			t.Errorf("%s\n%s", one.body, two.body)
		}
		q := ask(func(q *request) {
			q.client, q.redirect = one.text("client_id"), "https://claude.ai/api/mcp/auth_callback"
		})
		code := b.code(q)
		form := q.redemption(code)
		b.post("/token", form).wantError(401, "invalid_client")
		form.Set("client_secret", two.text("client_secret"))
		b.post("/token", form).wantError(401, "invalid_client")
		form.Set("client_secret", one.text("client_secret"))
		b.post("/token", form).want(200)
	})
	t.Run("D4 asking for power gives none", func(t *testing.T) {
		a := b.register(`{"client_name":"Greedy","redirect_uris":["http://127.0.0.1/greedy"],"token_endpoint_auth_method":"none","scope":"office:payroll.read office:calendar.read",
			"grant_types":["authorization_code","refresh_token","client_credentials","password","urn:ietf:params:oauth:grant-type:token-exchange"],"response_types":["code","token"],
			"trusted":true,"source":"config","registration":"static","disabled":false,"ceiling":["*"],"groups":["finance"],"roles":["admin"]}`).want(201)
		if got := a.text("grant_types") + a.text("response_types"); got != `["authorization_code","refresh_token"]["code"]` {
			t.Errorf("granted %s", got)
		}
		for _, name := range []string{"trusted", "source", "registration", "ceiling", "groups", "roles"} {
			if a.json(name) != nil {
				t.Errorf("the answer repeats %s", name)
			}
		}
		q := ask(func(q *request) { q.client, q.redirect = a.text("client_id"), "http://127.0.0.1:5/greedy" }, scopes(scopeCalendar, scopePayroll))
		b := s.browser(t)
		page, _ := b.consentPage(q)
		if !strings.Contains(page.body, "nverified") {
			t.Error("the consent page does not say that nobody vouches for the client")
		}
		if got := withoutOffline(b.tokens(q).text("scope")); got != scopeCalendar {
			t.Errorf("scope %q", got)
		}
		for _, grant := range []string{"client_credentials", "password", "urn:ietf:params:oauth:grant-type:token-exchange"} {
			b.post("/token", url.Values{"grant_type": {grant}, "client_id": {q.client}}).wantError(400, "unsupported_grant_type")
		}
	})
	t.Run("D4 who declares less gets no more", func(t *testing.T) {
		a := b.register(`{"client_name":"Modest","redirect_uris":["http://127.0.0.1/modest"],"token_endpoint_auth_method":"none","scope":"claudeai office:calendar.read"}`).want(201)
		q := ask(func(q *request) { q.client, q.redirect = a.text("client_id"), "http://127.0.0.1:5/modest" }, scopes(scopeCalendar, scopeCRM))
		if got := withoutOffline(s.browser(t).tokens(q).text("scope")); got != scopeCalendar {
			t.Errorf("scope %q", got)
		}
	})
	t.Run("D6 no management", func(t *testing.T) {
		if a := b.get("/register/dcr_x"); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// D1, D5, AS-73, CL-30: the whole of Cursor's request, with the one scheme that the operator's policy allows.
func TestPrivateUseSchemesNeedThePolicysWord(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	copyTree(t, "testdata/cursor", s.dir+"/policies")
	s.run()
	b := s.browser(t)
	a := b.register(cursor).want(201)
	if got := a.text("redirect_uris"); !strings.Contains(got, "cursor://anysphere.cursor-mcp/oauth/callback") || !strings.Contains(got, "localhost:8787") {
		t.Errorf("redirect_uris %s", got)
	}
	q := ask(func(q *request) {
		q.client, q.redirect = a.text("client_id"), "cursor://anysphere.cursor-mcp/oauth/callback"
	})
	page, _ := s.browser(t).consentPage(q)
	if !strings.Contains(page.body, "<bdi>cursor:</bdi>") || !strings.Contains(page.body, "Did you start this yourself") || strings.Contains(page.body, "the one that listens") {
		t.Error("no warning that any app on this device could have claimed the scheme (RFC 8252 §8.1)")
	}
	if u := b.authorize(q); u.Scheme != "cursor" || u.Host != "anysphere.cursor-mcp" {
		t.Errorf("the code goes to %s", u)
	}
	other := b.register(strings.Replace(cursor, "cursor://anysphere", "cursor://evil", 1)).want(201)
	if got := other.text("redirect_uris"); strings.Contains(got, "evil") || !strings.Contains(got, "localhost:8787") {
		t.Errorf("AS-73: of another scheme's request is left %s", got)
	}
	for _, uri := range []string{"javascript:alert(1)", "data:text/html,x"} {
		b.register(`{"client_name":"x","token_endpoint_auth_method":"none","redirect_uris":["`+uri+`"]}`).wantError(400, "invalid_redirect_uri")
	}
	b.get("/authorize?" + ask(func(q *request) {
		q.client, q.redirect = a.text("client_id"), "cursor://anysphere.cursor-mcp/oauth/callback/x"
	}).params().Encode()).wantPage(400)
}

func TestRegistrationModes(t *testing.T) {
	t.Parallel()
	body := `{"client_name":"x","token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/x"]}`
	t.Run("off", func(t *testing.T) {
		s := start(t, "main.yaml", nil)
		if a := s.program(t).register(body); a.status != 404 {
			t.Errorf("%d", a.status)
		}
	})
	t.Run("token", func(t *testing.T) {
		s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: token, token: initial-access-token-5521}"})
		b := s.program(t)
		for _, header := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", basic("initial-access-token-5521", "")}, {"Authorization", "Bearer "}} {
			if a := b.register(body, header...); a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("D6 %v: %d %s", header, a.status, a.body)
			}
		}
		b.register(body, "Authorization", "Bearer initial-access-token-5521").want(201)
	})
}
