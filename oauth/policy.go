package oauth

import (
	"context"
	"time"
)

// ScopePolicy decides which scopes a client may obtain. Only grantScopes calls it.
type ScopePolicy interface {
	GrantScopes(ctx context.Context, r ScopeRequest) (ScopeDecision, error)
}

// ClientPolicy decides whether a client may register or be admitted.
type ClientPolicy interface {
	Admit(ctx context.Context, r ClientRequest) (ClientDecision, error)
}

// AccessPolicy decides one call. CountsUse tells whether the policies in force ask how often a tool was called.
type AccessPolicy interface {
	Decide(ctx context.Context, e Evaluation) (Decision, error)
	CountsUse() bool
}

// ToolLister names the tools of the asking server that the token could call under some arguments. It may name too
// many, never too few; naming a tool permits nothing. Of the evaluation only what does not depend on a tool counts:
// caller, subject, actors, client, token and context.
type ToolLister interface {
	CallableTools(ctx context.Context, e Evaluation) ([]string, error)
}

// Stage is when a scope decision is asked for.
type Stage string

// The stages of scope decisions.
const (
	StageAuthorize Stage = "authorize" // before consent
	StageToken     Stage = "token"     // code exchange and other first issues
	StageRefresh   Stage = "refresh"
	StageProbe     Stage = "probe" // could these scopes be obtained at all?
)

// Authentication is how and when the person logged in.
type Authentication struct {
	Time time.Time // zero = not known
	ACR  string
	AMR  []string
}

// ScopeRequest asks ScopePolicy. Scopes hold no offline_access; Offline says whether a refresh token would be issued, which is
// so for every client that is registered for it.
type ScopeRequest struct {
	ID           string // decision id
	Stage        Stage
	GrantType    string
	Subject      Subject
	Actors       []Actor
	Client       *Client
	Resource     *Resource
	Requested    Scopes
	Offline      bool
	Granted      Scopes // prior: scopes of the family or live grant
	Consented    Scopes // prior: consented so far
	Authn        Authentication
	RequestedACR []string
	MaxAge       time.Duration // requested; 0 = none
	Context      RequestContext
}

// Actor is an agent that acts for the subject, outermost first.
type Actor struct{ Type, ID string }

// ScopeDecision is ScopePolicy's answer before the clamp.
type ScopeDecision struct {
	ID             string
	Allow          bool // false denies everything
	Granted        Scopes
	Denied         []DeniedScope
	Reasons        []Reason // of a denial of everything
	RequireConsent Scopes   // need the person's explicit consent
	RequireAuthn   []AuthnRequirement
	TokenTTL       time.Duration // 0 = the configured one; capped by it
	Refresh        *bool         // nil = as the client asked
	EndGrant       bool          // end the grant on denial
	Rules          []string
	Revision       string
	Tried          []Tried         // of packages in mode log_only
	Record         *DecisionRecord // nil = not kept
}

// Tried is a package in mode log_only, which takes no part in the answer: it would have changed it, or it failed.
type Tried struct {
	Package string   // such as policy.tools.payments
	Flips   bool     // the answer would be another one
	Allow   bool     // what it would be; of a grant: whether any scope comes of it
	Granted Scopes   // of a grant: what would come of it
	Rules   []string // labels of the package's rules that fired
	Error   string   // what went wrong in it, for log and audit; "" = nothing. If the package were enforced it would deny.
}

// DeniedScope is one scope that policy withholds.
type DeniedScope struct{ Scope, Code, Message string }

// Reason is why something was denied. Code is a machine word; Message is for people.
type Reason struct{ Code, Message, Policy string }

// AuthnRequirement is a login that a decision needs (RFC 9470). MaxAge 0 = no limit.
type AuthnRequirement struct {
	ACRValues []string
	MaxAge    time.Duration
}

