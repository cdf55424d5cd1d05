package storage

import (
	"context"
	"time"

	"portcullis/oauth"
)

const grantColumns = `g.id, g.user_id, g.client_id, g.resource, g.scopes, g.client_digest, g.redirect_uri,
	g.created_at, g.last_used_at, g.ended_at, g.end_reason`

// touchEvery keeps "last used" exact to a minute, so that busy grants and clients are not rewritten by every call.
const touchEvery = 60

// saveGrant refuses a grant of something disabled: a consent may have been on its way while an administrator disabled it.
func saveGrant(t *tx, g *oauth.Grant) error {
	var one int64
	disabled, err := t.get(`SELECT 1 FROM users WHERE id = $1 AND disabled = 1
		UNION ALL SELECT 1 FROM clients WHERE id = $2 AND disabled = 1
		UNION ALL SELECT 1 FROM resources WHERE id = $3 AND disabled = 1`, []any{g.UserID, g.ClientID, g.Resource}, &one)
	if err != nil {
		return err
	}
	if disabled {
		return oauth.ErrConflict
	}
	return t.must(`INSERT INTO grants (id, user_id, client_id, resource, scopes, client_digest, redirect_uri,
			created_at, last_used_at, ended_at, end_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '')
		ON CONFLICT (id) DO UPDATE SET scopes = excluded.scopes, client_digest = excluded.client_digest, redirect_uri = excluded.redirect_uri
		WHERE grants.ended_at = 0 AND grants.user_id = excluded.user_id AND grants.client_id = excluded.client_id AND grants.resource = excluded.resource`,
		g.ID, g.UserID, g.ClientID, g.Resource, words(g.Scopes), g.ClientDigest, g.RedirectURI, stamp(g.CreatedAt), stamp(g.LastUsedAt))
}

// endGrants ends the live grants whose column (id, user_id, client_id or resource) has a value, and the live families
// under them, with their sealed successors. The grants come last, so that the others can still be found by them.
func endGrants(t *tx, column grantColumn, value, reason string, at time.Time) error {
	families := `SELECT f.id FROM grants g JOIN families f ON f.grant_id = g.id
		WHERE g.ended_at = 0 AND f.ended_at = 0 AND g.` + string(column) + ` = $1`
	if err := t.run(`UPDATE refresh_tokens SET successor = NULL WHERE successor IS NOT NULL AND family_id IN (`+families+`)`, value); err != nil {
		return err
	}
	if err := t.run(`UPDATE families SET ended_at = $2, end_reason = $3 WHERE id IN (`+families+`)`, value, stamp(at), reason); err != nil {
		return err
	}
	return t.run(`UPDATE grants SET ended_at = $2, end_reason = $3 WHERE ended_at = 0 AND `+string(column)+` = $1`, value, stamp(at), reason)
}

// grantColumn is a column that grants are ended by.
type grantColumn string

const (
	byGrant    grantColumn = "id"
	byUser     grantColumn = "user_id"
	byClient   grantColumn = "client_id"
	byResource grantColumn = "resource"
)

func touchGrant(t *tx, c oauth.TouchGrant) error {
	return t.run(`UPDATE grants SET last_used_at = $1 WHERE id = $2 AND last_used_at <= $3`, stamp(c.At), c.ID, stamp(c.At)-touchEvery)
}

// Grant reads a grant, live or ended.
func (r *Reader) Grant(ctx context.Context, id string) (*oauth.Grant, error) {
	return find(ctx, r, scanGrant, `SELECT `+grantColumns+` FROM grants g WHERE g.id = $1`, id)
}

// LiveGrant reads the live grant of a user, client and resource.
func (r *Reader) LiveGrant(ctx context.Context, userID, clientID, resource string) (*oauth.Grant, error) {
	return find(ctx, r, scanGrant, `SELECT `+grantColumns+` FROM grants g
		WHERE g.user_id = $1 AND g.client_id = $2 AND g.resource = $3 AND g.ended_at = 0`, userID, clientID, resource)
}

// LiveGrants reads the live grants of a user, newest first.
func (r *Reader) LiveGrants(ctx context.Context, userID string) ([]oauth.Grant, error) {
	return list(ctx, r, scanGrant, `SELECT `+grantColumns+` FROM grants g
		WHERE g.user_id = $1 AND g.ended_at = 0 ORDER BY g.created_at DESC, g.id`, userID)
}

// Grants reads all grants, live and ended, newest first.
func (r *Reader) Grants(ctx context.Context) ([]oauth.Grant, error) {
	return list(ctx, r, scanGrant, `SELECT `+grantColumns+` FROM grants g ORDER BY g.created_at DESC, g.id`)
}

func scanGrant(r row) (g oauth.Grant, err error) {
	err = r.Scan(grantInto(&g)...)
	return g, err
}

// grantInto takes the grantColumns; all of them may be NULL.
func grantInto(g *oauth.Grant) []any {
	return []any{textColumn{&g.ID}, textColumn{&g.UserID}, textColumn{&g.ClientID}, textColumn{&g.Resource}, scopesColumn(&g.Scopes),
		textColumn{&g.ClientDigest}, textColumn{&g.RedirectURI}, timeColumn{&g.CreatedAt}, timeColumn{&g.LastUsedAt},
		timeColumn{&g.EndedAt}, textColumn{&g.EndReason}}
}
