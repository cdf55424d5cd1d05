package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"portcullis/oauth"
)

// tx is what a change sees of the writer: prepared statements on its connection inside the running transaction.
type tx struct {
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt
	direct  *direct
	chain   *chain
	bodies  []string // encoded events of the caller whose changes are being applied
	clients []string // cached clients that COMMIT makes stale
	states  bool     // COMMIT makes remembered token states stale
	unused  []unusedNews
}

// exec runs one statement and tells how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	return t.direct.exec(t.conn, query, args)
}

// run is exec for a statement that may change nothing.
func (t *tx) run(query string, args ...any) error {
	_, err := t.exec(query, args...)
	return err
}

// must is exec for a statement that has to change a row; else someone was faster.
func (t *tx) must(query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return oauth.ErrConflict
	}
	return err
}

// get reads one row and tells whether there is one.
func (t *tx) get(query string, args []any, dest ...any) (bool, error) {
	stmt, err := t.prepared(query)
	if err != nil {
		return false, err
	}
	err = stmt.QueryRowContext(context.Background(), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// demand is a conflict unless the query has a row.
func (t *tx) demand(query string, args ...any) error {
	var one int64
	found, err := t.get(query, args, &one)
	if err == nil && !found {
		return oauth.ErrConflict
	}
	return err
}

func (t *tx) prepared(query string) (*sql.Stmt, error) {
	if stmt := t.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := t.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	t.stmts[query] = stmt
	return stmt, nil
}

// errChain marks an error that hurts the audit chain, so it is never private to one caller.
var errChain = errors.New("the audit row could not be appended")

// private tells whether an error concerns only the caller whose change made it: SQLite has undone no more than the statement.
func private(err error) bool {
	if errors.Is(err, errChain) {
		return false
	}
	return errors.Is(err, oauth.ErrConflict) || errors.Is(err, errBadChange) || resultCode(err)&0xff == codeConstraint
}

// verdict is what the caller with a private error gets. A row that is there already is a lost race; any other
// constraint is a fault of this program and says so.
func verdict(err error) error {
	switch code := resultCode(err); {
	case errors.Is(err, oauth.ErrConflict):
		return oauth.ErrConflict
	case code == codeUnique, code == codePrimaryKey:
		return fmt.Errorf("%w: %w", oauth.ErrConflict, err)
	}
	return fmt.Errorf("%w: the change was refused and nothing was stored: %w", oauth.ErrUnavailable, err)
}
