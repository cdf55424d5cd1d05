package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
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
	maxMetadataText  = 200 // bytes of client_name and the like
	maxMetadataURI   = 2048
	registrationTTL  = 24 * time.Hour
	registrationsIP  = 120 // an hour; hosted clients share few addresses
	registrationsAll = 2000
)

// NewRegistration builds the endpoint.
func NewRegistration(cfg RegistrationConfig) *RegistrationEndpoint {
	if cfg.TTL <= 0 {
		cfg.TTL = registrationTTL
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
	client, err := e.client(&m)
	if err != nil {
		return nil, err
	}
	d, err := e.decide(ctx, client, &m)
	if err != nil {
		return nil, err
	}
	out := &RegisteredClient{ClientMetadata: m}
	if !client.Public() {
		out.ClientSecret, out.ClientSecretExpiresAt = NewSecret(), new(int64)
		client.SecretHashes = [][]byte{HashSecret(out.ClientSecret)}
	}
	if err := e.store(ctx, client, d); err != nil {
		return nil, err
	}
	out.ClientID, out.ClientIDIssuedAt = client.ID, client.CreatedAt.Unix()
	return out, nil
}

func (e *RegistrationEndpoint) admitCaller(ctx context.Context, authorization string) error {
	if e.cfg.TokenHashes != nil {
		scheme, token, _ := strings.Cut(authorization, " ")
		if !strings.EqualFold(scheme, "Bearer") || !SameSecret(strings.TrimSpace(token), e.cfg.TokenHashes) {
			return InvalidToken.Errorf("registration needs an initial access token from the operator; send it as Authorization: Bearer …").For("registration_token")
		}
		return nil
	}
	if ok, wait := e.perIP.Allow(ipBlock(RequestFrom(ctx).IP)); !ok {
		return SlowDown.Errorf("too many registrations from this network; use a client id metadata document, or try later").For("registration_limit").After(wait)
	}
	if ok, wait := e.global.Allow(""); !ok {
		return SlowDown.Errorf("too many registrations at the moment; use a client id metadata document, or try later").For("registration_limit").After(wait)
	}
	return nil
}

// normalise checks what needs no policy and fills in the defaults of RFC 7591 §2. What this server does not support is left out, so that
// the echo tells the truth.
func (e *RegistrationEndpoint) normalise(m *ClientMetadata) error {
	if len(m.RedirectURIs) == 0 || len(m.RedirectURIs) > maxRedirectURIs {
		return InvalidRedirectURI.Errorf("redirect_uris needs 1 to %d URIs", maxRedirectURIs)
	}
	for name, text := range map[string]string{"client_name": m.ClientName, "software_id": m.SoftwareID, "software_version": m.SoftwareVersion} {
		if len(text) > maxMetadataText {
			return InvalidClientMetadata.Errorf("%s is longer than %d bytes", name, maxMetadataText)
		}
	}
	if m.ClientURI != "" && (len(m.ClientURI) > maxMetadataURI || RedirectKindOf(m.ClientURI) != RedirectWeb) {
		return InvalidClientMetadata.Errorf("client_uri must be an https URL")
	}
	switch m.TokenEndpointAuthMethod {
	case "":
		m.TokenEndpointAuthMethod = AuthMethodBasic
	case AuthMethodNone, AuthMethodBasic, AuthMethodPost:
	default:
		return InvalidClientMetadata.Errorf("token_endpoint_auth_method must be one of %s", strings.Join(AuthMethods(), ", "))
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code") {
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
	if err != nil {
		return InvalidClientMetadata.Errorf("%v", err)
	}
	m.Scope = scopes.String()
	return nil
}

func (e *RegistrationEndpoint) client(m *ClientMetadata) (*Client, error) {
	now := time.Now().Truncate(time.Second)
	for _, raw := range m.RedirectURIs {
		if err := CheckRedirectURI(raw); err != nil && RedirectKindOf(raw) != RedirectPrivate {
			return nil, InvalidRedirectURI.Errorf("%q: %v", cut(raw, 200), err)
		}
	}
	scopes, _ := ParseScopes(m.Scope)
	c := &Client{ID: NewID("dcr_"), Name: m.ClientName, Registration: RegistrationDCR, Source: SourceSelf, RedirectURIs: m.RedirectURIs, AuthMethods: []string{AuthMethodNone},
		GrantTypes: m.GrantTypes, Scope: scopes, ClientURI: m.ClientURI, SoftwareID: m.SoftwareID, CreatedAt: now}
	if m.TokenEndpointAuthMethod != AuthMethodNone {
		c.AuthMethods = []string{AuthMethodBasic, AuthMethodPost}
	}
	return c, nil
}

// decide asks policy and keeps the redirect URIs that are acceptable: a client that registers several at once must not fail for
// one of them (RFC 7591 §3.2.1 lets the server replace values).
func (e *RegistrationEndpoint) decide(ctx context.Context, c *Client, m *ClientMetadata) (ClientDecision, error) {
	d, err := admitClient(ctx, e.cfg.Policy, ClientStageRegister, c)
	if err != nil {
		return d, err
	}
	m.RedirectURIs = c.RedirectURIs
	c.Digest = metadataDigest(*m)
	if c.Public() {
		c.ID = "dcr_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(HashSecret(c.Digest))[:32])
	}
	return d, nil
}

// metadataDigest is the SHA-256 (hex) of what was registered; ports of loopback redirects do not count.
func metadataDigest(m ClientMetadata) string {
	m.RedirectURIs = slices.Clone(m.RedirectURIs)
	for i, raw := range m.RedirectURIs {
		if host, rest, ok := splitLoopback(raw); ok {
			m.RedirectURIs[i] = "http://" + host + rest
		}
	}
	slices.Sort(m.RedirectURIs)
	text, _ := json.Marshal(m) // strings and lists of strings always marshal
	sum := sha256.Sum256(text)
	return hexOf(sum[:])
}

// store writes a new client. A public one that is there already is left alone, or a flood of equal registrations would be a flood of
// writes; only one that was about to expire is written again.
func (e *RegistrationEndpoint) store(ctx context.Context, c *Client, d ClientDecision) error {
	ttl := e.cfg.TTL
	if d.TTL > 0 {
		ttl = d.TTL
	}
	c.ExpiresAt = c.CreatedAt.Add(ttl)
	old, err := e.cfg.Clients.Client(ctx, c.ID)
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case err == nil && old.Disabled:
		return AccessDenied.Errorf("the operator has disabled this client").For("client_disabled")
	case err == nil && (old.ExpiresAt.IsZero() || time.Until(old.ExpiresAt) > ttl/2):
		c.CreatedAt = old.CreatedAt
		return nil
	}
	rc := RequestFrom(ctx)
	return e.cfg.Ledger.Commit(ctx, SaveClient{*c}, Event{Time: rc.Time, Type: EventClientRegistered, Outcome: OutcomeOK, ClientID: c.ID, DecisionID: d.ID,
		Rules: d.Rules, Revision: d.Revision, IP: rc.IP, RequestID: rc.RequestID, Detail: map[string]string{"registration": string(RegistrationDCR), "name": CleanText(c.Name, 80)}})
}
