package storage

import (
	"context"
	"errors"
	"testing"
	"time"

	"portcullis/oauth"
)

// usage counts the calls of a tool in the seconds before and with another one.
func usage(t *testing.T, s *Store, holder, tool string, from int64) int64 {
	t.Helper()
	n, err := s.Usage(t.Context(), holder, tool, second(from))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUsesAreCountedByHolderToolAndTime(t *testing.T) {
	s := open(t, testConfig(t))
	use := func(holder, tool string, at int64) {
		commit(t, s, oauth.CountUse{Holder: holder, Tool: tool, At: second(at)})
	}
	for _, at := range []int64{10, 10, 11, 20} {
		use("g1", "a", at)
	}
	use("g1", "b", 30)
	use("g2", "a", 20)
	for from, want := range map[int64]int64{0: 4, 10: 4, 11: 2, 12: 1, 20: 1, 21: 0} {
		if got := usage(t, s, "g1", "a", from); got != want {
			t.Errorf("from %d: %d, want %d", from, got, want)
		}
	}
	if a, b, none := usage(t, s, "g2", "a", 0), usage(t, s, "g1", "b", 0), usage(t, s, "g3", "a", 0); a != 1 || b != 1 || none != 0 {
		t.Errorf("others: %d %d %d", a, b, none)
	}
	use("g1", "a", 15) // the clock went back: rather late than forgotten
	for from, want := range map[int64]int64{12: 2, 20: 2, 21: 0} {
		if got := usage(t, s, "g1", "a", from); got != want {
			t.Errorf("after the clock went back, from %d: %d, want %d", from, got, want)
		}
	}
}

func TestAUseThatSawAnotherCountIsAConflict(t *testing.T) {
	s := open(t, testConfig(t))
	use := func(seen ...oauth.UsageSeen) oauth.CountUse {
		return oauth.CountUse{Holder: "g1", Tool: "a", At: second(100), Seen: seen}
	}
	saw := func(from, calls int64) oauth.UsageSeen { return oauth.UsageSeen{Since: second(from), Calls: calls} }
	commit(t, s, use(saw(0, 0), saw(90, 0)))
	conflict(t, s, event("1"), use(saw(0, 0)))
	conflict(t, s, use(saw(0, 1), saw(90, 0)))
	conflict(t, s, use(saw(0, 2)))
	verified(t, s.Reader, 0) // the event of a use that was not counted is not there either
	commit(t, s, event("2"), use(saw(0, 1), saw(101, 0)))
	if n := usage(t, s, "g1", "a", 0); n != 2 {
		t.Errorf("%d uses", n)
	}
	verified(t, s.Reader, 1)
}

func TestUsesAreSweptAfterTheLongestWindow(t *testing.T) {
	s := open(t, testConfig(t))
	now := time.Now()
	old, kept := now.Add(-oauth.MaxUsageWindow-2*time.Hour), now.Add(-oauth.MaxUsageWindow)
	commit(t, s, oauth.CountUse{Holder: "g1", Tool: "a", At: old}, oauth.CountUse{Holder: "g1", Tool: "a", At: kept}, oauth.CountUse{Holder: "g2", Tool: "a", At: old})
	if n, err := s.Housekeeping(t.Context()); err != nil || n != 2 {
		t.Errorf("swept %d, %v", n, err)
	}
	for holder, want := range map[string]int64{"g1": 1, "g2": 0} {
		if n, err := s.Usage(t.Context(), holder, "a", time.Unix(0, 0)); err != nil || n != want {
			t.Errorf("%s: %d, want %d, %v", holder, n, want, err)
		}
	}
	commit(t, s, oauth.CountUse{Holder: "g1", Tool: "a", At: now}, oauth.CountUse{Holder: "g2", Tool: "a", At: now})
	for holder, want := range map[string]int64{"g1": 2, "g2": 1} {
		if n, err := s.Usage(t.Context(), holder, "a", kept); err != nil || n != want {
			t.Errorf("%s afterwards: %d, want %d, %v", holder, n, want, err)
		}
	}
}

func TestUsesOfAClosedDatabaseAreAFault(t *testing.T) {
	s := open(t, testConfig(t))
	if err := s.Reader.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Usage(context.Background(), "g1", "a", second(0)); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// TestCountingLeavesTokenStates: a use says nothing of a token.
func TestCountingLeavesTokenStates(t *testing.T) {
	if !leavesTokens(oauth.CountUse{}) {
		t.Error("every counted call would empty the memory of token states")
	}
}
