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
	"slices"
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

// M4…M6, M10: whatever is wrong with the answer or the document ends on a page, is not remembered, and a good document
// works right after.
func TestBadClientMetadataDocuments(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	cases := d.badDocuments()
	var paths []string
	names := map[string]string{}
	for name := range cases {
		path := fmt.Sprintf("/%d.json", len(paths))
		if name == "M6 client_id with a slash" {
			path = "/slash.json"
		}
		names[name], paths = path, append(paths, path)
	}
	s := startWithDocuments(t, d, append(paths, "/good.json")...)
	d.serveDocument("/good.json", d.document("/good.json", nil))
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			path := names[name]
			id := d.publish(path, answer(path))
			q := ask(func(q *request) { q.client = id })
			a := s.browser(t).get("/authorize?" + q.params().Encode())
			if a.status < 400 || a.header.Get("Location") != "" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
				t.Fatalf("%d %s %s", a.status, a.header.Get("Location"), tail(a.body, 500))
			}
			if d.count(path) == 0 {
				t.Error("the document was never fetched, so this case proves nothing")
			}
			d.serveDocument(path, d.document(path, nil))
			s.browser(t).get("/authorize?" + q.params().Encode()).want(303) // errors are not remembered
		})
	}
	if n := d.count("/good.json"); n != 0 {
		t.Errorf("M4: a redirect was followed %d times", n)
	}
}

// faultyHost makes the handler that a path gets.
type faultyHost func(path string) http.HandlerFunc

func rawDocument(kind, body string) faultyHost {
	return func(string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Write([]byte(body))
		}
	}
}

// goodDocument is a good document for a path with changes, as text.
func (d *documents) goodDocument(path string, changes map[string]any) string {
	data, err := json.Marshal(d.document(path, changes))
	if err != nil {
		panic(err) // maps of plain values always marshal
	}
	return string(data)
}

// withStatus answers a good document with another status.
func (d *documents) withStatus(code int, location string) faultyHost {
	return func(path string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if location != "" {
				w.Header().Set("Location", location)
			}
			w.WriteHeader(code)
			w.Write([]byte(d.goodDocument(path, nil)))
		}
	}
}

// changed answers a document that differs from a good one.
func (d *documents) changed(changes map[string]any) faultyHost {
	return func(path string) http.HandlerFunc {
		return rawDocument("application/json", d.goodDocument(path, changes))(path)
	}
}

