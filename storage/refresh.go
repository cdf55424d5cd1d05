package storage

import (
	"context"
	"fmt"

	"portcullis/oauth"
)

func saveRefresh(t *tx, r *oauth.Refresh) error {
	if err := t.demand(`SELECT 1 FROM families WHERE id = $1 AND ended_at = 0`, r.FamilyID); err != nil {
		return err
	}
	return insertRefresh(t, nil, r)
}

// insertRefresh stores a token after its parent, if it has one, was marked as used.
func insertRefresh(t *tx, used []byte, r *oauth.Refresh) error {
	t.noteUnused(used, r)
	return t.run(`INSERT INTO refresh_tokens (hash, family_id, generation, created_at, expires_at, used_at, window_ends, successor)
		VALUES ($1, $2, $3, $4, $5, 0, 0, NULL)`,
		r.Hash, r.FamilyID, r.Generation, stamp(r.CreatedAt), stamp(r.ExpiresAt))
}

// rotateRefresh also forgets the sealed form of the token that is being rotated: its parent's retries are over (DESIGN §9).
func rotateRefresh(t *tx, c oauth.RotateRefresh) error {
	n, err := t.exec(`UPDATE refresh_tokens SET used_at = $2, window_ends = $3, successor = $4
		WHERE hash = $1 AND used_at = 0 AND family_id = $5 AND generation = $6
		AND EXISTS (SELECT 1 FROM families f WHERE f.id = refresh_tokens.family_id AND f.ended_at = 0)`,
		c.Hash, stamp(c.UsedAt), stamp(c.WindowEnds), c.Sealed, c.Next.FamilyID, c.Next.Generation-1)
	if err != nil {
		return err
	}
	if n == 0 {
		return whyNotRotated(t, c)
	}
	err = t.run(`UPDATE refresh_tokens SET successor = NULL WHERE family_id = $1 AND generation = $2 AND successor IS NOT NULL`, c.Next.FamilyID, c.Next.Generation-2)
	if err != nil {
		return err
	}
	return insertRefresh(t, c.Hash, &c.Next)
}

// whyNotRotated tells a change that cannot be right from a lost race.
func whyNotRotated(t *tx, c oauth.RotateRefresh) error {
	var family string
	var generation int
	unused, err := t.get(`SELECT family_id, generation FROM refresh_tokens WHERE hash = $1 AND used_at = 0`, []any{c.Hash}, &family, &generation)
	if err != nil {
		return err
	}
	if unused && (c.Next.FamilyID != family || c.Next.Generation != generation+1) {
		return fmt.Errorf("%w: the successor of generation %d must be generation %d of the same family", errBadChange, generation, generation+1)
	}
	return oauth.ErrConflict
}

// Refresh reads a refresh token, used or not, with its family and grant.
func (r *Reader) Refresh(ctx context.Context, hash []byte) (*oauth.RefreshState, error) {
	return find(ctx, r, scanRefresh, `SELECT t.hash, t.family_id, t.generation, t.created_at, t.expires_at, t.used_at, t.window_ends, t.successor,
			EXISTS (SELECT 1 FROM refresh_tokens n WHERE n.family_id = t.family_id AND n.generation = t.generation + 1 AND n.used_at > 0),
			`+familyColumns+`, `+grantColumns+`
		FROM refresh_tokens t JOIN families f ON f.id = t.family_id JOIN grants g ON g.id = f.grant_id WHERE t.hash = $1`, hash)
}

func scanRefresh(r row) (oauth.RefreshState, error) {
	var t oauth.Refresh
	var f oauth.Family
	var g oauth.Grant
	into := []any{&t.Hash, &t.FamilyID, &t.Generation, timeColumn{&t.CreatedAt}, timeColumn{&t.ExpiresAt}, timeColumn{&t.UsedAt},
		timeColumn{&t.WindowEnds}, &t.Successor, flagColumn{&t.SuccessorUsed}}
	into = append(into, familyInto(&f)...)
	err := r.Scan(append(into, grantInto(&g)...)...)
	return oauth.RefreshState{Refresh: &t, Family: &f, Grant: &g}, err
}
