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

// M9: of a document only what is used here is kept, so that strangers do not fill the disk with the rest; and that is enough to ask
// a new policy about the document as it was.
func TestOnlyWhatIsUsedOfADocumentIsKept(t *testing.T) {
	h := newDocumentHost(t, "")
	const private = "com.example.app:/callback"
	h.serve(1, h.document(1, "filler", strings.Repeat("x", 10<<10), "logo_uri", "https://logo.example/", "client_uri", "https://app.example/", "software_id", "s-1",
		"scope", "b a", "redirect_uris", []string{"http://127.0.0.1/callback", private}))
	c, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	if !slices.Equal(c.RedirectURIs, []string{"http://127.0.0.1/callback"}) {
		t.Fatalf("redirect URIs %v", c.RedirectURIs)
	}
	stored, err := h.store.Client(t.Context(), h.url(1))
	must(t, err)
	if kept := string(stored.Document); len(kept) > 1000 || strings.Contains(kept, "xxx") || strings.Contains(kept, "logo") {
		t.Errorf("%d bytes are kept: %.1000s", len(kept), kept)
	}
	h.documents = oauth.NewClientMetadataDocuments(oauth.ClientMetadataDocumentsConfig{Clients: h.store, Ledger: h.store, Fetch: h.fetcher(),
		Policy: clientPolicy(t, "allow_redirect contains \""+private+"\"")})
	again, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	if h.hits.Load() != 1 || !slices.Equal(again.RedirectURIs, []string{"http://127.0.0.1/callback", private}) || again.Digest == "" || again.Name != c.Name ||
		again.ClientURI != c.ClientURI || again.SoftwareID != c.SoftwareID || again.Scope.String() != "a b" || !slices.Equal(again.GrantTypes, c.GrantTypes) {
		t.Errorf("%d fetches, after the new policy %+v", h.hits.Load(), again)
	}
	long := make([]string, 9)
	for i := range long {
		long[i] = fmt.Sprintf("https://app.example/%d/%s", i, strings.Repeat("a", 1000))
	}
	h.serve(2, h.document(2, "redirect_uris", long))
	if _, err := h.resolve(2, oauth.Fresh); reasonOf(err) != "invalid_client/cimd_size" {
		t.Errorf("more than 8 KiB to keep: %v", err)
	}
}

// M9: however many addresses and hosts a stranger has, new documents come in a bounded number, as registrations do.
func TestNewDocumentsAreFewInAll(t *testing.T) {
	h := newDocumentHost(t, "")
	refused := 0
	for i := range 1000 {
		_, err := h.documents.Client(from(fmt.Sprintf("198.%d.%d.1", 51+i/250, i%250)), fmt.Sprintf("https://10.3.%d.%d/c.json", i/250, i%250), oauth.Fresh)
		if strings.HasSuffix(reasonOf(err), "/cimd_limited") {
			refused++
		}
	}
	if refused < 700 {
		t.Errorf("%d of 1000 were refused", refused)
	}
	h.serve(1, h.document(1))
	_, err := h.resolve(1, oauth.Fresh)
	must(t, err)
}

