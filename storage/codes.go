package storage

import (
	"context"

	"portcullis/oauth"
)

func saveCode(t *tx, c *oauth.Code) error {
	if err := liveGrant(t, c.GrantID); err != nil {
		return err
	}
	return t.run(`INSERT INTO codes (hash, grant_id, redirect_uri, challenge, scopes, offline, auth_time, acr, amr, expires_at,
			failures, spent_at, family_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, '')`,
		c.Hash, c.GrantID, c.RedirectURI, c.Challenge, words(c.Scopes), flag(c.Offline), stamp(c.AuthTime), c.ACR, words(c.AMR), stamp(c.ExpiresAt))
}

// spendCode keeps the row, so that a replay leads to the family that the code made (RFC 6749 §4.1.2).
func spendCode(t *tx, c oauth.SpendCode) error {
	return t.must(`UPDATE codes SET spent_at = $2, family_id = $3 WHERE hash = $1 AND spent_at = 0 AND failures < $4`,
		c.Hash, stamp(c.At), c.FamilyID, oauth.MaxCodeFailures)
}

func countCodeFailure(t *tx, hash []byte) error {
	return t.run(`UPDATE codes SET failures = failures + 1 WHERE hash = $1 AND spent_at = 0`, hash)
}

// Code reads a code, spent or not, its grant, and whether what it made has ended.
func (r *Reader) Code(ctx context.Context, hash []byte) (*oauth.CodeState, error) {
	return find(ctx, r, scanCode, `SELECT c.hash, c.grant_id, c.redirect_uri, c.challenge, c.scopes, c.offline, c.auth_time, c.acr, c.amr,
			c.expires_at, c.failures, c.spent_at, c.family_id, coalesce(f.ended_at, 0) > 0, `+grantColumns+`
		FROM codes c JOIN grants g ON g.id = c.grant_id LEFT JOIN families f ON f.id = c.family_id WHERE c.hash = $1`, hash)
}

func scanCode(r row) (oauth.CodeState, error) {
	var c oauth.Code
	var g oauth.Grant
	var ended bool
	into := []any{&c.Hash, &c.GrantID, &c.RedirectURI, &c.Challenge, scopesColumn(&c.Scopes), flagColumn{&c.Offline}, timeColumn{&c.AuthTime},
		&c.ACR, wordsColumn{&c.AMR}, timeColumn{&c.ExpiresAt}, &c.Failures, timeColumn{&c.SpentAt}, &c.FamilyID, flagColumn{&ended}}
	err := r.Scan(append(into, grantInto(&g)...)...)
	return oauth.CodeState{Code: &c, Grant: &g, Ended: ended}, err
}
