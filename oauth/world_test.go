package oauth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/storage"
)

// world is the protocol with the real storage and the real policy engine, without HTTP.
type world struct {
	*testing.T
	ctx       context.Context
	store     *storage.Store
	engine    *policies.Engine
	catalogue *oauth.Catalogue
	keys      *oauth.Keys
	issuer    *oauth.Issuer
	auth      *oauth.AuthorizationEndpoint
	login     *oauth.LoginEndpoint
	account   *oauth.AccountEndpoint
	token     *oauth.TokenEndpoint
	revoke    *oauth.RevocationEndpoint
	intro     *oauth.IntrospectionEndpoint
	decide    *oauth.Decider
}

const (
	issuerID     = "https://as.example"
	demoID       = "https://mcp.example/mcp"
	otherID      = "https://other.example/mcp"
	publicID     = "cli"
	secretID     = "web"
	clientSecret = "web-secret-0123456789"
	demoSecret   = "demo-secret-0123456789"
	otherSecret  = "other-secret-0123456789"
	redirect     = "http://127.0.0.1/cb"
	webRedirect  = "https://app.example/cb"
	verifier     = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

func newWorld(t *testing.T, policyDir string) *world {
	t.Helper()
	ctx := context.Background()
	serverKey := []byte(strings.Repeat("k", 32))
	store, err := storage.Open(ctx, storage.Config{Path: filepath.Join(t.TempDir(), "p.db"), ServerKey: serverKey})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	w := &world{T: t, ctx: ctx, store: store}
	hash, err := oauth.HashPassword("alice-password")
	must(t, err)
	must(t, oauth.SyncConfigured(ctx, store, oauth.Configured{Clients: testClients(), Resources: testResources(),
		Users: []oauth.User{{Name: "alice", PasswordHash: hash, Groups: []string{"staff"}}, {Name: "bob", PasswordHash: hash}}}))
	resources := testResources()
	w.catalogue, err = oauth.NewCatalogue(resources)
	must(t, err)
	w.engine, err = policies.New(ctx, policies.Config{Dir: policyDir, Defaults: true, Deadline: 5 * time.Second, Catalogue: w.catalogue.Resources(),
		Record: policies.RecordMasked, RecordKey: serverKey})
	must(t, err)
	w.wire(serverKey)
	return w
}

func (w *world) wire(serverKey []byte) {
	var err error
	w.keys, err = oauth.NewKeys(w.ctx, oauth.KeysConfig{Reader: w.store, Ledger: w.store, ServerKey: serverKey})
	must(w.T, err)
	w.issuer, err = oauth.NewIssuer(oauth.IssuerConfig{Issuer: issuerID, Keys: w.keys, ServerKey: serverKey, RefreshIdle: time.Hour, RefreshAbsolute: 2 * time.Hour, ReuseGrace: time.Minute})
	must(w.T, err)
	clients := storedClients{w.store}
	auth := oauth.NewClientAuthenticator()
	w.auth = oauth.NewAuthorization(oauth.AuthorizationConfig{Issuer: issuerID, Clients: clients, Resources: w.catalogue, Users: w.store, Sessions: w.store,
		Interactions: w.store, Grants: w.store, Policy: w.engine, Ledger: w.store, AccessTTL: 10 * time.Minute, RefreshAbsolute: 2 * time.Hour})
	w.login = oauth.NewLogin(oauth.LoginConfig{Users: w.store, Sessions: w.store, Interactions: w.store, Failures: w.store, Ledger: w.store, ServerKey: serverKey, SessionTTL: time.Hour})
	w.account = oauth.NewAccount(oauth.AccountConfig{Login: w.login, Users: w.store, Sessions: w.store, Grants: w.store, Clients: w.store, Resources: w.catalogue, Ledger: w.store})
	w.token, err = oauth.NewToken(oauth.TokenConfig{Clients: clients, Auth: auth, Resources: w.catalogue, Policy: w.engine, Issuer: w.issuer, Ledger: w.store, AccessTTL: 10 * time.Minute, Grants: []oauth.GrantType{
		oauth.AuthorizationCode{Codes: w.store, Users: w.store, Resources: w.catalogue, RefreshAbsolute: 2 * time.Hour},
		oauth.RefreshToken{Refreshes: w.store, Users: w.store, Resources: w.catalogue, Issuer: w.issuer},
	}})
	must(w.T, err)
	w.revoke = oauth.NewRevocation(oauth.RevocationConfig{Clients: clients, Auth: auth, Refreshes: w.store, States: w.store, Issuer: w.issuer, Ledger: w.store})
	tokens := oauth.NewTokenChecker(w.issuer, w.store)
	w.intro = oauth.NewIntrospection(oauth.IntrospectionConfig{Resources: w.catalogue, Auth: auth, Tokens: tokens})
	w.decide = oauth.NewDecider(oauth.DeciderConfig{Issuer: issuerID, Catalogue: w.catalogue, Auth: auth, Tokens: tokens, Clients: clients, Policy: w.engine, Tools: w.engine, Scopes: w.engine, Ledger: w.store, Usage: w.store, ServerKey: serverKey})
}

func testClients() []oauth.Client {
	grants := []string{"authorization_code", "refresh_token"}
	return []oauth.Client{
		{ID: publicID, Name: "Command line", RedirectURIs: []string{redirect}, AuthMethods: []string{"none"}, GrantTypes: grants},
		{ID: "cli2", Name: "Another", RedirectURIs: []string{redirect}, AuthMethods: []string{"none"}, GrantTypes: grants},
		{ID: secretID, Name: "Web app", RedirectURIs: []string{webRedirect}, AuthMethods: []string{"client_secret_basic", "client_secret_post"}, GrantTypes: grants, SecretHashes: [][]byte{oauth.HashSecret(clientSecret)}},
	}
}

func testResources() []oauth.Resource {
	yes, no := true, false
	return []oauth.Resource{
		{ID: demoID, Key: "demo", Name: "Demo", SecretHashes: [][]byte{oauth.HashSecret(demoSecret)}, Baseline: oauth.NewScopes("tools:weather.read"),
			Scopes: []oauth.ScopeInfo{{Name: "tools:weather.read", Description: "Read the weather"}, {Name: "tools:crm.write", Description: "Change customers"}},
			Tools: []oauth.Tool{
				{Name: "get_weather", Scopes: oauth.NewScopes("tools:weather.read"), Annotations: oauth.Annotations{ReadOnlyHint: &yes},
					InputSchema: map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []any{"city"}, "additionalProperties": false}},
				{Name: "crm_update", Scopes: oauth.NewScopes("tools:crm.write"), Annotations: oauth.Annotations{DestructiveHint: &no}},
			}},
		{ID: otherID, Key: "other", Name: "Other", SecretHashes: [][]byte{oauth.HashSecret(otherSecret)}, Baseline: oauth.NewScopes("tools:x.read"),
			Scopes: []oauth.ScopeInfo{{Name: "tools:x.read", Description: "Read x"}}},
	}
}