// M9: while a host that a stranger chose is slow, a client that people use is fetched; another stranger's is not.
func TestSlowHostsOfStrangersDoNotStopKnownClients(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1))
	_, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	must(t, h.store.Commit(t.Context(), oauth.TouchClient{ID: h.url(1), At: time.Now()}))
	h.outdate(1, time.Second)
	release, arrived := make(chan struct{}), make(chan struct{}, 2)
	var wait sync.WaitGroup
	for _, i := range []int{2, 3} {
		h.mu.Lock()
		h.answers[fmt.Sprintf("/%d.json", i)] = func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release }
		h.mu.Unlock()
		wait.Go(func() { _, _ = h.resolve(i, oauth.Fresh) })
	}
	<-arrived
	<-arrived
	h.serve(4, h.document(4))
	if _, err := h.resolve(4, oauth.Fresh); reasonOf(err) != "temporarily_unavailable/cimd_busy" {
		t.Errorf("another stranger: %v", err)
	}
	if c, err := h.resolve(1, oauth.Fresh); err != nil || !time.Now().Before(c.FreshUntil) {
		t.Errorf("a client that people use: %+v, %v", c, err)
	}
	close(release)
	wait.Wait()
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
		{"M6 other id", "ID:/", nil, "invalid_client/cimd_client_id_mismatch"},
		{"M6 id in other letter case", "ID:JSON", nil, "invalid_client/cimd_client_id_mismatch"},
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
		} else if end, other := strings.CutPrefix(body, "ID:"); other {
			body = h.document(i, "client_id", strings.TrimSuffix(h.url(i), strings.ToLower(end))+end)
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

func TestDocumentIsFetchedAgainWhenItsFreshnessEnds(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1))
	first, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	h.outdate(1, time.Second)
	h.serve(1, h.document(1, "x", "does not matter"))
	second, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	if h.hits.Load() != 2 || second.Digest != first.Digest || !slices.Equal(h.events(), []string{oauth.EventClientRegistered}) {
		t.Errorf("%d fetches, same digest %v, events %v", h.hits.Load(), second.Digest == first.Digest, h.events())
	}
	h.outdate(1, time.Second)
	h.serve(1, h.document(1, "redirect_uris", []string{"https://app.example/cb"}))
	third, err := h.resolve(1, time.Hour)
	must(t, err)
	if third.Digest == first.Digest || !slices.Equal(third.RedirectURIs, []string{"https://app.example/cb"}) || !third.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("after the change: %+v", third)
	}
	if !slices.Equal(h.events(), []string{oauth.EventClientRegistered, oauth.EventClientChanged}) {
		t.Errorf("events %v", h.events())
	}
	rows, err := h.store.Audit().Tail(t.Context(), 1)
	must(t, err)
	if d := rows[0].Event.Detail; d["previous_digest"] != first.Digest || d["digest"] != third.Digest {
		t.Errorf("detail %v", d)
	}
}

func TestLastValidCopyServesWhileTheFetchFails(t *testing.T) {
	for name, spoil := range map[string]func(h *documentHost){
		"host gives 500":         func(h *documentHost) { h.serve(1, "", ":status", "500") },
		"host gives a page":      func(h *documentHost) { h.serve(1, "<html>", "Content-Type", "text/html") },
		"document became wrong":  func(h *documentHost) { h.serve(1, h.document(2)) },
		"host does not listen":   func(h *documentHost) { h.server.Close() },
		"document has a secret":  func(h *documentHost) { h.serve(1, h.document(1, "client_secret", "x")) },
		"document is a redirect": func(h *documentHost) { h.serve(1, "", ":status", "301", "Location", "/2.json") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newDocumentHost(t, "")
			h.serve(1, h.document(1))
			good, err := h.resolve(1, oauth.Fresh)
			must(t, err)
			h.outdate(1, time.Hour)
			spoil(h)
			if c, err := h.resolve(1, 2*time.Hour); err != nil || c.Digest != good.Digest {
				t.Errorf("within two hours: %v", err)
			}
			if _, err := h.resolve(1, 30*time.Minute); err == nil {
				t.Error("beyond half an hour the copy still serves")
			}
			if _, err := h.resolve(1, oauth.Fresh); err == nil {
				t.Error("a login got the copy")
			}
			if c, err := h.resolve(1, oauth.AnyAge); err != nil || c.Digest != good.Digest {
				t.Errorf("any age: %v", err)
			}
			if !slices.Equal(h.events(), []string{oauth.EventClientRegistered}) {
				t.Errorf("a failed fetch changed the client: %v", h.events())
			}
		})
	}
}

func TestErrorsAreNeverRemembered(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, "{}", ":status", "404")
	if _, err := h.resolve(1, oauth.Fresh); err == nil {
		t.Fatal("404 was taken for a document")
	}
	h.serve(1, h.document(1))
	if _, err := h.resolve(1, oauth.Fresh); err != nil {
		t.Errorf("after the document was mended: %v", err)
	}
}

