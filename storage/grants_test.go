package storage

import (
	"errors"
	"net/url"
	"sync"
	"testing"

	"portcullis/oauth"
)

func TestInteractions(t *testing.T) {
	s := open(t, testConfig(t))
	i := oauth.Interaction{ID: "secret", Params: url.Values{"scope": {"a b", "c&d=e"}, "state": {""}}, BrowserHash: digest("b"), FormToken: "f",
		ClientDigest: "d", IP: "192.0.2.1", UserAgent: "ua", CreatedAt: second(0), ExpiresAt: second(600)}
	commit(t, s, oauth.SaveInteraction{Interaction: i})
	got, err := s.Interaction(t.Context(), "secret")
	same(t, got, err, i)
	i.SessionHash, i.LoginAfter, i.FormToken = digest("s"), second(3), "f2"
	commit(t, s, oauth.SaveInteraction{Interaction: i})
	got, err = s.Interaction(t.Context(), "secret")
	same(t, got, err, i)
	commit(t, s, oauth.TakeInteraction{ID: "secret"})
	_, err = s.Interaction(t.Context(), "secret")
	notFound(t, err)
	conflict(t, s, oauth.TakeInteraction{ID: "secret"})
	conflict(t, s, oauth.SaveInteraction{Interaction: i})
	conflict(t, s, oauth.TakeInteraction{ID: "never was"})
}

func TestGrants(t *testing.T) {
	s := open(t, testConfig(t))
	g := aGrant("g1")
	commit(t, s, oauth.SaveGrant{Grant: g})
	got, err := s.LiveGrant(t.Context(), g.UserID, g.ClientID, g.Resource)
	same(t, got, err, g)
	conflict(t, s, oauth.SaveGrant{Grant: aGrant("g2")}) // a second live one
	other := aGrant("g1")
	other.UserID = "u2"
	conflict(t, s, oauth.SaveGrant{Grant: other}) // the same id for someone else

	g.Scopes, g.ClientDigest, g.RedirectURI = oauth.NewScopes("c:3"), "d2", "https://x/cb"
	update := g
	update.CreatedAt = second(50) // not among what an update changes
	commit(t, s, oauth.SaveGrant{Grant: update})
	got, err = s.Grant(t.Context(), "g1")
	same(t, got, err, g)

	commit(t, s, oauth.TouchGrant{ID: "g1", At: second(59)}) // within the minute
	commit(t, s, oauth.TouchGrant{ID: "g1", At: second(90)})
	g.LastUsedAt = second(90)
	got, err = s.Grant(t.Context(), "g1")
	same(t, got, err, g)

	commit(t, s, oauth.EndGrant{ID: "g1", Reason: "user", At: second(100)})
	commit(t, s, oauth.EndGrant{ID: "g1", Reason: "again", At: second(200)})
	g.EndedAt, g.EndReason = second(100), "user"
	got, err = s.Grant(t.Context(), "g1")
	same(t, got, err, g)
	_, err = s.LiveGrant(t.Context(), g.UserID, g.ClientID, g.Resource)
	notFound(t, err)
	conflict(t, s, oauth.SaveGrant{Grant: aGrant("g1")}) // it never revives
	newer := aGrant("g3")
	newer.CreatedAt = second(300)
	third := aGrant("g4")
	third.Resource, third.CreatedAt = "https://other.example/mcp", second(400)
	commit(t, s, oauth.SaveGrant{Grant: newer}, oauth.SaveGrant{Grant: third})
	live, err := s.LiveGrants(t.Context(), "u1")
	if err != nil || len(live) != 2 || live[0].ID != "g4" || live[1].ID != "g3" {
		t.Errorf("live grants: %v %+v", err, live)
	}
	if all, err := s.Grants(t.Context()); err != nil || len(all) != 3 {
		t.Errorf("all grants: %v %+v", err, all)
	}
}