// authorizeParams are those of a good request; pairs change them, "" removes one.
func authorizeParams(pairs ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	p := url.Values{"response_type": {"code"}, "client_id": {publicID}, "redirect_uri": {"http://127.0.0.1:5555/cb"}, "state": {"s-1"}, "resource": {demoID},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			p.Del(pairs[i])
		} else {
			p.Set(pairs[i], pairs[i+1])
		}
	}
	return p
}

// loggedIn begins a request and logs the person in.
func (w *world) loggedIn(user string, params url.Values) (id string, b oauth.Browser) {
	w.Helper()
	b = oauth.Browser{IP: "127.0.0.1"}
	begun, err := w.auth.Begin(w.ctx, params, b)
	must(w.T, err)
	b.ID = begun.BrowserID
	step, err := w.auth.Resume(w.ctx, begun.InteractionID, b)
	must(w.T, err)
	ask, ok := step.(oauth.LoginStep)
	if !ok {
		w.Fatalf("before the login the step is %T", step)
	}
	in, err := w.login.Login(w.ctx, b, oauth.LoginForm{InteractionID: begun.InteractionID, FormToken: ask.FormToken, Username: user, Password: "alice-password"})
	must(w.T, err)
	b.SessionID = in.SessionID
	return begun.InteractionID, b
}

