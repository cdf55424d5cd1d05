package oauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/storage"
)

// registry is a registration endpoint with the real storage and policies.
type registry struct {
	t        *testing.T
	store    *storage.Store
	endpoint *oauth.RegistrationEndpoint
}

func newRegistry(t *testing.T, policy string, tokens ...string) *registry {
	t.Helper()
	store, err := storage.Open(t.Context(), storage.Config{Path: filepath.Join(t.TempDir(), "p.db"), ServerKey: []byte(strings.Repeat("k", 32))})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	r := &registry{t: t, store: store}
	r.endpoint = r.with(clientPolicy(t, policy), tokens...)
	return r
}

func (r *registry) with(engine *policies.Engine, tokens ...string) *oauth.RegistrationEndpoint {
	var hashes [][]byte
	for _, token := range tokens {
		hashes = append(hashes, oauth.HashSecret(token))
	}
	return oauth.NewRegistration(oauth.RegistrationConfig{TokenHashes: hashes, GrantTypes: []string{"authorization_code", "refresh_token"},
		Clients: r.store, Policy: engine, Ledger: r.store})
}

// register sends a request body from an address and gives the answer as JSON members.
func (r *registry) register(ip, authorization, body string) (map[string]any, error) {
	r.t.Helper()
	var m oauth.ClientMetadata
	must(r.t, oauth.DecodeStrict([]byte(body), &m))
	out, err := r.endpoint.Register(from(ip), authorization, m)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(out)
	must(r.t, err)
	if strings.Contains(string(text), "null") {
		r.t.Errorf("the answer holds null: %s", text)
	}
	var members map[string]any
	must(r.t, json.Unmarshal(text, &members))
	return members, nil
}

func (r *registry) stored(id any) *oauth.Client {
	r.t.Helper()
	c, err := r.store.Client(r.t.Context(), id.(string))
	must(r.t, err)
	return c
}

func (r *registry) events() (types []string) {
	rows, err := r.store.Audit().Tail(r.t.Context(), 100)
	must(r.t, err)
	for _, row := range rows {
		types = append(types, row.Event.Type)
	}
	return types
}

const cursorURI = "cursor://anysphere.cursor-mcp/oauth/callback"

