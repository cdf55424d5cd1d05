package server_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/server"
	"portcullis/storage"
)

const (
	resourceID     = "http://127.0.0.1:3001/mcp"
	resourceSecret = "resource-secret-0123456789"
	callback       = "http://127.0.0.1:5555/cb"
	verifier       = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	password       = "alice-password"
)

// world is the whole server on a loopback port: the real endpoints, the real storage, the real policies.
type world struct {
	testing.TB
	url     string
	handler http.Handler
}

// storedClients resolves registered clients and fetches nothing.
type storedClients struct{ oauth.ClientReader }

func (s storedClients) Client(ctx context.Context, id string, _ time.Duration) (*oauth.Client, error) {
	return s.ClientReader.Client(ctx, id)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldWith(t, testResources(), policies.Config{Defaults: true, Deadline: 5 * time.Second}, nil)
}

func worldWith(t testing.TB, resources []oauth.Resource, rules policies.Config, metrics *server.Metrics) *world {
	t.Helper()
	ctx, key := context.Background(), []byte(strings.Repeat("k", 32))
	store, err := storage.Open(ctx, storage.Config{Path: filepath.Join(t.TempDir(), "p.db"), ServerKey: key})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	hash, err := oauth.HashPassword(password)
	must(t, err)
	must(t, oauth.SyncConfigured(ctx, store, oauth.Configured{
		Clients:   []oauth.Client{{ID: "cli", Name: "Command line", RedirectURIs: []string{"http://127.0.0.1/cb"}, AuthMethods: []string{"none"}, GrantTypes: []string{"authorization_code", "refresh_token"}}},
		Users:     []oauth.User{{Name: "alice", PasswordHash: hash, Groups: []string{"staff"}}, {Name: "bob", PasswordHash: hash}},
		Resources: resources,
	}))
	listening := httptest.NewUnstartedServer(nil)
	issuer := "http://" + listening.Listener.Addr().String()
	endpoints := wire(t, store, key, issuer, resources, rules)
	h, err := server.New(server.Config{Issuer: issuer, Endpoints: endpoints, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: metrics})
	must(t, err)
	listening.Config.Handler = h
	listening.Start()
	t.Cleanup(listening.Close)
	return &world{t, issuer, h}
}

func wire(t testing.TB, store *storage.Store, key []byte, issuerID string, resources []oauth.Resource, rules policies.Config) oauth.Endpoints {
	ctx := context.Background()
	catalogue, err := oauth.NewCatalogue(resources)
	must(t, err)
	rules.Catalogue = catalogue.Resources()
	engine, err := policies.New(ctx, rules)
	must(t, err)
	keys, err := oauth.NewKeys(ctx, oauth.KeysConfig{Reader: store, Ledger: store, ServerKey: key})
	must(t, err)
	issuer, err := oauth.NewIssuer(oauth.IssuerConfig{Issuer: issuerID, Keys: keys, ServerKey: key, RefreshIdle: time.Hour, RefreshAbsolute: 2 * time.Hour, ReuseGrace: time.Minute})
	must(t, err)
	login := oauth.NewLogin(oauth.LoginConfig{Users: store, Sessions: store, Interactions: store, Failures: store, Ledger: store, ServerKey: key, SessionTTL: 15 * time.Minute})
	clients, auth, tokens := storedClients{store}, oauth.NewClientAuthenticator(), oauth.NewTokenChecker(issuer, store)
	token, err := oauth.NewToken(oauth.TokenConfig{Clients: clients, Auth: auth, Resources: catalogue, Policy: engine, Issuer: issuer, Ledger: store, AccessTTL: 10 * time.Minute, Grants: []oauth.GrantType{
		oauth.AuthorizationCode{Codes: store, Users: store, Resources: catalogue, RefreshAbsolute: 2 * time.Hour},
		oauth.RefreshToken{Refreshes: store, Users: store, Resources: catalogue, Issuer: issuer},
	}})
	must(t, err)
	e := oauth.Endpoints{
		Authorization: oauth.NewAuthorization(oauth.AuthorizationConfig{Issuer: issuerID, Clients: clients, Resources: catalogue, Users: store, Sessions: store,
			Interactions: store, Grants: store, Policy: engine, Ledger: store, AccessTTL: 10 * time.Minute, RefreshAbsolute: 2 * time.Hour}),
		Login:         login,
		Account:       oauth.NewAccount(oauth.AccountConfig{Login: login, Users: store, Sessions: store, Grants: store, Clients: store, Resources: catalogue, Ledger: store}),
		Token:         token,
		Revocation:    oauth.NewRevocation(oauth.RevocationConfig{Clients: clients, Auth: auth, Refreshes: store, States: store, Issuer: issuer, Ledger: store}),
		Introspection: oauth.NewIntrospection(oauth.IntrospectionConfig{Resources: catalogue, Auth: auth, Tokens: tokens}),
		Decision:      oauth.NewDecider(oauth.DeciderConfig{Issuer: issuerID, Catalogue: catalogue, Auth: auth, Tokens: tokens, Clients: clients, Policy: engine, Tools: engine, Scopes: engine, Ledger: store, Usage: store, ServerKey: key}),
	}
	e.Metadata, err = oauth.NewMetadata(oauth.MetadataConfig{Issuer: issuerID, Keys: keys, Resources: catalogue}, e)
	must(t, err)
	return e
}

