package server

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"portcullis/oauth"
)

const (
	readToken = "0123456789abcdef0123456789abcdef"
	bundleURL = adminURL + pathBundle
)

// TestTheBundleNeedsItsToken: no other word opens it, and none opens it where no token is configured.
func TestTheBundleNeedsItsToken(t *testing.T) {
	asked := 0
	h := newAdmin(t, AdminConfig{Bundle: &BundleConfig{TokenHash: oauth.HashSecret(readToken), Active: func() (string, []byte, error) {
		asked++
		return "rev-1", []byte("archive"), nil
	}}})
	for name, headers := range map[string][]string{
		"nothing": nil, "another token": {"Authorization", "Bearer " + strings.Repeat("x", 32)}, "the begin of it": {"Authorization", "Bearer " + readToken[:31]},
		"it and more": {"Authorization", "Bearer " + readToken + "0"}, "its hash": {"Authorization", "Bearer " + string(oauth.HashSecret(readToken))},
		"an empty one": {"Authorization", "Bearer "}, "Basic": {"Authorization", "Basic " + readToken}, "no scheme": {"Authorization", readToken},
		"another header": {"X-Api-Key", readToken}, "a query": {"If-None-Match", `"rev-1"`},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := do(h, method, bundleURL+"?token="+readToken+"&access_token="+readToken, "", headers...)
			if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") || strings.Contains(w.Body.String(), "archive") || w.Header().Get("ETag") != "" {
				t.Errorf("%s %s: %d %q %s", method, name, w.Code, w.Header().Get("WWW-Authenticate"), w.Body)
			}
		}
	}
	if asked != 0 {
		t.Errorf("the bundle was made %d times for strangers", asked)
	}
	if w := do(h, "GET", bundleURL, "", "Authorization", "Bearer "+readToken, "Authorization", "Bearer "+readToken); w.Code != 400 {
		t.Errorf("two Authorization headers: %d", w.Code)
	}
	if w := do(h, "GET", "http://evil.test"+pathBundle, "", "Authorization", "Bearer "+readToken); w.Code != 421 {
		t.Errorf("another host: %d", w.Code)
	}
	if w := do(newAdmin(t, AdminConfig{}), "GET", bundleURL, "", "Authorization", "Bearer "+readToken); w.Code != 404 {
		t.Errorf("without a configured token: %d", w.Code)
	}
}

func TestTheBundleIsAskedForByItsTag(t *testing.T) {
	tag, fault := "rev-1", error(nil)
	h := newAdmin(t, AdminConfig{Bundle: &BundleConfig{TokenHash: oauth.HashSecret(readToken), Active: func() (string, []byte, error) { return tag, []byte("archive"), fault }}})
	ask := func(method string, headers ...string) (int, string, http.Header) {
		w := do(h, method, bundleURL, "", append(headers, "Authorization", "bearer "+readToken)...)
		return w.Code, w.Body.String(), w.Header()
	}
	if code, body, header := ask("GET"); code != 200 || body != "archive" || header.Get("ETag") != `"rev-1"` || header.Get("Content-Type") != "application/gzip" ||
		header.Get("Content-Length") != "7" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("%d %q %v", code, body, header)
	}
	if code, body, header := ask("HEAD"); code != 200 || body != "" || header.Get("Content-Length") != "7" {
		t.Errorf("HEAD: %d %q %v", code, body, header)
	}
	if code, body, header := ask("GET", "If-None-Match", `"rev-1"`); code != 304 || body != "" || header.Get("ETag") != `"rev-1"` {
		t.Errorf("the same: %d %q %v", code, body, header)
	}
	tag = "rev-2"
	if code, _, header := ask("GET", "If-None-Match", `"rev-1"`); code != 200 || header.Get("ETag") != `"rev-2"` {
		t.Errorf("another: %d %v", code, header)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		if code, _, _ := ask(method); code != 405 {
			t.Errorf("%s: %d", method, code)
		}
	}
	fault = errors.New("disk on fire")
	if code, body, _ := ask("GET", "If-None-Match", `"rev-2"`); code != 500 || strings.Contains(body, "fire") || !strings.Contains(body, "server_error") {
		t.Errorf("a fault: %d %s", code, body)
	}
}
