package oauth

import "context"

// RegistrationEndpoint registers clients (RFC 7591).
type RegistrationEndpoint struct{}

// ClientMetadata is the part of RFC 7591 §2 that this server keeps. Unknown members are dropped.
type ClientMetadata struct {
	RedirectURIs            []string `json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes              []string `json:"grant_types,omitempty"`
	ResponseTypes           []string `json:"response_types,omitempty"`
	ClientName              string   `json:"client_name,omitempty"`
	ClientURI               string   `json:"client_uri,omitempty"`
	LogoURI                 string   `json:"logo_uri,omitempty"`
	Scope                   string   `json:"scope,omitempty"`
	Contacts                []string `json:"contacts,omitempty"`
	TosURI                  string   `json:"tos_uri,omitempty"`
	PolicyURI               string   `json:"policy_uri,omitempty"`
	SoftwareID              string   `json:"software_id,omitempty"`
	SoftwareVersion         string   `json:"software_version,omitempty"`
	ApplicationType         string   `json:"application_type,omitempty"`
}

// RegisteredClient is RFC 7591 §3.2.1.
type RegisteredClient struct {
	ClientID              string `json:"client_id"`
	ClientSecret          string `json:"client_secret,omitempty"` // shown once
	ClientIDIssuedAt      int64  `json:"client_id_issued_at"`
	ClientSecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"` // 0 = never; only with a secret
	ClientMetadata        `json:",inline"`
}

// Register stores a client. authorization is the Authorization header (initial access token).
func (e *RegistrationEndpoint) Register(ctx context.Context, authorization string, m ClientMetadata) (*RegisteredClient, error) {
	return nil, ServerError.Errorf("not built yet")
}
