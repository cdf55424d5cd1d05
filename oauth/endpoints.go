package oauth

import (
	"context"
	"net/url"
	"time"
)

// Endpoints are the parts of this server. A nil part is a 404 and an absent field in the metadata.
type Endpoints struct {
	Metadata      *MetadataEndpoint
	Authorization *AuthorizationEndpoint
	Login         *LoginEndpoint
	Account       *AccountEndpoint
	Token         *TokenEndpoint
	Revocation    *RevocationEndpoint
	Introspection *IntrospectionEndpoint
	Registration  *RegistrationEndpoint
	Decision      *Decider
}

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

type requestKey struct{}

// WithRequest keeps what is known of the HTTP request for everything below.
func WithRequest(ctx context.Context, r RequestContext) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom is what WithRequest kept, with the time of now.
func RequestFrom(ctx context.Context) RequestContext {
	r, _ := ctx.Value(requestKey{}).(RequestContext)
	r.Time = time.Now().Truncate(time.Second)
	return r
}

// DirectRequest is a form that a client or resource posts by itself (token, revocation, introspection).
type DirectRequest struct {
	Form          url.Values // repeated parameters are kept; each endpoint refuses them
	Authorization string     // the Authorization header, "" = none
	DPoP          []string   // DPoP headers (RFC 9449), for later
}

// ClientResolver finds clients of every kind. A client id metadata document is fetched when it is not stored or its freshness has ended;
// when the fetch fails, the stored copy serves for maxStale beyond that. AnyAge never fetches; Fresh also asks today's policy about a
// copy that is still fresh. A client that does not exist is ErrNotFound; one that cannot be had now or is refused is an *Error.
// Disabled and expired clients are ErrNotFound.
type ClientResolver interface {
	Client(ctx context.Context, id string, maxStale time.Duration) (*Client, error)
}

// Ages for ClientResolver.
const (
	AnyAge = time.Duration(1<<63 - 1) // whatever is stored, never fetch
	Fresh  = time.Duration(0)         // as fresh as the document's own cache headers demand
)