// consented walks to the redirect and ticks everything that is offered.
func (w *world) consented(user string, params url.Values) url.Values {
	w.Helper()
	id, b := w.loggedIn(user, params)
	step, err := w.auth.Resume(w.ctx, id, b)
	must(w.T, err)
	ask, ok := step.(oauth.ConsentStep)
	if !ok {
		w.Fatalf("after the login the step is %#v", step)
	}
	var all []string
	for _, s := range ask.Scopes {
		all = append(all, s.Name)
	}
	step, err = w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: ask.FormToken, Allow: true, Scopes: all})
	must(w.T, err)
	return w.redirected(step)
}

func (w *world) redirected(step oauth.Step) url.Values {
	w.Helper()
	r, ok := step.(oauth.RedirectStep)
	if !ok {
		w.Fatalf("the step is %#v", step)
	}
	u, err := url.Parse(r.URL)
	must(w.T, err)
	return u.Query()
}

// exchange redeems a code as the public client.
func (w *world) exchange(code string, pairs ...string) (*oauth.TokenResponse, error) {
	return w.tokenRequest(append([]string{"grant_type", "authorization_code", "client_id", publicID, "code", code, "code_verifier", verifier, "redirect_uri", "http://127.0.0.1:5555/cb"}, pairs...)...)
}

func (w *world) refresh(token string, pairs ...string) (*oauth.TokenResponse, error) {
	return w.tokenRequest(append([]string{"grant_type", "refresh_token", "client_id", publicID, "refresh_token", token}, pairs...)...)
}

// tokenRequest posts a form; a later pair replaces an earlier one, "" removes it.
func (w *world) tokenRequest(pairs ...string) (*oauth.TokenResponse, error) {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	return w.token.Token(w.ctx, oauth.DirectRequest{Form: form})
}

// tokens is a whole login: the token response of alice for all scopes.
func (w *world) tokens() *oauth.TokenResponse {
	w.Helper()
	out, err := w.exchange(w.consented("alice", authorizeParams("scope", "tools:weather.read tools:crm.write offline_access")).Get("code"))
	must(w.T, err)
	return out
}

func (w *world) active(token string) bool {
	w.Helper()
	out, err := w.intro.Introspect(w.ctx, oauth.DirectRequest{Form: url.Values{"token": {token}}, Authorization: basic("demo", demoSecret)})
	must(w.T, err)
	return out.Active
}

// call asks the decision endpoint as the demo server.
func (w *world) call(token, tool string, args map[string]any) *oauth.EvaluationResponse {
	w.Helper()
	out, err := w.decide.Evaluate(w.ctx, "Bearer "+demoSecret, oauth.EvaluationRequest{
		Action: &oauth.AuthZENAction{Name: "tools/call"}, Resource: &oauth.AuthZENResource{Type: "tool", ID: tool, Properties: map[string]any{"arguments": args}},
		Context: map[string]any{"access_token": token}})
	must(w.T, err)
	return out
}

func basic(user, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks the wire code and the machine word of an error.
func refused(t *testing.T, err error, code, reason string) {
	t.Helper()
	var e *oauth.Error
	if !errors.As(err, &e) {
		t.Fatalf("want %s/%s, got %v", code, reason, err)
	}
	if e.Code.Name != code || reason != "" && e.ReasonOrCode() != reason {
		t.Fatalf("want %s/%s, got %s/%s: %s", code, reason, e.Code.Name, e.ReasonOrCode(), e.Description)
	}
}

// storedClients resolves registered clients and nothing else.
type storedClients struct{ oauth.ClientReader }

func (s storedClients) Client(ctx context.Context, id string, _ time.Duration) (*oauth.Client, error) {
	c, err := s.ClientReader.Client(ctx, id)
	if err == nil && (c.Disabled || !c.ExpiresAt.IsZero() && !time.Now().Before(c.ExpiresAt)) {
		return nil, oauth.ErrNotFound
	}
	return c, err
}
