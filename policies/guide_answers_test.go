package policies

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/oauth"
)

// guideBank is the catalogue of the guide: the one of the project's README with a tool that reads and one whose arguments nothing is
// known of.
func guideBank() *oauth.Resource {
	yes := true
	return &oauth.Resource{
		ID: "http://127.0.0.1:3001/mcp", Key: "bank", Name: "Bank",
		Scopes: []oauth.ScopeInfo{
			{Name: "tools:payments.read", Description: "See payments"},
			{Name: "tools:payments.transfer", Description: "Transfer money", Risk: "high"},
		},
		Tools: []oauth.Tool{
			{Name: "list_payments", Scopes: oauth.NewScopes("tools:payments.read"), Annotations: oauth.Annotations{ReadOnlyHint: &yes}},
			{
				Name: "transfer", Scopes: oauth.NewScopes("tools:payments.transfer"), Annotations: oauth.Annotations{DestructiveHint: &yes},
				InputSchema: map[string]any{
					"type": "object", "required": []any{"amount", "to"},
					"properties": map[string]any{"amount": map[string]any{"type": "number"}, "to": map[string]any{"type": "string"}},
				},
			},
			{Name: "pay", Scopes: oauth.NewScopes("tools:payments.transfer")},
		},
	}
}

// guideCase is a question in a few words. What is not said is ordinary: alice, an agent with a metadata document, a login with a
// password a minute ago, a token with the scopes of the tool.
type guideCase struct {
	// of call
	Tool      string         `json:"tool"`
	Method    string         `json:"method"` // instead of tools/call
	Arguments map[string]any `json:"arguments"`
	Token     []string       `json:"token"` // its scopes
	Used      int64          `json:"used"`  // what mcp.usage counts
	// of grant
	Requested []string `json:"requested"`
	Stage     string   `json:"stage"`
	// of both
	Groups   []string `json:"groups"`
	Service  bool     `json:"service"`
	LoginAge int64    `json:"login_age"` // seconds
	// of client
	RedirectURIs []string `json:"redirect_uris"`
	// of call, grant and client
	Registration string `json:"registration"`
	Host         string `json:"host"`
	// of access
	Action string `json:"action"`
	Type   string `json:"type"`
}

func (c guideCase) subject() oauth.Subject {
	if c.Service {
		return oauth.Subject{Kind: oauth.SubjectService, ID: "svc_batch"}
	}
	return oauth.Subject{Kind: oauth.SubjectUser, ID: "usr_alice", Username: "alice", Groups: c.Groups}
}

func (c guideCase) client() *oauth.Client {
	registration := cmp.Or(oauth.Registration(c.Registration), oauth.RegistrationCIMD)
	id := "client_1"
	if registration == oauth.RegistrationCIMD {
		id = "https://" + cmp.Or(c.Host, "agent.example") + "/client.json"
	}
	return &oauth.Client{ID: id, Registration: registration, Name: "Agent", RedirectURIs: append([]string{"https://agent.example/cb"}, c.RedirectURIs...)}
}

func guideTime() time.Time { return time.Unix(1_900_000_000, 0) }

func (c guideCase) authn() oauth.Authentication {
	return oauth.Authentication{Time: guideTime().Add(-time.Duration(cmp.Or(c.LoginAge, 60)) * time.Second), ACR: "pwd"}
}

// evaluation is the question about a call.
func (c guideCase) evaluation() oauth.Evaluation {
	bank, now := guideBank(), guideTime()
	v := oauth.Evaluation{
		ID: "dec_1", Caller: bank, Subject: c.subject(), Client: c.client(), Action: oauth.AuthZENAction{Name: cmp.Or(c.Method, "tools/call")},
		MCP: oauth.MCPCall{Method: cmp.Or(c.Method, "tools/call")}, Context: oauth.RequestContext{Time: now},
		Usage: func(context.Context, time.Duration) (int64, error) { return c.Used, nil },
	}
	scopes := oauth.NewScopes(c.Token...)
	if tool, ok := bank.Tool(c.Tool); ok {
		v.Tool, v.Args, v.Checked = tool, c.Arguments, len(tool.InputSchema) > 0
		v.Resource = oauth.AuthZENResource{Type: "tool", ID: c.Tool}
		if c.Token == nil {
			scopes = tool.Scopes
		}
	}
	v.Token = &oauth.TokenInfo{ID: "jti", Scopes: scopes, IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(9 * time.Minute), Authn: c.authn(), GrantType: "authorization_code"}
	return v
}

