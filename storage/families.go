package storage

import "portcullis/oauth"

const familyColumns = `f.id, f.grant_id, f.scopes, f.jkt, f.auth_time, f.acr, f.amr, f.created_at, f.expires_at, f.ended_at, f.end_reason, f.redirect_uri`

// liveGrant is a conflict unless the grant is live.
func liveGrant(t *tx, id string) error {
	return t.demand(`SELECT 1 FROM grants WHERE id = $1 AND ended_at = 0`, id)
}

func saveFamily(t *tx, f *oauth.Family) error {
	if err := liveGrant(t, f.GrantID); err != nil {
		return err
	}
	return t.run(`INSERT INTO families (id, grant_id, scopes, jkt, auth_time, acr, amr, created_at, expires_at, ended_at, end_reason, redirect_uri)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '', $10)`,
		f.ID, f.GrantID, words(f.Scopes), f.JKT, stamp(f.AuthTime), f.ACR, words(f.AMR), stamp(f.CreatedAt), stamp(f.ExpiresAt), f.RedirectURI)
}

func endFamily(t *tx, c oauth.EndFamily) error {
	if err := t.run(`UPDATE refresh_tokens SET successor = NULL WHERE family_id = $1 AND successor IS NOT NULL`, c.ID); err != nil {
		return err
	}
	return t.run(`UPDATE families SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at = 0`, c.ID, stamp(c.At), c.Reason)
}

// familyInto takes the familyColumns; all of them may be NULL.
func familyInto(f *oauth.Family) []any {
	return []any{textColumn{&f.ID}, textColumn{&f.GrantID}, scopesColumn(&f.Scopes), textColumn{&f.JKT}, timeColumn{&f.AuthTime},
		textColumn{&f.ACR}, wordsColumn{&f.AMR}, timeColumn{&f.CreatedAt}, timeColumn{&f.ExpiresAt}, timeColumn{&f.EndedAt}, textColumn{&f.EndReason}, textColumn{&f.RedirectURI}}
}