func TestCodes(t *testing.T) {
	s := open(t, testConfig(t))
	conflict(t, s, oauth.SaveCode{Code: aCode("c", "g1")}) // no grant
	commit(t, s, oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveCode{Code: aCode("c", "g1")})
	got, err := s.Code(t.Context(), digest("c"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.Code, nil, aCode("c", "g1"))
	same(t, got.Grant, nil, aGrant("g1"))
	_, err = s.Code(t.Context(), digest("other"))
	notFound(t, err)
	conflict(t, s, oauth.SaveCode{Code: aCode("c", "g1")}) // the same code again

	spend := oauth.SpendCode{Hash: digest("c"), FamilyID: "f1", At: second(5)}
	commit(t, s, oauth.CountCodeFailure{Hash: digest("c")})
	commit(t, s, spend, oauth.SaveFamily{Family: aFamily("f1", "g1")})
	conflict(t, s, spend)
	conflict(t, s, oauth.SpendCode{Hash: digest("other")})
	got, err = s.Code(t.Context(), digest("c"))
	if err != nil || got.Code.Failures != 1 || got.Code.FamilyID != "f1" || !got.Code.SpentAt.Equal(second(5)) {
		t.Errorf("%v %+v", err, got.Code)
	}

	commit(t, s, oauth.SaveCode{Code: aCode("burnt", "g1")})
	for range oauth.MaxCodeFailures {
		commit(t, s, oauth.CountCodeFailure{Hash: digest("burnt")})
	}
	conflict(t, s, oauth.SpendCode{Hash: digest("burnt")})
	commit(t, s, oauth.SaveCode{Code: aCode("saved", "g1")})
	for range oauth.MaxCodeFailures - 1 {
		commit(t, s, oauth.CountCodeFailure{Hash: digest("saved")})
	}
	commit(t, s, oauth.SpendCode{Hash: digest("saved"), FamilyID: "f2", At: second(6)})

	commit(t, s, oauth.EndGrant{ID: "g1", At: second(9)})
	conflict(t, s, oauth.SaveCode{Code: aCode("late", "g1")})
}

func TestACodeIsSpentOnceByAHundred(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveCode{Code: aCode("c", "g1")})
	won := make(chan string, 100)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			family := aFamily("f"+string(rune('A'+i)), "g1")
			err := s.Commit(t.Context(), oauth.SaveFamily{Family: family}, oauth.SpendCode{Hash: digest("c"), FamilyID: family.ID, At: second(1)}, event(family.ID))
			switch {
			case err == nil:
				won <- family.ID
			case !errors.Is(err, oauth.ErrConflict):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d callers spent the code", len(won))
	}
	got, err := s.Code(t.Context(), digest("c"))
	if winner := <-won; err != nil || got.Code.FamilyID != winner {
		t.Errorf("family %s, winner %s, %v", got.Code.FamilyID, winner, err)
	}
	verified(t, s.Reader, 1) // the losers' events and families are gone
	n, err := find(t.Context(), s.Reader, scanFailures, `SELECT count(*), 0 FROM families`)
	if err != nil || n.count != 1 {
		t.Errorf("%d families, %v", n.count, err)
	}
}

