package tests

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultyHost makes the handler that a path gets.
type faultyHost func(path string) http.HandlerFunc

// badDocument is an answer to the fetch of a document, and the page that the authorization request ends on. No status means 400 invalid_client.
type badDocument struct {
	name   string
	answer faultyHost
	status int
}

// M4…M6, M10: whatever is wrong with the answer or the document ends on a page, is not remembered, and a good document
// works right after.
func TestBadClientMetadataDocuments(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	cases := slices.Concat(d.badAnswers(), d.badContents(), d.badMembers())
	paths := []string{"/good.json"}
	for i := range cases {
		paths = append(paths, fmt.Sprintf("/%d.json", i))
	}
	s := startWithDocuments(t, d, paths...)
	d.serveDocument("/good.json", d.document("/good.json", nil))
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := fmt.Sprintf("/%d.json", i)
			id := d.publish(path, c.answer(path))
			q := ask(func(q *request) { q.client = id })
			a := s.browser(t).get("/authorize?" + q.params().Encode())
			if c.status == 503 {
				a.wantErrorPage(503, "temporarily_unavailable")
			} else {
				a.wantErrorPage(400, "invalid_client")
			}
			if d.count(path) != 1 {
				t.Errorf("the document was fetched %d times, so this case proves nothing", d.count(path))
			}
			d.serveDocument(path, d.document(path, nil))
			s.browser(t).get("/authorize?" + q.params().Encode()).want(303) // M7: errors are not remembered
		})
	}
	t.Cleanup(func() {
		if n := d.count("/good.json"); n != 0 {
			t.Errorf("M4: a redirect was followed %d times", n)
		}
	})
}

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

// withStatus answers a good document with another status and headers in pairs.
func (d *documents) withStatus(code int, header ...string) faultyHost {
	return func(path string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for p := range slices.Chunk(header, 2) {
				w.Header().Set(p[0], p[1])
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

// pouring answers a body that does not end, at once or drop by drop.
func pouring(drop string, pause time.Duration) faultyHost {
	return func(string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(drop)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(pause)
			}
		}
	}
}

func (d *documents) badAnswers() []badDocument {
	return []badDocument{
		{"M6 404", func(string) http.HandlerFunc { return http.NotFound }, 400},
		{"M6 204", func(string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }
		}, 400},
		{"M6 206", d.withStatus(206), 400},
		{"M6 403", d.withStatus(403), 400},
		{"M6 500", d.withStatus(500), 503},
		{"M6 429", d.withStatus(429), 503},
		{"M4 301", d.withStatus(301, "Location", "/good.json"), 400},
		{"M4 302", d.withStatus(302, "Location", "/good.json"), 400},
		{"M4 303 to another host", d.withStatus(303, "Location", "https://localhost/good.json"), 400},
		{"M4 307 to an internal address", d.withStatus(307, "Location", "http://169.254.169.254/latest/meta-data"), 400},
		{"M4 308", d.withStatus(308, "Location", d.URL+"/good.json"), 400},
		{"M4 300 without a location", d.withStatus(300), 400},
		{"M5 gzip", d.withStatus(200, "Content-Encoding", "gzip"), 400},
		{"M5 a bomb that says it is deflate", d.withStatus(200, "Content-Encoding", "deflate"), 400},
		{"M5 9 KiB of headers", d.withStatus(200, "X-Padding", strings.Repeat("a", 9<<10)), 400},
		{"M5 a body without end", pouring(strings.Repeat(" ", 64<<10), 0), 400},
		{"M5 a body drop by drop", pouring(" ", 50*time.Millisecond), 503},
		{"M5 no answer at all", func(string) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, 503},
		{"M5 a connection that is cut", func(string) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, 503},
	}
}

