package oauth

import "context"

// IntrospectionEndpoint tells a resource about a token that was issued for it (RFC 7662).
type IntrospectionEndpoint struct{}

// Introspection is RFC 7662 §2.2. For anything that is not the caller's it is exactly {"active":false}.
type Introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Exp       int64    `json:"exp,omitempty"`
	Iat       int64    `json:"iat,omitempty"`
	Sub       string   `json:"sub,omitempty"`
	Aud       string   `json:"aud,omitempty"`
	Iss       string   `json:"iss,omitempty"`
	JTI       string   `json:"jti,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
}

// Introspect answers for the authenticated resource.
func (e *IntrospectionEndpoint) Introspect(ctx context.Context, r DirectRequest) (*Introspection, error) {
	return nil, ServerError.Errorf("not built yet")
}
