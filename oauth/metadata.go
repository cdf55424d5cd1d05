package oauth

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// Paths below the issuer's path, shared by the routes and the metadata.
const (
	PathAuthorize  = "/authorize"
	PathToken      = "/token"
	PathRevoke     = "/revoke"
	PathIntrospect = "/introspect"
	PathRegister   = "/register"
	PathJWKS       = "/jwks.json"
	PathEvaluation = "/access/v1/evaluation"
	PathUI         = "/ui"

	WellKnownAuthorizationServer = "/.well-known/oauth-authorization-server" // RFC 8414 §3: inserted before the issuer's path
	WellKnownOpenID              = "/.well-known/openid-configuration"
	WellKnownProtectedResource   = "/.well-known/oauth-protected-resource" // RFC 9728 §3.1
	WellKnownAuthZEN             = "/.well-known/authzen-configuration"
)

// MetadataConfig is what MetadataEndpoint needs.
type MetadataConfig struct {
	Issuer    string
	Keys      *Keys
	Resources ResourceDirectory
	CIMD      bool // client id metadata documents are resolved
	Service   string
}

// MetadataEndpoint serves the documents that clients discover us by. It reads the parts that are on from Endpoints, so
// that a document never promises what has no route.
type MetadataEndpoint struct {
	cfg     MetadataConfig
	server  []byte
	authzen []byte
}

// serverMetadata is RFC 8414 §2 with RFC 9207 §3 and the CIMD flag. Absent members are left out, never null.
type serverMetadata struct {
	Issuer                            string   `json:"issuer"`
	AuthorizationEndpoint             string   `json:"authorization_endpoint"`
	TokenEndpoint                     string   `json:"token_endpoint"`
	JWKSURI                           string   `json:"jwks_uri"`
	RegistrationEndpoint              string   `json:"registration_endpoint,omitempty"`
	RevocationEndpoint                string   `json:"revocation_endpoint,omitempty"`
	RevocationAuthMethods             []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	IntrospectionEndpoint             string   `json:"introspection_endpoint,omitempty"`
	IntrospectionAuthMethods          []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	ScopesSupported                   []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported            []string `json:"response_types_supported"`
	ResponseModesSupported            []string `json:"response_modes_supported"`
	GrantTypesSupported               []string `json:"grant_types_supported"`
	TokenEndpointAuthMethods          []string `json:"token_endpoint_auth_methods_supported"`
	CodeChallengeMethodsSupported     []string `json:"code_challenge_methods_supported"`
	AuthorizationResponseIssParameter bool     `json:"authorization_response_iss_parameter_supported"`
	ClientIDMetadataDocument          bool     `json:"client_id_metadata_document_supported,omitempty"`
	ProtectedResources                []string `json:"protected_resources,omitempty"`
	ServiceDocumentation              string   `json:"service_documentation,omitempty"`
}

// resourceMetadata is RFC 9728 §2.
type resourceMetadata struct {
	Resource               string   `json:"resource"`
	AuthorizationServers   []string `json:"authorization_servers"`
	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	BearerMethodsSupported []string `json:"bearer_methods_supported"`
	ResourceName           string   `json:"resource_name,omitempty"`
}

// NewMetadata marshals the documents once.
func NewMetadata(cfg MetadataConfig, e Endpoints) (*MetadataEndpoint, error) {
	m := &MetadataEndpoint{cfg: cfg}
	var err error
	if m.server, err = json.Marshal(m.describe(e)); err != nil {
		return nil, err
	}
	if e.Decision == nil {
		return m, nil
	}
	m.authzen, err = json.Marshal(map[string]any{"policy_decision_point": cfg.Issuer, "access_evaluation_endpoint": cfg.Issuer + PathEvaluation})
	return m, err
}

func (m *MetadataEndpoint) describe(e Endpoints) serverMetadata {
	iss := m.cfg.Issuer
	d := serverMetadata{Issuer: iss, AuthorizationEndpoint: iss + PathAuthorize, TokenEndpoint: iss + PathToken, JWKSURI: iss + PathJWKS,
		ResponseTypesSupported: []string{"code"}, ResponseModesSupported: []string{"query"}, CodeChallengeMethodsSupported: []string{"S256"},
		TokenEndpointAuthMethods: AuthMethods(), AuthorizationResponseIssParameter: true, ClientIDMetadataDocument: m.cfg.CIMD,
		ServiceDocumentation: m.cfg.Service}
	scopes := Scopes{}
	for _, r := range m.cfg.Resources.Resources() {
		scopes = scopes.Union(r.ScopeNames())
		d.ProtectedResources = append(d.ProtectedResources, r.ID)
	}
	if e.Token != nil {
		d.GrantTypesSupported = e.Token.GrantTypes()
		for _, g := range d.GrantTypesSupported {
			if g == "refresh_token" {
				scopes = scopes.Union(Scopes{OfflineAccess})
			}
		}
	}
	d.ScopesSupported = scopes
	if e.Registration != nil {
		d.RegistrationEndpoint = iss + PathRegister
	}
	if e.Revocation != nil {
		d.RevocationEndpoint, d.RevocationAuthMethods = iss+PathRevoke, AuthMethods()
	}
	if e.Introspection != nil {
		d.IntrospectionEndpoint, d.IntrospectionAuthMethods = iss+PathIntrospect, []string{AuthMethodBasic}
	}
	return d
}

// AuthorizationServer is the RFC 8414 document, marshalled once.
func (m *MetadataEndpoint) AuthorizationServer() []byte { return m.server }

// JWKS is the key set (RFC 7517 §5), from memory.
func (m *MetadataEndpoint) JWKS() []byte { return m.cfg.Keys.JWKS() }

// ProtectedResource is the RFC 9728 document of the resource whose well-known path is asked for: path is what
// stands behind WellKnownProtectedResource ("" or "/mcp"), host the Host header. A resource on another origin is found under
// the issuer's path and its key, "/<key>"; its server may point there. NotFound if there is none.
func (m *MetadataEndpoint) ProtectedResource(_ context.Context, host, path string) ([]byte, error) {
	all := m.cfg.Resources.Resources()
	for _, found := range []func(*Resource) bool{func(r *Resource) bool { return hasAddress(r, host, path) }, func(r *Resource) bool { return m.hasKeyPath(r, path) }} {
		if i := slices.IndexFunc(all, found); i >= 0 {
			return m.ResourceDocument(all[i])
		}
	}
	return nil, NotFound.Errorf("no protected resource has its metadata here")
}

// hasAddress: the resource lies on this host, and its own path was asked for (RFC 9728 §3.1).
func hasAddress(r *Resource, host, path string) bool {
	id, err := url.Parse(r.ID)
	return err == nil && strings.EqualFold(id.Host, host) && strings.TrimSuffix(path, "/") == id.Path
}

func (m *MetadataEndpoint) hasKeyPath(r *Resource, path string) bool {
	iss, err := url.Parse(m.cfg.Issuer)
	return err == nil && path == iss.Path+"/"+r.Key
}

// ResourceDocument is the RFC 9728 document of a resource. Its scopes are the baseline: clients that get no challenge ask for
// all that is listed.
func (m *MetadataEndpoint) ResourceDocument(r *Resource) ([]byte, error) {
	return json.Marshal(resourceMetadata{Resource: r.ID, AuthorizationServers: []string{m.cfg.Issuer}, ScopesSupported: r.Baseline,
		BearerMethodsSupported: []string{"header"}, ResourceName: r.Name})
}

// AuthZEN is the decision point's metadata (Authorization API 1.0 §9); nil when there is none.
func (m *MetadataEndpoint) AuthZEN() []byte { return m.authzen }
