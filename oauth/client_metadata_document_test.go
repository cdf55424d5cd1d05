package oauth_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/oauth"
	"portcullis/oauth/fetch"
	"portcullis/policies"
	"portcullis/storage"
)

// documentHost serves client id metadata documents over https on loopback, to a resolver with the real storage and policies.
type documentHost struct {
	t         *testing.T
	server    *httptest.Server
	store     *storage.Store
	documents *oauth.ClientMetadataDocuments
	hits      atomic.Int32

	mu      sync.Mutex
	answers map[string]http.HandlerFunc
}

// newDocumentHost makes a host whose URLs /1.json to /40.json may be fetched. policy is the text of policy.clients.test, "" = none.
func newDocumentHost(t *testing.T, policy string) *documentHost {
	t.Helper()
	h := &documentHost{t: t, answers: map[string]http.HandlerFunc{}}
	h.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.hits.Add(1)
		h.mu.Lock()
		answer := h.answers[r.URL.Path]
		h.mu.Unlock()
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(h.server.Close)
	var err error
	h.store, err = storage.Open(t.Context(), storage.Config{Path: filepath.Join(t.TempDir(), "p.db"), ServerKey: []byte(strings.Repeat("k", 32))})
	must(t, err)
	t.Cleanup(func() { must(t, h.store.Close()) })
	h.documents = oauth.NewClientMetadataDocuments(oauth.ClientMetadataDocumentsConfig{Clients: h.store, Ledger: h.store, Policy: clientPolicy(t, policy), Fetch: h.fetcher()})
	return h
}

func (h *documentHost) fetcher() *fetch.Client {
	roots := x509.NewCertPool()
	roots.AddCert(h.server.Certificate())
	var urls []string
	for i := range 41 {
		urls = append(urls, h.url(i))
	}
	return fetch.New(fetch.Config{RootCAs: roots, LoopbackURLs: urls, Timeout: 2 * time.Second, MaxBytes: 16 << 10})
}

// clientPolicy is the real engine with one package of the test beside the defaults.
func clientPolicy(t *testing.T, text string) *policies.Engine {
	t.Helper()
	dir := ""
	if text != "" {
		dir = t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, "clients"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "clients", "test.rego"), []byte("package policy.clients.test\n\n"+text), 0o600))
	}
	engine, err := policies.New(t.Context(), policies.Config{Dir: dir, Defaults: true, Deadline: 5 * time.Second})
	must(t, err)
	return engine
}

func (h *documentHost) url(i int) string { return fmt.Sprintf("%s/%d.json", h.server.URL, i) }

// document is a good document of url(i); pairs replace members, nil removes one.
func (h *documentHost) document(i int, pairs ...any) string {
	members := map[string]any{"client_id": h.url(i), "client_name": "Test client", "redirect_uris": []string{"http://127.0.0.1/callback"}}
	for p := range slices.Chunk(pairs, 2) {
		if members[p[0].(string)] = p[1]; p[1] == nil {
			delete(members, p[0].(string))
		}
	}
	text, err := json.Marshal(members)
	must(h.t, err)
	return string(text)
}

