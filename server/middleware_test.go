package server

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

func TestRequestIDIsEchoedWhenSane(t *testing.T) {
	h := newHandler(t, Config{Endpoints: allEndpoints()})
	for id, kept := range map[string]bool{
		"abc-123":                true,
		"a/b:c.d_e":              true,
		"":                       false,
		"two words":              false,
		"ctrl\x01":               false,
		"ünicode":                false,
		strings.Repeat("x", 129): false,
	} {
		got := do(h, "GET", oauth.WellKnownAuthorizationServer, "", "X-Request-ID", id).Header().Get("X-Request-ID")
		if kept && got != id || !kept && (got == id || got == "") {
			t.Errorf("id %q: got %q", id, got)
		}
	}
}

func TestRequestContextReachesTheEndpoints(t *testing.T) {
	var got oauth.RequestContext
	h := newTestFace(t, Config{}, func(_ *face, r *gin.Engine) {
		r.GET("/x", func(c *gin.Context) { got = oauth.RequestFrom(c.Request.Context()) })
	})
	do(h, "GET", "/x", "", "X-Request-ID", "r-1", "User-Agent", "agent", "X-Forwarded-For", "203.0.113.9")
	if got.IP != "192.0.2.1" || got.RequestID != "r-1" || got.UserAgent != "agent" {
		t.Errorf("context %+v: forged addresses must not count", got)
	}
}

func TestForwardedAddressOnlyFromTrustedProxies(t *testing.T) {
	var got oauth.RequestContext
	h := newTestFace(t, Config{TrustedProxies: []string{"192.0.2.0/24"}}, func(_ *face, r *gin.Engine) {
		r.GET("/x", func(c *gin.Context) { got = oauth.RequestFrom(c.Request.Context()) })
	})
	do(h, "GET", "/x", "", "X-Forwarded-For", "198.51.100.7, 203.0.113.9")
	if got.IP != "203.0.113.9" {
		t.Errorf("ip %q", got.IP)
	}
	for _, forwarded := range []string{"", "8.8.8.8:5555", "bogus, 192.0.2.1"} { // none of them can be used
		do(h, "GET", "/x", "", "X-Forwarded-For", forwarded, "X-Real-IP", "6.6.6.6")
		if got.IP == "6.6.6.6" {
			t.Errorf("X-Real-IP was believed beside X-Forwarded-For %q", forwarded)
		}
	}
}

func TestPanicBecomesJSONWithRequestID(t *testing.T) {
	var logged bytes.Buffer
	h := newTestFace(t, Config{Log: slog.New(slog.NewJSONHandler(&logged, nil))}, func(_ *face, r *gin.Engine) {
		r.GET("/x", func(*gin.Context) { panic("boom") })
		r.GET("/ui/x", func(*gin.Context) { panic("boom") })
	})
	w := do(h, "GET", "/x", "", "X-Request-ID", "r-9")
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"request_id":"r-9"`) || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(logged.String(), `"msg":"panic"`) || !strings.Contains(logged.String(), "boom") {
		t.Errorf("log %s", logged.String())
	}
	if w := do(h, "GET", "/ui/x", ""); w.Code != 500 || !strings.Contains(w.Body.String(), "<h1") {
		t.Errorf("a page panics into JSON: %s", w.Body)
	}
}

func TestLogHasOneLineAndNoSecrets(t *testing.T) {
	var logged bytes.Buffer
	h := newHandler(t, Config{Endpoints: allEndpoints(), Log: slog.New(slog.NewJSONHandler(&logged, nil))})
	for _, c := range []struct{ method, target, body string }{
		{"GET", "/authorize?state=canary1&login_hint=canary2", ""},
		{"GET", "/ui/i/canary3", ""},
		{"GET", "/ui/i/canary4/none", ""},
		{"POST", "/token", "code=canary5&client_secret=canary6"},
		{"POST", "/ui/login", "password=canary7"},
	} {
		logged.Reset()
		do(h, c.method, c.target, c.body, "Content-Type", typeForm, "Authorization", "Basic canary8", "Cookie", "__Host-portcullis_session=canary9")
		if n := strings.Count(logged.String(), `"msg":"request"`); n != 1 {
			t.Errorf("%s %s: %d request lines", c.method, c.target, n)
		}
		if strings.Contains(logged.String(), "canary") {
			t.Errorf("%s %s: log %s", c.method, c.target, logged.String())
		}
	}
}

func TestHeadersOnEveryAnswer(t *testing.T) {
	secure := newHandler(t, Config{Endpoints: allEndpoints()})
	for _, path := range []string{oauth.WellKnownAuthorizationServer, "/nothing", "/ui/logged-out", "/ui/nothing", "/authorize"} {
		h := do(secure, "GET", path, "").Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "same-origin" ||
			h.Get("Strict-Transport-Security") == "" || h.Get("Cross-Origin-Opener-Policy") != "" {
			t.Errorf("%s: %v", path, h)
		}
		if !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || strings.Contains(h.Get("Content-Security-Policy"), "form-action") {
			t.Errorf("%s: policy %q", path, h.Get("Content-Security-Policy"))
		}
	}
	page := do(secure, "GET", "/ui/logged-out", "").Header()
	const want = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'"
	if page.Get("Content-Security-Policy") != want || page.Get("Cache-Control") != "no-store" {
		t.Errorf("page: %v", page)
	}
	plain := newHandler(t, Config{Issuer: "http://127.0.0.1:8080", Endpoints: allEndpoints()})
	if h := do(plain, "GET", "http://127.0.0.1:8080"+oauth.WellKnownAuthorizationServer, "").Header(); h.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS without TLS")
	}
}

func TestAuthorizationRequestsAreLimitedPerAddress(t *testing.T) {
	h := newHandler(t, Config{Endpoints: allEndpoints(), AuthorizePerMinute: 3})
	from := func(addr string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", testIssuer+"/authorize?client_id=x", nil)
		r.RemoteAddr = addr
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for i := range 3 {
		if w := from("198.51.100.1:1"); w.Code == http.StatusTooManyRequests {
			t.Fatalf("request %d was limited", i+1)
		}
	}
	w := from("198.51.100.1:2")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "Too many tries") {
		t.Errorf("fourth: %d %v", w.Code, w.Header())
	}
	if w := from("198.51.100.2:1"); w.Code == http.StatusTooManyRequests {
		t.Error("another address was limited")
	}
	for i := range 3 {
		from("[2001:db8::" + string(rune('1'+i)) + "]:1")
	}
	if w := from("[2001:db8::ffff]:1"); w.Code != http.StatusTooManyRequests {
		t.Errorf("one /64 is one caller: %d", w.Code)
	}
}
