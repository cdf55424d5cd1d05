package storage

import (
	"context"

	"portcullis/oauth"
)

// saveSession refuses one for a disabled user: a login may have been on its way while an administrator disabled them.
func saveSession(t *tx, s *oauth.Session) error {
	var one int64
	disabled, err := t.get(`SELECT 1 FROM users WHERE id = $1 AND disabled = 1`, []any{s.UserID}, &one)
	if err != nil {
		return err
	}
	if disabled {
		return oauth.ErrConflict
	}
	return t.run(`INSERT INTO sessions (hash, user_id, auth_time, acr, amr, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		s.Hash, s.UserID, stamp(s.AuthTime), s.ACR, words(s.AMR), stamp(s.ExpiresAt))
}

func endSession(t *tx, hash []byte) error { return t.run(`DELETE FROM sessions WHERE hash = $1`, hash) }

func endSessions(t *tx, c oauth.EndSessions) error {
	if len(c.Except) == 0 {
		return t.run(`DELETE FROM sessions WHERE user_id = $1`, c.UserID)
	}
	return t.run(`DELETE FROM sessions WHERE user_id = $1 AND hash <> $2`, c.UserID, c.Except)
}

// Session reads a session by the SHA-256 of its id.
func (r *Reader) Session(ctx context.Context, hash []byte) (*oauth.Session, error) {
	return find(ctx, r, scanSession, `SELECT hash, user_id, auth_time, acr, amr, expires_at FROM sessions WHERE hash = $1`, hash)
}

func scanSession(r row) (s oauth.Session, err error) {
	err = r.Scan(&s.Hash, &s.UserID, timeColumn{&s.AuthTime}, &s.ACR, wordsColumn{&s.AMR}, timeColumn{&s.ExpiresAt})
	return s, err
}
