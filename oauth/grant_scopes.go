package oauth

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// scopeGate is the only caller of ScopePolicy. What policy grants passes its clamp.
type scopeGate struct {
	policy    ScopePolicy
	resources ResourceDirectory
	accessTTL time.Duration // the configured lifetime of access tokens, the cap of policy's
}

// scopeGrant is a decision behind the clamp.
type scopeGrant struct {
	Scopes   Scopes // what may be granted, never empty
	Denied   []DeniedScope
	Refresh  bool
	TTL      time.Duration
	Authn    []AuthnRequirement // unmet; only at stages where a person can still answer them
	Decision ScopeDecision
}

// grantScopes asks policy and clamps its answer: granted ⊑ requested ⊓ resource's ⊓ client's ceiling ⊓ ceiling. An
// unmet requirement at a non-interactive stage denies; so does an empty result. The error is what the
// endpoint answers: access_denied at authorize and probe, invalid_grant later.
func (g scopeGate) grantScopes(ctx context.Context, r ScopeRequest, ceiling Scopes) (scopeGrant, error) {
	r.ID = NewID("dec_")
	r.Context = RequestFrom(ctx)
	d, err := g.policy.GrantScopes(ctx, r)
	if err != nil {
		return scopeGrant{Decision: d}, deniedBy(r.Stage, d, "policy_error", "the policy could not decide").Because(err)
	}
	d.ID = r.ID
	if !d.Allow {
		return scopeGrant{Decision: d}, deniedBy(r.Stage, d, "policy_denied", "the policy does not allow this")
	}
	out := scopeGrant{Denied: d.Denied, TTL: g.accessTTL, Refresh: r.Offline && (d.Refresh == nil || *d.Refresh), Decision: d}
	if d.TokenTTL > 0 && d.TokenTTL < out.TTL {
		out.TTL = d.TokenTTL
	}
	out.Scopes = g.clamp(d.Granted, r, ceiling)
	for _, q := range d.RequireAuthn {
		if !q.Met(r.Authn, r.Context.Time) {
			out.Authn = append(out.Authn, q)
		}
	}
	if r.Stage == StageToken || r.Stage == StageRefresh {
		if len(out.Authn) > 0 {
			return out, deniedBy(r.Stage, d, "login_required", "the policy asks for a fresher or stronger login; start a new authorization request")
		}
		unasked := r.Consented.Missing(d.RequireConsent)
		out.Scopes = slices.DeleteFunc(out.Scopes, func(s string) bool { return unasked.Has(s) })
	}
	if len(out.Scopes) == 0 {
		return out, deniedBy(r.Stage, d, "no_scope_left", emptyReason(d, r)).as(InvalidScope, r.Stage)
	}
	return out, nil
}

func (g scopeGate) clamp(granted Scopes, r ScopeRequest, ceiling Scopes) Scopes {
	s := granted.Meet(r.Requested).Meet(r.Resource.ScopeNames()).Meet(ceiling)
	if r.Client.Ceiling != nil {
		s = s.Meet(r.Client.Ceiling)
	}
	if declared := r.Client.Scope; g.known(declared) {
		s = s.Meet(declared)
	}
	return s
}

// known tells whether any resource here has one of the scopes. What a client declares in words of other servers (Claude registers
// "claudeai") says nothing about what it asks for here.
func (g scopeGate) known(scopes Scopes) bool {
	return len(scopes) > 0 && slices.ContainsFunc(g.resources.Resources(), func(r *Resource) bool { return len(r.ScopeNames().Meet(scopes)) > 0 })
}

// deniedBy is the refusal of a scope decision: what people may read, and the machine word for the audit.
func deniedBy(stage Stage, d ScopeDecision, code, fallback string) *Error {
	text, word := fallback, code
	if len(d.Reasons) > 0 {
		word = d.Reasons[0].Code
		if d.Reasons[0].Message != "" {
			text = d.Reasons[0].Message
		}
	}
	kind := AccessDenied
	if stage == StageToken || stage == StageRefresh {
		kind = InvalidGrant
	}
	if word == "policy_error" { // clients drop their tokens at invalid_grant and give up at access_denied; a policy that could not decide is no reason for either
		return TemporarilyUnavailable.Errorf("%s", text).For(word).After(time.Second)
	}
	return kind.Errorf("%s", text).For(word)
}

// as changes the code of an empty result: invalid_scope, but never at code exchange or refresh, where clients
// understand invalid_grant only (RFC 6749 §5.2).
func (e *Error) as(code ErrorCode, stage Stage) *Error {
	if stage == StageAuthorize || stage == StageProbe {
		e.Code = code
	}
	return e
}

func emptyReason(d ScopeDecision, r ScopeRequest) string {
	if len(d.Denied) > 0 && d.Denied[0].Message != "" {
		return fmt.Sprintf("no scope is left: %s", d.Denied[0].Message)
	}
	if len(r.Requested) == 0 {
		return "no known scope was asked for, and the resource has no baseline scopes"
	}
	return "the policy grants none of the scopes that were asked for"
}
