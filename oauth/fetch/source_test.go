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

// sourceAt is a source of an https server with the given answers.
func sourceAt(t *testing.T, handler http.HandlerFunc, change func(*SourceConfig)) *Source {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	cfg := SourceConfig{URL: server.URL + "/b.tar.gz?signature=secret", RootCAs: x509.NewCertPool(), MaxBytes: 1024, Timeout: 10 * time.Second}
	cfg.RootCAs.AddCert(server.Certificate())
	if change != nil {
		change(&cfg)
	}
	source, err := NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestASourceFetchesWhatHasChanged(t *testing.T) {
	var got http.Header
	source := sourceAt(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Header().Set("ETag", `"2"`)
		if r.Header.Get("If-None-Match") == `"2"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		reply(200, "application/gzip", "body")(w, r)
	}, func(c *SourceConfig) { c.Token = func() (string, error) { return "t0ken", nil } })
	for _, tag := range []string{"", `"1"`, `W/"2"`} {
		doc, err := source.Fetch(t.Context(), tag)
		if err != nil || doc == nil || string(doc.Body) != "body" || doc.Header.Get("ETag") != `"2"` || got.Get("If-None-Match") != tag {
			t.Errorf("%q: %+v %v, asked with %v", tag, doc, err, got)
		}
	}
	if got.Get("Authorization") != "Bearer t0ken" || got.Get("Accept-Encoding") != "identity" || got.Get("User-Agent") != "portcullis" {
		t.Errorf("asked with %v", got)
	}
	if doc, err := source.Fetch(t.Context(), `"2"`); err != nil || doc != nil {
		t.Errorf("what has not changed: %+v %v", doc, err)
	}
}

func TestAnswersOfASource(t *testing.T) {
	coded := func(coding string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", coding)
			reply(200, "application/x-tar", "body")(w, r)
		}
	}
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		reason  string
	}{
		"of any kind":               {reply(200, "text/plain", "x"), ""},
		"of no kind":                {reply(200, "", "x"), ""},
		"at the limit":              {reply(200, "", strings.Repeat("x", 1024)), ""},
		"above the limit":           {reply(200, "", strings.Repeat("x", 1025)), ReasonSize},
		"called compressed":         {coded("x-gzip"), ""},
		"compressed in another way": {coded("br"), ReasonEncoding},
		"a redirect":                {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, ReasonRedirect},
		"unchanged, unasked":        {reply(304, "", ""), ReasonRedirect},
		"no content":                {reply(204, "", ""), ReasonStatus},
		"a part":                    {reply(206, "", "x"), ReasonStatus},
		"refused":                   {reply(401, "", "x"), ReasonStatus},
		"broken":                    {reply(500, "", "x"), ReasonStatus},
		"cut off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("x"))
		}, ReasonConnect},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := sourceAt(t, tt.handler, nil).Fetch(t.Context(), "")
			if reason(err) != tt.reason || (doc == nil) != (err != nil) || err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%+v, %v", doc, err)
			}
		})
	}
}

func TestASlowSourceIsLeft(t *testing.T) {
	source := sourceAt(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(c *SourceConfig) { c.Timeout = 300 * time.Millisecond })
	if _, err := source.Fetch(t.Context(), ""); reason(err) != ReasonTimeout || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestASourceTrustsItsCertificatesAndToken(t *testing.T) {
	asked := false
	handler := func(w http.ResponseWriter, r *http.Request) { asked = true }
	if _, err := sourceAt(t, handler, func(c *SourceConfig) { c.RootCAs = x509.NewCertPool() }).Fetch(t.Context(), ""); reason(err) != ReasonTLS || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	lost := errors.New("no such file")
	source := sourceAt(t, handler, func(c *SourceConfig) { c.Token = func() (string, error) { return "", lost } })
	if _, err := source.Fetch(t.Context(), ""); reason(err) != ReasonToken || !errors.Is(err, lost) || asked {
		t.Errorf("%v, asked: %v", err, asked)
	}
}

// TestASourceOverHTTPIsOnThisMachine: a name that leads elsewhere gets no token.
func TestASourceOverHTTPIsOnThisMachine(t *testing.T) {
	server := httptest.NewServer(reply(200, "", "x"))
	defer server.Close()
	for address, want := range map[string]string{server.URL: "", "http://10.0.0.1/b": ReasonPrivateAddress, "http://" + publicAddress + "/b": ReasonPrivateAddress} {
		source, err := NewSource(SourceConfig{URL: address, MaxBytes: 1024, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Fetch(context.Background(), ""); reason(err) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"ftp://127.0.0.1/b", "file:///etc/hosts", "https://u:p@example.com/b", "https:///b", "::", ""} {
		if _, err := NewSource(SourceConfig{URL: address}); reason(err) != ReasonURL {
			t.Errorf("%q: %v", address, err)
		}
	}
}
