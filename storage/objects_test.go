package storage

import (
	"encoding/json"
	"testing"
	"time"

	"portcullis/oauth"
)

func TestUsersAndSessions(t *testing.T) {
	s := open(t, testConfig(t))
	alice := oauth.User{ID: "u1", Name: "alice", Groups: []string{}, PasswordHash: "h", Source: oauth.SourceAPI, CreatedAt: second(0)}
	bob := oauth.User{ID: "u2", Name: "bob", Source: oauth.SourceConfig, CreatedAt: second(1)}
	commit(t, s, oauth.SaveUser{User: bob}, oauth.SaveUser{User: alice})
	got, err := s.UserByName(t.Context(), "alice")
	same(t, got, err, alice)
	stolen := bob
	stolen.Name = "alice"
	conflict(t, s, oauth.SaveUser{User: stolen})
	alice.Name, alice.Groups, alice.Disabled = "alicia", []string{"staff"}, true
	commit(t, s, oauth.SaveUser{User: alice})
	got, err = s.User(t.Context(), "u1")
	same(t, got, err, alice)
	_, err = s.User(t.Context(), "u3")
	notFound(t, err)
	users, err := s.Users(t.Context())
	same(t, &users, err, []oauth.User{alice, bob})
	configured, err := s.ConfiguredUsers(t.Context())
	same(t, &configured, err, []oauth.User{bob})

	session := func(name string) oauth.Session {
		return oauth.Session{Hash: digest(name), UserID: "u2", AuthTime: second(1), ACR: "pwd", AMR: []string{"pwd"}, ExpiresAt: second(900)}
	}
	commit(t, s, oauth.SaveSession{Session: session("a")}, oauth.SaveSession{Session: session("b")}, oauth.SaveSession{Session: session("c")})
	conflict(t, s, oauth.SaveSession{Session: session("a")})
	read, err := s.Session(t.Context(), digest("a"))
	same(t, read, err, session("a"))
	commit(t, s, oauth.EndSession{Hash: digest("a")})
	_, err = s.Session(t.Context(), digest("a"))
	notFound(t, err)
	commit(t, s, oauth.EndSessions{UserID: "u2", Except: digest("c")})
	_, err = s.Session(t.Context(), digest("b"))
	notFound(t, err)
	if _, err := s.Session(t.Context(), digest("c")); err != nil {
		t.Error(err)
	}
	commit(t, s, oauth.EndSessions{UserID: "u2"})
	_, err = s.Session(t.Context(), digest("c"))
	notFound(t, err)
}

func TestLoginFailures(t *testing.T) {
	s := open(t, testConfig(t))
	check := func(count int, last time.Time) {
		t.Helper()
		if n, at, err := s.Failures(t.Context(), "user:alice"); err != nil || n != count || !at.Equal(last) {
			t.Errorf("%d %v %v, want %d %v", n, at, err, count, last)
		}
	}
	check(0, time.Time{})
	commit(t, s, oauth.CountFailure{Key: "user:alice", At: second(1)})
	commit(t, s, oauth.CountFailure{Key: "user:alice", At: second(7)}, oauth.CountFailure{Key: "user:bob", At: second(8)})
	check(2, second(7))
	commit(t, s, oauth.ForgetFailures{Key: "user:alice"})
	check(0, time.Time{})
}

func TestClients(t *testing.T) {
	s := open(t, testConfig(t))
	c := oauth.Client{ID: "https://c.example/client.json", Name: "C <&>", Registration: oauth.RegistrationCIMD, Source: oauth.SourceSelf,
		RedirectURIs: []string{"http://127.0.0.1/cb?a=\"b\"", "cursor://x"}, AuthMethods: []string{"none"}, GrantTypes: []string{"authorization_code"},
		SecretHashes: [][]byte{digest("s1"), digest("s2")}, Scope: oauth.NewScopes("a:1"), Ceiling: oauth.Scopes{}, ClientURI: "https://c.example",
		SoftwareID: "s", Digest: "d", Document: []byte(`{"x":1}`), CreatedAt: second(0), ExpiresAt: second(900), FetchedAt: second(1), FreshUntil: second(2)}
	commit(t, s, oauth.SaveClient{Client: c})
	got, err := s.Client(t.Context(), c.ID)
	same(t, got, err, c) // an empty ceiling stays apart from none
	commit(t, s, oauth.TouchClient{ID: c.ID, At: second(10)})
	c.LastUsedAt, c.ExpiresAt = second(10), time.Time{}
	got, err = s.Client(t.Context(), c.ID)
	same(t, got, err, c)
	commit(t, s, oauth.TouchClient{ID: c.ID, At: second(50)}) // within the minute
	got, err = s.Client(t.Context(), c.ID)
	same(t, got, err, c)

	replaced := oauth.Client{ID: c.ID, Name: "new", Registration: oauth.RegistrationStatic, Source: oauth.SourceConfig, CreatedAt: second(500)}
	commit(t, s, oauth.SaveClient{Client: replaced})
	replaced.CreatedAt, replaced.LastUsedAt = second(0), second(10)
	got, err = s.Client(t.Context(), c.ID)
	same(t, got, err, replaced)
	configured, err := s.ConfiguredClients(t.Context())
	same(t, &configured, err, []oauth.Client{replaced})
	commit(t, s, oauth.DisableClient{ID: c.ID, At: second(3)})
	if got, err = s.Client(t.Context(), c.ID); err != nil || !got.Disabled {
		t.Errorf("%v %+v", err, got)
	}
	if all, err := s.Clients(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v %+v", err, all)
	}
	_, err = s.Client(t.Context(), "unknown")
	notFound(t, err)
}