func (d *documents) badContents() []badDocument {
	return []badDocument{
		{"M6 HTML", rawDocument("text/html", "<html>"), 400},
		{"M6 JSON as text", rawDocument("text/plain", `{}`), 400},
		{"M6 no JSON", rawDocument("application/json", "client_id=x"), 400},
		{"M6 a list", rawDocument("application/json", "[]"), 400},
		{"M6 empty", rawDocument("application/json", ""), 400},
		{"M6 null", rawDocument("application/json", "null"), 400},
		{"M6 deep nesting", rawDocument("application/json", strings.Repeat("[", 20000)), 400},
		{"M5 more than 64 KiB", d.changed(map[string]any{"padding": strings.Repeat("a", 70<<10)}), 400},
		{"M6 client_id of another", d.changed(map[string]any{"client_id": "https://evil.example/client.json"}), 400},
		{"M6 client_id with a slash", func(path string) http.HandlerFunc {
			return d.changed(map[string]any{"client_id": d.URL + path + "/"})(path)
		}, 400},
		{"M6 client_id in another case", func(path string) http.HandlerFunc {
			return d.changed(map[string]any{"client_id": strings.Replace(d.URL, "https", "HTTPS", 1) + path})(path)
		}, 400},
		{"M6 no client_id", d.changed(map[string]any{"client_id": nil}), 400},
		{"M6 duplicate client_id", func(path string) http.HandlerFunc {
			return rawDocument("application/json", strings.TrimSuffix(d.goodDocument(path, nil), "}")+`,"client_id":"`+d.URL+path+`"}`)(path)
		}, 400},
		{"M6 bytes behind", func(path string) http.HandlerFunc {
			return rawDocument("application/json", d.goodDocument(path, nil)+"{}")(path)
		}, 400},
		{"AS-71 no client_name", d.changed(map[string]any{"client_name": nil}), 400},
		{"AS-71 no redirect_uris", d.changed(map[string]any{"redirect_uris": nil}), 400},
		{"AS-71 empty redirect_uris", d.changed(map[string]any{"redirect_uris": []string{}}), 400},
		{"AS-71 text as redirect_uris", d.changed(map[string]any{"redirect_uris": "http://127.0.0.1/callback"}), 400},
		{"AS-71 null among redirect_uris", d.changed(map[string]any{"redirect_uris": []any{nil}}), 400},
	}
}

func (d *documents) badMembers() []badDocument {
	member := func(name string, value any) faultyHost { return d.changed(map[string]any{name: value}) }
	key := func(members map[string]any) faultyHost {
		jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}
		maps.Copy(jwk, members)
		return member("jwks", map[string]any{"keys": []any{jwk}})
	}
	return []badDocument{
		{"D1 a script as redirect", member("redirect_uris", []string{"http://127.0.0.1/callback", "JaVaScRiPt:alert(1)"}), 400},
		{"R5 http to another host", member("redirect_uris", []string{"http://127.0.0.1/callback", "http://app.example/cb"}), 400},
		{"M10 client_secret", member("client_secret", "x"), 400},
		{"M10 an empty client_secret", member("client_secret", ""), 400},
		{"M10 client_secret_expires_at", member("client_secret_expires_at", 0), 400},
		{"M10 client_secret_post", member("token_endpoint_auth_method", "client_secret_post"), 400},
		{"M10 client_secret_basic", member("token_endpoint_auth_method", "client_secret_basic"), 400},
		{"M10 client_secret_jwt", member("token_endpoint_auth_method", "client_secret_jwt"), 400},
		{"M10 client_secret_post in the list", member("token_endpoint_auth_methods_supported", []string{"none", "client_secret_post"}), 400},
		{"M10 only private_key_jwt", member("token_endpoint_auth_method", "private_key_jwt"), 400},
		{"M10 a private EC key", key(map[string]any{"d": "c"}), 400},
		{"M10 a private RSA key", key(map[string]any{"kty": "RSA", "p": "c", "q": "d"}), 400},
		{"M10 a symmetric key", key(map[string]any{"kty": "oct", "k": "c"}), 400},
		{"M10 http client_uri", member("client_uri", "http://app.example/"), 400},
		{"M10 http logo_uri", member("logo_uri", "http://app.example/logo.png"), 400},
		{"M10 data logo_uri", member("logo_uri", "data:image/png;base64,AA=="), 400},
		{"M10 http tos_uri", member("tos_uri", "http://app.example/tos"), 400},
		{"M10 http policy_uri", member("policy_uri", "http://app.example/policy"), 400},
		{"M10 http jwks_uri", member("jwks_uri", "http://app.example/jwks"), 400},
		{"M10 script as client_uri", member("client_uri", "javascript:alert(1)"), 400},
		{"no code grant", member("grant_types", []string{"client_credentials"}), 400},
	}
}

