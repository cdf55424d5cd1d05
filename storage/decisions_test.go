package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/oauth"
)

func aRecord(id string, at int64) oauth.DecisionRecord {
	return oauth.DecisionRecord{ID: id, Time: second(at), Kind: "tools", Revision: "r1", Document: []byte(`{"id":"` + id + `"}`)}
}

func ids(t *testing.T, r *Reader, since, until int64) []string {
	t.Helper()
	var got []string
	for d, err := range r.Decisions(t.Context(), second(since), second(until)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.ID)
	}
	if n, err := r.CountDecisions(t.Context(), second(since), second(until)); err != nil || n != int64(len(got)) {
		t.Errorf("count is %d, %v; the iterator found %d", n, err, len(got))
	}
	return got
}

func TestDecisionsAreReadById(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, oauth.SaveDecision{Decision: aRecord("dec_1", 10)}, event("1"))
	got, err := s.Decision(t.Context(), "dec_1")
	same(t, got, err, aRecord("dec_1", 10))
	_, err = s.Decision(t.Context(), "dec_2")
	notFound(t, err)
	verified(t, s.Reader, 1)
}

func TestDecisionsGoOldestFirstWithinTheirTimes(t *testing.T) {
	s := open(t, testConfig(t))
	for _, d := range []oauth.DecisionRecord{aRecord("late", 30), aRecord("a", 10), aRecord("b", 10), aRecord("early", 5), aRecord("c", 20)} {
		commit(t, s, oauth.SaveDecision{Decision: d})
	}
	for _, tc := range []struct {
		since, until int64
		want         string
	}{
		{0, 100, "early a b c late"},
		{10, 30, "a b c"},
		{11, 20, ""},
		{30, 31, "late"},
	} {
		if got := strings.Join(ids(t, s.Reader, tc.since, tc.until), " "); got != tc.want {
			t.Errorf("from %d to %d: %q, want %q", tc.since, tc.until, got, tc.want)
		}
	}
}

func TestDecisionsOfOneSecondSpanPages(t *testing.T) {
	s := open(t, testConfig(t))
	const many = 2*decisionPage + 7
	var changes []oauth.Change
	var want []string
	for i := range many {
		id := fmt.Sprintf("dec_%05d", i)
		want = append(want, id)
		changes = append(changes, oauth.SaveDecision{Decision: aRecord(id, int64(i/900))})
	}
	commit(t, s, changes...)
	if got := ids(t, s.Reader, 0, 1000); !slices.Equal(got, want) {
		t.Errorf("%d records, want %d in order", len(got), len(want))
	}
	if got := ids(t, s.Reader, 1, 2); len(got) != many-900 {
		t.Errorf("%d records in the second, want %d", len(got), many-900)
	}
	plan, err := list(t.Context(), s.Reader, func(r row) (detail string, err error) {
		var id, parent, unused int64
		err = r.Scan(&id, &parent, &unused, &detail)
		return detail, err
	}, `EXPLAIN QUERY PLAN SELECT `+decisionColumns+` FROM decisions WHERE (at, seq) > ($1, $2) AND at < $3 ORDER BY at, seq LIMIT $4`, 1, 1, 2, 10)
	if err != nil || len(plan) != 1 || !strings.Contains(plan[0], "decisions_at") {
		t.Errorf("a page is not read through the index alone: %q, %v", plan, err)
	}
}

func TestDecisionsAreReadableBesideTheServer(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, oauth.SaveDecision{Decision: aRecord("dec_1", 1)})
	r, err := OpenReader(t.Context(), c.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	commit(t, s, oauth.SaveDecision{Decision: aRecord("dec_2", 2)})
	if got := ids(t, r, 0, 10); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

func TestHousekeepingRemovesOldDecisionsAndThoseAboveTheCap(t *testing.T) {
	path := t.TempDir() + "/house.db"
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Path: path, ServerKey: testKey(), KeepDecisions: 48 * time.Hour, MaxDecisions: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		save := func(names ...string) {
			for _, id := range names {
				d := aRecord(id, 0)
				d.Time = time.Now()
				commit(t, s, oauth.SaveDecision{Decision: d}, event(id))
			}
		}
		left := func() string {
			if _, err := s.Housekeeping(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for d, err := range s.Decisions(t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour)) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, d.ID)
			}
			return strings.Join(got, " ")
		}
		save("a", "b")
		if got := left(); got != "a b" {
			t.Errorf("at once: %q", got)
		}
		time.Sleep(24 * time.Hour)
		save("c", "d", "e")
		if got := left(); got != "c d e" {
			t.Errorf("above the cap: %q", got)
		}
		time.Sleep(25 * time.Hour)
		save("f")
		if got := left(); got != "d e f" {
			t.Errorf("above the cap: %q", got)
		}
		time.Sleep(24 * time.Hour)
		if got := left(); got != "f" {
			t.Errorf("after two days: %q", got)
		}
		verified(t, s.Reader, 6) // the audit keeps all
	})
}

func TestTheAuditRowOfADecisionIsFound(t *testing.T) {
	s := open(t, testConfig(t))
	e := event("1")
	e.DecisionID, e.Reason = "dec_1", "policy_denied"
	commit(t, s, e, event("2"))
	got, err := s.Audit().DecisionEvent(context.Background(), "dec_1")
	if err != nil || got.Reason != "policy_denied" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = s.Audit().DecisionEvent(context.Background(), "dec_")
	notFound(t, err)
}
