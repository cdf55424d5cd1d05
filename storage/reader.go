package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"portcullis/oauth"
)

// Reader is a pool of read-only connections. It implements the reader interfaces of package oauth.
type Reader struct {
	db    *sql.DB
	stmts sync.Map // query → *sql.Stmt
	seals *seals   // nil when opened without the server key
}

// OpenReader opens a database for reading, beside a running server or without one. It takes no lock. serverKey may be nil; then the
// audit can be read but not verified.
func OpenReader(ctx context.Context, path string, serverKey []byte) (*Reader, error) {
	real, err := realPath(path)
	if err != nil {
		return nil, err
	}
	if err := CheckPrivate(real); err != nil {
		return nil, fmt.Errorf("the database cannot be read: %w", err)
	}
	r, err := newReader(real, defaultBusy, 2)
	if err != nil {
		return nil, err
	}
	if err := r.check(ctx, serverKey); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", real, err), r.Close())
	}
	return r, nil
}

// check makes sure that the file is a database of ours with a schema that this program knows.
func (r *Reader) check(ctx context.Context, serverKey []byte) error {
	if err := checkSQLite(ctx, r.db); err != nil {
		return err
	}
	meta, err := readMeta(ctx, r.db)
	if err != nil {
		return err
	}
	list, err := allMigrations()
	if err != nil {
		return err
	}
	switch number, err := strconv.Atoi(meta[metaSchema]); {
	case err != nil || number < len(list):
		return fmt.Errorf("%w: it has schema %q and this program reads %d; start the server once to migrate it", ErrTooOld, meta[metaSchema], len(list))
	case number > len(list):
		return fmt.Errorf("%w: it has schema %d and this program knows %d; use a newer program", ErrTooNew, number, len(list))
	}
	if serverKey == nil {
		return nil
	}
	if err := checkServerKey(serverKey); err != nil {
		return err
	}
	s, err := newSeals(serverKey, meta[metaID])
	if err != nil {
		return err
	}
	r.seals = s
	return checkKey(meta, s)
}

func newReader(path string, busy time.Duration, size int) (*Reader, error) {
	db, err := openPool(dsn(path, "ro", busy), size)
	if err != nil {
		return nil, err
	}
	return &Reader{db: db}, nil
}

// Close closes the connections.
func (r *Reader) Close() error { return r.db.Close() }

func (r *Reader) ping(ctx context.Context) error {
	var one int64
	return fault(r.db.QueryRowContext(ctx, `SELECT 1 FROM meta LIMIT 1`).Scan(&one))
}

// row is a *sql.Row or one row of a *sql.Rows.
type row interface{ Scan(dest ...any) error }

// find reads one row. It runs to its end even when ctx ends meanwhile: watching a context costs more than the read.
func find[T any](ctx context.Context, r *Reader, scan func(row) (T, error), query string, args ...any) (*T, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault(err)
	}
	stmt, err := r.prepared(query)
	if err != nil {
		return nil, fault(err)
	}
	value, err := scan(stmt.QueryRowContext(context.WithoutCancel(ctx), args...))
	if err != nil {
		return nil, fault(err)
	}
	return &value, nil
}

// list reads all rows of a query. It ends with ctx.
func list[T any](ctx context.Context, r *Reader, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	stmt, err := r.prepared(query)
	if err != nil {
		return nil, fault(err)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, fault(err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		value, err := scan(rows)
		if err != nil {
			return nil, fault(err)
		}
		all = append(all, value)
	}
	return all, fault(rows.Err())
}

// prepared keeps one statement per query; the queries are the constants of this package.
func (r *Reader) prepared(query string) (*sql.Stmt, error) {
	if stmt, ok := r.stmts.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := r.db.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	if other, raced := r.stmts.LoadOrStore(query, stmt); raced {
		return other.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

// fault turns an error of database/sql into one of package oauth.
func fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return oauth.ErrNotFound
	}
	return fmt.Errorf("%w: %w", oauth.ErrUnavailable, damage(err))
}
