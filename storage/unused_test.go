package storage

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"portcullis/oauth"
)

// aLogin commits a user, a grant and a family with its first refresh token, and reads them once.
func aLogin(t *testing.T, s *Store) {
	t.Helper()
	commit(t, s, oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice", Groups: []string{"staff"}, Source: oauth.SourceConfig, CreatedAt: second(0)}},
		oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveFamily{Family: aFamily("f1", "g1")}, oauth.SaveRefresh{Refresh: aRefresh("f1", 1)})
	readRefresh(t, s, 1)
	if _, err := s.User(t.Context(), "u1"); err != nil {
		t.Fatal(err)
	}
}

func rotation(from int) oauth.RotateRefresh {
	return oauth.RotateRefresh{Hash: aRefresh("f1", from).Hash, UsedAt: second(10), WindowEnds: second(310), Sealed: []byte("sealed"), Next: aRefresh("f1", from+1)}
}

// fromMemory fails the test unless the token of a generation would be answered from memory.
func fromMemory(t *testing.T, s *Store, generation int) {
	t.Helper()
	token, ok := s.unused.get(aRefresh("f1", generation).Hash)
	if family, grant, _ := s.states.login(token.family); !ok || family == nil || grant == nil {
		t.Fatalf("generation %d is not remembered, so nothing is tested", generation)
	}
}

// asStored compares what the store answers with what is in the file.
func asStored(t *testing.T, s *Store, generation int) {
	t.Helper()
	want, err := s.Reader.Refresh(t.Context(), aRefresh("f1", generation).Hash)
	if err != nil {
		t.Fatal(err)
	}
	if got := readRefresh(t, s, generation); !reflect.DeepEqual(got, want) {
		t.Errorf("generation %d: %+v %+v %+v; the file has %+v %+v %+v", generation, got.Refresh, got.Family, got.Grant, want.Refresh, want.Family, want.Grant)
	}
}

func TestAnUnusedRefreshTokenIsRememberedAsItIsStored(t *testing.T) {
	s := open(t, testConfig(t))
	aLogin(t, s)
	fromMemory(t, s, 1)
	asStored(t, s, 1)
	for from := 1; from < 4; from++ {
		commit(t, s, rotation(from))
		fromMemory(t, s, from+1)
		for generation := 1; generation <= from+1; generation++ {
			asStored(t, s, generation)
		}
	}
}

// TestWhatChangesALoginIsNeverAnsweredFromMemory: whatever changes user, grant or family, the next read after the commit sees it.
func TestWhatChangesALoginIsNeverAnsweredFromMemory(t *testing.T) {
	narrower := aGrant("g1")
	narrower.Scopes = oauth.NewScopes("a:1")
	for name, change := range map[string]oauth.Change{
		"family ended":      oauth.EndFamily{ID: "f1", Reason: "x", At: second(20)},
		"grant ended":       oauth.EndGrant{ID: "g1", Reason: "x", At: second(20)},
		"user disabled":     oauth.DisableUser{ID: "u1", Reason: "x", At: second(20)},
		"client disabled":   oauth.DisableClient{ID: "c1", Reason: "x", At: second(20)},
		"resource disabled": oauth.DisableResource{ID: aGrant("g1").Resource, Reason: "x", At: second(20)},
		"grant changed":     oauth.SaveGrant{Grant: narrower},
		"user changed":      oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice", Groups: []string{"other"}, Source: oauth.SourceConfig, CreatedAt: second(0)}},
		"password changed":  oauth.SetPassword{UserID: "u1", Hash: "$argon2id$other"},
		"token rotated":     rotation(1),
	} {
		s := open(t, testConfig(t))
		aLogin(t, s)
		fromMemory(t, s, 1)
		before, user := *readRefresh(t, s, 1), *remembersUser(t, s)
		commit(t, s, change)
		asStored(t, s, 1)
		got, err := s.User(t.Context(), "u1")
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Reader.User(t.Context(), "u1")
		same(t, got, err, *want)
		if after := readRefresh(t, s, 1); reflect.DeepEqual(*after, before) && reflect.DeepEqual(*got, user) {
			t.Errorf("%s changes nothing, so nothing was tested", name)
		}
	}
}

func remembersUser(t *testing.T, s *Store) *oauth.User {
	t.Helper()
	u, _ := s.states.user("u1")
	if u == nil {
		t.Fatal("the user is not remembered, so nothing is tested")
	}
	return u
}

// TestARolledBackRotationIsNotRemembered: what a caller's savepoint takes back was never stored, although its neighbours' changes were.
func TestARolledBackRotationIsNotRemembered(t *testing.T) {
	s := open(t, testConfig(t))
	aLogin(t, s)
	commit(t, s, once("taken"))
	conflict(t, s, rotation(1), once("taken"))
	asStored(t, s, 1)
	_, err := s.Refresh(t.Context(), aRefresh("f1", 2).Hash)
	notFound(t, err)
}

// TestALoginReadBeforeACommitIsNotKeptAfterIt: the read may have been before the COMMIT that emptied the memory.
func TestALoginReadBeforeACommitIsNotKeptAfterIt(t *testing.T) {
	s := open(t, testConfig(t))
	aLogin(t, s)
	stale := readRefresh(t, s, 1)
	user, epoch := s.states.user("u1")
	commit(t, s, oauth.DisableUser{ID: "u1", Reason: "x", At: second(20)})
	s.states.keepLogin(stale.Family, stale.Grant, epoch)
	s.states.keepUser(user, epoch)
	asStored(t, s, 1)
	if got, err := s.User(t.Context(), "u1"); err != nil || !got.Disabled {
		t.Errorf("%+v %v", got, err)
	}
}

// TestAUsedTokenNeverLooksUnused: readers that never stop, and after each answered rotation none sees its token unused.
func TestAUsedTokenNeverLooksUnused(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveFamily{Family: aFamily("f1", "g1")}, oauth.SaveRefresh{Refresh: numbered(1)})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, _ = s.Refresh(t.Context(), numbered(1+i%201).Hash) // most are not there yet
			}
		})
	}
	for n := 1; n <= 200; n++ {
		commit(t, s, oauth.RotateRefresh{Hash: numbered(n).Hash, UsedAt: second(10), Next: numbered(n + 1)})
		if got, err := s.Refresh(t.Context(), numbered(n).Hash); err != nil || got.Refresh.UsedAt.IsZero() {
			t.Errorf("%d: %+v %v", n, got, err)
		}
	}
	stop()
	all.Wait()
}

// numbered is a generation of one family, of which there are many.
func numbered(n int) oauth.Refresh {
	return oauth.Refresh{Hash: digest(fmt.Sprint("n", n)), FamilyID: "f1", Generation: n, CreatedAt: second(1), ExpiresAt: second(500)}
}
