package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// step sends one request over a worker's connection and checks the answer. errDone ends the worker.
type step func(worker int, c *connection) error

var errDone = errors.New("nothing left to do")

// target is one server under load.
type target struct {
	address string
	pid     int
}

// measured is what one round of load has shown.
type measured struct {
	requests int
	took     time.Duration
	p50, p99 time.Duration
	cpu      time.Duration // of the server, user and system
}

func (m measured) rate() float64 { return float64(m.requests) / m.took.Seconds() }

// perRequest is the server's CPU time of one request in microseconds.
func (m measured) perRequest() float64 {
	return float64(m.cpu.Microseconds()) / float64(max(1, m.requests))
}

// flood lets every worker send its next request as soon as the last one is answered, for a time or until there is nothing
// left to do. An answer that is not as it should be ends it with an error.
func flood(t target, workers int, limit time.Duration, do step) (measured, error) {
	before := cpuTime(t.pid)
	begun := time.Now()
	end := begun.Add(limit)
	took, err := together(t, workers, func(worker int, c *connection, note func(time.Duration)) error {
		for at := time.Now(); at.Before(end); {
			if err := do(worker, c); err != nil {
				return err
			}
			now := time.Now()
			note(now.Sub(at))
			at = now
		}
		return nil
	})
	m := summary(took, time.Since(begun))
	m.cpu = cpuTime(t.pid) - before
	return m, err
}

// arrivals sends requests at fixed times, however long the answers take. The latency counts from the time at which a request
// should have been sent, so that a server that stalls is not let off.
func arrivals(t target, workers, perSecond int, limit time.Duration, do step) (measured, error) {
	before := cpuTime(t.pid)
	gap := time.Second / time.Duration(perSecond)
	total := int64(limit / gap)
	begun := time.Now().Add(5 * time.Millisecond)
	var next atomic.Int64
	took, err := together(t, workers, func(worker int, c *connection, note func(time.Duration)) error {
		for {
			n := next.Add(1) - 1
			if n >= total {
				return nil
			}
			due := begun.Add(time.Duration(n) * gap)
			sleepUntil(due)
			if err := do(worker, c); err != nil {
				return err
			}
			note(time.Since(due))
		}
	})
	m := summary(took, time.Since(begun))
	m.cpu = cpuTime(t.pid) - before
	return m, err
}

// sleepUntil asks the kernel itself: the timers of Go are up to a millisecond late.
func sleepUntil(due time.Time) {
	if left := time.Until(due); left > 0 {
		ts := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&ts, nil) // a signal wakes it early: then the request is a little early, too
	}
}

// together runs the workers, each with its own connection, and collects what they note.
func together(t target, workers int, run func(worker int, c *connection, note func(time.Duration)) error) ([]time.Duration, error) {
	taken := make([][]time.Duration, workers)
	errs := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		c, err := dial(t.address)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		all.Go(func() {
			taken[w] = make([]time.Duration, 0, 4096)
			err := run(w, c, func(d time.Duration) { taken[w] = append(taken[w], d) })
			if err != nil && !errors.Is(err, errDone) {
				errs[w] = err
			}
		})
	}
	all.Wait()
	return slices.Concat(taken...), errors.Join(errs...)
}

func summary(taken []time.Duration, took time.Duration) measured {
	slices.Sort(taken)
	m := measured{requests: len(taken), took: took}
	if len(taken) > 0 {
		m.p50, m.p99 = taken[len(taken)/2], taken[len(taken)*99/100]
	}
	return m
}

// want is the check of an answer.
func want(status, expected int, body []byte, ok bool) error {
	if status == expected && ok {
		return nil
	}
	return fmt.Errorf("a wrong answer, %d: %s", status, body[:min(len(body), 600)])
}
