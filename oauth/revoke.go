package oauth

import "context"

// RevocationEndpoint revokes tokens (RFC 7009).
type RevocationEndpoint struct{}

// Revoke ends the token that the form names. An unknown token is no error.
func (e *RevocationEndpoint) Revoke(ctx context.Context, r DirectRequest) error {
	return ServerError.Errorf("not built yet")
}
