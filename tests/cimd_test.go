package tests

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// documents serves client id metadata documents over https on loopback, as a client's publisher does.
type documents struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	fetches map[string]int
	agent   http.Header // of the last fetch
}

func newDocuments(t testing.TB) *documents {
	d := &documents{answers: map[string]http.HandlerFunc{}, fetches: map[string]int{}}
	d.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		answer := d.answers[r.URL.Path]
		d.fetches[r.URL.Path]++
		d.agent = r.Header.Clone()
		d.mu.Unlock()
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

// document is a good document for a path; changes replace members, nil removes one.
func (d *documents) document(path string, changes map[string]any) map[string]any {
	doc := map[string]any{"client_id": d.URL + path, "client_name": "Agent of the tests", "redirect_uris": []string{"http://127.0.0.1/callback", "http://localhost/callback"},
		"grant_types": []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}, "response_types": []string{"code"},
		"token_endpoint_auth_method": "none", "unknown_member": map[string]any{"x": 1}}
	maps.Copy(doc, changes)
	for k, v := range changes {
		if v == nil {
			delete(doc, k)
		}
	}
	return doc
}

func (d *documents) publish(path string, answer http.HandlerFunc) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[path] = answer
	return d.URL + path
}

// serveDocument publishes a document as JSON.
func (d *documents) serveDocument(path string, doc map[string]any) string {
	data, err := json.Marshal(doc)
	if err != nil {
		panic(err) // maps of plain values always marshal
	}
	return d.publish(path, rawDocument("application/json", string(data))(path))
}

func (d *documents) count(path string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fetches[path]
}

// startWithDocuments starts a server that may fetch the given paths from loopback, and at which anybody may register.
func startWithDocuments(t testing.TB, d *documents, paths ...string) *server {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, p := range paths {
		urls = append(urls, fmt.Sprintf("%q", d.URL+p))
	}
	return start(t, "main.yaml", map[string]string{"more": fmt.Sprintf("registration: {mode: open}\ncimd: {ca_file: %q, loopback_urls: [%s]}", ca, strings.Join(urls, ", "))})
}

// AS-70, AS-71, interop 10: a document as real clients publish it takes a client through its whole life.
func TestClientMetadataDocument(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/agent.json")
	id := d.serveDocument("/agent.json", d.document("/agent.json", nil))
	b := s.browser(t)
	q := ask(func(q *request) { q.client, q.redirect = id, "http://localhost:53119/callback" })
	page, path := b.consentPage(q)
	host := strings.TrimPrefix(d.URL, "https://")
	for _, want := range []string{host, "Agent of the tests", "localhost:53119", "Office tools"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("AS-33: the consent page does not show %q", want)
		}
	}
	if !strings.Contains(page.body, "this computer") {
		t.Error("U10: no warning that the answer goes to a program on this computer")
	}
	code := b.answer(page, path, "allow", page.boxes()...).want(303).location().Query().Get("code")
	form := q.redemption(code)
	form.Del("client_id")
	// AS-42: the Go client tries Basic with an empty secret first.
	tokens := b.post("/token", form, "Authorization", basic(strings.NewReplacer(":", "%3A", "/", "%2F").Replace(id), "")).want(200)
	if !b.active(tokens.text("access_token")) {
		t.Error("the token is not active")
	}
	b.decide(tokens.text("access_token"), "calendar_list", `{}`).wantDecision(true, "allowed")
	next := b.refresh(id, tokens.text("refresh_token")).want(200)
	b.post("/revoke", map[string][]string{"client_id": {id}, "token": {next.text("refresh_token")}}).want(200)
	if b.active(next.text("access_token")) {
		t.Error("the token is active after its revocation")
	}
	if n := d.count("/agent.json"); n < 1 || n > 2 {
		t.Errorf("M7: the document was fetched %d times", n)
	}
	if ua := d.agent.Get("User-Agent"); ua == "" || strings.HasPrefix(ua, "Go-http-client") || d.agent.Get("Cookie") != "" || !strings.Contains(d.agent.Get("Accept"), "json") {
		t.Errorf("CL-35: the fetch introduces itself as %v", d.agent)
	}
	t.Run("a confidential method is refused", func(t *testing.T) {
		b.post("/token", form, "Authorization", basic(id, "secret")).wantError(401, "invalid_client")
	})
}

// What nobody vouches for is treated with care.
func TestClientsWithDocumentsAreNotTrusted(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/agent.json")
	id := d.serveDocument("/agent.json", d.document("/agent.json", nil))
	t.Run("R1 redirects that the document does not list", func(t *testing.T) {
		for _, uri := range []string{"http://127.0.0.1:1/other", "http://[::1]/callback", "https://evil.example/", "http://localhost:53119/callback/"} {
			s.browser(t).get("/authorize?"+ask(func(q *request) { q.client, q.redirect = id, uri }).params().Encode()).wantErrorPage(400, "invalid_request")
		}
	})
	t.Run("interop 17 an explicit deny goes back at once", func(t *testing.T) {
		b := s.browser(t)
		q := ask(func(q *request) { q.client = id })
		page, path := b.consentPage(q)
		wantRedirectError(t, s, b.answer(page, path, "deny").want(303).location(), q, "access_denied")
	})
}

// U9, U12: a name is a claim, shown as text and without tricks.
func TestClientNamesAreShownAsText(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	names := []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.}}`, "Claude\u202egnihtemos", "Clau\u200bde\u2060", "two\nlines\r\n", "\x1b[31mred",
		strings.Repeat("Ä", 5000), "&lt;b&gt;", "'; DROP TABLE clients; --", "javascript:alert(1)", "ﬀ ligature ﷺ"}
	var paths []string
	for i := range names {
		paths = append(paths, fmt.Sprintf("/n%d.json", i))
	}
	s := startWithDocuments(t, d, paths...)
	b := s.browser(t)
	for i, name := range names {
		id := d.serveDocument(paths[i], d.document(paths[i], map[string]any{"client_name": name, "client_uri": "javascript:alert(1)", "logo_uri": "javascript:alert(1)"}))
		t.Run(fmt.Sprintf("U9 %.20q", name), func(t *testing.T) {
			a := b.get("/authorize?" + ask(func(q *request) { q.client = id }).params().Encode())
			if a.status == 400 {
				return // a name that is refused is shown to nobody
			}
			page := b.login(b.get(a.want(303).location().Path), a.location().Path, "alice").want(200)
			for _, bad := range []string{"<script>alert", "<img src=x", "\u202e", "\u200b", "\u2060", "\x1b", `href="javascript:`, `src="javascript:`, strings.Repeat("Ä", 100)} {
				if strings.Contains(page.body, bad) {
					t.Errorf("the page holds %q", bad)
				}
			}
		})
	}
}
