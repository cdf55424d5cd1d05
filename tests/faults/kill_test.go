package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKillLosesNothingAcknowledged: F1, T6: the server is killed again and again while people connect, rotate, revoke and disconnect.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	s := newSite(t, 6)
	c := newCrew(s, 6)
	var ready []time.Duration
	cycles := number("cycles")
	p := s.start()
	for cycle := range cycles {
		c.until(t, c.random.IntN(80), p.kill)
		if strings.Contains(p.log.String(), "DATA RACE") {
			t.Errorf("a data race:\n%s", p.said())
		}
		p = s.start()
		ready = append(ready, p.took)
		c.reconcile(t)
		s.verify()
		if t.Failed() {
			t.Fatalf("in cycle %d of %d", cycle+1, cycles)
		}
	}
	p.stop()
	s.verify()
	slices.Sort(ready)
	t.Logf("%d kills; ready again after %v, at most %v", cycles, ready[len(ready)/2], ready[len(ready)-1])
	t.Logf("requests: %s", counted(c.total()))
	t.Logf("of the lost ones these had happened: %s", counted(c.after))
	if limit := time.Second; !raceDetector && ready[len(ready)/2] > limit {
		t.Errorf("half of the starts took longer than %v", limit)
	}
	if c.total()["exchange"] < cycles || c.total()["refresh"] < cycles {
		t.Error("hardly anything was done, so hardly anything was tested")
	}
}

// counted prints counts in order.
func counted(counts map[string]int) string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%s %d, ", what, counts[what])
	}
	return strings.TrimSuffix(b.String(), ", ")
}
