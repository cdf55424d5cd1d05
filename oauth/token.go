package oauth

import (
	"context"
	"errors"
	"strings"
	"time"
)

// TokenConfig is what TokenEndpoint needs.
type TokenConfig struct {
	Clients   ClientResolver
	Auth      *ClientAuthenticator
	Resources ResourceDirectory
	Policy    ScopePolicy
	Issuer    *Issuer
	Ledger    Ledger
	AccessTTL time.Duration
	Grants    []GrantType
	MaxStale  time.Duration // how old a client id metadata document may be at this endpoint when it cannot be fetched
}

// TokenEndpoint is the pipeline that every grant type goes through (RFC 6749 §3.2).
type TokenEndpoint struct {
	cfg    TokenConfig
	gate   scopeGate
	grants map[string]GrantType
	limits *tokenLimits
}

// NewToken builds the endpoint from its list of grant types.
func NewToken(cfg TokenConfig) (*TokenEndpoint, error) {
	e := &TokenEndpoint{cfg: cfg, gate: scopeGate{policy: cfg.Policy, resources: cfg.Resources, accessTTL: cfg.AccessTTL}, grants: map[string]GrantType{}, limits: newTokenLimits()}
	for _, g := range cfg.Grants {
		if e.grants[g.Name()] != nil {
			return nil, errors.New("token: grant type " + g.Name() + " is there twice")
		}
		e.grants[g.Name()] = g
	}
	if len(e.grants) == 0 {
		return nil, errors.New("token: at least one grant type is needed")
	}
	return e, nil
}

// GrantTypes are the names of the enabled grant types, in the order of the list.
func (e *TokenEndpoint) GrantTypes() []string {
	var names []string
	for _, g := range e.cfg.Grants {
		names = append(names, g.Name())
	}
	return names
}

// TokenResponse is RFC 6749 §5.1.
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
}

// Token answers a token request. The steps are here, once and in order, so that no grant type can forget one.
func (e *TokenEndpoint) Token(ctx context.Context, r DirectRequest) (*TokenResponse, error) {
	if err := checkOnce(r.Form); err != nil {
		return nil, err
	}
	name := r.Form.Get("grant_type")
	if name == "" {
		return nil, InvalidRequest.Errorf("grant_type is missing")
	}
	client, err := e.cfg.Auth.Authenticate(ctx, e.cfg.Clients, r, e.cfg.MaxStale)
	if err != nil {
		return nil, pay(ctx, e.cfg.Ledger, err)
	}
	grant := e.grants[name]
	switch {
	case grant == nil:
		return nil, UnsupportedGrantType.Errorf("this server does not know that grant type; it knows %s", strings.Join(e.GrantTypes(), ", "))
	case !client.MayUse(name):
		return nil, UnauthorizedClient.Errorf("the client is not registered for the grant type %q", name)
	case grant.ClientAuth() == ClientConfidential && client.Public():
		return nil, UnauthorizedClient.Errorf("the grant type %q needs a client with a secret", name)
	}
	counted := false
	return settle(ctx, e.cfg.Ledger, func() (*TokenResponse, []Change, error) {
		a, err := grant.Prove(ctx, TokenRequest{Form: r.Form, Client: client})
		if err != nil {
			return nil, nil, e.limits.wrong(ctx, client, err)
		}
		if !counted { // a lost race is the same request
			counted = true
			if err := e.limits.proven(ctx, a); err != nil {
				return nil, nil, err
			}
		}
		return e.try(ctx, a)
	})
}

// try decides about what was proven and mints.
func (e *TokenEndpoint) try(ctx context.Context, a *Authorization) (*TokenResponse, []Change, error) {
	decided, err := e.gate.grantScopes(ctx, a.scopeRequest(), a.Ceiling)
	if err != nil {
		return nil, nil, e.limits.refused(ctx, a, decided.Decision, AsError(err))
	}
	if a.Stage == StageRefresh && !decided.Refresh { // to answer without rotating would switch the detection of reuse off
		denied := InvalidGrant.Errorf("the policy no longer lets this client refresh; start a new authorization request").For("refresh_denied")
		return nil, nil, e.limits.refused(ctx, a, decided.Decision, denied)
	}
	a.Refresh.Issue = a.Refresh.Issue && decided.Refresh
	out, minted, err := e.cfg.Issuer.Mint(a, decided)
	if err != nil {
		return nil, nil, err
	}
	changes := append(append(a.Spend, minted...), saved(decided.Decision.Record)...)
	if a.Grant != nil {
		changes = append(changes, TouchGrant{ID: a.Grant.ID, At: time.Now().Truncate(time.Second)})
	}
	return out, append(changes, a.event(ctx, decided.Decision)), nil
}

// event is the audit row of an issued token.
func (a *Authorization) event(ctx context.Context, d ScopeDecision) Event {
	scopes, _ := ParseScopes(a.minted.Scope)
	ev := a.row(ctx, d)
	ev.Type, ev.Outcome, ev.JTI, ev.Scopes = a.Event, OutcomeOK, a.minted.ID, scopes
	return ev
}

func (a *Authorization) row(ctx context.Context, d ScopeDecision) Event {
	rc := RequestFrom(ctx)
	ev := Event{Time: rc.Time, SubjectID: a.Subject.ID, Username: a.Subject.Username, ClientID: a.Client.ID, ResourceID: a.Resource.ID,
		DecisionID: d.ID, Rules: d.Rules, Revision: d.Revision, IP: rc.IP, RequestID: rc.RequestID, Detail: map[string]string{"grant_type": a.GrantType}}
	ev.noteTried(d.Tried)
	if a.Grant != nil {
		ev.GrantID = a.Grant.ID
	}
	if a.Family != nil {
		ev.FamilyID = a.Family.ID
	}
	return ev
}

// refused records the denial of a proven request; when policy says so the grant ends with it.
func (a *Authorization) refused(ctx context.Context, d ScopeDecision, e *Error) *Error {
	ev := a.row(ctx, d)
	ev.Type, ev.Outcome, ev.Reason = EventTokenRefused, OutcomeDenied, e.ReasonOrCode()
	e = e.Costing(append(saved(d.Record), ev)...)
	if d.EndGrant && a.Grant != nil {
		end := ev
		end.Type, end.Outcome, end.Reason = EventGrantEnded, OutcomeOK, "policy"
		e = e.Costing(EndGrant{ID: a.Grant.ID, Reason: "policy", At: ev.Time}, end)
	}
	return e
}
