package server

import (
	"context"

	"portcullis/oauth"
)

// revoke is the revocation endpoint (RFC 7009): 200 with an empty body.
func (f *face) revoke(ctx context.Context, r oauth.DirectRequest) (nothing, error) {
	return nothing{}, f.endpoints.Revocation.Revoke(ctx, r)
}
