package storage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"portcullis/oauth"
)

// Store is an open database: all readers of package oauth, and its Ledger.
type Store struct {
	*Reader
	path      string
	name      string // Config.Instance
	lock      *flock.Flock
	writer    *writer
	clients   *clientCache
	states    *stateCache
	unused    *unusedCache
	unchecked bool          // Open has not looked through the pages
	keep      time.Duration // records of decisions
	records   int           // at most
	gate      sync.RWMutex  // guards closed, and the queue against being closed under a sender
	closed    bool
	closing   sync.Once
	outcome   error // of Close
}

// Instance is the name of this server in audit rows.
func (s *Store) Instance() string { return s.name }

// Commit applies all changes or none and returns once they are on disk; see oauth.Ledger. It pays no regard to ctx: a
// caller that has gone must not undo what its request costs.
func (s *Store) Commit(_ context.Context, changes ...oauth.Change) error {
	if len(changes) == 0 {
		return nil
	}
	bodies, sure := encodeEvents(changes)
	a, err := s.enqueue(bodies, sure, func(t *tx) error {
		for _, c := range changes {
			t.states = t.states || !leavesTokens(c)
			if err := apply(t, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return <-a.answered
}

// do runs work of this package in a transaction, beside the callers of Commit.
func (s *Store) do(work func(*tx) error) error {
	a, err := s.enqueue(nil, false, func(t *tx) error {
		t.states = true
		return work(t)
	})
	if err != nil {
		return err
	}
	return <-a.answered
}

// enqueue hands work to the writer, or refuses when too many wait or the store is closed.
func (s *Store) enqueue(bodies []string, sure bool, work func(*tx) error) (*ask, error) {
	a := &ask{work: work, bodies: bodies, sure: sure, since: time.Now(), answered: make(chan error, 1)}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return nil, fmt.Errorf("%w: the database is closed", oauth.ErrUnavailable)
	}
	select {
	case s.writer.queue <- a:
		return a, nil
	default:
		s.writer.counts.shed.Add(1)
		return nil, fmt.Errorf("%w: %d callers wait for the writer already; nothing was stored", oauth.ErrUnavailable, cap(s.writer.queue))
	}
}

// Ping tells whether the database can be read and its write lock be had, and makes a writer that lost its connection open a new one.
// After a failure it writes, too: an empty transaction touches no disk. It gives up when ctx ends.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.Reader.ping(ctx); err != nil {
		return err
	}
	a, err := s.enqueue(nil, true, func(t *tx) error {
		if s.writer.counts.healthy.Load() {
			return nil
		}
		return t.run(`INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
			metaProbed, strconv.FormatInt(time.Now().UnixNano(), 10)) // the same value again would touch no disk either
	})
	if err != nil {
		return err
	}
	select {
	case err := <-a.answered:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: the writer does not answer: %w", oauth.ErrUnavailable, ctx.Err())
	}
}

// Close lets the waiting commits finish, empties the write-ahead log into the file and releases the lock. Commit answers
// ErrUnavailable afterwards. A second Close returns what the first did.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.gate.Lock()
		s.closed = true
		close(s.writer.queue)
		s.gate.Unlock()
		<-s.writer.done
		err := s.Reader.Close()
		if s.writer.tx != nil {
			_, checkpoint := s.writer.tx.conn.ExecContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`)
			err = errors.Join(err, checkpoint)
		}
		s.writer.disconnect()
		s.outcome = errors.Join(err, s.writer.witness.close(), s.lock.Unlock())
	})
	return s.outcome
}

// Stats are counters since Open, for the metrics of the server.
type Stats struct {
	Commits      uint64 // callers whose changes were stored
	Conflicts    uint64 // callers who lost a race
	Groups       uint64 // transactions, so fsyncs at most
	FailedGroups uint64 // transactions whose outcome is unknown
	Shed         uint64 // callers refused because too many waited or for too long
	Queue        int    // callers waiting now
	QueueSize    int    // callers that may wait
	AuditSeq     int64  // the last audit row
	Healthy      bool   // the last group was stored
}

// Stats reads the counters.
func (s *Store) Stats() Stats {
	c := &s.writer.counts
	return Stats{
		Commits: c.commits.Load(), Conflicts: c.conflicts.Load(), Groups: c.groups.Load(), FailedGroups: c.failed.Load(),
		Shed: c.shed.Load(), Queue: len(s.writer.queue), QueueSize: cap(s.writer.queue), AuditSeq: c.seq.Load(), Healthy: c.healthy.Load(),
	}
}