// M1: what is no client id URL is not fetched, neither for a browser nor for a program.
func TestClientIDsThatAreNoURLOfADocument(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/agent.json")
	d.serveDocument("/agent.json", d.document("/agent.json", nil))
	host := strings.TrimPrefix(d.URL, "https://")
	port := host[strings.LastIndex(host, ":")+1:]
	for _, id := range []string{
		"http://" + host + "/agent.json", "HTTPS://" + host + "/agent.json", "ftp://" + host + "/agent.json", "file:///etc/passwd", "gopher://" + host + "/agent.json", "javascript:alert(1)",
		d.URL, d.URL + "/", d.URL + "?x=1", d.URL + "/?x=1", "https:///agent.json", "https:/" + host + "/agent.json", "https:" + host + "/agent.json", "//" + host + "/agent.json",
		d.URL + "/x/../agent.json", d.URL + "/./agent.json", d.URL + "/..", d.URL + "/.", d.URL + "/%2e/agent.json", d.URL + "/%2e%2e/agent.json", d.URL + "/%2E%2e/agent.json", d.URL + "/x/.%2e/agent.json",
		d.URL + "/agent.json#x", d.URL + "/agent.json#", "https://user@" + host + "/agent.json", "https://user:pw@" + host + "/agent.json", "https://@" + host + "/agent.json",
		"https://" + host + `\@evil.example/agent.json`, d.URL + `\agent.json`, d.URL + "/agent.json\n", d.URL + "/agent\t.json", d.URL + "/agent.json\x7f", "\x01" + d.URL + "/agent.json", d.URL + "/agent.json ", " " + d.URL + "/agent.json",
		d.URL + "/ägent.json", "https://bücher.example/agent.json", "https://127.0.0.1.:" + port + "/agent.json", "https://127.0.0.1:/agent.json", "https://127.0.0.1:99999/agent.json", "https://127.0.0.1:0/agent.json",
		"https://LOCALHOST:" + port + "/agent.json", "https://127.0.0.1:443/agent.json", d.URL + "/" + strings.Repeat("a", 513), d.URL + "/%zz", d.URL + "/*", d.URL + "/<agent>",
	} {
		t.Run("M1 "+id[:min(len(id), 80)], func(t *testing.T) {
			q := ask(func(q *request) { q.client = id })
			s.program(t).get("/authorize?"+q.params().Encode()).wantErrorPage(400, "invalid_client")
			s.program(t).post("/token", q.redemption("x")).wantError(401, "invalid_client")
		})
	}
	d.wantNoFetch(t)
}

// M2: a URL that is in order and leads to no public address is not fetched. Names that resolve to such addresses are tested beside oauth/fetch.
func TestClientIDsThatLeadInside(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/agent.json")
	d.serveDocument("/agent.json", d.document("/agent.json", nil))
	port := d.URL[strings.LastIndex(d.URL, ":")+1:]
	for _, id := range []string{
		d.URL + "/other.json", d.URL + "/agent.json?x=1", d.URL + "//agent.json", d.URL + "/AGENT.json", d.URL + "/agent.json/", // M7: the key is the exact URL, so these are not the listed one
		"https://localhost:" + port + "/agent.json", "https://127.1:" + port + "/agent.json", "https://127.0.0.2:" + port + "/agent.json", "https://[::1]:" + port + "/agent.json",
		"https://[::ffff:127.0.0.1]:" + port + "/agent.json", "https://0.0.0.0:" + port + "/agent.json", "https://[::]:" + port + "/agent.json",
		"https://10.0.0.1/c", "https://172.16.0.1/c", "https://192.168.1.1/c", "https://169.254.169.254/latest/meta-data", "https://100.64.0.1/c", "https://192.0.2.1/c", "https://198.18.0.1/c",
		"https://224.0.0.1/c", "https://240.0.0.1/c", "https://255.255.255.255/c", "https://[fd00::1]/c", "https://[fe80::1]/c", "https://[fec0::1]/c", "https://[ff02::1]/c",
		"https://[64:ff9b::7f00:1]/c", "https://[64:ff9b:1::7f00:1]/c", "https://[2002:7f00:1::]/c", "https://[2001:db8::1]/c", "https://[::127.0.0.1]/c",
	} {
		t.Run("M2 "+id, func(t *testing.T) {
			q := ask(func(q *request) { q.client = id })
			s.program(t).get("/authorize?"+q.params().Encode()).wantErrorPage(503, "temporarily_unavailable")
		})
	}
	d.wantNoFetch(t)
}

func (d *documents) wantNoFetch(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.fetches) != 0 {
		t.Errorf("fetched: %v", d.fetches)
	}
}