func (d *documents) badDocuments() map[string]faultyHost {
	return map[string]faultyHost{
		"M6 404":                       func(string) http.HandlerFunc { return http.NotFound },
		"M6 500":                       d.withStatus(500, ""),
		"M6 206":                       d.withStatus(206, ""),
		"M4 redirect":                  d.withStatus(302, "/good.json"),
		"M4 permanent redirect":        d.withStatus(308, "/good.json"),
		"M6 HTML":                      rawDocument("text/html", "<html>"),
		"M6 JSON as text":              rawDocument("text/plain", `{}`),
		"M6 no JSON":                   rawDocument("application/json", "client_id=x"),
		"M6 a list":                    rawDocument("application/json", "[]"),
		"M6 empty":                     rawDocument("application/json", ""),
		"M6 null":                      rawDocument("application/json", "null"),
		"M5 more than 64 KiB":          d.changed(map[string]any{"padding": strings.Repeat("a", 70<<10)}),
		"M6 client_id of another":      d.changed(map[string]any{"client_id": "https://evil.example/client.json"}),
		"M6 client_id with a slash":    d.changed(map[string]any{"client_id": d.URL + "/slash.json/"}),
		"M6 no client_id":              d.changed(map[string]any{"client_id": nil}),
		"AS-71 no client_name":         d.changed(map[string]any{"client_name": nil}),
		"AS-71 no redirect_uris":       d.changed(map[string]any{"redirect_uris": nil}),
		"AS-71 empty redirect_uris":    d.changed(map[string]any{"redirect_uris": []string{}}),
		"AS-71 text as redirect_uris":  d.changed(map[string]any{"redirect_uris": "http://127.0.0.1/callback"}),
		"D1 a script as redirect":      d.changed(map[string]any{"redirect_uris": []string{"http://127.0.0.1/callback", "JaVaScRiPt:alert(1)"}}),
		"R5 http to another host":      d.changed(map[string]any{"redirect_uris": []string{"http://127.0.0.1/callback", "http://app.example/cb"}}),
		"M10 client_secret":            d.changed(map[string]any{"client_secret": "x"}),
		"M10 client_secret_expires_at": d.changed(map[string]any{"client_secret_expires_at": 0}),
		"M10 client_secret_post":       d.changed(map[string]any{"token_endpoint_auth_method": "client_secret_post"}),
		"M10 client_secret_basic":      d.changed(map[string]any{"token_endpoint_auth_method": "client_secret_basic"}),
		"M10 client_secret_jwt":        d.changed(map[string]any{"token_endpoint_auth_method": "client_secret_jwt"}),
		"M10 a private key":            d.changed(map[string]any{"jwks": map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c"}}}}),
		"no code grant":                d.changed(map[string]any{"grant_types": []string{"client_credentials"}}),
		"M6 duplicate client_id": func(path string) http.HandlerFunc {
			return rawDocument("application/json", strings.TrimSuffix(d.goodDocument(path, nil), "}")+`,"client_id":"`+d.URL+path+`"}`)(path)
		},
	}
}

// M1, M2: what is no client id URL, or leads into a private network, is never asked for.
func TestClientIDsThatAreNeverFetched(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/agent.json")
	d.serveDocument("/agent.json", d.document("/agent.json", nil))
	port := d.URL[strings.LastIndex(d.URL, ":")+1:]
	for _, id := range []string{
		d.URL, d.URL + "/", d.URL + "/other.json", d.URL + "/agent.json?x=1", d.URL + "/agent.json#x", d.URL + "/agent.json#", d.URL + "/x/../agent.json", d.URL + "/./agent.json",
		d.URL + "/%2e%2e/agent.json", d.URL + "//agent.json", d.URL + "/AGENT.json", strings.Replace(d.URL, "https", "http", 1) + "/agent.json",
		strings.Replace(d.URL, "https", "HTTPS", 1) + "/agent.json", "https://user@127.0.0.1:" + port + "/agent.json", "https://localhost:" + port + "/agent.json",
		"https://127.1:" + port + "/agent.json", "https://[::ffff:127.0.0.1]:" + port + "/agent.json", "https://2130706433:" + port + "/agent.json",
		"https://127.0.0.2:" + port + "/agent.json", "https://0.0.0.0:" + port + "/agent.json", "https://10.0.0.1/client.json", "https://169.254.169.254/latest/meta-data",
		"https://192.168.1.1/client.json", "https://[fe80::1]/client.json", "https://[fd00::1]/client.json", "https://[::]/client.json", "https://100.64.0.1/client.json",
		"https://127.0.0.1:" + port + `\@evil.example/agent.json`, "https://127.0.0.1:" + port + "/agent.json\n", "https://127.0.0.1:" + port + "/" + strings.Repeat("a", 3000),
		"ftp://127.0.0.1/agent.json", "file:///etc/passwd", "https:///agent.json", "https:/127.0.0.1/agent.json", "gopher://127.0.0.1:" + port + "/agent.json",
	} {
		t.Run("M1 "+id[:min(len(id), 80)], func(t *testing.T) {
			q := ask(func(q *request) { q.client = id })
			a := s.browser(t).get("/authorize?" + q.params().Encode())
			if a.status < 400 || a.status >= 500 && a.status != 503 || a.header.Get("Location") != "" {
				t.Errorf("%d %s", a.status, a.header.Get("Location"))
			}
			b := s.program(t)
			token := b.post("/token", q.redemption("x"))
			if !slices.Contains([]int{400, 401, 429, 503}, token.status) {
				t.Errorf("token endpoint: %d %s", token.status, token.body)
			}
		})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.fetches) != 0 {
		t.Errorf("fetched: %v", d.fetches)
	}
}

// M8, interop 11: consent is bound to the document. A new set of redirects in the middle of a login ends it; a redirect
// that vanished ends refreshing.
func TestAChangedDocument(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/a.json", "/b.json")
	publish := func(path string, redirects ...string) string {
		data, _ := json.Marshal(d.document(path, map[string]any{"redirect_uris": redirects})) // plain values always marshal
		return d.publish(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			w.Write(data)
		})
	}
	id := publish("/a.json", "http://127.0.0.1/callback")
	b := s.browser(t)
	page, path := b.consentPage(ask(func(q *request) { q.client = id }))
	publish("/a.json", "https://evil.example/cb")
	a := b.answer(page, path, "allow", page.boxes()...)
	if u := a.location(); u.Host == "evil.example" {
		t.Errorf("the code goes to the new redirect: %s", u)
	}
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
