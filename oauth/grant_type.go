package oauth

import (
	"context"
	"net/url"
	"time"
)

// GrantType is one grant_type: one file, enabled by one line in a list in cmd.
type GrantType interface {
	// Name is the value of grant_type.
	Name() string
	// ClientAuth says which clients may use it.
	ClientAuth() ClientRule
	// Prove reads what the request presents and says what it authorizes. It changes nothing: what it spends comes back in Spend.
	Prove(ctx context.Context, r TokenRequest) (*Authorization, error)
}

// ClientRule says how a client must be known for a grant type.
type ClientRule int

// The client rules.
const (
	ClientAny          ClientRule = iota // public or confidential
	ClientConfidential                   // only with a secret or key
)

// TokenRequest is a token request whose client is proven.
type TokenRequest struct {
	Form   url.Values // every parameter once, but resource
	Client *Client
}

// Authorization is what any grant type proves.
type Authorization struct {
	GrantType string
	Stage     Stage
	Client    *Client
	Subject   Subject
	Actors    []Actor
	Resource  *Resource
	Ceiling   Scopes // what was consented or is allowed at most
	Asked     Scopes
	Consented Scopes
	Grant     *Grant
	Family    *Family // nil for client_credentials
	JKT       string
	Authn     Authentication
	NotAfter  time.Time // zero = no further limit
	Refresh   RefreshPlan
	Spend     []Change
	Event     string // the type of the audit event

	minted accessClaims
}

func (a *Authorization) scopeRequest() ScopeRequest {
	r := ScopeRequest{Stage: a.Stage, GrantType: a.GrantType, Subject: a.Subject, Actors: a.Actors, Client: a.Client, Resource: a.Resource,
		Requested: a.Asked, Offline: a.Refresh.Issue, Consented: a.Consented, Authn: a.Authn}
	if a.Family != nil && a.Stage == StageRefresh {
		r.Granted = a.Family.Scopes.Without(OfflineAccess)
	}
	return r
}

// tokenResource is the resource of a token request: inherited when it is not named, else it must be the authorized one
// (RFC 8707 §2.2). It is checked before anything is spent.
func tokenResource(directory ResourceDirectory, form url.Values, authorized string) (*Resource, error) {
	for _, asked := range nonEmpty(form["resource"]) {
		canonical, err := CanonicalResource(asked)
		if err != nil {
			return nil, InvalidTarget.Errorf("%v", err)
		}
		if canonical != authorized {
			return nil, InvalidTarget.Errorf("the resource %q is not the one that was authorized", Cut(asked, 200))
		}
	}
	r, ok := directory.ResourceByID(authorized)
	if !ok {
		return nil, InvalidGrant.Errorf("the resource of this grant is no longer served").For("resource_gone")
	}
	return r, nil
}
