package policies

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"portcullis/oauth"
)

// codePolicyError is the reason when the policies could not decide: an evaluation error, a conflict, the deadline, an
// undefined or misshapen result. It always denies.
const codePolicyError = "policy_error"

// messagePolicyError is what people read; the detail stands in Reason.Policy, for the audit.
const messagePolicyError = "the policies of this server could not decide"

// GrantScopes implements oauth.ScopePolicy. It never returns an error: what goes wrong is a denial with the code
// policy_error. Allow says that nothing denies everything; Granted may still be empty.
func (e *Engine) GrantScopes(_ context.Context, r oauth.ScopeRequest) (oauth.ScopeDecision, error) {
	g := e.current.Load()
	r.Context.Time = at(r.Context)
	write := func(o *object) error { o.scopeGrant(r); return nil }
	d, answer, err := ask(e, g, scopesQuestion(), r.Context.Time, nil, write)
	if err != nil {
		d = oauth.ScopeDecision{Reasons: e.policyError(g, kindScopes, r.ID, err)}
	}
	e.logShapes(g, kindScopes, r.ID, d.Reasons)
	d.ID, d.Revision = r.ID, g.revision
	clampGrant(&d, r.Requested)
	if d.Allow {
		d.Rules = answer.fired.of("grant", "deny_scope", "require_consent", "require_authn", "token_ttl_seconds", "refresh")
	} else {
		d.Rules = answer.fired.of("deny", "end_grant")
	}
	see := func(d oauth.ScopeDecision) view { return grantView(d, r) }
	d.Tried = noteTried(e, g, scopesQuestion(), r.ID, &answer, see(ownScopeDecision(d)), see)
	d.Record = e.keep(g, kindScopes, r.ID, r.Context.Time, write, answer, grantOutcome(d, r))
	return d, nil
}

// clampGrant holds what Rego must not break: nothing is granted that was not asked for, and nothing beside a reason against it.
func clampGrant(d *oauth.ScopeDecision, requested oauth.Scopes) {
	d.Granted = d.Granted.Meet(requested)
	if d.Allow = d.Allow && len(d.Reasons) == 0; !d.Allow {
		d.Granted = nil
	}
}

// Admit implements oauth.ClientPolicy. It never returns an error, see GrantScopes.
func (e *Engine) Admit(_ context.Context, r oauth.ClientRequest) (oauth.ClientDecision, error) {
	g := e.current.Load()
	if r.Client == nil {
		return oauth.ClientDecision{ID: r.ID, Revision: g.revision, Reasons: e.policyError(g, kindClients, r.ID, errors.New("the request names no client"))}, nil
	}
	r.Context.Time = at(r.Context)
	write := func(o *object) error { o.clientAdmission(r); return nil }
	d, answer, err := ask(e, g, clientsQuestion(), r.Context.Time, nil, write)
	if err != nil {
		d = oauth.ClientDecision{Reasons: e.policyError(g, kindClients, r.ID, err)}
	}
	e.logShapes(g, kindClients, r.ID, d.Reasons)
	d.ID, d.Revision = r.ID, g.revision
	if d.Allow && len(d.Reasons) == 0 {
		d.Rules = answer.fired.of("allow", "allow_redirect", "scope_ceiling", "ttl")
	} else {
		d.Allow, d.AllowRedirects = false, nil
		d.Rules = answer.fired.of("deny")
	}
	d.Tried = noteTried(e, g, clientsQuestion(), r.ID, &answer, clientView(d), clientView)
	d.Record = e.keep(g, kindClients, r.ID, r.Context.Time, write, answer, outcome{Allow: d.Allow, Reasons: outcomeReasons(d.Reasons)})
	return d, nil
}

