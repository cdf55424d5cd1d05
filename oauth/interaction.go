package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"time"
)

// Interaction is a pending authorization request. The redirect target is never stored: every leg makes it again
// from the raw parameters.
type Interaction struct {
	ID           string     // a secret; it is in URLs of our own pages only
	Params       url.Values // raw parameters of the authorization request
	BrowserHash  []byte     // SHA-256 of the browser cookie that Begin set
	SessionHash  []byte     // SHA-256 of the session that logged in; nil before
	FormToken    string     // token of the login form, in no URL; the consent form's is made from it and the session
	ClientDigest string     // the client's digest at Begin
	IP           string
	UserAgent    string
	CreatedAt    time.Time
	LoginAfter   time.Time // a login older than this does not count (prompt=login, max_age); zero = any
	ExpiresAt    time.Time
}

// Browser is what the server knows of the browser that asks.
type Browser struct {
	ID        string // value of the browser cookie; "" = none yet
	SessionID string // value of the session cookie; "" = not logged in
	IP        string
	UserAgent string
	RequestID string
}

// idOrNew keeps a browser's cookie value that could be one of ours, or makes a new one.
func (b Browser) idOrNew() string {
	if len(b.ID) < 26 || len(b.ID) > 128 {
		return NewSecret()
	}
	return b.ID
}

// Step is what an interaction needs next: LoginStep, ConsentStep or RedirectStep.
type Step interface{ step() }

// LoginStep asks the person to log in.
type LoginStep struct {
	FormToken string
	Client    ClientView
	Resource  ResourceView
	Hint      string // login_hint, sanitised
	Why       string // "" or a sentence such as "This request asks for a fresh login."
}

// ConsentStep asks the person what the client may have.
type ConsentStep struct {
	FormToken     string // bound to the session of User
	LoginToken    string // of the login form for another person
	User          string // who is logged in
	Client        ClientView
	Resource      ResourceView
	Scopes        []ConsentScope
	Withheld      []WithheldScope
	Offline       bool          // the client may stay connected by refresh tokens
	OfflineFor    time.Duration // how long at most
	AccessFor     time.Duration // lifetime of one access token
	RedirectHost  string        // where the code goes
	Loopback      bool          // any program on this computer could receive the code
	PrivateScheme bool          // any app that claimed the scheme could receive the code
}

// RedirectStep sends the browser back to the client, or shows first where it would go.
type RedirectStep struct {
	URL     string // complete, with code or error, state and iss
	Confirm bool   // show a page with the link instead of redirecting
	Error   *Error // what is wrong, for that page; nil on success
	Client  ClientView
	Host    string // the redirect's host, or scheme with its colon
}

func (LoginStep) step()    {}
func (ConsentStep) step()  {}
func (RedirectStep) step() {}

// ClientView is a client as a person should see it. Name is cleaned of control, bidirectional and zero-width
// characters and at most 80 runes long.
type ClientView struct {
	ID           string
	Name         string
	Registration Registration
	Host         string // verified host of a CIMD client id, ASCII
	Verified     bool   // the operator registered it
}

// ResourceView is a resource as a person should see it.
type ResourceView struct{ ID, Name string }

// ConsentScope is one checkbox.
type ConsentScope struct {
	Name        string
	Description string
	Risk        string
	Tools       []string // tools that it opens
	Destructive bool     // one of them may destroy or change things
	ReadOnly    bool     // all of them only read
	Held        bool     // already granted to this client
}

// WithheldScope is what was asked for and not offered, with the reason in words.
type WithheldScope struct{ Name, Code, Reason string }

// Answer is the person's answer to a ConsentStep.
type Answer struct {
	FormToken string
	Allow     bool
	Scopes    []string // the ticked ones
}

// pending reads an interaction for the browser that began it.
func pending(ctx context.Context, interactions InteractionReader, id string, b Browser) (*Interaction, error) {
	i, err := interactions.Interaction(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && !time.Now().Before(i.ExpiresAt) {
		return nil, InteractionExpired.Errorf("this login has expired or was already finished; go back to the application and start again")
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(HashSecret(b.ID), i.BrowserHash) != 1 {
		return nil, Forbidden.Errorf("this login was started in another browser; go back to the application and start again").For("other_browser")
	}
	return i, nil
}