// Met tells whether the login satisfies the requirement at the given time.
func (r AuthnRequirement) Met(a Authentication, now time.Time) bool {
	if r.MaxAge > 0 && (a.Time.IsZero() || now.Sub(a.Time) > r.MaxAge) {
		return false
	}
	if len(r.ACRValues) == 0 {
		return true
	}
	for _, v := range r.ACRValues {
		if v == a.ACR && v != "" {
			return true
		}
	}
	return false
}

// ClientStage is when admission is asked for.
type ClientStage string

// The stages of admission.
const (
	ClientStageRegister ClientStage = "register" // RFC 7591
	ClientStageURL      ClientStage = "url"      // CIMD before the fetch: only id, host and Context are known
	ClientStageDocument ClientStage = "document" // CIMD after the fetch
)

// ClientRequest asks ClientPolicy.
type ClientRequest struct {
	ID      string // decision id
	Stage   ClientStage
	Client  *Client // at ClientStageURL only ID and Registration are set
	Context RequestContext
}

// ClientDecision is ClientPolicy's answer.
type ClientDecision struct {
	ID             string
	Allow          bool
	Reasons        []Reason
	AllowRedirects []string      // redirect URIs beyond https and loopback that policy accepts, exact
	Ceiling        Scopes        // nil = none
	TTL            time.Duration // of a never-used registration; 0 = default
	Rules          []string
	Revision       string
	Tried          []Tried         // of packages in mode log_only
	Record         *DecisionRecord // nil = not kept
}

// Evaluation is one call to decide. Token is nil for plain AuthZEN evaluations, which only policy.access sees.
type Evaluation struct {
	ID       string
	Caller   *Resource // the server that asks
	Subject  Subject   // verified when Token is set, else empty
	Claimed  AuthZENSubject
	Actors   []Actor
	Client   *Client // nil without token
	Token    *TokenInfo
	Action   AuthZENAction
	Resource AuthZENResource
	Tool     *Tool          // the catalogue entry; nil if the call names no tool
	Args     map[string]any // decoded arguments, numbers as json.Number
	Checked  bool           // the arguments were validated against the tool's schema
	MCP      MCPCall
	Context  RequestContext
	Extra    map[string]any // the request's own context, access_token removed

	// Usage tells how many calls of this tool under this grant were counted in the time before this one; nil = nobody counts. Any
	// number of goroutines may call it.
	Usage func(ctx context.Context, window time.Duration) (int64, error)
}

// TokenInfo is what a verified access token says.
type TokenInfo struct {
	ID        string // jti
	Scopes    Scopes
	IssuedAt  time.Time
	ExpiresAt time.Time
	Authn     Authentication
	GrantID   string
	FamilyID  string
	GrantType string
}

// AuthZENSubject is the subject as the caller wrote it.
type AuthZENSubject struct {
	Type       string         `json:"type"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties,omitzero"`
}

// AuthZENAction is the action as the caller wrote it.
type AuthZENAction struct {
	Name       string         `json:"name"`
	Properties map[string]any `json:"properties,omitzero"`
}

// AuthZENResource is the resource as the caller wrote it.
type AuthZENResource struct {
	Type       string         `json:"type"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties,omitzero"`
}

// MCPCall is the MCP side of a call.
type MCPCall struct {
	Method          string // action name
	ProtocolVersion string
	SessionID       string
	URI             string // resources/*
	Prompt          string // prompts/get
	TaskID          string // tasks/*
}

// Decision is AccessPolicy's answer.
type Decision struct {
	Allow          bool
	Reasons        []Reason // denials of policy; empty for a pure scope or login problem
	RequiredScopes Scopes
	MissingScopes  Scopes
	RequireAuthn   []AuthnRequirement // the unmet ones
	Obligations    []Obligation
	TTL            time.Duration // how long the answer may be reused; 0 = not
	CountUse       bool          // some rule asks Usage: if the call is allowed, it must be counted with the commit that records it
	Rules          []string
	Revision       string
	Tried          []Tried         // of packages in mode log_only
	Record         *DecisionRecord // nil = not kept
}

// Obligation is what the asking server must do along with an allowed call.
type Obligation struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Properties map[string]any `json:"properties,omitzero"`
}