func TestManyRequestsForOneURLMakeOneFetch(t *testing.T) {
	h := newDocumentHost(t, "")
	release := make(chan struct{})
	body := h.document(1)
	h.mu.Lock()
	h.answers["/1.json"] = func(w http.ResponseWriter, r *http.Request) {
		<-release
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
	h.mu.Unlock()
	var wg sync.WaitGroup
	var failed atomic.Int32
	started := make(chan struct{}, 20)
	for range 20 {
		wg.Go(func() {
			started <- struct{}{}
			if _, err := h.resolve(1, oauth.Fresh); err != nil {
				failed.Add(1)
			}
		})
	}
	for range 20 {
		<-started
	}
	close(release)
	wg.Wait()
	if failed.Load() != 0 || len(h.events()) != 1 {
		t.Errorf("%d of 20 failed, events %v", failed.Load(), h.events())
	}
	if h.hits.Load() > 2 { // a straggler may begin after the first fetch has ended, before its row can be read
		t.Errorf("%d fetches", h.hits.Load())
	}
}

func TestRequestThatGoesAwayDoesNotSpoilTheFetchOfOthers(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1))
	ctx, cancel := context.WithCancel(from("192.0.2.1"))
	begun := make(chan struct{})
	body := h.document(2)
	h.mu.Lock()
	h.answers["/2.json"] = func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		time.Sleep(100 * time.Millisecond)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
	h.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = h.documents.Client(ctx, h.url(2), oauth.Fresh) })
	<-begun
	var err error
	wg.Go(func() { _, err = h.resolve(2, oauth.Fresh) })
	cancel()
	wg.Wait()
	if err != nil {
		t.Errorf("the second request: %v", err)
	}
}

func TestPolicyIsAskedBeforeAndAfterTheFetch(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		h := newDocumentHost(t, `deny contains "this host is not welcome" if { input.stage == "url"; input.client.host != "good.example" }`)
		h.serve(1, h.document(1))
		_, err := h.resolve(1, oauth.Fresh)
		if reasonOf(err) != "unauthorized_client/cimd_denied" || !strings.Contains(err.Error(), "not welcome") || h.hits.Load() != 0 {
			t.Errorf("%v after %d fetches", err, h.hits.Load())
		}
	})
	t.Run("after", func(t *testing.T) {
		h := newDocumentHost(t, `deny contains "no web redirects" if { input.stage == "document"; some uri in input.client.redirect_uris; startswith(uri, "https:") }
			scope_ceiling := ["a", "b"]
			ttl := 7200`)
		h.serve(1, h.document(1, "redirect_uris", []string{"https://app.example/cb"}))
		if _, err := h.resolve(1, oauth.Fresh); reasonOf(err) != "unauthorized_client/cimd_denied" || h.hits.Load() != 1 {
			t.Errorf("%v after %d fetches", err, h.hits.Load())
		}
		h.serve(1, h.document(1))
		c, err := h.resolve(1, oauth.Fresh)
		must(t, err)
		if left := time.Until(c.ExpiresAt); c.Ceiling.String() != "a b" || left < 119*time.Minute || left > 121*time.Minute {
			t.Errorf("ceiling %v, expires in %v", c.Ceiling, left)
		}
	})
}

func TestNewPolicyHoldsAtTheNextLogin(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1))
	_, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	later := oauth.NewClientMetadataDocuments(oauth.ClientMetadataDocumentsConfig{Clients: h.store, Ledger: h.store, Fetch: h.fetcher(),
		Policy: clientPolicy(t, `scope_ceiling := ["a"]`)})
	c, err := later.Client(from("192.0.2.1"), h.url(1), oauth.Fresh)
	must(t, err)
	if c.Ceiling.String() != "a" || h.hits.Load() != 1 || !slices.Equal(h.events(), []string{oauth.EventClientRegistered, oauth.EventClientChanged}) {
		t.Errorf("ceiling %v, %d fetches, events %v", c.Ceiling, h.hits.Load(), h.events())
	}
	denying := oauth.NewClientMetadataDocuments(oauth.ClientMetadataDocumentsConfig{Clients: h.store, Ledger: h.store, Fetch: h.fetcher(),
		Policy: clientPolicy(t, `deny contains "no more"`)})
	if _, err := denying.Client(from("192.0.2.1"), h.url(1), oauth.Fresh); reasonOf(err) != "unauthorized_client/cimd_denied" {
		t.Errorf("a login: %v", err)
	}
	h.outdate(1, time.Minute)
	if _, err := denying.Client(from("192.0.2.1"), h.url(1), time.Hour); reasonOf(err) != "unauthorized_client/cimd_denied" {
		t.Errorf("a refresh of a stale copy: %v", err)
	}
}

