package storage

import (
	"context"

	"portcullis/oauth"
)

func revokeToken(t *tx, c oauth.RevokeToken) error {
	return t.run(`INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING`, c.JTI, stamp(c.ExpiresAt))
}

func useOnce(t *tx, c oauth.UseOnce) error {
	return t.must(`INSERT INTO used_ids (scope, id, expires_at) VALUES ($1, $2, $3) ON CONFLICT (scope, id) DO NOTHING`,
		c.Scope, c.ID, stamp(c.ExpiresAt))
}

// TokenState reads what must be known of an access token; see oauth.TokenStateReader.
func (r *Reader) TokenState(ctx context.Context, jti, grantID, familyID, userID string) (*oauth.TokenState, error) {
	return find(ctx, r, scanTokenState, `SELECT EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.jti = $1),
			`+grantColumns+`, `+familyColumns+`, `+userColumns+`
		FROM (SELECT 1 AS one) o LEFT JOIN grants g ON g.id = $2 LEFT JOIN families f ON f.id = $3 LEFT JOIN users u ON u.id = $4`,
		jti, grantID, familyID, userID)
}

func scanTokenState(r row) (s oauth.TokenState, err error) {
	var g oauth.Grant
	var f oauth.Family
	var u oauth.User
	into := append([]any{flagColumn{&s.Revoked}}, grantInto(&g)...)
	into = append(into, familyInto(&f)...)
	err = r.Scan(append(into, userInto(&u)...)...)
	if g.ID != "" {
		s.Grant = &g
	}
	if f.ID != "" {
		s.Family = &f
	}
	if u.ID != "" {
		s.User = &u
	}
	return s, err
}
