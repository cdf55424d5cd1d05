package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gofrs/flock"
)

// Open opens or makes the database and starts its writer; see the package documentation for what it checks. The caller
// must Close the store. Its errors wrap one of the Err values when an operator can cure them.
func Open(ctx context.Context, c Config) (*Store, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	path, err := realPath(c.Path)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	s, err := openLocked(ctx, c, path, lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), lock.Unlock())
	}
	return s, nil
}

func openLocked(ctx context.Context, c Config, path string, lock *flock.Flock) (*Store, error) {
	exists, err := present(path)
	if err != nil {
		return nil, err
	}
	if !exists {
		if err := create(ctx, c, path); err != nil {
			return nil, err
		}
	}
	later, err := mayWait(path, c.CheckAtOnce)
	if err != nil {
		return nil, err
	}
	seals, err := prepare(ctx, c, path, later)
	if err != nil {
		return nil, err
	}
	reader, err := newReader(path, c.Busy, c.Readers)
	if err != nil {
		return nil, err
	}
	reader.seals = seals
	s := &Store{Reader: reader, path: path, name: c.Instance, lock: lock, clients: newClientCache(c.ClientCache), states: newStateCache(), unused: newUnusedCache(), unchecked: later, keep: c.KeepDecisions, records: c.MaxDecisions}
	s.writer = &writer{
		source: dsn(path, "rw", c.Busy), wait: c.Wait, queue: make(chan *ask, c.Queue), done: make(chan struct{}),
		chain: newChain(seals, c.Instance), onCommit: s.committed, onDoubt: s.forgetAll,
	}
	if err := s.begin(ctx, c); err != nil {
		s.writer.disconnect()
		return nil, errors.Join(err, s.writer.witness.close(), reader.Close())
	}
	return s, nil
}

// begin connects the writer, looks at the end of the audit and starts to serve.
func (s *Store) begin(ctx context.Context, c Config) error {
	if err := s.writer.connect(ctx); err != nil {
		return err
	}
	last, err := s.Audit().checkTail(ctx)
	if err != nil {
		return err
	}
	if s.writer.witness, err = openWitness(s.path, s.seals); err != nil {
		return err
	}
	if err := s.writer.witness.check(s.writer.chain.end.seq); err != nil {
		return err
	}
	if now := time.Now(); !c.AllowClockBack && now.Before(last.Add(-clockTolerance)) {
		return fmt.Errorf("%w: it is %s here, but the last audit row is of %s; correct the clock, or start once with --allow-clock-back if the clock is right",
			ErrClock, now.UTC().Format(time.RFC3339), last.UTC().Format(time.RFC3339))
	}
	s.writer.counts.healthy.Store(true)
	go s.writer.loop()
	return nil
}

// prepare checks an existing database, migrates it and sets the write-ahead log.
func prepare(ctx context.Context, c Config, path string, later bool) (*seals, error) {
	db, err := openPool(dsn(path, "rw", c.Busy), 1)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := checkSQLite(ctx, db); err != nil {
		return nil, err
	}
	if !later {
		if err := checkPages(ctx, db); err != nil {
			return nil, err
		}
	}
	meta, err := readMeta(ctx, db)
	if err != nil {
		return nil, err
	}
	s, err := newSeals(c.ServerKey, meta[metaID])
	if err != nil {
		return nil, err
	}
	if err := checkKey(meta, s); err != nil {
		return nil, err
	}
	if err := checkKind(meta, c.Demo); err != nil {
		return nil, err
	}
	if err := checkSchema(ctx, db, meta, s); err != nil {
		return nil, err
	}
	if err := checkWritable(ctx, db); err != nil {
		return nil, err
	}
	from, err := strconv.Atoi(meta[metaSchema])
	if err != nil {
		return nil, fmt.Errorf("%w: its schema number is %q", ErrCorrupt, meta[metaSchema])
	}
	err = migrate(ctx, db, from, func(tx *sql.Tx, number int) error { return sealSchema(ctx, tx, s, number) })
	if err != nil {
		return nil, err
	}
	return s, useWAL(ctx, db)
}

// useWAL turns the write-ahead log on, once: setting it on every connection makes fresh starts fail with SQLITE_BUSY.
func useWAL(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if mode == "wal" {
		return nil
	}
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%w: this file system does not take SQLite's write-ahead log (the mode stayed %q); use a local disk", ErrConfig, mode)
	}
	return nil
}