func testResources() []oauth.Resource {
	yes, no := true, false
	return []oauth.Resource{{
		ID: resourceID, Key: "office", Name: "Office tools", SecretHashes: [][]byte{oauth.HashSecret(resourceSecret)}, Baseline: oauth.NewScopes("tools:weather.read"),
		Scopes: []oauth.ScopeInfo{{Name: "tools:weather.read", Description: "Read the weather"}, {Name: "tools:crm.write", Description: "Change customers"}},
		Tools: []oauth.Tool{
			{Name: "get_weather", Scopes: oauth.NewScopes("tools:weather.read"), Annotations: oauth.Annotations{ReadOnlyHint: &yes}},
			{Name: "crm_update", Scopes: oauth.NewScopes("tools:crm.write"), Annotations: oauth.Annotations{DestructiveHint: &no}},
		},
	}}
}

// browser is a browser without scripts that follows redirects within our server and stops at the client's.
type browser struct {
	*world
	client *http.Client
	page   string // the last page
	at     string // its address
	status int
	left   string // where the browser was sent outside of our server
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(w.TB, err)
	b := &browser{world: w, client: &http.Client{Jar: jar}}
	b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), w.url+"/") {
			b.left = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	return b
}

func (b *browser) get(path string) {
	b.Helper()
	b.keep(b.client.Get(b.url + strings.TrimPrefix(path, b.url)))
}

func (b *browser) keep(r *http.Response, err error) {
	b.Helper()
	must(b.TB, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	must(b.TB, err)
	b.page, b.status, b.at = string(data), r.StatusCode, r.Request.URL.Path
}

var hidden = regexp.MustCompile(`name="form_token" value="([^"]*)"`)

// submit posts the first form whose action ends like this, with the page's form token.
func (b *browser) submit(action string, pairs ...string) {
	b.Helper()
	found := regexp.MustCompile(`action="([^"]*` + regexp.QuoteMeta(action) + `)"`).FindStringSubmatch(b.page)
	token := hidden.FindStringSubmatch(b.page)
	if found == nil || token == nil {
		b.Fatalf("no form %q on the page at %s:\n%s", action, b.at, b.page)
	}
	form := url.Values{"form_token": {token[1]}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	b.keep(b.client.PostForm(b.url+html.UnescapeString(found[1]), form))
}

func (b *browser) sees(status int, texts ...string) {
	b.Helper()
	if b.status != status {
		b.Fatalf("at %s: status %d, want %d\n%s", b.at, b.status, status, b.page)
	}
	for _, text := range texts {
		if !strings.Contains(b.page, text) {
			b.Fatalf("the page at %s lacks %q:\n%s", b.at, text, b.page)
		}
	}
}

func authorizePath(pairs ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	p := url.Values{"response_type": {"code"}, "client_id": {"cli"}, "redirect_uri": {callback}, "state": {"s-1"}, "resource": {resourceID},
		"scope": {"tools:weather.read tools:crm.write"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		p.Set(pairs[i], pairs[i+1])
	}
	return "/authorize?" + p.Encode()
}

// answered is the query of the redirect to the client.
func (b *browser) answered() url.Values {
	b.Helper()
	u, err := url.Parse(b.left)
	must(b.TB, err)
	if !strings.HasPrefix(b.left, callback+"?") || b.status != http.StatusSeeOther {
		b.Fatalf("the browser was sent to %q with %d", b.left, b.status)
	}
	return u.Query()
}

// api posts a form or JSON like a program and decodes the answer.
func (w *world) api(path, kind, body string, headers ...string) (*http.Response, map[string]any) {
	w.Helper()
	r, err := http.NewRequest("POST", w.url+path, strings.NewReader(body))
	must(w.TB, err)
	r.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	must(w.TB, err)
	defer answer.Body.Close()
	out := map[string]any{}
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		out["text"] = err.Error()
	}
	return answer, out
}

const formType = "application/x-www-form-urlencoded"

func (w *world) redeem(code string) map[string]any {
	w.Helper()
	answer, out := w.api("/token", formType, url.Values{"grant_type": {"authorization_code"}, "client_id": {"cli"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {callback}}.Encode())
	if answer.StatusCode != 200 || answer.Header.Get("Cache-Control") != "no-store" {
		w.Fatalf("token: %d %v", answer.StatusCode, out)
	}
	return out
}

func (w *world) active(token string) bool {
	w.Helper()
	answer, out := w.api("/introspect", formType, "token="+url.QueryEscape(token), "Authorization", "Bearer "+resourceSecret)
	if answer.StatusCode != 200 {
		w.Fatalf("introspection: %d %v", answer.StatusCode, out)
	}
	return out["active"] == true
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
