package oauth

import (
	"context"
	"errors"
	"slices"
)

// proposal is what the person is asked, in the terms of the protocol.
type proposal struct {
	request *authorizationRequest
	granted scopeGrant
	grant   *Grant // the live one; nil = none
}

// propose asks policy and shapes the consent page; anything wrong becomes a redirect or another login.
func (v *legView) propose(ctx context.Context) (Step, *proposal, []Change, error) {
	r, e := parseAuthorization(v.i.Params, v.e.cfg.Resources)
	if e != nil {
		return v.refuse(e), nil, nil, nil
	}
	grant, err := v.e.cfg.Grants.LiveGrant(ctx, v.user.ID, v.client.ID, r.resource.ID)
	if errors.Is(err, ErrNotFound) {
		grant, err = nil, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	ask := ScopeRequest{Stage: StageAuthorize, GrantType: "authorization_code", Subject: v.user.Subject(), Client: v.client, Resource: r.resource,
		Requested: r.asked, Offline: v.client.MayUse("refresh_token"), Authn: v.authn(), RequestedACR: r.acr, MaxAge: r.maxAge}
	if grant != nil {
		ask.Granted, ask.Consented = grant.Scopes, grant.Scopes
	}
	granted, err := v.e.gate.grantScopes(ctx, ask, r.asked)
	if err != nil {
		return v.deniedByPolicy(ctx, r, granted.Decision, AsError(err))
	}
	if step := v.needsLogin(granted.Authn); step != nil {
		return step, nil, nil, nil
	}
	if r.noPrompt {
		return v.refuse(ConsentRequired.Errorf("this server always asks the person; send the request without prompt=none")), nil, nil, nil
	}
	p := &proposal{request: r, granted: granted, grant: grant}
	return v.page(p), p, nil, nil
}

// page is the consent page.
func (v *legView) page(p *proposal) ConsentStep {
	r := p.request.resource
	step := ConsentStep{FormToken: v.consentToken(p.granted.Refresh), LoginToken: v.i.FormToken, User: v.user.Name, Client: ViewOf(v.client), Resource: ResourceView{ID: r.ID, Name: r.Name},
		Offline: p.granted.Refresh, OfflineFor: v.e.cfg.RefreshAbsolute, AccessFor: p.granted.TTL, RedirectHost: v.target.Host(),
		Loopback: v.target.Loopback(), PrivateScheme: v.target.PrivateUse()}
	for _, name := range p.granted.Scopes {
		s := consentScope(r, name)
		s.Held = p.grant != nil && p.grant.Scopes.Has(name)
		step.Scopes = append(step.Scopes, s)
	}
	step.Withheld = withheld(p)
	return step
}

func consentScope(r *Resource, name string) ConsentScope {
	info, _ := r.ScopeInfo(name)
	s := ConsentScope{Name: name, Description: info.Description, Risk: info.Risk}
	behind := r.toolsBehind(name)
	s.ReadOnly = len(behind) > 0
	for _, tool := range behind {
		s.Tools = append(s.Tools, tool.Name)
		s.ReadOnly = s.ReadOnly && tool.Annotations.ReadOnly()
		s.Destructive = s.Destructive || tool.Annotations.Destructive()
	}
	return s
}

// withheld names what was asked for and is not offered, with policy's reason where it gave one.
func withheld(p *proposal) []WithheldScope {
	var out []WithheldScope
	for _, name := range p.granted.Scopes.Missing(p.request.asked) {
		w := WithheldScope{Name: name, Code: "not_granted", Reason: "The policy does not grant this to this application."}
		for _, d := range p.granted.Denied {
			if d.Scope == name {
				w.Code, w.Reason = d.Code, d.Message
			}
		}
		out = append(out, w)
	}
	return out
}

// answer turns the person's answer into changes. What was ticked is clamped by what policy grants right now.
func (v *legView) answer(ctx context.Context, a Answer) (Step, []Change, error) {
	if v.session == nil {
		return v.login(""), nil, nil
	}
	offline, err := v.offlineShown(a.FormToken)
	if err != nil {
		return nil, nil, err
	}
	step, p, costs, err := v.propose(ctx)
	if err != nil || p == nil {
		return step, costs, err
	}
	p.granted.Refresh = p.granted.Refresh && offline // policies may have changed since the page was shown
	ev := v.event(ctx, p.request)
	ev.noteTried(p.granted.Decision.Tried)
	ev.DecisionID, ev.Rules, ev.Revision = p.granted.Decision.ID, p.granted.Decision.Rules, p.granted.Decision.Revision
	if !a.Allow {
		ev.Outcome, ev.Reason, ev.Scopes = OutcomeDenied, "user_denied", p.granted.Scopes
		out := v.refuse(AccessDenied.Errorf("the person denied the request").For("user_denied"))
		out.Confirm = false // an explicit answer always goes back to the client
		return out, append(saved(p.granted.Decision.Record), TakeInteraction{v.i.ID}, ev), nil
	}
	chosen := slices.DeleteFunc(slices.Clone(p.granted.Scopes), func(s string) bool { return !slices.Contains(a.Scopes, s) })
	if len(chosen) == 0 {
		return nil, nil, InvalidScope.Errorf("tick at least one permission, or choose Deny").For("nothing_ticked")
	}
	return v.allow(ev, p, chosen)
}

func (v *legView) allow(ev Event, p *proposal, chosen Scopes) (Step, []Change, error) {
	now := ev.Time
	grant := Grant{ID: NewID("grt_"), UserID: v.user.ID, ClientID: v.client.ID, Resource: p.request.resource.ID, CreatedAt: now}
	if p.grant != nil {
		grant = *p.grant
	}
	// What was shown and not ticked is taken back; what was granted before and not asked for now stays.
	grant.Scopes = slices.DeleteFunc(slices.Clone(grant.Scopes), p.granted.Scopes.Has).Union(chosen)
	grant.ClientDigest, grant.RedirectURI = v.client.Digest, v.target.Registered()
	secret := newDatedSecret(now)
	obtained := chosen
	if p.request.offline && p.granted.Refresh {
		obtained = chosen.Union(Scopes{OfflineAccess})
	}
	code := Code{Hash: hashDatedSecret(secret), GrantID: grant.ID, RedirectURI: v.target.Sent(), Challenge: v.i.Params.Get("code_challenge"), Scopes: obtained,
		Offline: p.granted.Refresh, AuthTime: v.session.AuthTime, ACR: v.session.ACR, AMR: v.session.AMR, ExpiresAt: now.Add(codeTTL)}
	ev.Outcome, ev.Scopes, ev.GrantID = OutcomeOK, chosen, grant.ID
	step := RedirectStep{URL: v.redirect("code", secret), Client: ViewOf(v.client), Host: v.target.Host()}
	return step, append(saved(p.granted.Decision.Record),
		TakeInteraction{v.i.ID}, SaveGrant{grant}, SaveCode{code}, TouchClient{ID: v.client.ID, At: now}, ev), nil
}
