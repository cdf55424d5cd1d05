package oauth

import (
	"context"
	"errors"
	"strings"
	"time"

	"portcullis/oauth/jose"
)

// DeciderConfig is what Decider needs.
type DeciderConfig struct {
	Issuer    string
	Catalogue *Catalogue
	Auth      *ClientAuthenticator
	Tokens    *TokenChecker
	Clients   ClientResolver // never asked to fetch
	Policy    AccessPolicy
	Tools     ToolLister  // nil: allowed decisions on tools/list name no tools
	Scopes    ScopePolicy // for the probe
	Usage     UsageReader // nil: policies that ask how often a tool was called get no answer, and deny
	Ledger    Ledger
	ServerKey []byte        // digests of arguments are keyed with it
	Deadline  time.Duration // of the check of arguments; 0 = it is bounded by its work only
}

// Decider decides calls: verify token → catalogue → arguments → policy → record → answer.
type Decider struct {
	cfg     DeciderConfig
	gate    scopeGate
	digests *argumentDigests
	turns   *turns // of calls that are counted
}

// NewDecider builds the decision point.
func NewDecider(cfg DeciderConfig) *Decider {
	return &Decider{cfg: cfg, gate: scopeGate{policy: cfg.Scopes, resources: cfg.Catalogue}, digests: newArgumentDigests(jose.Derive(cfg.ServerKey, "argument digests")),
		turns: newTurns(maxCounting)}
}

// EvaluationRequest is an AuthZEN Authorization API 1.0 access evaluation request. With context.access_token the subject
// may be left out: it is the token's.
type EvaluationRequest struct {
	Subject  *AuthZENSubject  `json:"subject"`
	Action   *AuthZENAction   `json:"action"`
	Resource *AuthZENResource `json:"resource"`
	Context  map[string]any   `json:"context,omitzero"`
}

// EvaluationResponse is the answer. A denial is an answer too.
type EvaluationResponse struct {
	Decision bool              `json:"decision"`
	Context  EvaluationContext `json:"context"`
}

// EvaluationContext says why, and what the asking server should do.
type EvaluationContext struct {
	EvaluationID   string       `json:"evaluation_id"`
	EvaluatedAt    time.Time    `json:"evaluated_at"`
	Reason         string       `json:"reason"`                // machine word, safe for the agent
	ReasonUser     string       `json:"reason_user,omitempty"` // for people
	RequiredScopes Scopes       `json:"required_scopes,omitempty"`
	MissingScopes  Scopes       `json:"missing_scopes,omitempty"`
	ACRValues      string       `json:"acr_values,omitempty"` // space-separated (RFC 9470 §3)
	MaxAge         int64        `json:"max_age,omitempty"`    // seconds
	Obligations    []Obligation `json:"obligations,omitempty"`
	TTLSeconds     int64        `json:"ttl_seconds,omitempty"`
	PolicyRevision string       `json:"policy_revision,omitempty"`
	Rules          []string     `json:"rules,omitempty"`
	WouldFlip      []WouldFlip  `json:"would_flip,omitempty"` // what packages in mode log_only would have changed
	Subject        string       `json:"subject,omitempty"`    // sub of the verified token
	Scope          string       `json:"scope,omitempty"`      // scopes of the verified token
	Tools          []string     `json:"tools,omitzero"`       // of an allowed tools/list: what the token could call, by the catalogue's order; absent = not known
	Challenge      *Challenge   `json:"challenge,omitempty"`
}

// call is one evaluation on its way through the steps.
type call struct {
	d      *Decider
	r      EvaluationRequest
	e      Evaluation
	claims *accessClaims
	out    EvaluationResponse
	event  Event
	kept   []Change // records of the policy decisions on the way, and the counted use
	place  *place
	uses   *uses // nil without a token
}