// guideAnswer asks one question and says the answer in a few words.
func guideAnswer(e *Engine, verb string, c guideCase) string {
	ctx := context.Background()
	switch verb {
	case "call":
		d, _ := e.Decide(ctx, c.evaluation())
		return callAnswer(d)
	case "record":
		d, _ := e.Decide(ctx, c.evaluation())
		return map[bool]string{true: "tells of alice", false: "keeps alice back"}[strings.Contains(string(d.Record.Document), `"alice"`)]
	case "access":
		d, _ := e.Decide(ctx, oauth.Evaluation{
			ID: "dec_1", Caller: guideBank(), Claimed: oauth.AuthZENSubject{Type: "user", ID: "alice"}, Action: oauth.AuthZENAction{Name: c.Action},
			Resource: oauth.AuthZENResource{Type: c.Type, ID: "1"}, Context: oauth.RequestContext{Time: guideTime()},
		})
		return callAnswer(d)
	case "grant":
		d, _ := e.GrantScopes(ctx, oauth.ScopeRequest{
			ID: "dec_1", Stage: cmp.Or(oauth.Stage(c.Stage), oauth.StageAuthorize), GrantType: "authorization_code", Subject: c.subject(), Client: c.client(),
			Resource: guideBank(), Requested: oauth.NewScopes(c.Requested...), Authn: c.authn(), Context: oauth.RequestContext{Time: guideTime()},
		})
		return grantAnswer(d)
	}
	d, _ := e.Admit(ctx, oauth.ClientRequest{ID: "dec_1", Stage: oauth.ClientStageDocument, Client: c.client(), Context: oauth.RequestContext{Time: guideTime()}})
	return clientAnswer(d)
}

// callAnswer is "allow" or why not: the codes, "missing SCOPES" or "login".
func callAnswer(d oauth.Decision) string {
	var parts []string
	switch {
	case d.Allow:
		parts = append(parts, "allow")
	case len(d.Reasons) > 0:
		parts = append(parts, codesOf(d.Reasons))
	case len(d.MissingScopes) > 0:
		parts = append(parts, "missing "+d.MissingScopes.String())
	default:
		parts = append(parts, "login")
	}
	for _, o := range d.Obligations {
		parts = append(parts, "obliges "+o.Type)
	}
	if d.TTL > 0 {
		parts = append(parts, "for "+d.TTL.String())
	}
	for _, tried := range d.Tried {
		if tried.Flips {
			parts = append(parts, map[bool]string{true: "would be allowed", false: "would be denied"}[tried.Allow]+" by "+tried.Package)
		}
	}
	return strings.Join(parts, ", ")
}

// grantAnswer is "grants SCOPES" with all that goes with it, or the codes of what denies everything.
func grantAnswer(d oauth.ScopeDecision) string {
	if !d.Allow {
		return codesOf(d.Reasons) + map[bool]string{true: ", ends the grant"}[d.EndGrant]
	}
	parts := []string{"grants " + cmp.Or(d.Granted.String(), "nothing")}
	for _, s := range d.Denied {
		parts = append(parts, fmt.Sprintf("withholds %s (%s)", s.Scope, s.Code))
	}
	if len(d.RequireConsent) > 0 {
		parts = append(parts, "consent "+d.RequireConsent.String())
	}
	if len(d.RequireAuthn) > 0 {
		parts = append(parts, "login")
	}
	if d.TokenTTL > 0 {
		parts = append(parts, "for "+d.TokenTTL.String())
	}
	if d.Refresh != nil && !*d.Refresh {
		parts = append(parts, "no refresh")
	}
	return strings.Join(parts, ", ")
}

func clientAnswer(d oauth.ClientDecision) string {
	if !d.Allow {
		return codesOf(d.Reasons)
	}
	answer := "allow"
	if d.Ceiling != nil {
		answer += ", at most " + cmp.Or(d.Ceiling.String(), "nothing")
	}
	return answer
}

func codesOf(reasons []oauth.Reason) string {
	codes := map[string]bool{}
	for _, r := range reasons {
		codes[r.Code] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(codes)), " ")
}
