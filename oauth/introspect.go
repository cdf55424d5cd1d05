package oauth

import "context"

// IntrospectionConfig is what IntrospectionEndpoint needs.
type IntrospectionConfig struct {
	Resources ResourceDirectory
	Auth      *ClientAuthenticator
	Tokens    *TokenChecker
}

// IntrospectionEndpoint tells a resource about a token that was issued for it (RFC 7662).
type IntrospectionEndpoint struct{ cfg IntrospectionConfig }

// NewIntrospection builds the endpoint.
func NewIntrospection(cfg IntrospectionConfig) *IntrospectionEndpoint {
	return &IntrospectionEndpoint{cfg}
}

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

// Introspect answers for the authenticated resource. Only a storage fault is an error besides a bad caller: it must not look
// like an inactive token.
func (e *IntrospectionEndpoint) Introspect(ctx context.Context, r DirectRequest) (*Introspection, error) {
	caller, err := e.cfg.Auth.AuthenticateResource(ctx, e.cfg.Resources, r.Authorization)
	if err != nil {
		return nil, err
	}
	if err := checkOnce(r.Form); err != nil {
		return nil, err
	}
	token := r.Form.Get("token")
	if token == "" {
		return nil, InvalidRequest.Errorf("token is missing")
	}
	t, err := e.cfg.Tokens.check(ctx, token, caller)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return &Introspection{}, nil
	}
	c := t.claims
	return &Introspection{Active: true, Scope: c.Scope, ClientID: c.ClientID, Username: t.subject.Username, TokenType: "Bearer", Exp: c.ExpiresAt,
		Iat: c.IssuedAt, Sub: c.Subject, Aud: c.Audience, Iss: c.Issuer, JTI: c.ID, AuthTime: c.AuthTime, ACR: c.ACR, AMR: c.AMR}, nil
}