func TestPrivateSchemesOfADocumentNeedPolicy(t *testing.T) {
	const cursor = "cursor://anysphere.cursor-mcp/oauth/callback"
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1, "redirect_uris", []string{cursor, "http://localhost/cb"}))
	c, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	if !slices.Equal(c.RedirectURIs, []string{"http://localhost/cb"}) {
		t.Errorf("without a rule: %v", c.RedirectURIs)
	}
	h.serve(2, h.document(2, "redirect_uris", []string{cursor}))
	if _, err := h.resolve(2, oauth.Fresh); reasonOf(err) != "unauthorized_client/cimd_redirect_uris" {
		t.Errorf("nothing left: %v", err)
	}
	h = newDocumentHost(t, `allow_redirect contains "`+cursor+`"`)
	h.serve(1, h.document(1, "redirect_uris", []string{cursor, "other:/cb", "http://localhost/cb"}))
	c, err = h.resolve(1, oauth.Fresh)
	must(t, err)
	if !slices.Equal(c.RedirectURIs, []string{"http://localhost/cb", cursor}) {
		t.Errorf("with a rule: %v", c.RedirectURIs)
	}
}

func TestWhoIsFoundWithoutAFetch(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1))
	now := time.Now().Truncate(time.Second)
	save := func(c oauth.Client) { must(t, h.store.Commit(t.Context(), oauth.SaveClient{Client: c})) }
	static := oauth.Client{Registration: oauth.RegistrationStatic, Source: oauth.SourceConfig, AuthMethods: []string{"none"}, CreatedAt: now}
	self := oauth.Client{Registration: oauth.RegistrationDCR, Source: oauth.SourceSelf, AuthMethods: []string{"none"}, CreatedAt: now}
	with := func(c oauth.Client, id string, change func(*oauth.Client)) {
		c.ID = id
		change(&c)
		save(c)
	}
	with(static, "static", func(*oauth.Client) {})
	with(static, h.url(1), func(c *oauth.Client) { c.Name = "Registered by the operator" })
	with(static, "off", func(c *oauth.Client) { c.Disabled = true })
	with(self, "dcr", func(c *oauth.Client) { c.ExpiresAt = now.Add(time.Hour) })
	with(self, "expired", func(c *oauth.Client) { c.ExpiresAt = now.Add(-time.Hour) })
	with(self, "used", func(c *oauth.Client) { c.ExpiresAt, c.LastUsedAt = now.Add(-time.Hour), now.Add(-2*time.Hour) })
	with(self, h.url(2), func(c *oauth.Client) { c.Registration, c.Disabled = oauth.RegistrationCIMD, true })
	for id, found := range map[string]bool{"static": true, h.url(1): true, "off": false, "dcr": true, "expired": false, "used": true, h.url(2): false,
		"unknown": false, "http://127.0.0.1/c.json": false, "": false, "x\x00": false, strings.Repeat("x", 3000): false} {
		for _, age := range []time.Duration{oauth.Fresh, time.Hour, oauth.AnyAge} {
			c, err := h.documents.Client(from("192.0.2.1"), id, age)
			if found && (err != nil || c.ID != id) || !found && !errors.Is(err, oauth.ErrNotFound) {
				t.Errorf("%.40q at age %v: %v", id, age, err)
			}
		}
	}
	h.serve(3, h.document(3))
	if _, err := h.resolve(3, oauth.AnyAge); !errors.Is(err, oauth.ErrNotFound) {
		t.Errorf("any age of an unknown URL: %v", err)
	}
	if h.hits.Load() != 0 {
		t.Errorf("%d fetches", h.hits.Load())
	}
	off := oauth.NewClientMetadataDocuments(oauth.ClientMetadataDocumentsConfig{Clients: h.store, Ledger: h.store, Policy: clientPolicy(t, "")})
	if _, err := off.Client(from("192.0.2.1"), h.url(3), oauth.Fresh); !errors.Is(err, oauth.ErrNotFound) {
		t.Errorf("documents are off: %v", err)
	}
	if _, err := off.Client(from("192.0.2.1"), h.url(1), oauth.Fresh); err != nil {
		t.Errorf("a registered URL while documents are off: %v", err)
	}
}

