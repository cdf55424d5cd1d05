package storage

import (
	"context"
	"time"

	"portcullis/oauth"
)

// usesSince counts the calls from a second on: the last total less what was there before.
const usesSince = `SELECT COALESCE(
	(SELECT total FROM tool_uses WHERE holder = $1 AND tool = $2 ORDER BY at DESC LIMIT 1) -
	(SELECT total - calls FROM tool_uses WHERE holder = $1 AND tool = $2 AND at >= $3 ORDER BY at LIMIT 1), 0)`

// Usage is oauth.UsageReader. The second of since counts as a whole: rather one too many than one too few.
func (r *Reader) Usage(ctx context.Context, holder, tool string, since time.Time) (int64, error) {
	n, err := find(ctx, r, func(r row) (n int64, err error) { err = r.Scan(&n); return n, err }, usesSince, holder, tool, since.Unix())
	if err != nil {
		return 0, err
	}
	return *n, nil
}

// countUse counts one call, unless the counts that allowed it have changed. After a clock that went back it counts in the latest
// second that there is, or totals would not grow with time.
func countUse(t *tx, c oauth.CountUse) error {
	for _, seen := range c.Seen {
		var calls int64
		if _, err := t.get(usesSince, []any{c.Holder, c.Tool, seen.Since.Unix()}, &calls); err != nil {
			return err
		}
		if calls != seen.Calls {
			return oauth.ErrConflict
		}
	}
	var last, total int64
	if _, err := t.get(`SELECT at, total FROM tool_uses WHERE holder = $1 AND tool = $2 ORDER BY at DESC LIMIT 1`, []any{c.Holder, c.Tool}, &last, &total); err != nil {
		return err
	}
	return t.run(`INSERT INTO tool_uses (holder, tool, at, calls, total) VALUES ($1, $2, $3, 1, $4)
		ON CONFLICT (holder, tool, at) DO UPDATE SET calls = tool_uses.calls + 1, total = excluded.total`,
		c.Holder, c.Tool, max(last, c.At.Unix()), total+1)
}
