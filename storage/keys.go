package storage

import (
	"context"

	"portcullis/oauth"
)

// saveSigningKey never replaces what a key is, only its state.
func saveSigningKey(t *tx, k *oauth.SigningKey) error {
	return t.run(`INSERT INTO signing_keys (kid, algorithm, state, sealed, created_at, activated_at, retired_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (kid) DO UPDATE SET state = excluded.state, activated_at = excluded.activated_at, retired_at = excluded.retired_at`,
		k.KID, k.Algorithm, k.State, k.Sealed, stamp(k.CreatedAt), stamp(k.ActivatedAt), stamp(k.RetiredAt))
}

// dropSigningKey removes a retiring key; another state is a conflict, because tokens may still be signed with it.
func dropSigningKey(t *tx, kid string) error {
	n, err := t.exec(`DELETE FROM signing_keys WHERE kid = $1 AND state = 'retiring'`, kid)
	if err != nil || n > 0 {
		return err
	}
	var one int64
	found, err := t.get(`SELECT 1 FROM signing_keys WHERE kid = $1`, []any{kid}, &one)
	if err == nil && found {
		return oauth.ErrConflict
	}
	return err
}

// SigningKeys reads all signing keys, oldest first.
func (r *Reader) SigningKeys(ctx context.Context) ([]oauth.SigningKey, error) {
	return list(ctx, r, scanSigningKey, `SELECT kid, algorithm, state, sealed, created_at, activated_at, retired_at
		FROM signing_keys ORDER BY created_at, kid`)
}

func scanSigningKey(r row) (k oauth.SigningKey, err error) {
	err = r.Scan(&k.KID, &k.Algorithm, &k.State, &k.Sealed, timeColumn{&k.CreatedAt}, timeColumn{&k.ActivatedAt}, timeColumn{&k.RetiredAt})
	return k, err
}