func TestRefreshTokens(t *testing.T) {
	s := open(t, testConfig(t))
	conflict(t, s, oauth.SaveFamily{Family: aFamily("f1", "g1")}) // no grant
	commit(t, s, oauth.SaveGrant{Grant: aGrant("g1")})
	conflict(t, s, oauth.SaveRefresh{Refresh: aRefresh("f1", 1)}) // no family
	commit(t, s, oauth.SaveFamily{Family: aFamily("f1", "g1")}, oauth.SaveRefresh{Refresh: aRefresh("f1", 1)})
	conflict(t, s, oauth.SaveFamily{Family: aFamily("f1", "g1")}) // the same id again

	rotate := func(from int) oauth.RotateRefresh {
		return oauth.RotateRefresh{Hash: aRefresh("f1", from).Hash, UsedAt: second(10), WindowEnds: second(310), Sealed: []byte("sealed"), Next: aRefresh("f1", from+1)}
	}
	commit(t, s, rotate(1))
	conflict(t, s, rotate(1))
	state := readRefresh(t, s, 1)
	want := aRefresh("f1", 1)
	want.UsedAt, want.WindowEnds, want.Successor = second(10), second(310), []byte("sealed")
	same(t, state.Refresh, nil, want)
	same(t, state.Family, nil, aFamily("f1", "g1"))
	same(t, state.Grant, nil, aGrant("g1"))
	same(t, readRefresh(t, s, 2).Refresh, nil, aRefresh("f1", 2))

	commit(t, s, rotate(2))
	if r := readRefresh(t, s, 1).Refresh; r.Successor != nil || !r.SuccessorUsed {
		t.Errorf("the parent's parent keeps %q, successor used: %v", r.Successor, r.SuccessorUsed)
	}
	if r := readRefresh(t, s, 2).Refresh; string(r.Successor) != "sealed" || r.SuccessorUsed {
		t.Errorf("the parent keeps %q, successor used: %v", r.Successor, r.SuccessorUsed)
	}

	foreign := rotate(3)
	foreign.Next.FamilyID = "f2"
	skipping := rotate(3)
	skipping.Next.Generation = 9
	for _, wrong := range []oauth.RotateRefresh{foreign, skipping} {
		if err := s.Commit(t.Context(), wrong); !errors.Is(err, oauth.ErrUnavailable) {
			t.Errorf("%+v: %v", wrong.Next, err)
		}
	}
	commit(t, s, oauth.EndFamily{ID: "f1", Reason: "reuse", At: second(20)})
	commit(t, s, oauth.EndFamily{ID: "f1", Reason: "again", At: second(30)})
	state = readRefresh(t, s, 2)
	if f := state.Family; !f.EndedAt.Equal(second(20)) || f.EndReason != "reuse" {
		t.Errorf("%+v", f)
	}
	if state.Refresh.Successor != nil {
		t.Error("an ended family keeps a sealed successor")
	}
	conflict(t, s, rotate(3))
	conflict(t, s, oauth.SaveRefresh{Refresh: oauth.Refresh{Hash: digest("new"), FamilyID: "f1", Generation: 9}})
	if g, err := s.Grant(t.Context(), "g1"); err != nil || !g.Live() {
		t.Errorf("the grant ended with one of its families: %v", err)
	}
}

func TestRotationWithoutAWindowKeepsNoSuccessor(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveFamily{Family: aFamily("f1", "g1")}, oauth.SaveRefresh{Refresh: aRefresh("f1", 1)})
	commit(t, s, oauth.RotateRefresh{Hash: aRefresh("f1", 1).Hash, UsedAt: second(10), Next: aRefresh("f1", 2)})
	if r := readRefresh(t, s, 1).Refresh; r.Successor != nil || !r.WindowEnds.IsZero() || !r.UsedAt.Equal(second(10)) {
		t.Errorf("%+v", r)
	}
}

func readRefresh(t *testing.T, s *Store, generation int) *oauth.RefreshState {
	t.Helper()
	state, err := s.Refresh(t.Context(), aRefresh("f1", generation).Hash)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestTokenState(t *testing.T) {
	s := open(t, testConfig(t))
	alice := oauth.User{ID: "u1", Name: "alice", Groups: []string{"staff", "a b"}, PasswordHash: "$argon2id$x", Source: oauth.SourceConfig, CreatedAt: second(0)}
	commit(t, s, oauth.SaveUser{User: alice}, oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveFamily{Family: aFamily("f1", "g1")})
	grant, family := aGrant("g1"), aFamily("f1", "g1")
	got, err := s.TokenState(t.Context(), "j1", "g1", "f1", "u1")
	same(t, got, err, oauth.TokenState{Grant: &grant, Family: &family, User: &alice})
	got, err = s.TokenState(t.Context(), "j1", "g1", "", "")
	same(t, got, err, oauth.TokenState{Grant: &grant})
	commit(t, s, oauth.RevokeToken{JTI: "j1", ExpiresAt: second(600)})
	commit(t, s, oauth.RevokeToken{JTI: "j1", ExpiresAt: second(600)})
	got, err = s.TokenState(t.Context(), "j1", "", "unknown", "unknown")
	same(t, got, err, oauth.TokenState{Revoked: true})
	got, err = s.TokenState(t.Context(), "j2", "", "", "")
	same(t, got, err, oauth.TokenState{})
}
