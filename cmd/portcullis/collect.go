package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much the heap may grow between two collections, in percent of what is live.
const (
	startGC = 400 // while reading: nearly all that is read then is needed until it has been checked
	leastGC = 100 // Go's own default
	mostGC  = 400
)

// headroom is how much may be allocated between two collections where little is live, in bytes. A decision allocates some 20 KB, and what is
// live is often less than 10 MB: with Go's default a third of a busy server's time went into collections. The room is taken only by a
// server that has something to do.
const headroom = 32 << 20

// collector decides how often garbage is collected, unless the operator does with GOGC or GOMEMLIMIT.
type collector struct {
	off     bool
	percent int
}

func newCollector() *collector {
	return &collector{off: os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "", percent: leastGC}
}

// set changes the percentage, which stops the program for a moment, where it makes a difference.
func (c *collector) set(percent int) {
	if c.off || 10*max(percent-c.percent, c.percent-percent) < c.percent {
		return
	}
	c.percent = percent
	debug.SetGCPercent(percent)
}

// follow sets the percentage after each collection by what is live then. It is told by an object that nobody holds.
func (c *collector) follow() {
	if c.off {
		return
	}
	c.set(percentFor(liveBytes()))
	runtime.AddCleanup(new(sentinel), func(c *collector) { c.follow() }, c)
}

// sentinel is large enough to be a block of its own.
type sentinel [64]byte

func percentFor(live uint64) int {
	return int(min(mostGC, max(leastGC, headroom*100/max(live, 1))))
}

// liveBytes is what the last collection left.
func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return headroom // unknown: as Go does
	}
	return sample[0].Value.Uint64()
}
