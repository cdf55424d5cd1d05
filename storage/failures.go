package storage

import (
	"context"
	"errors"
	"time"

	"portcullis/oauth"
)

func countFailure(t *tx, c oauth.CountFailure) error {
	return t.run(`INSERT INTO login_failures (key, failures, last_at) VALUES ($1, 1, $2)
		ON CONFLICT (key) DO UPDATE SET failures = login_failures.failures + 1, last_at = excluded.last_at`, c.Key, stamp(c.At))
}

func forgetFailures(t *tx, key string) error {
	return t.run(`DELETE FROM login_failures WHERE key = $1`, key)
}

type failures struct {
	count int
	last  time.Time
}

// Failures reads a counter of failed logins; without any it is (0, zero time, nil).
func (r *Reader) Failures(ctx context.Context, key string) (int, time.Time, error) {
	f, err := find(ctx, r, scanFailures, `SELECT failures, last_at FROM login_failures WHERE key = $1`, key)
	if errors.Is(err, oauth.ErrNotFound) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	return f.count, f.last, nil
}

func scanFailures(r row) (f failures, err error) {
	err = r.Scan(&f.count, timeColumn{&f.last})
	return f, err
}
