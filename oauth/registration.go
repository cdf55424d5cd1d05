package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// RegistrationConfig is what RegistrationEndpoint needs.
type RegistrationConfig struct {
	TokenHashes [][]byte // SHA-256 of the initial access tokens; nil = anyone may register
	GrantTypes  []string // what this server supports; others are left out
	Clients     ClientReader
	Policy      ClientPolicy
	Ledger      Ledger
	TTL         time.Duration // a registration that is never used ends after this; 0 = 24 h
}

// RegistrationEndpoint registers clients (RFC 7591). MCP has deprecated it in favour of client id metadata documents.
type RegistrationEndpoint struct {
	cfg    RegistrationConfig
	perIP  *Limiter
	global *Limiter
}

// Limits of a registration.
const (
	maxRedirectURIs  = 16
	maxMetadataScope = 2048 // bytes
	registrationsIP  = 120  // an hour; hosted clients share few addresses
	registrationsAll = 2000 // an hour, all addresses together
)

// NewRegistration builds the endpoint.
func NewRegistration(cfg RegistrationConfig) *RegistrationEndpoint {
	if cfg.TTL <= 0 {
		cfg.TTL = unusedTTL
	}
	return &RegistrationEndpoint{cfg: cfg, perIP: NewLimiter(registrationsIP, time.Hour, 30, 4096), global: NewLimiter(registrationsAll, time.Hour, 200, 1)}
}

// ClientMetadata is the part of RFC 7591 §2 that this server keeps. Unknown members are dropped.
type ClientMetadata struct {
	RedirectURIs            []string `json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes              []string `json:"grant_types,omitempty"`
	ResponseTypes           []string `json:"response_types,omitempty"`
	ClientName              string   `json:"client_name,omitempty"`
	ClientURI               string   `json:"client_uri,omitempty"`
	Scope                   string   `json:"scope,omitempty"`
	SoftwareID              string   `json:"software_id,omitempty"`
	SoftwareVersion         string   `json:"software_version,omitempty"`
	ApplicationType         string   `json:"application_type,omitempty"`
}

// RegisteredClient is RFC 7591 §3.2.1. Absent members are left out, never null.
type RegisteredClient struct {
	ClientID              string `json:"client_id"`
	ClientSecret          string `json:"client_secret,omitempty"` // shown once
	ClientIDIssuedAt      int64  `json:"client_id_issued_at"`
	ClientSecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"` // 0 = never; only with a secret
	ClientMetadata
}

// Register stores a client. authorization is the Authorization header (initial access token, RFC 7591 §3). A public
// client with the same metadata gets the same client_id again, whatever the ports of its loopback redirects are.
func (e *RegistrationEndpoint) Register(ctx context.Context, authorization string, m ClientMetadata) (*RegisteredClient, error) {
	if err := e.admitCaller(ctx, authorization); err != nil {
		return nil, err
	}
	if err := e.normalise(&m); err != nil {
		return nil, err
	}
	client, err := registrant(m)
	if err != nil {
		return nil, err
	}
	decision, err := admitClient(ctx, e.cfg.Policy, ClientStageRegister, client)
	if err != nil {
		return nil, err
	}
	m.RedirectURIs = client.RedirectURIs // RFC 7591 §3.2.1: the answer tells what was registered
	client.Digest = metadataDigest(m)
	out := &RegisteredClient{ClientMetadata: m}
	if client.Public() {
		client.ID = "dcr_" + client.Digest[:40]
	} else {
		client.ID = NewID("dcr_")
		out.ClientSecret, out.ClientSecretExpiresAt = NewSecret(), new(int64)
		client.SecretHashes = [][]byte{HashSecret(out.ClientSecret)}
	}
	if err := e.store(ctx, client, decision); err != nil {
		return nil, err
	}
	out.ClientID, out.ClientIDIssuedAt = client.ID, client.CreatedAt.Unix()
	return out, nil
}

// admitCaller looks at the initial access token, or counts where anyone may register. Wrong tokens are counted too.
func (e *RegistrationEndpoint) admitCaller(ctx context.Context, authorization string) error {
	scheme, token, _ := strings.Cut(authorization, " ")
	proven := e.cfg.TokenHashes != nil && strings.EqualFold(scheme, "Bearer") && SameSecret(strings.TrimSpace(token), e.cfg.TokenHashes)
	if proven {
		return nil
	}
	if ok, wait := e.perIP.Allow(AddressBlock(RequestFrom(ctx).IP, 24)); !ok {
		return SlowDown.Errorf("too many registrations from this network; use a client id metadata document, or try later").For("registration_limit").After(wait)
	}
	if e.cfg.TokenHashes != nil {
		return InvalidToken.Errorf("registration needs an initial access token from the operator; send it as Authorization: Bearer …").For("registration_token")
	}
	if ok, wait := e.global.Allow(""); !ok {
		return SlowDown.Errorf("too many registrations at the moment; use a client id metadata document, or try later").For("registration_limit").After(wait)
	}
	return nil
}