// Decide implements oauth.AccessPolicy: with a token the packages below policy.tools, without one only those below
// policy.access. It never returns an error, see GrantScopes.
func (e *Engine) Decide(ctx context.Context, v oauth.Evaluation) (oauth.Decision, error) {
	g := e.current.Load()
	v.Context.Time, v.Resource.Properties = at(v.Context), resourceProperties(v)
	q, u, write := toolsQuestion(), usageNow(ctx, v), func(o *object) error { return o.toolCall(v) }
	if v.Token == nil {
		q, u, write = accessQuestion(), nil, func(o *object) error { return o.access(v) }
	}
	d, answer, err := ask(e, g, q, v.Context.Time, u, write)
	switch {
	case err != nil:
		d = oauth.Decision{Reasons: e.policyError(g, q.kind, v.ID, err)}
	case v.Token == nil:
		d.Allow = d.Allow && len(d.Reasons) == 0
		d.Rules = decidingRules(d, answer.fired)
	default:
		clampDecision(&d, v)
		d.Rules = decidingRules(d, answer.fired)
		g.demandCount(&d, v)
	}
	e.logShapes(g, q.kind, v.ID, d.Reasons)
	d.Revision = g.revision
	d.Tried = noteTried(e, g, q, v.ID, &answer, view{allow: d.Allow}, func(d oauth.Decision) view { return callView(d, v) })
	d.Record = e.keep(g, q.kind, v.ID, v.Context.Time, write, answer, callOutcome(d))
	return d, nil
}

// CountsUse implements oauth.AccessPolicy: the policies in force about calls ask mcp.usage.
func (e *Engine) CountsUse() bool { return e.current.Load().countsUse }

// demandCount lets every allowed call be counted, if some rule asks how many there were. An answer that the asking server reused would not
// be counted.
func (g *generation) demandCount(d *oauth.Decision, v oauth.Evaluation) {
	if d.CountUse = g.countsUse && v.Tool != nil; d.CountUse {
		d.TTL = 0
	}
}

// clampDecision holds what Rego must not break: an allowed call has no reason against it, every scope it needs and
// every login it needs (the router leaves comparing the login to this function), and its answer is reused no longer than the token lives and never for a destructive tool.
func clampDecision(d *oauth.Decision, v oauth.Evaluation) {
	now := at(v.Context).Truncate(time.Second) // as the input has it
	d.MissingScopes = d.MissingScopes.Union(v.Token.Scopes.Missing(d.RequiredScopes))
	d.RequireAuthn = slices.DeleteFunc(d.RequireAuthn, func(q oauth.AuthnRequirement) bool { return q.Met(v.Token.Authn, now) })
	d.Allow = d.Allow && len(d.Reasons) == 0 && len(d.MissingScopes) == 0 && len(d.RequireAuthn) == 0
	if !d.Allow {
		d.TTL, d.Obligations = 0, nil
		return
	}
	if v.Tool != nil && v.Tool.Annotations.Destructive() {
		d.TTL = 0
	}
	if left := v.Token.ExpiresAt.Sub(now).Truncate(time.Second); d.TTL > 0 && !v.Token.ExpiresAt.IsZero() {
		d.TTL = max(0, min(d.TTL, left))
	}
}

// decidingRules are the labels of the rules that made the decision what it is.
func decidingRules(d oauth.Decision, f fired) []string {
	switch {
	case d.Allow:
		return f.of("allow", "required_scopes", "require_authn", "obligations", "ttl_seconds")
	case len(d.Reasons) > 0:
		return f.of("deny")
	case len(d.MissingScopes) > 0:
		return f.of("required_scopes")
	}
	return f.of("require_authn")
}

// logShapes logs which package gave a value of a wrong shape: the router denies for it, and only its author can mend it.
func (e *Engine) logShapes(g *generation, k kind, id string, reasons []oauth.Reason) {
	for _, r := range reasons {
		if r.Code == codePolicyError && r.Message != messagePolicyError {
			e.log.Error("policy error", slog.String("kind", string(k)), slog.String("decision", id), slog.String("revision", g.revision),
				slog.String("error", r.Policy), slog.String("message", r.Message))
		}
	}
}

// policyError logs what went wrong and makes the reason of the denial.
func (e *Engine) policyError(g *generation, k kind, id string, err error) []oauth.Reason {
	e.log.Error("policy error",
		slog.String("kind", string(k)), slog.String("decision", id), slog.String("revision", g.revision), slog.Any("error", err))
	return []oauth.Reason{{Code: codePolicyError, Message: messagePolicyError, Policy: err.Error()}}
}

// at is the time of the request; policies that read the clock see the same one.
func at(c oauth.RequestContext) time.Time {
	if c.Time.IsZero() {
		return time.Now()
	}
	return c.Time
}
