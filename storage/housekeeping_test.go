package storage

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/oauth"
)

// counts tells how many rows there are in each table that housekeeping looks at.
func tableCounts(t *testing.T, s *Store) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for _, table := range []string{"codes", "interactions", "revoked_tokens", "used_ids", "sessions", "login_failures", "clients", "families", "refresh_tokens", "grants"} {
		n, err := find(t.Context(), s.Reader, func(r row) (n int64, err error) { err = r.Scan(&n); return n, err }, `SELECT count(*) FROM `+table)
		if err != nil {
			t.Fatal(err)
		}
		all[table] = *n
	}
	return all
}

func TestHousekeeping(t *testing.T) {
	path := t.TempDir() + "/house.db"
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Path: path, ServerKey: testKey()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		start := time.Now()
		in := func(d time.Duration) time.Time { return start.Add(d) }
		family := func(id string, expires time.Duration) oauth.SaveFamily {
			return oauth.SaveFamily{Family: oauth.Family{ID: id, GrantID: "g1", CreatedAt: start, ExpiresAt: in(expires)}}
		}
		refresh := func(id string) oauth.SaveRefresh {
			return oauth.SaveRefresh{Refresh: oauth.Refresh{Hash: digest(id), FamilyID: id, Generation: 1, CreatedAt: start}}
		}
		const day = 24 * time.Hour
		code := aCode("c", "g1")
		code.ExpiresAt = in(time.Minute)
		commit(t, s, oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveCode{Code: code},
			oauth.SaveInteraction{Interaction: oauth.Interaction{ID: "i", ExpiresAt: in(time.Minute)}},
			oauth.RevokeToken{JTI: "j", ExpiresAt: in(time.Minute)}, oauth.RevokeToken{JTI: "later", ExpiresAt: in(90 * day)},
			oauth.UseOnce{Scope: "s", ID: "1", ExpiresAt: in(time.Minute)},
			oauth.SaveSession{Session: oauth.Session{Hash: digest("s"), UserID: "u", ExpiresAt: in(time.Minute)}},
			oauth.CountFailure{Key: "k", At: start},
			oauth.SaveClient{Client: oauth.Client{ID: "never used", ExpiresAt: in(time.Hour)}},
			oauth.SaveClient{Client: oauth.Client{ID: "used", ExpiresAt: in(time.Hour)}}, oauth.TouchClient{ID: "used", At: start},
			oauth.SaveClient{Client: oauth.Client{ID: "used", ExpiresAt: in(time.Hour)}}, // registered again
			oauth.SaveClient{Client: oauth.Client{ID: "c1", ExpiresAt: in(time.Hour)}},   // has a grant
			family("live", 365*day), refresh("live"), family("ended", 365*day), refresh("ended"), family("expired", day), refresh("expired"),
			oauth.EndFamily{ID: "ended", At: start},
			oauth.RotateRefresh{Hash: digest("live"), UsedAt: start, WindowEnds: in(5 * time.Minute), Sealed: []byte("sealed"),
				Next: oauth.Refresh{Hash: digest("live2"), FamilyID: "live", Generation: 2}})
		if _, err := s.Client(t.Context(), "never used"); err != nil {
			t.Fatal(err)
		}
		steps := []struct {
			after time.Duration
			want  map[string]int64
		}{
			{0, map[string]int64{"codes": 1, "interactions": 1, "revoked_tokens": 2, "used_ids": 1, "sessions": 1, "login_failures": 1, "clients": 3, "families": 3, "refresh_tokens": 4}},
			{10 * time.Minute, map[string]int64{"codes": 1, "revoked_tokens": 1, "login_failures": 1, "clients": 3, "families": 3, "refresh_tokens": 4}},
			{2 * day, map[string]int64{"revoked_tokens": 1, "clients": 2, "families": 3, "refresh_tokens": 4}},
			{30*day + time.Hour, map[string]int64{"revoked_tokens": 1, "clients": 2, "families": 2, "refresh_tokens": 3}},
			{31*day + time.Hour, map[string]int64{"revoked_tokens": 1, "clients": 2, "families": 1, "refresh_tokens": 2}},
		}
		for _, step := range steps {
			time.Sleep(time.Until(start.Add(step.after)))
			if _, err := s.Housekeeping(t.Context()); err != nil {
				t.Fatal(err)
			}
			step.want["grants"] = 1
			for table, n := range tableCounts(t, s) {
				if n != step.want[table] {
					t.Errorf("after %v: %d rows in %s, want %d", step.after, n, table, step.want[table])
				}
			}
			state, err := s.Refresh(t.Context(), digest("live")) // the used one of a live family stays, its sealed successor goes
			if err != nil || (state.Refresh.Successor == nil) != (step.after > 5*time.Minute) {
				t.Errorf("after %v: %v %+v", step.after, err, state)
			}
		}
		_, err = s.Client(t.Context(), "never used")
		notFound(t, err)
		if n, err := s.Housekeeping(t.Context()); n != 0 || err != nil {
			t.Errorf("a second pass found %d rows, %v", n, err)
		}
	})
}

func TestHousekeepingWorksInChunksBesideCommits(t *testing.T) {
	s := open(t, testConfig(t))
	const many = 3*sweepChunk + 7
	var changes []oauth.Change
	for i := range many {
		changes = append(changes, oauth.UseOnce{Scope: "s", ID: fmt.Sprint(i), ExpiresAt: time.Now().Add(-time.Hour)})
	}
	commit(t, s, changes...)
	before := s.Stats()
	if n, err := s.Housekeeping(t.Context()); err != nil || n != many {
		t.Fatalf("%d rows, %v", n, err)
	}
	if groups := s.Stats().Groups - before.Groups; groups < 4 {
		t.Errorf("one pass over %d rows took %d transactions", many, groups)
	}
}
