package main

import (
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"
)

func TestGarbageHasAFixedRoom(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 8 << 20: 400, 16 << 20: 200, 32 << 20: 100, 1 << 30: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d bytes live: %d %%, want %d %%", live, got, want)
		}
	}
}

// What is live decides anew after each collection, and the operator's settings win.
func TestCollectionsFollowWhatIsLive(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "50")
		if c := newCollector(); !c.off {
			t.Errorf("%s is not respected", name)
		}
		t.Setenv(name, "")
	}
	newCollector().follow()
	held := make([][]byte, 0, 64)
	for range 64 {
		held = append(held, make([]byte, 1<<20))
	}
	collected := func() string { runtime.GC(); return strconv.FormatUint(percentNow(), 10) }
	eventually(t, collected, func(percent string) bool { return percent == "100" })
	runtime.KeepAlive(held)
	held = nil
	eventually(t, collected, func(percent string) bool { return percent != "100" })
}

// percentNow is what is in force.
func percentNow() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
