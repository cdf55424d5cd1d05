package storage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"portcullis/oauth"
)

// M9: a stranger with many URLs makes no more than a bounded number of rows, at the expense of the ones that nobody has asked for the longest. What
// people use stays, and so does what came by another way.
func TestAFloodOfDocumentsIsBounded(t *testing.T) {
	s := open(t, testConfig(t))
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
	const flood = maxUnusedDocuments + 500
	for i := range flood {
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