// normalise checks what needs no policy and fills in the defaults of RFC 7591 §2. What this server does not support is left out, so that
// the echo tells the truth.
func (e *RegistrationEndpoint) normalise(m *ClientMetadata) error {
	for name, text := range map[string]string{"client_name": m.ClientName, "software_id": m.SoftwareID, "software_version": m.SoftwareVersion} {
		if len(text) > maxClientNameBytes {
			return InvalidClientMetadata.Errorf("%s is longer than %d bytes", name, maxClientNameBytes)
		}
	}
	if !httpsURL(m.ClientURI) {
		m.ClientURI = ""
	}
	if m.ApplicationType != "web" && m.ApplicationType != "native" {
		m.ApplicationType = ""
	}
	switch m.TokenEndpointAuthMethod {
	case "":
		m.TokenEndpointAuthMethod = AuthMethodBasic
	case AuthMethodNone, AuthMethodBasic, AuthMethodPost:
	default:
		return InvalidClientMetadata.Errorf("token_endpoint_auth_method must be one of %s", strings.Join(AuthMethods(), ", "))
	}
	if !usableResponseTypes(m.ResponseTypes) {
		return InvalidClientMetadata.Errorf("response_types must contain code")
	}
	m.ResponseTypes = []string{"code"}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{"authorization_code", "refresh_token"}
	}
	m.GrantTypes = slices.DeleteFunc(slices.Clone(m.GrantTypes), func(g string) bool { return !slices.Contains(e.cfg.GrantTypes, g) })
	slices.Sort(m.GrantTypes)
	m.GrantTypes = slices.Compact(m.GrantTypes)
	if !slices.Contains(m.GrantTypes, "authorization_code") {
		return InvalidClientMetadata.Errorf("grant_types must contain authorization_code")
	}
	scopes, err := ParseScopes(m.Scope)
	if err != nil || len(m.Scope) > maxMetadataScope {
		return InvalidClientMetadata.Errorf("scope must be scope names separated by single blanks, at most %d bytes in all", maxMetadataScope)
	}
	m.Scope = scopes.String()
	return nil
}

// registrant is the client that the metadata describe, without id. A redirect URI that could never be used refuses the registration; one
// that policy must decide about does not.
func registrant(m ClientMetadata) (*Client, error) {
	if len(m.RedirectURIs) == 0 || len(m.RedirectURIs) > maxRedirectURIs {
		return nil, InvalidRedirectURI.Errorf("redirect_uris needs 1 to %d URIs", maxRedirectURIs)
	}
	for i, raw := range m.RedirectURIs {
		if err := CheckRedirectURI(raw); err != nil {
			return nil, InvalidRedirectURI.Errorf("redirect_uris/%d: %v", i, err)
		}
	}
	scopes, err := ParseScopes(m.Scope)
	if err != nil {
		return nil, InvalidClientMetadata.Errorf("%v", err)
	}
	c := &Client{Name: m.ClientName, Registration: RegistrationDCR, Source: SourceSelf, RedirectURIs: distinct(m.RedirectURIs), AuthMethods: []string{AuthMethodNone},
		GrantTypes: m.GrantTypes, Scope: scopes, ClientURI: m.ClientURI, SoftwareID: m.SoftwareID, CreatedAt: time.Now().Truncate(time.Second)}
	if m.TokenEndpointAuthMethod != AuthMethodNone {
		c.AuthMethods = []string{AuthMethodBasic, AuthMethodPost} // clients that register one of them use the other
	}
	return c, nil
}

// store writes a new client. A public one that is there already is left alone, or a flood of equal registrations would be a flood of
// writes; only one that will expire soon or whose ceiling has changed is written again.
func (e *RegistrationEndpoint) store(ctx context.Context, c *Client, d ClientDecision) error {
	ttl := e.cfg.TTL
	if d.TTL > 0 {
		ttl = d.TTL
	}
	c.ExpiresAt = c.CreatedAt.Add(ttl)
	kind := EventClientRegistered
	old, err := e.cfg.Clients.Client(ctx, c.ID)
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case err == nil && old.Disabled:
		return AccessDenied.Errorf("the operator has disabled this client").For("client_disabled")
	case err == nil && !expiredClient(old, c.CreatedAt):
		c.CreatedAt, c.RedirectURIs, kind = old.CreatedAt, old.RedirectURIs, EventClientChanged // equal but for loopback ports
		if inUse := old.ExpiresAt.IsZero() || !old.LastUsedAt.IsZero(); inUse {
			c.ExpiresAt = time.Time{}
		}
		if sameClient(c, old) && (c.ExpiresAt.IsZero() || time.Until(old.ExpiresAt) > ttl/2) {
			return nil
		}
		if sameClient(c, old) {
			return e.cfg.Ledger.Commit(ctx, SaveClient{*c}) // only its expiry moves
		}
	}
	event := admissionEvent(ctx, kind, c, d)
	event.Detail["name"] = CleanText(c.Name, maxShownName)
	return e.cfg.Ledger.Commit(ctx, append(saved(d.Record), SaveClient{*c}, event)...)
}