// Evaluate decides one call for the resource that authenticates with the Authorization header. An error is a bad
// caller, a bad request or a storage fault; everything else is an answer, and the answer waits for its audit row.
func (d *Decider) Evaluate(ctx context.Context, authorization string, r EvaluationRequest) (*EvaluationResponse, error) {
	caller, err := d.cfg.Auth.AuthenticateResource(ctx, d.cfg.Catalogue, authorization)
	if err != nil {
		return nil, err
	}
	token, tokenGiven, err := r.check()
	if err != nil {
		return nil, err
	}
	live, err := d.live(ctx, token, tokenGiven, caller)
	if err != nil {
		return nil, err
	}
	place := &place{}
	defer place.leave()
	var c *call
	answer, err := settle(ctx, d.cfg.Ledger, func() (*EvaluationResponse, []Change, error) {
		c = d.begin(ctx, caller, r)
		c.place = place
		if tokenGiven && live == nil {
			c.denyWith("invalid_token", "The access token is expired, revoked or not for this server.", c.tokenChallenge())
		} else if err := c.evaluate(ctx, live); err != nil {
			return nil, nil, err
		}
		return &c.out, append(c.kept, c.event), nil
	})
	if errors.Is(err, ErrConflict) {
		return c.overtaken(ctx)
	}
	return answer, err
}

// KnowsCaller says whether Evaluate would answer the Authorization header at all, for who wants to know before there is a request.
func (d *Decider) KnowsCaller(ctx context.Context, authorization string) error {
	_, err := d.cfg.Auth.AuthenticateResource(ctx, d.cfg.Catalogue, authorization)
	return err
}

func (d *Decider) live(ctx context.Context, token string, given bool, caller *Resource) (*liveToken, error) {
	if !given {
		return nil, nil
	}
	return d.cfg.Tokens.check(ctx, token, caller)
}

// check refuses what AuthZEN calls a malformed request, and takes the token out of the context, so that no
// policy, log or audit row ever sees it.
func (r *EvaluationRequest) check() (token string, given bool, err error) {
	raw, given := r.Context["access_token"]
	if given {
		var ok bool
		if token, ok = raw.(string); !ok || token == "" {
			return "", true, InvalidRequest.Errorf("context.access_token must be a string with the caller's access token")
		}
		delete(r.Context, "access_token")
	}
	switch {
	case r.Subject == nil && given:
		r.Subject = &AuthZENSubject{}
	case r.Subject == nil || r.Subject.Type == "" || r.Subject.ID == "":
		return "", given, InvalidRequest.Errorf("subject with type and id is needed, or context.access_token")
	}
	switch {
	case r.Action == nil || r.Action.Name == "":
		return "", given, InvalidRequest.Errorf("action.name is missing; for an MCP call it is the method, such as \"tools/call\"")
	case r.Resource == nil || r.Resource.Type == "" || r.Resource.ID == "":
		return "", given, InvalidRequest.Errorf("resource with type and id is missing; for a tool call type is \"tool\" and id the tool's name")
	}
	return token, given, nil
}

func (d *Decider) begin(ctx context.Context, caller *Resource, r EvaluationRequest) *call {
	rc := RequestFrom(ctx)
	id := NewID("dec_")
	c := &call{d: d, r: r}
	c.e = Evaluation{ID: id, Caller: caller, Claimed: *r.Subject, Action: *r.Action, Resource: *r.Resource, Context: rc, Extra: r.Context}
	c.out.Context = EvaluationContext{EvaluationID: id, EvaluatedAt: rc.Time.UTC()}
	c.event = Event{Time: rc.Time, Type: EventDecision, ResourceID: caller.ID, Action: Cut(r.Action.Name, 100), DecisionID: id, IP: rc.IP, RequestID: rc.RequestID,
		Detail: map[string]string{}}
	if r.Resource.Type == "tool" {
		c.event.Tool = Cut(r.Resource.ID, 100)
	} else {
		shown, _ := PublicAddress(r.Resource.ID) // a query is a value of the caller's
		c.event.Detail["resource_type"], c.event.Detail["resource_id"] = Cut(r.Resource.Type, 40), Cut(shown, 200)
	}
	if r.Subject.ID != "" {
		c.event.Detail["claimed_subject"] = Cut(r.Subject.ID, 100)
	}
	return c
}

// evaluate runs the steps behind the token.
func (c *call) evaluate(ctx context.Context, live *liveToken) error {
	if live != nil {
		if err := c.identify(ctx, live); err != nil {
			return err
		}
		if id := c.r.Subject.ID; id != "" && id != live.claims.Subject {
			c.deny("subject_mismatch", "The subject is not the one of the access token.")
			return nil
		}
		if !c.lookUpTool() {
			return nil
		}
		if err := c.countUses(); err != nil {
			return err
		}
	}
	decision, err := c.d.cfg.Policy.Decide(ctx, c.e)
	if c.uses != nil && c.uses.failed() != nil {
		return c.uses.failed()
	}
	if err != nil {
		decision = Decision{Reasons: []Reason{{Code: "policy_error", Message: "The policy could not decide.", Policy: err.Error()}}, Rules: decision.Rules, Revision: decision.Revision}
	}
	c.settleDecision(ctx, decision)
	if c.out.Decision && decision.CountUse && c.uses != nil {
		c.kept = append(c.kept, c.uses.counted())
	} else {
		c.place.leave() // what is not counted changes no count
	}
	c.listTools(ctx)
	return nil
}