// D5: the requests are those that real clients send (facts/mcp-spec.md CL-11, CL-30, CL-33; facts/interop.md 14, 18).
func TestRealClientsRegister(t *testing.T) {
	for _, row := range []struct {
		name, policy, body string
		want               string // members of the answer, without id, time and secret
		secret             bool
	}{
		{"Claude Code", "", `{"client_name":"Claude Code (everything)","redirect_uris":["http://localhost:53211/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			`{"client_name":"Claude Code (everything)","redirect_uris":["http://localhost:53211/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`, false},
		{"Claude on the web", "", `{"client_name":"Claude","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"client_secret_post","scope":"claudeai"}`,
			`{"client_name":"Claude","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"client_secret_post","scope":"claudeai"}`, true},
		{"Cursor without a rule for its scheme", "", `{"client_name":"Cursor","redirect_uris":["` + cursorURI + `","https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"web"}`,
			`{"client_name":"Cursor","redirect_uris":["https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"web"}`, false},
		{"Cursor with a rule for its scheme", `allow_redirect contains "` + cursorURI + `"`, `{"client_name":"Cursor","redirect_uris":["` + cursorURI + `","https://www.cursor.com/agents/mcp/oauth/callback"],"token_endpoint_auth_method":"none"}`,
			`{"client_name":"Cursor","redirect_uris":["` + cursorURI + `","https://www.cursor.com/agents/mcp/oauth/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`, false},
		{"VS Code", "", `{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com","grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","application_type":"native"}`,
			`{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com","grant_types":["authorization_code","refresh_token"],"response_types":["code"],"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","application_type":"native"}`, false},
		{"ChatGPT", "", `{"client_name":"ChatGPT","redirect_uris":["https://chatgpt.com/connector_platform_oauth_redirect"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			`{"client_name":"ChatGPT","redirect_uris":["https://chatgpt.com/connector_platform_oauth_redirect"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`, false},
		{"the least", "", `{"redirect_uris":["https://app.example/cb"]}`,
			`{"redirect_uris":["https://app.example/cb"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"client_secret_basic"}`, true},
		{"members that mean nothing here", "", `{"redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"none","client_uri":"javascript:alert(1)","application_type":"toaster","client_id":"me","client_secret":"s","groups":["admin"],"logo_uri":"data:x"}`,
			`{"redirect_uris":["https://app.example/cb"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRegistry(t, row.policy)
			got, err := r.register("192.0.2.1", "", row.body)
			must(t, err)
			id, secret := got["client_id"], got["client_secret"]
			if !regexp.MustCompile(`^[A-Za-z0-9._~-]{20,}$`).MatchString(id.(string)) {
				t.Errorf("client_id %v", id)
			}
			if age := time.Since(time.Unix(int64(got["client_id_issued_at"].(float64)), 0)); age < 0 || age > time.Minute {
				t.Errorf("issued %v ago", age)
			}
			if _, ends := got["client_secret_expires_at"]; (secret != nil) != row.secret || ends != row.secret || row.secret && got["client_secret_expires_at"] != 0.0 {
				t.Errorf("secret %v, ends %v", secret, got["client_secret_expires_at"])
			}
			for _, name := range []string{"client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at"} {
				delete(got, name)
			}
			var want map[string]any
			must(t, json.Unmarshal([]byte(row.want), &want))
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("registered\n%v, want\n%v", got, want)
			}
			c := r.stored(id)
			if c.Public() == row.secret || row.secret != (len(c.SecretHashes) == 1) || c.Source != oauth.SourceSelf || c.Registration != oauth.RegistrationDCR {
				t.Errorf("stored %+v", c)
			}
			if row.secret && !oauth.SameSecret(secret.(string), c.SecretHashes) {
				t.Error("the secret that was shown is not the one that is stored")
			}
			if left := time.Until(c.ExpiresAt); left < 23*time.Hour || left > 25*time.Hour {
				t.Errorf("never used, expires in %v", left)
			}
			if !slices.Equal(r.events(), []string{oauth.EventClientRegistered}) {
				t.Errorf("events %v", r.events())
			}
		})
	}
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`"https://app.example/cb",`, 17), ",")
	r := newRegistry(t, "")
	for i, row := range []struct{ name, body, want string }{
		{"no redirects", `{}`, "invalid_redirect_uri"},
		{"empty redirects", `{"redirect_uris":[]}`, "invalid_redirect_uri"},
		{"17 redirects", `{"redirect_uris":[` + many + `]}`, "invalid_redirect_uri"},
		{"R5 http", `{"redirect_uris":["http://app.example/cb"]}`, "invalid_redirect_uri"},
		{"one http among good ones", `{"redirect_uris":["https://app.example/cb","http://app.example/cb"]}`, "invalid_redirect_uri"},
		{"D1 script", `{"redirect_uris":["JaVaScRiPt:alert(1)"]}`, "invalid_redirect_uri"},
		{"D1 data", `{"redirect_uris":["data:text/html,x"]}`, "invalid_redirect_uri"},
		{"fragment", `{"redirect_uris":["https://app.example/cb#"]}`, "invalid_redirect_uri"},
		{"R3 userinfo", `{"redirect_uris":["https://good@evil.example/"]}`, "invalid_redirect_uri"},
		{"R8 code in the query", `{"redirect_uris":["https://app.example/cb?code=x"]}`, "invalid_redirect_uri"},
		{"private scheme only", `{"redirect_uris":["` + cursorURI + `"],"token_endpoint_auth_method":"none"}`, "invalid_redirect_uri/redirect_uri_not_allowed"},
		{"key method", `{"redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata"},
		{"D4 client credentials", `{"redirect_uris":["https://app.example/cb"],"grant_types":["client_credentials"]}`, "invalid_client_metadata"},
		{"refresh only", `{"redirect_uris":["https://app.example/cb"],"grant_types":["refresh_token"]}`, "invalid_client_metadata"},
		{"implicit", `{"redirect_uris":["https://app.example/cb"],"response_types":["token"]}`, "invalid_client_metadata"},
		{"long name", `{"redirect_uris":["https://app.example/cb"],"client_name":"` + strings.Repeat("x", 201) + `"}`, "invalid_client_metadata"},
		{"bad scope", `{"redirect_uris":["https://app.example/cb"],"scope":"a \"b\""}`, "invalid_client_metadata"},
		{"long scope", `{"redirect_uris":["https://app.example/cb"],"scope":"` + strings.Repeat("abc ", 600) + `"}`, "invalid_client_metadata"},
	} {
		_, err := r.register(fmt.Sprintf("198.51.%d.1", i), "", row.body)
		if got := reasonOf(err); got != row.want && !strings.HasPrefix(got, row.want+"/") {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
	if len(r.events()) != 0 {
		t.Errorf("refused registrations left %v", r.events())
	}
}

func TestPublicRegistrationIsIdempotent(t *testing.T) {
	r := newRegistry(t, "")
	const body = `{"client_name":"Claude Code","redirect_uris":["http://localhost:%d/callback"],"token_endpoint_auth_method":"none"}`
	first, err := r.register("192.0.2.1", "", fmt.Sprintf(body, 1111))
	must(t, err)
	second, err := r.register("203.0.113.5", "", fmt.Sprintf(body, 2222))
	must(t, err)
	if first["client_id"] != second["client_id"] || !slices.Equal(r.events(), []string{oauth.EventClientRegistered}) {
		t.Errorf("ids %v and %v, events %v", first["client_id"], second["client_id"], r.events())
	}
	if fmt.Sprint(second["redirect_uris"]) != "[http://localhost:2222/callback]" {
		t.Errorf("the second was told %v", second["redirect_uris"])
	}
	if target, err := oauth.ProveRedirect(r.stored(first["client_id"]), "http://localhost:2222/callback"); err != nil {
		t.Errorf("the second cannot use its redirect %v: %v", target, err)
	}
	for name, other := range map[string]string{
		"name": `{"client_name":"Claude Cod","redirect_uris":["http://localhost:1/callback"],"token_endpoint_auth_method":"none"}`,
		"host": `{"client_name":"Claude Code","redirect_uris":["http://127.0.0.1:1/callback"],"token_endpoint_auth_method":"none"}`,
		"path": `{"client_name":"Claude Code","redirect_uris":["http://localhost:1/cb"],"token_endpoint_auth_method":"none"}`,
	} {
		third, err := r.register("203.0.113.6", "", other)
		must(t, err)
		if third["client_id"] == first["client_id"] {
			t.Errorf("another %s has the same id", name)
		}
	}
	secret := `{"redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"client_secret_post"}`
	a, err := r.register("203.0.113.7", "", secret)
	must(t, err)
	b, err := r.register("203.0.113.7", "", secret)
	must(t, err)
	if a["client_id"] == b["client_id"] || a["client_secret"] == b["client_secret"] {
		t.Error("D8: two clients with secrets share something")
	}
}

func TestRepeatedRegistrationKeepsAClientAlive(t *testing.T) {
	r := newRegistry(t, "")
	const body = `{"redirect_uris":["http://localhost:1/cb"],"token_endpoint_auth_method":"none"}`
	first, err := r.register("192.0.2.1", "", body)
	must(t, err)
	change := func(f func(*oauth.Client)) {
		c := *r.stored(first["client_id"])
		f(&c)
		must(t, r.store.Commit(t.Context(), oauth.SaveClient{Client: c}))
	}
	again := func() *oauth.Client {
		t.Helper()
		next, err := r.register("192.0.2.1", "", body)
		must(t, err)
		if next["client_id"] != first["client_id"] {
			t.Fatalf("another id: %v", next["client_id"])
		}
		return r.stored(first["client_id"])
	}
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	change(func(c *oauth.Client) { c.ExpiresAt = soon })
	if c := again(); !c.ExpiresAt.After(soon) || len(r.events()) != 1 {
		t.Errorf("soon to expire: %v, events %v", c.ExpiresAt, r.events())
	}
	change(func(c *oauth.Client) { c.ExpiresAt = time.Now().Add(-time.Hour) })
	if c := again(); !c.ExpiresAt.After(time.Now()) || len(r.events()) != 2 {
		t.Errorf("expired: %v, events %v", c.ExpiresAt, r.events())
	}
	must(t, r.store.Commit(t.Context(), oauth.TouchClient{ID: first["client_id"].(string), At: time.Now()}))
	if c := again(); !c.ExpiresAt.IsZero() || c.LastUsedAt.IsZero() || len(r.events()) != 2 {
		t.Errorf("in use: expires %v, last used %v, events %v", c.ExpiresAt, c.LastUsedAt, r.events())
	}
	must(t, r.store.Commit(t.Context(), oauth.DisableClient{ID: first["client_id"].(string), Reason: "test", At: time.Now()}))
	if _, err := r.register("192.0.2.1", "", body); reasonOf(err) != "access_denied/client_disabled" {
		t.Errorf("disabled: %v", err)
	}
}

func TestPolicyDecidesAboutRegistrations(t *testing.T) {
	r := newRegistry(t, `scope_ceiling := ["a"]
		ttl := 3600
		deny contains {"code": "bad_name", "message": "this name is taken"} if input.client.name == "Claude"`)
	const body = `{"client_name":"%s","redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none"}`
	got, err := r.register("192.0.2.1", "", fmt.Sprintf(body, "Other"))
	must(t, err)
	c := r.stored(got["client_id"])
	if left := time.Until(c.ExpiresAt); c.Ceiling.String() != "a" || left > time.Hour || left < 50*time.Minute {
		t.Errorf("ceiling %v, expires in %v", c.Ceiling, left)
	}
	if _, err := r.register("192.0.2.1", "", fmt.Sprintf(body, "Claude")); reasonOf(err) != "access_denied/bad_name" || !strings.Contains(err.Error(), "this name is taken") {
		t.Errorf("denied: %v", err)
	}
	r.endpoint = r.with(clientPolicy(t, `scope_ceiling := ["b"]`))
	if _, err := r.register("192.0.2.1", "", fmt.Sprintf(body, "Other")); err != nil || r.stored(got["client_id"]).Ceiling.String() != "b" {
		t.Errorf("a new ceiling: %v, %v", r.stored(got["client_id"]).Ceiling, err)
	}
	if want := []string{oauth.EventClientRegistered, oauth.EventClientChanged}; !slices.Equal(r.events(), want) {
		t.Errorf("events %v, want %v", r.events(), want)
	}
	confidential := `{"redirect_uris":["` + cursorURI + `","https://app.example/cb"],"token_endpoint_auth_method":"client_secret_post"}`
	r.endpoint = r.with(clientPolicy(t, `allow_redirect contains "`+cursorURI+`"`))
	got, err = r.register("192.0.2.2", "", confidential)
	must(t, err)
	if fmt.Sprint(got["redirect_uris"]) != "[https://app.example/cb]" {
		t.Errorf("a client with a secret got a private-use redirect: %v", got["redirect_uris"])
	}
}

func TestInitialAccessToken(t *testing.T) {
	r := newRegistry(t, "", "let-me-in-please", "me-too")
	const body = `{"redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none"}`
	for authorization, good := range map[string]bool{
		"Bearer let-me-in-please": true, "bearer me-too": true,
		"": false, "Bearer": false, "Bearer ": false, "Bearer let-me-in-pleas": false, "Bearer let-me-in-please2": false, "Basic let-me-in-please": false,
		"let-me-in-please": false, "Bearer let-me-in-please, Bearer me-too": false,
	} {
		_, err := r.register("192.0.2.1", authorization, body)
		if good && err != nil || !good && reasonOf(err) != "invalid_token/registration_token" {
			t.Errorf("%q: %v", authorization, err)
		}
	}
	var last error
	for range 40 {
		_, last = r.register("192.0.2.1", "Bearer guess", body)
	}
	if oauth.AsError(last).Code != oauth.SlowDown {
		t.Errorf("after many guesses: %v", last)
	}
	if _, err := r.register("192.0.2.1", "Bearer me-too", body); err != nil {
		t.Errorf("the right token after many guesses: %v", err)
	}
}

func TestRegistrationsAreLimited(t *testing.T) {
	r := newRegistry(t, "")
	const body = `{"client_name":"%d","redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none"}`
	codes := map[string]int{}
	for i := range 40 {
		_, err := r.register("192.0.2.1", "", fmt.Sprintf(body, i))
		if err == nil {
			codes["ok"]++
			continue
		}
		e := oauth.AsError(err)
		codes[e.Code.Name]++
		if e.Code.Status != 429 || e.RetryAfter <= 0 {
			t.Errorf("%v, retry after %v", e, e.RetryAfter)
		}
	}
	if want := map[string]int{"ok": 30, "temporarily_unavailable": 10}; !maps.Equal(codes, want) {
		t.Errorf("one address: %v, want %v", codes, want)
	}
	for i := range 200 {
		_, err := r.endpoint.Register(from(fmt.Sprintf("203.%d.%d.1", i/250, i%250)), "", oauth.ClientMetadata{})
		if oauth.AsError(err).Code == oauth.SlowDown {
			if i < 160 || i > 180 {
				t.Errorf("the common limit came after %d more", i)
			}
			return
		}
	}
	t.Error("no common limit")
}

// FuzzRegister (D3): what is stored is what was asked for or less, what is told is what is stored, and no answer is a fault of ours.
func FuzzRegister(f *testing.F) {
	f.Add(`{"redirect_uris":["http://localhost:1/cb"],"token_endpoint_auth_method":"none","scope":"a b"}`)
	f.Add(`{"redirect_uris":["` + cursorURI + `","https://a.example/"],"client_name":"\u202ex","grant_types":["refresh_token","authorization_code"]}`)
	f.Add(`{"redirect_uris":[null],"grant_types":null}`)
	admit := admitAll{}
	f.Fuzz(func(t *testing.T, body string) {
		var m oauth.ClientMetadata
		if oauth.DecodeStrict([]byte(body), &m) != nil {
			return
		}
		var saved oauth.Client
		endpoint := oauth.NewRegistration(oauth.RegistrationConfig{GrantTypes: []string{"authorization_code", "refresh_token"}, Clients: admit, Policy: admit, Ledger: keeper{&saved}})
		out, err := endpoint.Register(from("192.0.2.1"), "", m)
		if err != nil {
			if code := oauth.AsError(err).Code; code.Status >= 500 {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if out.ClientID != saved.ID || strings.HasPrefix(out.ClientID, "https:") || (out.ClientSecret == "") != saved.Public() {
			t.Errorf("%q: told %+v, stored %+v", body, out, saved)
		}
		asked, _ := oauth.ParseScopes(m.Scope)
		if len(asked.Missing(saved.Scope)) > 0 || saved.Trusted() || !saved.MayUse("authorization_code") || saved.MayUse("client_credentials") {
			t.Errorf("%q: more than was asked for or may be had: %+v", body, saved)
		}
		if out.ClientSecret != "" && !oauth.SameSecret(out.ClientSecret, saved.SecretHashes) {
			t.Errorf("%q: the secret that was told is not the stored one", body)
		}
		for _, uri := range saved.RedirectURIs {
			if !slices.Contains(m.RedirectURIs, uri) {
				t.Errorf("registered %q, which was not asked for", uri)
			}
			if kind := oauth.RedirectKindOf(uri); kind != oauth.RedirectWeb && kind != oauth.RedirectLoopback {
				t.Errorf("registered %q", uri)
			}
		}
	})
}

// admitAll knows no client and admits every one, but no private-use redirect.
type admitAll struct{}

func (admitAll) Client(context.Context, string) (*oauth.Client, error) {
	return nil, oauth.ErrNotFound
}

func (admitAll) Admit(context.Context, oauth.ClientRequest) (oauth.ClientDecision, error) {
	return oauth.ClientDecision{Allow: true}, nil
}

// keeper is a ledger that keeps the last client, so that fuzzing needs no disk.
type keeper struct{ last *oauth.Client }

func (k keeper) Commit(_ context.Context, changes ...oauth.Change) error {
	for _, c := range changes {
		if s, ok := c.(oauth.SaveClient); ok {
			*k.last = s.Client
		}
	}
	return nil
}
