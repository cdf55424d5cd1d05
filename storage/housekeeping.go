package storage

import (
	"context"
	"time"

	"portcullis/oauth"
)

// How long things are kept after they have ended.
const (
	keepCodes    = 24 * time.Hour      // spent codes, so that a replay still ends the family
	keepFailures = 24 * time.Hour      // counters of failed logins
	keepFamilies = 30 * 24 * time.Hour // ended or expired families with their refresh tokens
	sweepChunk   = 500                 // rows per transaction, so that commits keep flowing
)

// sweep is one statement and how long its rows are kept.
type sweep struct {
	keep  time.Duration
	query string
}

// sweeps are the statements of one pass. $1 is the time before which rows go, $2 the size of a chunk. Used refresh tokens of live
// families stay: without them reuse could not be told from an unknown token.
func sweeps() []sweep {
	return []sweep{
		{keepCodes, `DELETE FROM codes WHERE hash IN (SELECT hash FROM codes WHERE expires_at < $1 LIMIT $2)`},
		{0, `DELETE FROM interactions WHERE hash IN (SELECT hash FROM interactions WHERE expires_at < $1 LIMIT $2)`},
		{0, `DELETE FROM revoked_tokens WHERE jti IN (SELECT jti FROM revoked_tokens WHERE expires_at < $1 LIMIT $2)`},
		{0, `DELETE FROM used_ids WHERE (scope, id) IN (SELECT scope, id FROM used_ids WHERE expires_at < $1 LIMIT $2)`},
		{oauth.MaxUsageWindow + time.Hour, `DELETE FROM tool_uses WHERE (holder, tool, at) IN (SELECT holder, tool, at FROM tool_uses WHERE at < $1 LIMIT $2)`},
		{0, `DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at < $1 LIMIT $2)`},
		{keepFailures, `DELETE FROM login_failures WHERE key IN (SELECT key FROM login_failures WHERE last_at < $1 LIMIT $2)`},
		{0, `DELETE FROM clients WHERE id IN (SELECT c.id FROM clients c WHERE c.expires_at > 0 AND c.expires_at < $1 AND c.last_used_at = 0
			AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.client_id = c.id) LIMIT $2)`},
		{0, `UPDATE refresh_tokens SET successor = NULL WHERE hash IN
			(SELECT hash FROM refresh_tokens WHERE successor IS NOT NULL AND window_ends < $1 LIMIT $2)`},
		{keepFamilies, `DELETE FROM refresh_tokens WHERE hash IN (SELECT t.hash FROM families f JOIN refresh_tokens t ON t.family_id = f.id
			WHERE f.ended_at > 0 AND f.ended_at < $1 LIMIT $2)`},
		{keepFamilies, `DELETE FROM refresh_tokens WHERE hash IN (SELECT t.hash FROM families f JOIN refresh_tokens t ON t.family_id = f.id
			WHERE f.expires_at < $1 LIMIT $2)`},
		{keepFamilies, `DELETE FROM families WHERE id IN (SELECT f.id FROM families f WHERE f.ended_at > 0 AND f.ended_at < $1
			AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.family_id = f.id) LIMIT $2)`},
		{keepFamilies, `DELETE FROM families WHERE id IN (SELECT f.id FROM families f WHERE f.expires_at < $1
			AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.family_id = f.id) LIMIT $2)`},
	}
}

// Housekeeping makes one pass over everything that has outlived its use and returns how many rows it removed or emptied. It works in
// small transactions through the writer, so commits keep flowing, and ends early with ctx.
func (s *Store) Housekeeping(ctx context.Context) (int64, error) {
	defer s.forgetAll() // expired ones may be among what is kept in memory
	now := time.Now()
	var total int64
	for _, one := range sweeps() {
		n, err := s.sweep(ctx, one.query, stamp(now.Add(-one.keep)))
		total += n
		if err != nil {
			return total, err
		}
	}
	n, err := s.sweep(ctx, `DELETE FROM decisions WHERE seq IN (SELECT seq FROM decisions WHERE at < $1 LIMIT $2)`, stamp(now.Add(-s.keep)))
	total += n
	if err != nil {
		return total, err
	}
	n, err = s.sweep(ctx, `DELETE FROM decisions WHERE seq IN
		(SELECT seq FROM decisions WHERE seq <= (SELECT max(seq) FROM decisions) - $1 ORDER BY seq LIMIT $2)`, int64(s.records))
	return total + n, err
}

// sweep runs one statement until nothing is left for it. $1 is the limit, $2 the size of a chunk.
func (s *Store) sweep(ctx context.Context, query string, limit int64) (total int64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return total, fault(err)
		}
		var n int64
		err := s.do(func(t *tx) (err error) {
			n, err = t.exec(query, limit, sweepChunk)
			return err
		})
		total += n
		if err != nil || n < sweepChunk {
			return total, err
		}
	}
}
