package oauth

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"
)

// policyThatSays answers every question in one way: a policy whose author made a mistake.
type policyThatSays ScopeDecision

func (p policyThatSays) GrantScopes(context.Context, ScopeRequest) (ScopeDecision, error) {
	return ScopeDecision(p), nil
}

// TestWhatPolicyGrantsIsClamped: whatever policy says, nobody gets more than was asked for, than the resource has, than the client may have or
// declared, than was consented, or for longer than configured.
func TestWhatPolicyGrantsIsClamped(t *testing.T) {
	all := NewScopes("t:a.read", "t:a.write", "t:b.read", "t:c.*")
	const accessTTL = 10 * time.Minute
	type question struct {
		request  ScopeRequest
		ceiling  Scopes
		decision ScopeDecision
	}
	for name, c := range map[string]struct {
		change func(*question)
		want   string        // the scopes, or "" for a refusal
		ttl    time.Duration // 0 = accessTTL
	}{
		"as asked":                       {func(*question) {}, "t:a.read t:a.write", 0},
		"not asked for":                  {func(q *question) { q.request.Requested = NewScopes("t:a.read") }, "t:a.read", 0},
		"not consented":                  {func(q *question) { q.ceiling = NewScopes("t:a.write") }, "t:a.write", 0},
		"nothing is left":                {func(q *question) { q.ceiling = nil }, "", 0},
		"not the resource's":             {func(q *question) { q.request.Requested = NewScopes("t:a.read", "x:other") }, "t:a.read", 0},
		"beyond the client's ceiling":    {func(q *question) { q.request.Client.Ceiling = NewScopes("t:a.write", "t:b.read") }, "t:a.write", 0},
		"an empty ceiling":               {func(q *question) { q.request.Client.Ceiling = Scopes{} }, "", 0},
		"not declared by the client":     {func(q *question) { q.request.Client.Scope = NewScopes("t:a.read", OfflineAccess) }, "t:a.read", 0},
		"a wildcard is narrowed":         {func(q *question) { q.request.Requested, q.ceiling = NewScopes("t:c.*"), NewScopes("t:c.x") }, "t:c.x", 0},
		"policy denies":                  {func(q *question) { q.decision.Allow = false }, "", 0},
		"a shorter life":                 {func(q *question) { q.decision.TokenTTL = time.Minute }, "t:a.read t:a.write", time.Minute},
		"a longer life":                  {func(q *question) { q.decision.TokenTTL = time.Hour }, "t:a.read t:a.write", 0},
		"consent that was not asked for": {func(q *question) { q.decision.RequireConsent = NewScopes("t:a.write") }, "t:a.read", 0},
		"consent that was given":         {func(q *question) { q.decision.RequireConsent, q.request.Consented = NewScopes("t:a.write"), all }, "t:a.read t:a.write", 0},
		"an old login":                   {func(q *question) { q.decision.RequireAuthn = []AuthnRequirement{{MaxAge: time.Minute}} }, "", 0},
		"a fresh login":                  {func(q *question) { q.decision.RequireAuthn = []AuthnRequirement{{MaxAge: 2 * time.Hour}} }, "t:a.read t:a.write", 0},
		"an old login where one can log in": {func(q *question) {
			q.request.Stage = StageAuthorize
			q.decision.RequireAuthn = []AuthnRequirement{{MaxAge: time.Minute}}
		}, "t:a.read t:a.write", 0},
	} {
		t.Run(name, func(t *testing.T) {
			q := question{
				request: ScopeRequest{Stage: StageToken, Client: &Client{ID: "cli"}, Requested: NewScopes("t:a.read", "t:a.write"), Authn: Authentication{Time: time.Now().Add(-time.Hour)},
					Resource: &Resource{Scopes: []ScopeInfo{{Name: "t:a.read"}, {Name: "t:a.write"}, {Name: "t:b.read"}, {Name: "t:c.*"}}}},
				ceiling:  all.Union(NewScopes("x:other")),
				decision: ScopeDecision{Allow: true, Granted: all.Union(NewScopes("x:other"))},
			}
			c.change(&q)
			got, err := scopeGate{policyThatSays(q.decision), resourceList{q.request.Resource}, accessTTL}.grantScopes(t.Context(), q.request, q.ceiling)
			if c.want == "" {
				if err == nil {
					t.Fatalf("granted %v", got.Scopes)
				}
				return
			}
			want, _ := ParseScopes(c.want)
			ttl := cmp.Or(c.ttl, accessTTL)
			if err != nil || !slices.Equal(got.Scopes, want) || got.TTL != ttl {
				t.Errorf("%v for %s (%v), want %v for %s", got.Scopes, got.TTL, err, want, ttl)
			}
		})
	}
}
