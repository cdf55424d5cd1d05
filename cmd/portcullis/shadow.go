package main

import (
	"context"
	"strconv"
	"strings"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/server"
)

// policy answers: the engine by itself, or with a candidate in its shadow.
type policy interface {
	oauth.ClientPolicy
	oauth.ScopePolicy
	oauth.AccessPolicy
}

func (p *parts) policy() policy {
	if p.shadow != nil {
		return p.shadow
	}
	return p.engine
}

// mountShadow makes the shadow that policies_shadow names. It loads when the server runs: nothing that is wrong with it keeps a server
// from starting.
func (p *parts) mountShadow(active policies.Config) {
	if dir := string(p.config.PoliciesShadow); dir != "" {
		p.shadow = policies.NewShadow(policies.ShadowConfig{Active: p.engine, Dir: dir, Config: active, Write: p.shadowFlipped})
	}
}

// shadowFlipped writes the rows about what shadow policies would have answered.
func (p *parts) shadowFlipped(ctx context.Context, flips []policies.ShadowFlip) error {
	changes := make([]oauth.Change, len(flips))
	for i, f := range flips {
		row := policyEvent(oauth.EventPolicyShadowFlip, f.Given, "would_be_"+f.WouldBe, f.Revision)
		row.ClientID, row.ResourceID, row.Action, row.Rules = f.Client, f.Resource, f.Action, strings.Split(f.Rule, ",")
		if f.Kind == "tools" {
			row.Tool = f.Tool
		}
		// The id of an answer stands in the row of that answer; here it is only an example.
		row.Detail = map[string]string{"question": f.Kind, "flips": strconv.Itoa(f.Count), "example": f.Example, "shadow_revision": f.ShadowRevision}
		for word, scopes := range map[string]oauth.Scopes{"granted": f.Granted, "would_grant": f.WouldGrant} {
			if len(scopes) > 0 {
				row.Detail[word] = shortList(scopes, 500)
			}
		}
		changes[i] = row
	}
	return p.store.Commit(ctx, changes...)
}

// flips are what policies on trial would have changed, for the metrics.
func (p *parts) flips() []server.FlipCount {
	all := p.engine.Flips()
	if p.shadow != nil {
		all = append(all, p.shadow.Flips()...)
	}
	list := make([]server.FlipCount, len(all))
	for i, f := range all {
		list[i] = server.FlipCount(f)
	}
	return list
}

// shadowCounts tells the metrics what became of questions to the shadow; nil = there is none.
func (p *parts) shadowCounts() func() (evaluated, dropped, unloaded uint64) {
	if p.shadow == nil {
		return nil
	}
	return func() (evaluated, dropped, unloaded uint64) {
		s := p.shadow.Status()
		return s.Evaluated, s.Dropped, s.Unloaded
	}
}
