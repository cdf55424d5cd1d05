package server

import (
	"context"

	"portcullis/oauth"
)

// token is the token endpoint (RFC 6749 §3.2).
func (f *face) token(ctx context.Context, r oauth.DirectRequest) (*oauth.TokenResponse, error) {
	answer, err := f.endpoints.Token.Token(ctx, r)
	f.metrics.token(r.Form.Get("grant_type"), outcome(err))
	return answer, err
}

// outcome is the word for an endpoint's result in the metrics.
func outcome(err error) string {
	if err != nil {
		return oauth.AsError(err).Code.Name
	}
	return oauth.OutcomeOK
}
