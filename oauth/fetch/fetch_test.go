package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve starts an https server whose certificate the client trusts and whose URLs may lie on loopback.
func serve(t *testing.T, cfg Config, handler http.HandlerFunc) (*Client, string, *httptest.Server) {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(s.Certificate())
	u := s.URL + "/client.json"
	cfg.LoopbackURLs = append(cfg.LoopbackURLs, u)
	return New(cfg), u, s
}

func reply(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		reason  string
	}{
		"json":                    {reply(200, "application/json; charset=utf-8", `{}`), ""},
		"json by another name":    {reply(200, "application/client-metadata+json", `{}`), ""},
		"M4 redirect":             {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, ReasonRedirect},
		"M6 204":                  {reply(204, "application/json", ""), ReasonStatus},
		"M6 206":                  {reply(206, "application/json", "{}"), ReasonStatus},
		"M6 404":                  {reply(404, "application/json", "{}"), ReasonStatus},
		"M6 500":                  {reply(500, "application/json", "{}"), ReasonStatus},
		"M6 html":                 {reply(200, "text/html", "<p>"), ReasonMediaType},
		"M6 no type":              {reply(200, "", "{}"), ReasonMediaType},
		"M5 too large":            {reply(200, "application/json", strings.Repeat(" ", 1025)), ReasonSize},
		"M5 exactly at the limit": {reply(200, "application/json", strings.Repeat(" ", 1024)), ""},
		"M5 headers without end":  {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", strings.Repeat("a", 20<<10)) }, ReasonSize},
		"M5 gzip nobody asked for": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
		}, ReasonEncoding},
		"M5 slow body": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(200)
			for range 20 {
				_, _ = w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		}, ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			limit := 10 * time.Second
			if c.reason == ReasonTimeout {
				limit = 700 * time.Millisecond // of the two seconds that the slow body takes
			}
			client, u, _ := serve(t, Config{MaxBytes: 1024, Timeout: limit}, c.handler)
			doc, err := client.Get(context.Background(), u, Known)
			var failed *Error
			switch {
			case c.reason == "" && err != nil:
				t.Fatal(err)
			case c.reason == "" && doc == nil:
				t.Fatal("no document")
			case c.reason != "" && (!errors.As(err, &failed) || failed.Reason != c.reason):
				t.Fatalf("want %s, got %v", c.reason, err)
			}
		})
	}
}

// M2.
func TestOnlyPublicAddresses(t *testing.T) {
	client, u, s := serve(t, Config{}, func(w http.ResponseWriter, r *http.Request) { t.Error("the server was reached at " + r.URL.Path) })
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	for _, target := range []string{
		s.URL + "/other.json", u + "?", "https://localhost:" + port + "/client.json", "https://[::1]:" + port + "/c", "https://0.0.0.0:" + port + "/c",
		"https://[::ffff:127.0.0.1]:" + port + "/c", "https://10.0.0.1/c", "https://172.16.0.1/c", "https://192.168.0.1/c", "https://169.254.169.254/c",
		"https://100.64.0.1/c", "https://[fd00::1]/c", "https://[fe80::1]/c", "https://[64:ff9b::7f00:1]/c", "https://[2002:7f00:1::]/c", "https://224.0.0.1/c",
		"https://255.255.255.255/c", "https://192.0.2.1/c",
	} {
		_, err := client.Get(context.Background(), target, Known)
		var failed *Error
		if !errors.As(err, &failed) || failed.Reason != ReasonPrivateAddress {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestOnlyHTTPS(t *testing.T) {
	client := New(Config{})
	for _, target := range []string{"http://example.com/c", "ftp://example.com/c", "file:///etc/hosts", "https://u:p@example.com/c", "https:///c", "::"} {
		_, err := client.Get(context.Background(), target, Known)
		var failed *Error
		if !errors.As(err, &failed) || failed.Reason != ReasonURL {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// Names below .onion are never asked for in the DNS (RFC 7686), so this test stays on this machine.
func TestNameWithoutAddress(t *testing.T) {
	_, err := New(Config{}).Get(context.Background(), "https://nowhere.onion/client.json", Known)
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != ReasonDNS || !failed.Temporary() {
		t.Errorf("%v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	client, u, s := serve(t, Config{}, reply(200, "application/json", "{}"))
	s.Close()
	_, err := client.Get(context.Background(), u, Known)
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != ReasonConnect || !failed.Temporary() {
		t.Errorf("%v", err)
	}
}

func TestRequestSaysWhoAsksAndForWhat(t *testing.T) {
	var got http.Header
	client, u, _ := serve(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Header().Set("Cache-Control", "max-age=5")
		reply(200, "application/json", `{"a":1}`)(w, r)
	})
	doc, err := client.Get(context.Background(), u, Known)
	if err != nil || string(doc.Body) != `{"a":1}` || doc.Header.Get("Cache-Control") != "max-age=5" {
		t.Fatalf("%v, %v", doc, err)
	}
	if got.Get("Accept") != "application/json" || got.Get("Accept-Encoding") != "identity" || got.Get("User-Agent") != "portcullis" || got.Get("Cookie") != "" {
		t.Errorf("request headers %v", got)
	}
}

func TestForeignCertificates(t *testing.T) {
	_, u, _ := serve(t, Config{}, reply(200, "application/json", "{}"))
	stranger := New(Config{LoopbackURLs: []string{u}, RootCAs: x509.NewCertPool()})
	_, err := stranger.Get(context.Background(), u, Known)
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != ReasonTLS {
		t.Errorf("%v", err)
	}
}

// M3.
func TestTheEnvironmentNamesNoProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	client, u, _ := serve(t, Config{}, reply(200, "application/json", "{}"))
	if _, err := client.Get(context.Background(), u, Known); err != nil {
		t.Error(err)
	}
}

// TestListedURLsStayOnLoopback: a listed name that leads elsewhere is not followed there.
func TestListedURLsStayOnLoopback(t *testing.T) {
	for address, allowed := range map[string]bool{
		"127.0.0.1:443": true, "127.9.9.9:443": true, "[::1]:443": true, "[::ffff:127.0.0.1]:443": true,
		"10.0.0.1:443": false, "192.0.2.1:443": false, "[fd00::1]:443": false, "0.0.0.0:443": false, "[::]:443": false, "localhost:443": false, "": false,
	} {
		if err := onlyLoopback("tcp", address, nil); (err == nil) != allowed {
			t.Errorf("%q: %v", address, err)
		}
	}
}
