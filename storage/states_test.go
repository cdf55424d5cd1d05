package storage

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"portcullis/oauth"
)

// everyToken commits what two living tokens hang on.
func everyToken(t *testing.T, s *Store) {
	t.Helper()
	commit(t, s, oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice", Source: oauth.SourceConfig, CreatedAt: second(0)}}, oauth.SaveClient{Client: oauth.Client{ID: "c1", Name: "c"}},
		oauth.SaveGrant{Grant: grantOf("g1", "u1")}, oauth.SaveFamily{Family: aFamily("f1", "g1")})
}

func grantOf(id, user string) oauth.Grant {
	g := aGrant(id)
	g.UserID = user
	return g
}

// remembered reads a state until it comes from memory.
func remembered(t *testing.T, s *Store) oauth.TokenState {
	t.Helper()
	for range 2 {
		if _, err := s.TokenState(t.Context(), "j1", "g1", "f1", "u1"); err != nil {
			t.Fatal(err)
		}
	}
	state, _, ok := s.states.get(stateKey{"j1", "g1", "f1", "u1"})
	if !ok {
		t.Fatal("nothing is remembered, so nothing is tested")
	}
	return state
}

// TestWhatEndsATokenIsNeverAnsweredFromMemory: whatever may end a token, the next read after the commit sees it.
func TestWhatEndsATokenIsNeverAnsweredFromMemory(t *testing.T) {
	grant := grantOf("g1", "u1")
	for name, change := range map[string]oauth.Change{
		"token revoked":     oauth.RevokeToken{JTI: "j1", ExpiresAt: second(600)},
		"family ended":      oauth.EndFamily{ID: "f1", Reason: "x", At: second(1)},
		"grant ended":       oauth.EndGrant{ID: "g1", Reason: "x", At: second(1)},
		"user disabled":     oauth.DisableUser{ID: "u1", Reason: "x", At: second(1)},
		"client disabled":   oauth.DisableClient{ID: grant.ClientID, Reason: "x", At: second(1)},
		"resource disabled": oauth.DisableResource{ID: grant.Resource, Reason: "x", At: second(1)},
		"user changed":      oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice", Groups: []string{"other"}, Source: oauth.SourceConfig, CreatedAt: second(0)}},
	} {
		s := open(t, testConfig(t))
		everyToken(t, s)
		before := remembered(t, s)
		commit(t, s, change)
		got, err := s.TokenState(t.Context(), "j1", "g1", "f1", "u1")
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Reader.TokenState(t.Context(), "j1", "g1", "f1", "u1")
		same(t, got, err, *want)
		if fmt.Sprint(*want.Grant, *want.Family, *want.User, want.Revoked) == fmt.Sprint(*before.Grant, *before.Family, *before.User, before.Revoked) {
			t.Errorf("%s changes nothing, so nothing was tested", name)
		}
	}
}

// TestWhatIssuesTokensKeepsStates: what every decision and every issue commits leaves the memory of others alone, or it would be of no use.
func TestWhatIssuesTokensKeepsStates(t *testing.T) {
	s := open(t, testConfig(t))
	everyToken(t, s)
	remembered(t, s)
	commit(t, s, oauth.Event{Type: oauth.EventDecision}, oauth.SaveDecision{Decision: oauth.DecisionRecord{ID: "d1", Kind: "tools", Document: []byte("{}")}})
	commit(t, s, oauth.SaveFamily{Family: aFamily("f2", "g1")}, oauth.TouchGrant{ID: "g1", At: second(100)})
	if _, _, ok := s.states.get(stateKey{"j1", "g1", "f1", "u1"}); !ok {
		t.Error("the state was forgotten")
	}
}

// TestAStateReadBeforeACommitIsNotKeptAfterIt: the read may have been before the COMMIT that emptied the memory.
func TestAStateReadBeforeACommitIsNotKeptAfterIt(t *testing.T) {
	s := open(t, testConfig(t))
	everyToken(t, s)
	key := stateKey{"j1", "g1", "f1", "u1"}
	_, epoch, _ := s.states.get(key)
	stale, err := s.Reader.TokenState(t.Context(), "j1", "g1", "f1", "u1")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, oauth.RevokeToken{JTI: "j1", ExpiresAt: second(600)})
	s.states.keep(key, *stale, epoch)
	if got, err := s.TokenState(t.Context(), "j1", "g1", "f1", "u1"); err != nil || !got.Revoked {
		t.Errorf("%+v %v", got, err)
	}
}

// TestWhatIsMissingIsNotRemembered: a family, grant or user may be committed after the first question.
func TestWhatIsMissingIsNotRemembered(t *testing.T) {
	s := open(t, testConfig(t))
	everyToken(t, s)
	if got, err := s.TokenState(t.Context(), "j1", "g1", "f2", "u1"); err != nil || got.Family != nil {
		t.Fatalf("%+v %v", got, err)
	}
	commit(t, s, oauth.SaveFamily{Family: aFamily("f2", "g1")})
	if got, err := s.TokenState(t.Context(), "j1", "g1", "f2", "u1"); err != nil || got.Family == nil {
		t.Errorf("%+v %v", got, err)
	}
}

// TestRevocationBesideReaders: readers that never stop, and after each answered revocation none sees the token alive.
func TestRevocationBesideReaders(t *testing.T) {
	s := open(t, testConfig(t))
	everyToken(t, s)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := s.TokenState(t.Context(), fmt.Sprint("j", i%200), "g1", "f1", "u1"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		jti := fmt.Sprint("j", i)
		commit(t, s, oauth.RevokeToken{JTI: jti, ExpiresAt: second(600)})
		if got, err := s.TokenState(t.Context(), jti, "g1", "f1", "u1"); err != nil || !got.Revoked {
			t.Errorf("%s: %+v %v", jti, got, err)
		}
	}
	stop()
	all.Wait()
}