// identify fills in what the token vouches for.
func (c *call) identify(ctx context.Context, live *liveToken) error {
	c.claims = live.claims
	c.e.Subject, c.e.Token = live.subject, live.claims.info()
	client, err := c.d.cfg.Clients.Client(ctx, live.claims.ClientID, AnyAge)
	var refused *Error
	switch {
	case errors.Is(err, ErrNotFound), errors.As(err, &refused) && refused.Code.Status < 500:
		client = &Client{ID: live.claims.ClientID}
	case err != nil:
		return err
	}
	c.e.Client = client
	delete(c.event.Detail, "claimed_subject") // the token says who it is
	c.out.Context.Subject, c.out.Context.Scope = live.claims.Subject, live.claims.Scope
	c.event.SubjectID, c.event.Username, c.event.ClientID = live.claims.Subject, live.subject.Username, live.claims.ClientID
	c.event.GrantID, c.event.FamilyID, c.event.JTI, c.event.Scopes = live.claims.GrantID, live.claims.FamilyID, live.claims.ID, c.e.Token.Scopes
	c.e.MCP = mcpCall(c.e.Action, c.e.Resource)
	return nil
}

// mcpCall reads the MCP side out of the AuthZEN shape (COAZ-MCP default mapping).
func mcpCall(a AuthZENAction, r AuthZENResource) MCPCall {
	text := func(name string) string { s, _ := a.Properties[name].(string); return s }
	m := MCPCall{Method: a.Name, ProtocolVersion: text("protocol_version"), SessionID: text("session_id")}
	switch r.Type {
	case "resource":
		m.URI = r.ID
	case "prompt":
		m.Prompt = r.ID
	case "task":
		m.TaskID = r.ID
	}
	return m
}

// lookUpTool finds the catalogue entry of a tool call and validates the arguments. Only the catalogue vouches for a tool; a
// call of one that is not in it is denied.
func (c *call) lookUpTool() bool {
	if c.e.Action.Name != "tools/call" {
		return true
	}
	if c.e.Resource.Type != "tool" {
		c.deny("tool_unknown", "A tools/call needs a resource of type \"tool\".")
		return false
	}
	tool, ok := c.e.Caller.Tool(c.e.Resource.ID)
	if !ok {
		c.deny("tool_unknown", "This tool is not in the catalogue of the server.")
		return false
	}
	c.e.Tool = tool
	raw, given := c.e.Resource.Properties["arguments"]
	args, ok := raw.(map[string]any)
	if given && raw != nil && !ok {
		c.deny("arguments_invalid", "The arguments must be an object.")
		return false
	}
	c.e.Args = args
	c.noteArguments()
	checked, err := c.d.cfg.Catalogue.CheckArguments(c.e.Caller, tool.Name, args, c.d.cfg.Deadline)
	switch {
	case errors.Is(err, errTooComplex):
		c.deny("arguments_too_complex", "The arguments take too much work to check against the tool's input schema.")
		return false
	case err != nil:
		c.deny("arguments_invalid", "The arguments do not fit the tool's input schema.")
		return false
	}
	c.e.Checked = checked
	return true
}

// noteArguments keeps the names of the arguments and a keyed digest of their values, never the values.
func (c *call) noteArguments() {
	if len(c.e.Args) == 0 {
		return
	}
	var names []byte
	var room [16]string
	for i, name := range appendKeys(room[:0], c.e.Args) {
		if i > 0 {
			names = append(names, ',')
		}
		if names = append(names, Cut(name, 40)...); len(names) > maxArgumentNames {
			break
		}
	}
	c.event.Detail["arguments"] = Cut(string(names), maxArgumentNames)
	c.event.Detail["arguments_hmac"] = c.d.digests.of(c.e.Args)
}

// maxArgumentNames bounds what the audit keeps of names, in bytes.
const maxArgumentNames = 400

