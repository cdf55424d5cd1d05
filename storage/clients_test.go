package storage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"portcullis/oauth"
)

// copyClient makes clients 1 to n-1 out of client 0.
func copyClient(t *testing.T, path, prefix string, n int) {
	t.Helper()
	db, err := openPool(dsn(path, "rw", time.Second), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `CREATE TEMP TABLE copies AS SELECT * FROM clients WHERE id = $1 || '0';
		WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < $2 - 1)
		INSERT INTO clients SELECT $1 || n, name, registration, source, redirect_uris, auth_methods, grant_types, secret_hashes, scope, ceiling, client_uri, software_id,
		digest, created_at, last_used_at, expires_at, fetched_at, fresh_until, disabled, document FROM copies, numbers`, prefix, n)
	if err != nil {
		t.Fatal(err)
	}
}

// M9: a stranger with many URLs makes no more than a bounded number of rows, at the expense of the ones that nobody has asked for the longest. What
// people use stays, and so does what came by another way.
func TestAFloodOfDocumentsIsBounded(t *testing.T) {
	cfg := testConfig(t)
	s := open(t, cfg)
	document := func(id string, at int64, lasting bool) oauth.SaveClient {
		c := oauth.Client{ID: id, Registration: oauth.RegistrationCIMD, Source: oauth.SourceSelf, CreatedAt: second(at), FetchedAt: second(at), ExpiresAt: second(86400)}
		if lasting {
			c.ExpiresAt, c.LastUsedAt = time.Time{}, second(at)
		}
		return oauth.SaveClient{Client: c}
	}
	commit(t, s, oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice", Source: oauth.SourceAPI}},
		oauth.SaveResource{Resource: oauth.Resource{ID: "r", Key: "r", Name: "R"}},
		document("https://used.example/c", 0, true), document("https://granted.example/c", 0, false), document("https://forgotten.example/c", 0, false),
		oauth.SaveClient{Client: oauth.Client{ID: "dcr_1", Registration: oauth.RegistrationDCR, Source: oauth.SourceSelf, ExpiresAt: second(86400)}},
		oauth.SaveGrant{Grant: oauth.Grant{ID: "g1", UserID: "u1", ClientID: "https://granted.example/c", Resource: "r", CreatedAt: second(0)}})
	if _, err := s.Client(t.Context(), "https://forgotten.example/c"); err != nil { // now it is in memory, too
		t.Fatal(err)
	}
	const flood = maxUnusedDocuments + 50
	commit(t, s, document("https://evil.example/0", 1, false))
	copyClient(t, cfg.Path, "https://evil.example/", maxUnusedDocuments-100) // one commit each takes minutes with the race detector
	for i := maxUnusedDocuments - 100; i < flood; i++ {
		commit(t, s, document(fmt.Sprintf("https://evil.example/%d", i), 1, false))
	}
	commit(t, s, document("https://evil.example/0", 2, false)) // asked for again
	commit(t, s, document("https://late.example/c", 1, false))
	clients, err := s.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range clients {
		ids = append(ids, c.ID)
	}
	if want := maxUnusedDocuments + 3; len(ids) != want {
		t.Errorf("%d clients, want %d", len(ids), want)
	}
	for _, id := range []string{"https://used.example/c", "https://granted.example/c", "dcr_1", "https://evil.example/0", "https://late.example/c"} {
		if !slices.Contains(ids, id) {
			t.Errorf("%s is gone", id)
		}
	}
	_, err = s.Client(t.Context(), "https://forgotten.example/c")
	notFound(t, err)
}
