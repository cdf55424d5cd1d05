package storage

import (
	"context"
	"crypto/sha256"
	"net/url"

	"portcullis/oauth"
)

// idHash is what is kept of an interaction's id, which is a secret in the URLs of our pages.
func idHash(id string) []byte {
	h := sha256.Sum256([]byte(id))
	return h[:]
}

func saveInteraction(t *tx, i *oauth.Interaction) error {
	return t.must(`INSERT INTO interactions (hash, params, browser_hash, session_hash, form_token, client_digest, ip, user_agent,
			created_at, login_after, expires_at, taken)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)
		ON CONFLICT (hash) DO UPDATE SET params = excluded.params, browser_hash = excluded.browser_hash, session_hash = excluded.session_hash,
			form_token = excluded.form_token, client_digest = excluded.client_digest, ip = excluded.ip, user_agent = excluded.user_agent,
			created_at = excluded.created_at, login_after = excluded.login_after, expires_at = excluded.expires_at
		WHERE interactions.taken = 0`,
		idHash(i.ID), i.Params.Encode(), i.BrowserHash, i.SessionHash, i.FormToken, i.ClientDigest, i.IP, i.UserAgent,
		stamp(i.CreatedAt), stamp(i.LoginAfter), stamp(i.ExpiresAt))
}

// takeInteraction leaves an empty row behind, so that a second taking or a late replacement is noticed.
func takeInteraction(t *tx, id string) error {
	return t.must(`UPDATE interactions SET taken = 1, params = '', browser_hash = NULL, session_hash = NULL, form_token = '', ip = '', user_agent = ''
		WHERE hash = $1 AND taken = 0`, idHash(id))
}

// Interaction reads a pending interaction; see oauth.InteractionReader.
func (r *Reader) Interaction(ctx context.Context, id string) (*oauth.Interaction, error) {
	i, err := find(ctx, r, scanInteraction, `SELECT params, browser_hash, session_hash, form_token, client_digest, ip, user_agent,
			created_at, login_after, expires_at
		FROM interactions WHERE hash = $1 AND taken = 0`, idHash(id))
	if err != nil {
		return nil, err
	}
	i.ID = id
	return i, nil
}

func scanInteraction(r row) (i oauth.Interaction, err error) {
	var params string
	err = r.Scan(&params, &i.BrowserHash, &i.SessionHash, &i.FormToken, &i.ClientDigest, &i.IP, &i.UserAgent,
		timeColumn{&i.CreatedAt}, timeColumn{&i.LoginAfter}, timeColumn{&i.ExpiresAt})
	if err == nil {
		i.Params, err = url.ParseQuery(params)
	}
	return i, err
}
