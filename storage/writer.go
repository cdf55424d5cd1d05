package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"portcullis/oauth"
)

// ask is one caller's work for the writer, and where the outcome goes.
type ask struct {
	work     func(*tx) error
	bodies   []string // encoded events, in order
	sure     bool     // it only appends events and records of decisions: nothing in it can fail for this caller alone
	since    time.Time
	err      error
	answered chan error
}

// writer is the one goroutine that writes. Nothing of it is touched by another one, but the queue and the counters.
type writer struct {
	source   string // DSN
	wait     time.Duration
	queue    chan *ask
	done     chan struct{}
	chain    *chain
	db       *sql.DB
	tx       *tx // nil while there is no connection
	witness  *witness
	onCommit func(*tx)
	onDoubt  func() // the outcome of a group is unknown
	counts   counts
}

type counts struct {
	commits, conflicts, groups, failed, shed atomic.Uint64
	seq                                      atomic.Int64
	healthy                                  atomic.Bool
}

// loop serves until the queue is closed and empty.
func (w *writer) loop() {
	defer close(w.done)
	for first := range w.queue {
		runtime.Gosched() // lets those who are about to ask join this group
		group := w.gather(first)
		w.serve(group)
	}
}

// gather takes everyone who waits already.
func (w *writer) gather(first *ask) []*ask {
	group := []*ask{first}
	for len(group) < maxGroup {
		select {
		case next, open := <-w.queue:
			if !open {
				return group
			}
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

// serve writes one group and answers each of its callers.
func (w *writer) serve(group []*ask) {
	err := w.commit(group)
	if err != nil {
		w.counts.failed.Add(1)
		w.disconnect()
		w.onDoubt()
		err = fmt.Errorf("%w: %w", oauth.ErrUnavailable, err)
	}
	w.counts.healthy.Store(err == nil)
	for _, a := range group {
		switch {
		case err != nil:
			a.answered <- err
			continue
		case a.err == nil:
			w.counts.commits.Add(1)
		case errors.Is(a.err, oauth.ErrConflict):
			w.counts.conflicts.Add(1)
		}
		a.answered <- a.err
	}
}

// commit runs a group in one transaction. Its error means that nothing is known about any of it.
func (w *writer) commit(group []*ask) error {
	if err := w.connect(context.Background()); err != nil {
		return err
	}
	t := w.tx
	t.clients, t.states, t.unused = t.clients[:0], false, t.unused[:0]
	if err := t.run(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	before := w.chain.end
	for _, a := range group {
		if err := w.one(t, a); err != nil {
			return err
		}
	}
	if w.chain.end.seq != before.seq {
		if err := w.chain.saveEnd(t); err != nil {
			return err
		}
	}
	if err := t.run(`COMMIT`); err != nil {
		return err
	}
	w.counts.groups.Add(1)
	w.counts.seq.Store(w.chain.end.seq)
	if w.chain.end.seq != before.seq {
		w.witness.note(w.chain.end.seq)
	}
	w.onCommit(t)
	return nil
}

// one applies one caller's work in a savepoint of its own. An error that concerns this caller alone stays with it.
func (w *writer) one(t *tx, a *ask) error {
	if time.Since(a.since) > w.wait {
		w.counts.shed.Add(1)
		a.err = fmt.Errorf("%w: the queue of the writer is too slow; nothing was stored", oauth.ErrUnavailable)
		return nil
	}
	t.bodies = a.bodies
	if a.sure {
		return a.work(t)
	}
	if err := t.run(`SAVEPOINT caller`); err != nil {
		return err
	}
	end, unused := w.chain.end, len(t.unused)
	err := a.work(t)
	if err != nil && !private(err) {
		return err
	}
	if err != nil {
		a.err = verdict(err)
		w.chain.end = end
		t.unused = t.unused[:unused]
		if err := t.run(`ROLLBACK TO caller`); err != nil {
			return err
		}
	}
	return t.run(`RELEASE caller`)
}

// connect opens the connection if there is none, and reads the end of the audit chain from the file.
func (w *writer) connect(ctx context.Context) error {
	if w.tx != nil {
		return nil
	}
	db, err := openPool(w.source, 1)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	acknowledged := w.counts.seq.Load()
	if err := w.chain.load(ctx, conn); err != nil {
		return errors.Join(err, conn.Close(), db.Close())
	}
	if w.chain.end.seq < acknowledged {
		return errors.Join(fmt.Errorf("%w: audit rows up to %d were on disk, now it ends at %d", ErrCorrupt, acknowledged, w.chain.end.seq),
			conn.Close(), db.Close())
	}
	w.db, w.tx = db, &tx{conn: conn, stmts: map[string]*sql.Stmt{}, direct: newDirect(), chain: w.chain}
	w.counts.seq.Store(w.chain.end.seq)
	return nil
}

// disconnect ends whatever transaction there is and drops the connection. Its errors say nothing that matters any more.
func (w *writer) disconnect() {
	if w.tx == nil {
		return
	}
	_, _ = w.tx.conn.ExecContext(context.Background(), `ROLLBACK`)
	for _, stmt := range w.tx.stmts {
		_ = stmt.Close()
	}
	_ = w.tx.conn.Close()
	w.tx.direct.close(w.db)
	_ = w.db.Close()
	w.tx, w.db = nil, nil
}
