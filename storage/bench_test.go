//go:build unix

package storage

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"portcullis/oauth"
)

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "bench.db"), ServerKey: testKey()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// cpuTime is what this process has computed so far: steadier than the clock on a busy machine.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// spread runs work b.N times over a number of goroutines and reports how many of them shared a transaction.
func spread(b *testing.B, s *Store, workers int, work func(worker, i int) error) {
	b.Helper()
	before := s.Stats()
	computed := cpuTime(b)
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for w := range workers {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := work(w, int(next.Load())); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-computed).Microseconds())/float64(b.N), "cpu-µs/op")
	after := s.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	if groups := after.Groups - before.Groups; groups > 0 {
		b.ReportMetric(float64(after.Commits-before.Commits)/float64(groups), "commits/group")
	}
}

// BenchmarkDecision appends one audit row durably, as each tool call does, without and with the record of what policy saw.
func BenchmarkDecision(b *testing.B) {
	for _, bytes := range []int{0, 1400} {
		for _, workers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("record=%d/%d", bytes, workers), func(b *testing.B) {
				s := benchStore(b)
				document := make([]byte, bytes)
				spread(b, s, workers, func(_, i int) error {
					if bytes == 0 {
						return s.Commit(context.Background(), fullEvent(i))
					}
					record := oauth.DecisionRecord{ID: oauth.NewID("dec_"), Time: time.Now(), Kind: "tools", Revision: "0123456789abcdef", Document: document}
					return s.Commit(context.Background(), oauth.SaveDecision{Decision: record}, fullEvent(i))
				})
			})
		}
	}
}

// BenchmarkRefresh rotates refresh tokens durably with an audit row, one family per goroutine.
func BenchmarkRefresh(b *testing.B) {
	for _, workers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			s := benchStore(b)
			generations := make([]int, workers)
			token := func(w, generation int) oauth.Refresh {
				hash := append(fmt.Appendf(nil, "%08x", generation), digest(fmt.Sprint(w, "-", generation))...) // dated, as they are
				return oauth.Refresh{Hash: hash, FamilyID: fmt.Sprint("f", w), Generation: generation,
					CreatedAt: second(1), ExpiresAt: second(1000)}
			}
			for w := range workers {
				g, f := aGrant(fmt.Sprint("g", w)), aFamily(fmt.Sprint("f", w), fmt.Sprint("g", w))
				g.UserID = fmt.Sprint("u", w)
				if err := s.Commit(b.Context(), oauth.SaveGrant{Grant: g}, oauth.SaveFamily{Family: f}, oauth.SaveRefresh{Refresh: token(w, 1)}); err != nil {
					b.Fatal(err)
				}
				generations[w] = 1
			}
			spread(b, s, workers, func(w, i int) error {
				old := token(w, generations[w])
				generations[w]++
				return s.Commit(context.Background(), oauth.RotateRefresh{Hash: old.Hash, UsedAt: time.Now(), WindowEnds: time.Now().Add(time.Minute),
					Sealed: make([]byte, 80), Next: token(w, generations[w])}, oauth.TouchGrant{ID: fmt.Sprint("g", w), At: time.Now()}, fullEvent(i))
			})
		})
	}
}

// BenchmarkTokenState is the read of each decision.
func BenchmarkTokenState(b *testing.B) {
	s := benchStore(b)
	if err := s.Commit(b.Context(), oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice", Groups: []string{"staff"}}},
		oauth.SaveGrant{Grant: aGrant("g1")}, oauth.SaveFamily{Family: aFamily("f1", "g1")}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := s.TokenState(context.Background(), "j", "g1", "f1", "u1"); err != nil {
				b.Error(err)
			}
		}
	})
}