func TestResources(t *testing.T) {
	s := open(t, testConfig(t))
	yes := true
	r := oauth.Resource{ID: "https://r.example/mcp", Key: "r", Name: "R", SecretHashes: [][]byte{digest("s")},
		Scopes: []oauth.ScopeInfo{{Name: "a:1", Description: "One", Risk: "low"}}, Baseline: oauth.NewScopes("a:1"),
		Tools: []oauth.Tool{{Name: "pay", Scopes: oauth.NewScopes("a:1"), Annotations: oauth.Annotations{DestructiveHint: &yes},
			InputSchema: map[string]any{"maximum": json.Number("12345678901234567890.125"), "type": "object"}}},
		Source: oauth.SourceConfig}
	commit(t, s, oauth.SaveResource{Resource: r})
	got, err := s.Resource(t.Context(), r.ID)
	same(t, got, err, r)
	configured, err := s.ConfiguredResources(t.Context())
	same(t, &configured, err, []string{r.ID})
	stored(t, s, r)
	r.Name, r.Tools = "R2", nil
	commit(t, s, oauth.SaveResource{Resource: r}, oauth.DisableResource{ID: r.ID, At: second(1)})
	r.Disabled = true
	configured, err = s.ConfiguredResources(t.Context())
	same(t, &configured, err, []string(nil))
	all, err := s.Resources(t.Context())
	same(t, &all, err, []oauth.Resource{r})
}

// stored fails the test unless the store has the resource, and not one that differs in anything.
func stored(t *testing.T, s *Store, r oauth.Resource) {
	t.Helper()
	if has, err := s.HasResource(t.Context(), &r); err != nil || !has {
		t.Errorf("what was stored is not there: %v", err)
	}
	for name, change := range map[string]func(*oauth.Resource){
		"id":       func(r *oauth.Resource) { r.ID += "x" },
		"key":      func(r *oauth.Resource) { r.Key += "x" },
		"name":     func(r *oauth.Resource) { r.Name += "x" },
		"secrets":  func(r *oauth.Resource) { r.SecretHashes = append(r.SecretHashes, digest("t")) },
		"scopes":   func(r *oauth.Resource) { r.Scopes = append(r.Scopes, oauth.ScopeInfo{Name: "b:1", Description: "B"}) },
		"baseline": func(r *oauth.Resource) { r.Baseline = nil },
		"tools":    func(r *oauth.Resource) { r.Tools = append(r.Tools, oauth.Tool{Name: "more"}) },
		"schema": func(r *oauth.Resource) {
			r.Tools = []oauth.Tool{r.Tools[0]}
			r.Tools[0].InputSchema = map[string]any{"maximum": json.Number("12345678901234567890.126"), "type": "object"}
		},
		"source":   func(r *oauth.Resource) { r.Source = "" },
		"disabled": func(r *oauth.Resource) { r.Disabled = true },
	} {
		other := r
		change(&other)
		if has, err := s.HasResource(t.Context(), &other); err != nil || has {
			t.Errorf("another %s is no difference: %v", name, err)
		}
	}
}

func TestSigningKeys(t *testing.T) {
	s := open(t, testConfig(t))
	k := oauth.SigningKey{KID: "k1", Algorithm: "ES256", State: "active", Sealed: []byte("sealed"), CreatedAt: second(0), ActivatedAt: second(1)}
	next := oauth.SigningKey{KID: "k0", Algorithm: "ES256", State: "next", Sealed: []byte("sealed2"), CreatedAt: second(5)}
	commit(t, s, oauth.SaveSigningKey{Key: next}, oauth.SaveSigningKey{Key: k})
	keys, err := s.SigningKeys(t.Context())
	same(t, &keys, err, []oauth.SigningKey{k, next})
	conflict(t, s, oauth.DropSigningKey{KID: "k1"}) // tokens may be signed with it
	update := oauth.SigningKey{KID: "k1", State: "retiring", Sealed: []byte("other"), ActivatedAt: second(1), RetiredAt: second(9)}
	commit(t, s, oauth.SaveSigningKey{Key: update})
	k.State, k.RetiredAt = "retiring", second(9)
	keys, err = s.SigningKeys(t.Context())
	same(t, &keys, err, []oauth.SigningKey{k, next})
	commit(t, s, oauth.DropSigningKey{KID: "k1"})
	commit(t, s, oauth.DropSigningKey{KID: "k1"}) // it is gone already
	keys, err = s.SigningKeys(t.Context())
	same(t, &keys, err, []oauth.SigningKey{next})
}

// A reader that read before a COMMIT must not put what it read into the cache after it.
func TestTheClientCacheNeverServesWhatACommitReplaced(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, oauth.SaveClient{Client: oauth.Client{ID: "c", Name: "old"}})
	_, epoch, _ := s.clients.get("c")
	stale, err := s.Reader.Client(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, oauth.SaveClient{Client: oauth.Client{ID: "c", Name: "new"}})
	s.clients.keep(stale, epoch)
	if got, err := s.Client(t.Context(), "c"); err != nil || got.Name != "new" {
		t.Errorf("%v %+v", err, got)
	}
	if _, _, ok := s.clients.get("c"); !ok {
		t.Error("nothing is cached, so nothing was tested")
	}
	got, err := s.Client(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	got.Name = "changed by a caller"
	if again, err := s.Client(t.Context(), "c"); err != nil || again.Name != "new" {
		t.Errorf("%v %+v", err, again)
	}
}
