package oauth

import (
	"context"
	"slices"
	"time"
)

// Registration is how a client became known.
type Registration string

// The three kinds of registration.
const (
	RegistrationStatic Registration = "static" // configuration or command line
	RegistrationDCR    Registration = "dcr"    // RFC 7591
	RegistrationCIMD   Registration = "cimd"   // client id metadata document
)

// Methods of client authentication at the token endpoint (RFC 7591 §2).
const (
	AuthMethodNone  = "none"
	AuthMethodBasic = "client_secret_basic"
	AuthMethodPost  = "client_secret_post"
)

// Client is an OAuth client: an agent that asks for tokens.
type Client struct {
	ID           string
	Name         string // its own claim unless Registration is static; show it with Host()
	Registration Registration
	Source       Source
	RedirectURIs []string // as registered, byte for byte
	AuthMethods  []string // what it may authenticate with; exactly {"none"} makes it public
	GrantTypes   []string
	SecretHashes [][]byte // SHA-256
	Scope        Scopes   // declared at registration; empty = not declared
	Ceiling      Scopes   // policy.clients scope_ceiling; nil = no ceiling
	ClientURI    string
	SoftwareID   string
	Digest       string    // SHA-256 (hex) of document or metadata: a pending consent ends when it changes
	Document     []byte    // CIMD: what is used of the document as it was fetched, before policy
	CreatedAt    time.Time // Unix seconds
	LastUsedAt   time.Time
	ExpiresAt    time.Time // zero = never; never-used registrations expire
	FetchedAt    time.Time // CIMD: when the document was fetched
	FreshUntil   time.Time // CIMD: until when the document need not be fetched again
	Disabled     bool
}

// Public tells whether the client has no secret (RFC 6749 §2.1).
func (c *Client) Public() bool { return slices.Equal(c.AuthMethods, []string{AuthMethodNone}) }

// MayUse tells whether the client is registered for a grant type.
func (c *Client) MayUse(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// Host is the verified host of a CIMD client id in lower case and without port, "" for the other kinds. It is one spelling per
// host, so that a rule about a host cannot be passed by writing it otherwise.
func (c *Client) Host() string {
	if c.Registration != RegistrationCIMD {
		return ""
	}
	return hostOfURL(c.ID)
}

// Trusted is true for clients that the operator registered.
func (c *Client) Trusted() bool { return c.Registration == RegistrationStatic }

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