// M9: one host gets at most six fetches a minute for URLs that nobody has seen, from however many addresses they are asked for.
func TestOneHostGetsFewFetches(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	begun, tried := time.Now(), 0
	for i := range 60 {
		q := ask(func(q *request) { q.client = fmt.Sprintf("https://127.0.0.1:9/m%d.json", i) })
		a := s.program(t).get("/authorize?" + q.params().Encode())
		if a.status == 503 {
			a.wantErrorPage(503, "temporarily_unavailable")
			tried++
			continue
		}
		if a.wantErrorPage(429, "temporarily_unavailable"); a.header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if most := 6 + int(time.Since(begun)/(10*time.Second)) + 1; tried < 6 || tried > most {
		t.Errorf("M9: %d of 60 URLs were tried, want 6 (%d on a slow machine)", tried, most)
	}
}

// M11: a document may name a jwks_uri. No method of client authentication here uses keys, so nobody fetches it, whatever kid is sent.
func TestTheKeysOfADocumentAreNotFetched(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/agent.json", "/jwks.json")
	id := d.serveDocument("/agent.json", d.document("/agent.json", map[string]any{"jwks_uri": d.URL + "/jwks.json"}))
	b := s.browser(t)
	q := ask(func(q *request) { q.client = id })
	code := b.code(q)
	for i := range 20 {
		form := q.redemption(code)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", fmt.Sprintf("eyJhbGciOiJFUzI1NiIsImtpZCI6IiVkIn0.%d.x", i))
		b.post("/token", form).wantError(401, "invalid_client")
	}
	b.post("/token", q.redemption(code)).want(200)
	if n := d.count("/jwks.json"); n != 0 {
		t.Errorf("M11: jwks_uri was fetched %d times", n)
	}
}

// M12: an id that the operator registered is the operator's, also if it is a URL with a document behind it; a client that registers itself cannot
// choose its id; and no subject is a client's id.
func TestClientIDsAreKeptApart(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	id := d.serveDocument("/agent.json", d.document("/agent.json", map[string]any{"client_name": "Impostor", "redirect_uris": []string{"https://evil.example/cb"}}))
	s := startWithDocuments(t, d, "/agent.json")
	s.stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	listed := fmt.Sprintf("clients:\n  - {id: %q, name: Of the operator, redirect_uris: [%q], token_endpoint_auth_method: none}\n", id, "http://127.0.0.1/callback")
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "clients:\n", listed, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run()
	b := s.browser(t)
	page, _ := b.consentPage(ask(func(q *request) { q.client = id }))
	if !strings.Contains(page.body, "Of the operator") || strings.Contains(page.body, "Impostor") {
		t.Error("M12: the document speaks for the operator's client")
	}
	b.get("/authorize?"+ask(func(q *request) { q.client, q.redirect = id, "https://evil.example/cb" }).params().Encode()).wantErrorPage(400, "invalid_request")
	d.wantNoFetch(t)
	for _, wanted := range []string{"cli", id, "alice"} {
		a := b.register(`{"client_id":"` + wanted + `","client_name":"x","token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/cb"]}`).want(201)
		if got := a.text("client_id"); !strings.HasPrefix(got, "dcr_") {
			t.Errorf("M12: who asks for the id %q gets %q", wanted, got)
		}
	}
	c := s.registerClient(t, "x", "none", callback)
	q := ask(c.asks)
	_, claims := claimsOf(t, c.redeem(b, q, b.code(q)).text("access_token"))
	if sub := textOf(claims["sub"]); sub == c.id || strings.HasPrefix(sub, "dcr_") || sub == "alice" {
		t.Errorf("M12: sub is %q", sub)
	}
}

// M13: whoever has this server fetch a URL learns nothing about networks: closed ports, hosts without a trusted certificate and private addresses
// look the same. How long the answer takes is not levelled.
func TestFailedFetchesLookTheSame(t *testing.T) {
	t.Parallel()
	d, closed, untrusted := newDocuments(t), newDocuments(t), httptest.NewUnstartedServer(http.NotFoundHandler())
	closed.Close()
	dir := t.TempDir()
	writeCertificate(t, dir)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	untrusted.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	untrusted.StartTLS()
	defer untrusted.Close()
	s := startWithDocuments(t, d, "/agent.json", "/silent.json")
	s.stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	more := fmt.Sprintf("loopback_urls: [%q, %q, ", untrusted.URL+"/c.json", closed.URL+"/c.json")
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "loopback_urls: [", more, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run()
	d.publish("/silent.json", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	d.publish("/agent.json", d.withStatus(500)("/agent.json"))
	seen := map[string][]string{}
	for name, id := range map[string]string{"closed port": closed.URL + "/c.json", "untrusted certificate": untrusted.URL + "/c.json", "filtered": d.URL + "/silent.json", "server error": d.URL + "/agent.json",
		"private address": "https://10.0.0.1/c.json", "loopback address": "https://[::1]/c.json", "link-local": "https://169.254.169.254/c.json"} {
		a := s.program(t).get("/authorize?"+ask(func(q *request) { q.client = id }).params().Encode()).wantErrorPage(503, "temporarily_unavailable")
		body := strings.ReplaceAll(a.body, a.header.Get("X-Request-ID"), "ID")
		seen[body+a.header.Get("Retry-After")] = append(seen[body+a.header.Get("Retry-After")], name)
	}
	if len(seen) != 1 {
		for _, names := range seen {
			t.Errorf("M13: these look the same among each other, and different from the others: %v", names)
		}
	}
}
