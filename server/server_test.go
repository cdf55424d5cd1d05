package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

const testIssuer = "https://auth.example"

// allEndpoints is every part, unconfigured: good for what happens before an endpoint is called.
func allEndpoints() oauth.Endpoints {
	return oauth.Endpoints{
		Metadata: &oauth.MetadataEndpoint{}, Authorization: &oauth.AuthorizationEndpoint{}, Login: &oauth.LoginEndpoint{},
		Account: &oauth.AccountEndpoint{}, Token: &oauth.TokenEndpoint{}, Revocation: &oauth.RevocationEndpoint{},
		Introspection: &oauth.IntrospectionEndpoint{}, Registration: &oauth.RegistrationEndpoint{}, Decision: &oauth.Decider{},
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newHandler(t *testing.T, cfg Config) http.Handler {
	t.Helper()
	cfg.Issuer, cfg.Log = orDefault(cfg.Issuer, testIssuer), orDefault(cfg.Log, quiet())
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// newTestFace is a face whose routes the test makes itself, behind the usual middleware.
func newTestFace(t *testing.T, cfg Config, routes func(*face, *gin.Engine)) http.Handler {
	t.Helper()
	cfg.Issuer, cfg.Log = orDefault(cfg.Issuer, testIssuer), orDefault(cfg.Log, quiet())
	f, err := newFace(cfg)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := newEngine(cfg.TrustedProxies)
	if err != nil {
		t.Fatal(err)
	}
	engine.Use(f.identify, f.logAccess, f.recoverPanic, f.checkHost, f.secureHeaders, f.limitURL)
	routes(f, engine)
	return engine
}

func do(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	if strings.HasPrefix(target, "/") {
		target = testIssuer + target
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAbsentEndpointsAreNotFound(t *testing.T) {
	h := newHandler(t, Config{})
	for _, route := range []string{
		"GET /authorize", "POST /authorize", "POST /token", "POST /revoke", "POST /introspect", "POST /register", "GET /jwks.json",
		"POST /access/v1/evaluation", "GET /.well-known/oauth-authorization-server", "GET /.well-known/openid-configuration",
		"GET /.well-known/oauth-protected-resource", "GET /.well-known/oauth-protected-resource/mcp", "GET /.well-known/authzen-configuration",
		"GET /ui/login", "POST /ui/login", "GET /ui/account", "POST /ui/logout", "GET /ui/i/x", "GET /",
		"GET /metrics", "GET /livez", "GET /readyz", // never on the public listener
	} {
		method, path, _ := strings.Cut(route, " ")
		if w := do(h, method, path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", route, w.Code)
		}
	}
}

func TestOpenIDDiscoveryIsACleanNotFound(t *testing.T) {
	for issuer, paths := range map[string][]string{
		"https://auth.example":         {"/.well-known/openid-configuration"},
		"https://auth.example/tenant1": {"/.well-known/openid-configuration/tenant1", "/tenant1/.well-known/openid-configuration"},
	} {
		h := newHandler(t, Config{Issuer: issuer, Endpoints: allEndpoints()})
		for _, path := range paths {
			w := do(h, "GET", path, "")
			if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != typeJSON || !strings.Contains(w.Body.String(), `"error":"not_found"`) {
				t.Errorf("%s: %d %s %s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: a script cannot read this 404", path)
			}
		}
	}
}

func TestIssuerPathComesBehindWellKnownAndBeforeEndpoints(t *testing.T) {
	h := newHandler(t, Config{Issuer: "https://auth.example/tenant1", Endpoints: allEndpoints()})
	for path, want := range map[string]int{
		"/.well-known/oauth-authorization-server/tenant1": 200,
		"/tenant1/.well-known/oauth-authorization-server": 200,
		"/.well-known/oauth-authorization-server":         404,
		"/.well-known/authzen-configuration/tenant1":      200,
		"/jwks.json":             404,
		"/tenant1/token":         405,
		"/token":                 404,
		"/ui/login":              404,
		"/tenant1/ui/logged-out": 200,
	} {
		if w := do(h, "GET", path, ""); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	h := newHandler(t, Config{Endpoints: allEndpoints()})
	for path, want := range map[string]string{"/token": "POST", "/introspect": "POST", "/access/v1/evaluation": "POST"} {
		w := do(h, "DELETE", path, "")
		if w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Header().Get("Allow"), want) {
			t.Errorf("%s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
	if w := do(h, "HEAD", oauth.WellKnownAuthorizationServer, ""); w.Code != http.StatusOK {
		t.Errorf("HEAD of a document: %d", w.Code)
	}
	if w := do(h, "HEAD", "/authorize", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("HEAD of the authorization endpoint would start an interaction: %d", w.Code)
	}
}

func TestOnlyOwnHostsAreAnswered(t *testing.T) {
	for _, c := range []struct {
		issuer string
		hosts  []string
		host   string
		want   int
	}{
		{"https://auth.example", nil, "auth.example", 200},
		{"https://auth.example", nil, "AUTH.example:443", 200},
		{"https://auth.example", nil, "auth.example:8443", 421},
		{"https://auth.example", nil, "auth.example.evil.test", 421},
		{"https://auth.example", nil, "evil.test", 421},
		{"https://auth.example", nil, "", 421},
		{"https://auth.example", []string{"internal"}, "internal:9999", 200},
		{"https://auth.example", []string{"internal:8080"}, "internal:9999", 421},
		{"https://auth.example", []string{"internal:8080"}, "internal:8080", 200},
		{"http://127.0.0.1:8080", nil, "127.0.0.1:8080", 200},
		{"http://127.0.0.1:8080", nil, "localhost:8080", 421},
		{"http://[::1]:8080", nil, "[::1]:8080", 200},
		{"http://127.0.0.1:8080", []string{"::1"}, "[::1]:8080", 200},
	} {
		h := newHandler(t, Config{Issuer: c.issuer, Hosts: c.hosts, Endpoints: allEndpoints()})
		r := httptest.NewRequest("GET", oauth.WellKnownAuthorizationServer, nil)
		r.Host = c.host
		r.Header.Set("X-Forwarded-Host", "auth.example")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("issuer %s, hosts %v, Host %q: %d, want %d", c.issuer, c.hosts, c.host, w.Code, c.want)
		}
	}
}

func TestCrossOriginMatrix(t *testing.T) {
	h := newHandler(t, Config{Endpoints: allEndpoints()})
	for route, open := range map[string]bool{
		"GET /.well-known/oauth-authorization-server":   true,
		"GET /.well-known/oauth-protected-resource/mcp": true,
		"GET /.well-known/authzen-configuration":        true,
		"GET /jwks.json":                                true,
		"POST /token":                                   true,
		"POST /revoke":                                  true,
		"POST /register":                                true,
		"POST /introspect":                              false,
		"POST /access/v1/evaluation":                    false,
		"GET /authorize":                                false,
		"POST /authorize":                               false,
		"GET /ui/login":                                 false,
		"POST /ui/i/x/consent":                          false,
		"GET /ui/account":                               false,
		"GET /ui/static/" + "style.css":                 false,
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, origin := range []string{"https://app.example", "null"} {
			w := do(h, method, path, "", "Origin", origin)
			want := ""
			if open {
				want = "*"
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s from %s: Access-Control-Allow-Origin %q, want %q", route, origin, got, want)
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: credentials must never be allowed", route)
			}
		}
		w := do(h, "OPTIONS", path, "", "Origin", "https://app.example", "Access-Control-Request-Method", method, "Access-Control-Request-Headers", "mcp-protocol-version")
		if !open {
			if w.Code < 400 || w.Header().Get("Access-Control-Allow-Methods") != "" {
				t.Errorf("preflight of %s: %d", route, w.Code)
			}
			continue
		}
		allowed := w.Header().Get("Access-Control-Allow-Headers")
		if w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), method) {
			t.Errorf("preflight of %s: %d %v", route, w.Code, w.Header())
		}
		for _, name := range []string{"Authorization", "Content-Type", "MCP-Protocol-Version", "DPoP", "Mcp-Session-Id"} {
			if !strings.Contains(allowed, name) {
				t.Errorf("preflight of %s does not allow %s", route, name)
			}
		}
	}
}

func TestFormsFromOtherSitesAreRefused(t *testing.T) {
	h := newHandler(t, Config{Endpoints: allEndpoints()})
	for _, path := range []string{"/ui/login", "/ui/logout", "/ui/i/x/login", "/ui/i/x/consent", "/ui/account/password", "/ui/account/grants/g/revoke"} {
		for _, foreign := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"}} {
			w := do(h, "POST", path, "a=b", append([]string{"Content-Type", typeForm}, foreign...)...)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s with %v: %d, want 403", path, foreign, w.Code)
			}
		}
	}
	// A browser client may post to the token endpoint: what it gets must not be this refusal.
	if w := do(h, "POST", "/token", "a=b", "Content-Type", typeForm, "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example"); w.Code == http.StatusForbidden {
		t.Error("the token endpoint refuses browser clients")
	}
}

func TestBadIssuersAreRefused(t *testing.T) {
	for _, issuer := range []string{"", "auth.example", "https://auth.example/", "https://auth.example/a/", "https://auth.example?x=1", "https://auth.example#f", "ftp://auth.example"} {
		if _, err := New(Config{Issuer: issuer}); err == nil {
			t.Errorf("issuer %q was accepted", issuer)
		}
	}
	if _, err := New(Config{Issuer: testIssuer, TrustedProxies: []string{"nonsense"}}); err == nil {
		t.Error("a trusted proxy that is no address was accepted")
	}
}

func TestServerHasLimits(t *testing.T) {
	s := HTTPServer("127.0.0.1:0", http.NotFoundHandler())
	if s.ReadHeaderTimeout != 5*time.Second || s.ReadTimeout != 10*time.Second || s.WriteTimeout != 30*time.Second ||
		s.IdleTimeout != 60*time.Second || s.MaxHeaderBytes != 16<<10 {
		t.Errorf("limits %+v", s)
	}
}