func (c *call) deny(reason, text string) { c.denyWith(reason, text, nil) }

func (c *call) denyWith(reason, text string, challenge *Challenge) {
	c.out.Decision = false
	c.out.Context.Reason, c.out.Context.ReasonUser, c.out.Context.Challenge = reason, text, challenge
	c.event.Outcome, c.event.Reason = OutcomeDenied, reason
}

// listTools names the tools that an allowed tools/list may show, so that an agent is not offered what it could never call. Without
// a list the asking server shows what the token's scopes open; every call is decided all the same.
func (c *call) listTools(ctx context.Context) {
	if !c.out.Decision || c.claims == nil || c.e.Action.Name != "tools/list" || c.d.cfg.Tools == nil {
		return
	}
	names, err := c.d.cfg.Tools.CallableTools(ctx, c.e)
	if err != nil {
		c.event.Detail["tools"] = Cut("no list: "+err.Error(), 300)
		return
	}
	c.out.Context.Tools = names
}

// settleDecision turns policy's answer into ours: a denial of policy first and plain; a login requirement; a missing scope only
// when it can be had (DESIGN §9).
func (c *call) settleDecision(ctx context.Context, d Decision) {
	c.out.Context.Rules, c.out.Context.PolicyRevision = d.Rules, d.Revision
	c.event.Rules, c.event.Revision = d.Rules, d.Revision
	c.out.Context.WouldFlip = wouldFlip(d.Tried)
	c.event.noteTried(d.Tried)
	c.kept = saved(d.Record)
	c.out.Context.RequiredScopes = d.RequiredScopes
	switch {
	case len(d.Reasons) > 0:
		c.deny(d.Reasons[0].Code, d.Reasons[0].Message)
		if d.Reasons[0].Policy != "" {
			c.event.Detail["policy"] = Cut(d.Reasons[0].Policy, 300)
		}
	case len(d.MissingScopes) > 0:
		c.missingScopes(ctx, d)
	case len(d.RequireAuthn) > 0:
		c.loginNeeded(d.RequireAuthn)
	case !d.Allow:
		c.deny("policy_denied", "No policy allows this call.")
	default:
		c.allow(d)
	}
}

func (c *call) allow(d Decision) {
	c.out.Decision = true
	c.out.Context.Reason = "allowed"
	c.out.Context.Obligations = d.Obligations
	ttl := d.TTL
	if c.claims != nil {
		ttl = min(ttl, time.Until(c.claims.expires()))
	}
	c.out.Context.TTLSeconds = max(0, int64(ttl/time.Second))
	c.event.Outcome, c.event.Reason = OutcomeAllowed, "allowed"
}

// missingScopes offers a step-up only when policy would grant what is missing, so that no client loops.
func (c *call) missingScopes(ctx context.Context, d Decision) {
	c.out.Context.MissingScopes = d.MissingScopes
	probe := ScopeRequest{Stage: StageProbe, GrantType: "authorization_code", Subject: c.e.Subject, Client: c.e.Client, Resource: c.e.Caller,
		Requested: d.MissingScopes, Authn: c.e.Token.Authn, Granted: c.e.Token.Scopes, Consented: c.e.Token.Scopes}
	granted, err := c.d.gate.grantScopes(ctx, probe, d.MissingScopes)
	c.event.Detail["probe"] = granted.Decision.ID
	c.event.noteTried(granted.Decision.Tried)
	c.kept = append(c.kept, saved(granted.Decision.Record)...)
	if err != nil || len(granted.Scopes.Missing(d.MissingScopes)) > 0 {
		c.deny("scope_not_available", "The call needs a permission that this application cannot obtain.")
		return
	}
	c.denyWith("insufficient_scope", "The call needs a permission that was not granted yet.", c.scopeChallenge(d))
}

func (c *call) loginNeeded(unmet []AuthnRequirement) {
	var acr []string
	age := time.Duration(0)
	for _, q := range unmet {
		acr = append(acr, q.ACRValues...)
		if q.MaxAge > 0 && (age == 0 || q.MaxAge < age) {
			age = q.MaxAge
		}
	}
	c.out.Context.ACRValues, c.out.Context.MaxAge = strings.Join(acr, " "), int64(age/time.Second)
	c.denyWith("insufficient_user_authentication", "The call needs a fresher or stronger login.", c.loginChallenge())
}
