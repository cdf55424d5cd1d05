package tests

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// golden compares a JSON document with a file of testdata, in which {issuer} stands for the server's.
func golden(t *testing.T, s *server, file, got string) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(got), "", "  "); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, got)
	}
	text := strings.ReplaceAll(indented.String(), s.issuer, "{issuer}")
	if strings.TrimSpace(text) != strings.TrimSpace(string(want)) {
		t.Errorf("%s differs; it is now\n%s", file, text)
	}
}

// R13: the flag for iss is among it.
func TestMetadata(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	t.Run("AS-01 to AS-12 authorization server", func(t *testing.T) {
		a := b.get("/.well-known/oauth-authorization-server").want(200)
		golden(t, s, "authorization-server.json", a.body)
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") || strings.Contains(a.body, "null") {
			t.Errorf("AS-08: %s %s", kind, a.body)
		}
	})
	t.Run("RS-01 protected resources", func(t *testing.T) {
		golden(t, s, "protected-resource.json", b.get("/.well-known/oauth-protected-resource/"+officeKey).want(200).body)
	})
	t.Run("decision point", func(t *testing.T) {
		golden(t, s, "authzen.json", b.get("/.well-known/authzen-configuration").want(200).body)
	})
	t.Run("J14 keys hold nothing private", func(t *testing.T) {
		a := b.get("/jwks.json").want(200)
		for _, member := range []string{"d", "p", "q", "k", "oth"} {
			if a.json("keys.0."+member) != nil {
				t.Errorf("the key set shows %q", member)
			}
		}
		if a.text("keys.0.kty") != "EC" || a.text("keys.0.alg") != "ES256" || a.text("keys.0.use") != "sig" || len(a.text("keys.0.kid")) != 43 {
			t.Errorf("%s", a.body)
		}
	})
	// AS-03, AS-07: no OpenID provider here, and clients must be able to tell.
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant1", "/.well-known/openid-configuration/tenant1",
		"/tenant1/.well-known/openid-configuration", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource/nobody", "/userinfo", "/register"} {
		t.Run("AS-03 "+path, func(t *testing.T) {
			a := b.get(path)
			if a.status != 404 || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
				t.Errorf("%d %s, want a 404 that is no page", a.status, a.header.Get("Content-Type"))
			}
		})
	}
}

// AS-02: the well-known part stands before the path of an issuer that has one; clients try the other place too.
func TestMetadataOfAnIssuerWithAPath(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("issuer: "+s.issuer), []byte("issuer: "+s.issuer+"/tenant1"), 1)
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.probe = "/.well-known/oauth-authorization-server/tenant1"
	s.run()
	b := s.program(t)
	for _, path := range []string{"/.well-known/oauth-authorization-server/tenant1", "/tenant1/.well-known/oauth-authorization-server"} {
		a := b.get(path).want(200)
		if a.text("issuer") != s.issuer+"/tenant1" || a.text("token_endpoint") != s.issuer+"/tenant1/token" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration/tenant1", "/tenant1/.well-known/openid-configuration", "/token"} {
		if a := b.get(path); a.status != 404 {
			t.Errorf("%s: %d, want 404", path, a.status)
		}
	}
	t.Run("R13 iss is that issuer to the byte", func(t *testing.T) {
		b, q := s.browser(t), ask()
		path := b.get("/tenant1/authorize?" + q.params().Encode()).want(303).location().Path
		login := url.Values{"username": {"alice"}, "password": {password}, "form_token": {b.get(path).want(200).field("form_token")}}
		b.post(path+"/login", login).want(303)
		to := b.answer(b.get(path).want(200), path, "deny").want(303).location().Query()
		if to.Get("iss") != s.issuer+"/tenant1" || to.Get("error") != "access_denied" || to.Get("state") != q.state {
			t.Errorf("redirect with %v", to)
		}
	})
	if a := b.get("/.well-known/oauth-protected-resource/tenant1/office"); a.status != 200 || a.text("authorization_servers.0") != s.issuer+"/tenant1" {
		t.Errorf("protected resource: %d %s", a.status, a.body)
	}
}

// AS-15, R15: scripts of any origin may read documents and get tokens, without cookies, and may not touch the pages. No origin is ever named
// in an answer, so "null" is none either.
func TestCrossOriginAccess(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	b := s.program(t)
	for _, origin := range []string{"https://inspector.example", "null", "http://localhost:6274"} {
		asked := http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"mcp-protocol-version"}}
		for path, method := range map[string]string{"/.well-known/oauth-authorization-server": "GET", "/.well-known/oauth-protected-resource/office": "GET", "/jwks.json": "GET",
			"/token": "POST", "/revoke": "POST", "/register": "POST"} {
			a := b.do(http.MethodOptions, path, "", asked)
			allowed := strings.ToLower(a.header.Get("Access-Control-Allow-Headers"))
			for _, name := range []string{"authorization", "content-type", "mcp-protocol-version", "dpop"} {
				if !strings.Contains(allowed, name) {
					t.Errorf("preflight of %s allows %q, not %s", path, allowed, name)
				}
			}
			if a.status != 204 || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), method) {
				t.Errorf("preflight of %s: %d %v", path, a.status, a.header)
			}
			for _, a := range []*answer{a, b.do(method, path, "", http.Header{"Origin": {origin}})} {
				if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("R15 %s from %s: %v", a.what, origin, a.header)
				}
			}
		}
		refused := b.do(http.MethodPost, "/token", "grant_type=x", http.Header{"Origin": {origin}, "Content-Type": {"application/x-www-form-urlencoded"}}).wantError(401, "invalid_client")
		if !strings.Contains(refused.header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
			t.Errorf("an error at the token endpoint cannot be read by scripts: %v", refused.header)
		}
		for _, path := range []string{"/authorize", "/ui/login", "/ui/account", "/ui/i/x/consent", "/introspect", "/access/v1/evaluation", "/"} {
			for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
				for name := range b.do(method, path, "", asked).header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("R15 %s %s allows another origin: %s", method, path, name)
					}
				}
			}
		}
	}
}

// X3: what belongs to the operator is not on the public listener, and health says nothing.
func TestAdminListener(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/debug/pprof/", "/admin", "/debug/vars"} {
		if a := b.get(path); a.status != 404 {
			t.Errorf("public %s: %d", path, a.status)
		}
	}
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "ok", "/metrics": "portcullis"} {
		if a := b.get(s.admin + path); a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("admin %s: %d %s", path, a.status, tail(a.body, 300))
		}
	}
	for _, path := range []string{"/token", "/authorize", "/introspect", "/ui/login", "/debug/pprof/"} {
		if a := b.get(s.admin + path); a.status != 404 {
			t.Errorf("admin %s: %d", path, a.status)
		}
	}
	if a := b.do(http.MethodGet, s.admin+"/readyz", "", http.Header{"Host": {"rebound.example"}}); a.status != http.StatusMisdirectedRequest {
		t.Errorf("a rebound host reaches the admin listener: %d", a.status)
	}
}