func TestClientThatWasNeverUsedIsRegisteredAnew(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1))
	c, err := h.resolve(1, oauth.Fresh)
	must(t, err)
	old := *c
	old.ExpiresAt = time.Now().Add(-time.Minute).Truncate(time.Second)
	must(t, h.store.Commit(t.Context(), oauth.SaveClient{Client: old}))
	if _, err := h.resolve(1, oauth.AnyAge); !errors.Is(err, oauth.ErrNotFound) {
		t.Errorf("expired: %v", err)
	}
	c, err = h.resolve(1, oauth.Fresh)
	must(t, err)
	if time.Until(c.ExpiresAt) < time.Hour || len(h.events()) != 2 {
		t.Errorf("expires %v, events %v", c.ExpiresAt, h.events())
	}
	must(t, h.store.Commit(t.Context(), oauth.TouchClient{ID: c.ID, At: time.Now()}))
	h.outdate(1, time.Minute)
	if c, err = h.resolve(1, oauth.Fresh); err != nil || !c.ExpiresAt.IsZero() {
		t.Errorf("a used client expires %v, %v", c.ExpiresAt, err)
	}
}

// M9.
func TestStrangersCannotMakeManyFetches(t *testing.T) {
	h := newDocumentHost(t, "")
	limited := func(ip, url string) bool {
		_, err := h.documents.Client(from(ip), url, oauth.Fresh)
		return strings.HasSuffix(reasonOf(err), "/cimd_limited")
	}
	count := func(n int, try func(i int) bool) (refused int) {
		for i := range n {
			if try(i) {
				refused++
			}
		}
		return refused
	}
	if n := count(30, func(i int) bool { return limited("192.0.2.9", fmt.Sprintf("https://10.0.0.%d/c.json", i)) }); n != 20 {
		t.Errorf("one address, 30 hosts: %d refused, want 20", n)
	}
	if n := count(30, func(i int) bool {
		return limited(fmt.Sprintf("198.51.100.%d", i), fmt.Sprintf("https://10.1.1.1/%d.json", i))
	}); n != 24 {
		t.Errorf("30 addresses, one host: %d refused, want 24", n)
	}
	if n := count(30, func(i int) bool {
		return limited(fmt.Sprintf("2001:db8::%x", i+1), fmt.Sprintf("https://10.2.0.%d/c.json", i))
	}); n != 20 {
		t.Errorf("30 addresses of one household: %d refused, want 20", n)
	}
	h.serve(1, h.document(1))
	if _, err := h.documents.Client(from("192.0.2.9"), h.url(1), oauth.Fresh); err != nil {
		t.Errorf("a URL that the operator listed: %v", err)
	}
}

// Before a trusted connection stands, a stranger learns nothing from the answer (M13). Names below .onion are never asked for in
// the DNS (RFC 7686), so this test stays on this machine.
func TestNetworkFaultsLookAlike(t *testing.T) {
	h := newDocumentHost(t, "")
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Close()
	roots := x509.NewCertPool()
	documents := oauth.NewClientMetadataDocuments(oauth.ClientMetadataDocumentsConfig{Clients: h.store, Ledger: h.store, Policy: clientPolicy(t, ""),
		Fetch: fetch.New(fetch.Config{RootCAs: roots, LoopbackURLs: []string{stranger.URL + "/c", closed.URL + "/c"}, Timeout: 2 * time.Second})})
	answers, reasons := map[string]bool{}, map[string]bool{}
	for _, url := range []string{stranger.URL + "/c", closed.URL + "/c", "https://10.0.0.1/c", "https://127.0.0.1/c", "https://[::1]/c", "https://nowhere.onion/c"} {
		_, err := documents.Client(from("192.0.2.1"), url, oauth.Fresh)
		e := oauth.AsError(err)
		answers[fmt.Sprint(e.Code, e.Description, e.RetryAfter)] = true
		reasons[e.Reason] = true
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	for _, want := range []string{"cimd_tls", "cimd_connect", "cimd_private_address", "cimd_dns"} {
		if !reasons[want] {
			t.Errorf("no %s in the log: %v", want, reasons)
		}
	}
}

func TestStorageFaultOfAClientIsUnavailable(t *testing.T) {
	h := newDocumentHost(t, "")
	h.serve(1, h.document(1))
	must(t, h.store.Close())
	for _, id := range []string{"static", h.url(1)} {
		_, err := h.documents.Client(from("192.0.2.1"), id, oauth.Fresh)
		if e := oauth.AsError(err); e.Code != oauth.TemporarilyUnavailable {
			t.Errorf("%s: %v", id, err)
		}
	}
}