// serve answers url(i) with a body and headers (name, value, …); the first header may be ":status".
func (h *documentHost) serve(i int, body string, headers ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[fmt.Sprintf("/%d.json", i)] = func(w http.ResponseWriter, r *http.Request) {
		status := 200
		w.Header().Set("Content-Type", "application/json")
		for p := range slices.Chunk(headers, 2) {
			if p[0] == ":status" {
				_, err := fmt.Sscan(p[1], &status)
				must(h.t, err)
				continue
			}
			w.Header().Set(p[0], p[1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func (h *documentHost) resolve(i int, maxStale time.Duration) (*oauth.Client, error) {
	return h.documents.Client(from("192.0.2.1"), h.url(i), maxStale)
}

func from(ip string) context.Context {
	return oauth.WithRequest(context.Background(), oauth.RequestContext{IP: ip, RequestID: "r"})
}

// outdate moves the end of the stored copy's freshness into the past.
func (h *documentHost) outdate(i int, by time.Duration) {
	c, err := h.store.Client(context.Background(), h.url(i))
	must(h.t, err)
	changed := *c
	changed.FreshUntil = time.Now().Add(-by).Truncate(time.Second)
	must(h.t, h.store.Commit(context.Background(), oauth.SaveClient{Client: changed}))
}

func (h *documentHost) events() []string {
	rows, err := h.store.Audit().Tail(context.Background(), 100)
	must(h.t, err)
	var types []string
	for _, row := range rows {
		types = append(types, row.Event.Type)
	}
	return types
}

func reasonOf(err error) string {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Code.Name + "/" + e.ReasonOrCode()
	}
	return fmt.Sprint(err)
}

func TestClientOfADocumentIsStoredOnceWithItsAuditRow(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1, "grant_types", []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		"redirect_uris", []string{"http://localhost/callback", "http://127.0.0.1/callback"}, "unknown", map[string]any{"x": 1}, "scope", "b a"), "Cache-Control", "max-age=300")
	for range 3 {
		c, err := h.resolve(1, oauth.Fresh)
		must(t, err)
		if c.Name != "Test client" || c.Registration != oauth.RegistrationCIMD || c.Source != oauth.SourceSelf || !c.Public() || c.Scope.String() != "a b" ||
			!slices.Equal(c.GrantTypes, []string{"authorization_code", "refresh_token"}) || len(c.RedirectURIs) != 2 || len(c.Digest) != 64 {
			t.Fatalf("client %+v", c)
		}
		if fresh := c.FreshUntil.Sub(c.FetchedAt); fresh != 5*time.Minute {
			t.Errorf("fresh for %v", fresh)
		}
		if left := time.Until(c.ExpiresAt); left < 23*time.Hour || left > 25*time.Hour {
			t.Errorf("a client that was never used expires in %v", left)
		}
	}
	if h.hits.Load() != 1 || !slices.Equal(h.events(), []string{oauth.EventClientRegistered}) {
		t.Errorf("%d fetches, events %v", h.hits.Load(), h.events())
	}
	stored, err := h.documents.Client(t.Context(), h.url(1), oauth.AnyAge)
	if err != nil || string(stored.Document) == "" {
		t.Errorf("stored %+v, %v", stored, err)
	}
}

func TestDocumentsThatCannotBeUsed(t *testing.T) {
	h := newDocumentHost(t, "")
	many := make([]string, 17)
	for i := range many {
		many[i] = fmt.Sprintf("https://app.example/%d", i)
	}
	for i, row := range []struct {
		name, body string
		headers    []string
		want       string
	}{
		{"M6 not found", "{}", []string{":status", "404"}, "invalid_client/cimd_status"},
		{"M6 204", "", []string{":status", "204"}, "invalid_client/cimd_status"},
		{"server error", "{}", []string{":status", "500"}, "temporarily_unavailable/cimd_status"},
		{"too many requests", "{}", []string{":status", "429"}, "temporarily_unavailable/cimd_status"},
		{"M4 redirect", "", []string{":status", "302", "Location", "/1.json"}, "invalid_client/cimd_redirect"},
		{"M6 page", "<html>", []string{"Content-Type", "text/html"}, "invalid_client/cimd_media_type"},
		{"M5 compressed", "x", []string{"Content-Encoding", "gzip"}, "invalid_client/cimd_encoding"},
		{"M5 too large", h.document(5, "x", strings.Repeat("x", 17<<10)), nil, "invalid_client/cimd_size"},
		{"no JSON", "client", nil, "invalid_client/cimd_json"},
		{"M6 repeated member", `{"client_id":"a","client_id":"b"}`, nil, "invalid_client/cimd_json"},
		{"another type", `{"client_id":1}`, nil, "invalid_client/cimd_json"},
		{"list", `[]`, nil, "invalid_client/cimd_json"},
		{"M6 other id", "ID:%s/", nil, "invalid_client/cimd_client_id_mismatch"},
		{"M6 no id", `{"client_name":"x"}`, nil, "invalid_client/cimd_client_id_mismatch"},
		{"no name", "client_name=null", nil, "invalid_client/cimd_client_name"},
		{"long name", "client_name=" + strings.Repeat("n", 201), nil, "invalid_client/cimd_client_name"},
		{"no redirects", "redirect_uris=null", nil, "invalid_client/cimd_redirect_uris"},
		{"dangerous redirect", "redirect_uris=javascript:alert(1)", nil, "invalid_client/cimd_redirect_uris"},
		{"M10 http redirect", "redirect_uris=http://app.example/cb", nil, "invalid_client/cimd_redirect_uris"},
		{"M10 secret", "client_secret=x", nil, "invalid_client/cimd_client_secret"},
		{"M10 end of a secret", "client_secret_expires_at=0", nil, "invalid_client/cimd_client_secret"},
		{"M10 secret method", "token_endpoint_auth_method=client_secret_post", nil, "invalid_client/cimd_auth_method"},
		{"only a key method", "token_endpoint_auth_method=private_key_jwt", nil, "invalid_client/cimd_auth_method"},
		{"http logo", "logo_uri=http://app.example/logo.png", nil, "invalid_client/cimd_uri"},
		{"script as client_uri", "client_uri=javascript:alert(1)", nil, "invalid_client/cimd_uri"},
		{"bad scope", "scope=a \"b\"", nil, "invalid_client/cimd_scope"},
	} {
		i += 2
		body := row.body
		if name, value, found := strings.Cut(body, "="); found && !strings.HasPrefix(body, "<") && !strings.HasPrefix(body, "{") {
			var member any = value
			switch {
			case value == "null":
				member = nil
			case name == "redirect_uris":
				member = []string{value}
			}
			body = h.document(i, name, member)
		} else if strings.HasPrefix(body, "ID:") {
			body = h.document(i, "client_id", h.url(i)+"/")
		}
		h.serve(i, body, row.headers...)
		t.Run(row.name, func(t *testing.T) {
			_, err := h.documents.Client(from(fmt.Sprintf("198.51.100.%d", i)), h.url(i), oauth.Fresh)
			if strings.HasSuffix(reasonOf(err), "cimd_limited") {
				t.Fatal("the limiter spoke instead")
			}
			if reasonOf(err) != row.want {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
	if events := h.events(); len(events) != 0 {
		t.Errorf("refused documents left %v in the audit", events)
	}
}
