package oauth

import "context"

// TokenEndpoint is the pipeline that every grant type goes through (RFC 6749 §3.2).
type TokenEndpoint struct{}

// TokenResponse is RFC 6749 §5.1.
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
}

// Token answers a token request.
func (e *TokenEndpoint) Token(ctx context.Context, r DirectRequest) (*TokenResponse, error) {
	return nil, ServerError.Errorf("not built yet")
}
