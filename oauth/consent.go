package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// legView is an interaction on one leg, with everything about it made anew: client, target, session, request.
type legView struct {
	e       *AuthorizationEndpoint
	i       *Interaction
	client  *Client
	target  Target
	session *Session // nil = not logged in, or not lately enough
	user    *User
}

func (e *AuthorizationEndpoint) view(ctx context.Context, i *Interaction, b Browser) (*legView, error) {
	client, target, err := e.client(ctx, i.Params, AnyAge)
	if err != nil {
		return nil, err
	}
	if client.Digest != i.ClientDigest {
		return nil, InteractionExpired.Errorf("the application changed its registration meanwhile; go back to it and start again").For("client_changed")
	}
	v := &legView{e: e, i: i, client: client, target: target}
	session, user, err := liveSession(ctx, e.cfg.Sessions, e.cfg.Users, b.SessionID)
	switch {
	case errors.Is(err, ErrNotFound):
		return v, nil
	case err != nil:
		return nil, err
	case i.SessionHash != nil && !slices.Equal(i.SessionHash, session.Hash):
		return v, nil
	case session.AuthTime.Before(i.LoginAfter):
		return v, nil
	}
	v.session, v.user = session, user
	return v, nil
}

func (v *legView) authn() Authentication {
	return Authentication{Time: v.session.AuthTime, ACR: v.session.ACR, AMR: v.session.AMR}
}

// next is the step that the interaction needs. Before a login nothing is said about the request.
func (v *legView) next(ctx context.Context) (Step, error) {
	if v.session == nil {
		return v.login(""), nil
	}
	return v.settled(ctx)
}

// settled commits what a step costs: a refusal by policy is recorded once and ends the interaction.
func (v *legView) settled(ctx context.Context) (Step, error) {
	step, _, costs, err := v.propose(ctx)
	if err != nil || len(costs) == 0 {
		return step, err
	}
	if err := v.e.cfg.Ledger.Commit(ctx, costs...); err != nil && !errors.Is(err, ErrConflict) {
		return nil, err
	}
	return step, nil
}

func (v *legView) login(why string) LoginStep {
	if why == "" && !v.i.LoginAfter.IsZero() {
		why = "The application asks for a fresh login."
	}
	return LoginStep{FormToken: v.i.FormToken, Client: ViewOf(v.client), Resource: v.resourceHint(), Hint: CleanText(v.i.Params.Get("login_hint"), 80), Why: why}
}

func (v *legView) resourceHint() ResourceView {
	r, e := requestedResource(v.i.Params["resource"], v.e.cfg.Resources)
	if e != nil {
		return ResourceView{}
	}
	return ResourceView{ID: r.ID, Name: r.Name}
}

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

// needsLogin asks for a fresher login where that helps; a class of login that this server cannot do is a refusal.
func (v *legView) needsLogin(unmet []AuthnRequirement) Step {
	for _, q := range unmet {
		fresh := Authentication{Time: time.Now(), ACR: v.session.ACR, AMR: v.session.AMR}
		if !q.Met(fresh, time.Now()) {
			return v.refuse(AccessDenied.Errorf("the policy asks for a login of a class that this server does not offer (%s)", strings.Join(q.ACRValues, " ")).For("authn_not_available"))
		}
	}
	if len(unmet) > 0 {
		return v.login("The policy asks for a fresh login before it grants this.")
	}
	return nil
}

// deniedByPolicy records the refusal and tells the client, or the person first if nobody vouches for the client.
func (v *legView) deniedByPolicy(ctx context.Context, r *authorizationRequest, d ScopeDecision, e *Error) (Step, *proposal, []Change, error) {
	if e.Code == ServerError || e.Code == TemporarilyUnavailable {
		return nil, nil, nil, e
	}
	ev := v.event(ctx, r)
	ev.Outcome, ev.Reason, ev.Scopes = OutcomeDenied, e.ReasonOrCode(), r.asked
	ev.DecisionID, ev.Rules, ev.Revision = d.ID, d.Rules, d.Revision
	return v.refuse(e), nil, append(saved(d.Record), TakeInteraction{v.i.ID}, ev), nil
}

func (v *legView) event(ctx context.Context, r *authorizationRequest) Event {
	rc := RequestFrom(ctx)
	return Event{Time: rc.Time, Type: EventConsent, SubjectID: v.user.ID, Username: v.user.Name, ClientID: v.client.ID, ResourceID: r.resource.ID,
		IP: rc.IP, RequestID: rc.RequestID, Detail: map[string]string{"client_digest": v.client.Digest}}
}

// refuse tells the client by redirect (RFC 6749 §4.1.2.1, RFC 9207 §2). A client that nobody vouches for gets it only when the
// person follows the link (OAuth 2.1 §7.13.2).
func (v *legView) refuse(e *Error) RedirectStep {
	return RedirectStep{URL: v.redirect("error", e.Code.Name, "error_description", describable(e.Description)), Confirm: !v.client.Trusted(), Error: e, Client: ViewOf(v.client), Host: v.target.Host()}
}

func (v *legView) redirect(pairs ...string) string {
	return v.target.URL(append(pairs, "state", v.i.Params.Get("state"), "iss", v.e.cfg.Issuer)...)
}

// describable keeps the characters that error_description may have (RFC 6749 §4.1.2.1).
func describable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, s)
}

// consentToken belongs to the interaction and to the session whose person the page names: another person who logs in
// meanwhile, in another tab, does not answer it.
func (v *legView) consentToken() string {
	return formTokens{[]byte(v.i.FormToken)}.make("consent", string(v.session.Hash))
}

// page is the consent page.
func (v *legView) page(p *proposal) ConsentStep {
	r := p.request.resource
	step := ConsentStep{FormToken: v.consentToken(), LoginToken: v.i.FormToken, User: v.user.Name, Client: ViewOf(v.client), Resource: ResourceView{ID: r.ID, Name: r.Name},
		Offline: p.granted.Refresh, OfflineFor: v.e.cfg.RefreshAbsolute, AccessFor: p.granted.TTL, RedirectHost: v.target.Host(), Loopback: v.target.Loopback()}
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
	s := ConsentScope{Name: name, Description: info.Description, Risk: info.Risk, Tools: r.ToolsBehind(name)}
	s.ReadOnly = len(s.Tools) > 0
	for _, t := range s.Tools {
		tool, _ := r.Tool(t)
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
	if err := sameForm(a.FormToken, v.consentToken()); err != nil {
		return nil, nil, err
	}
	step, p, costs, err := v.propose(ctx)
	if err != nil || p == nil {
		return step, costs, err
	}
	ev := v.event(ctx, p.request)
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
	secret := NewSecret()
	obtained := chosen
	if p.request.offline && p.granted.Refresh {
		obtained = chosen.Union(Scopes{OfflineAccess})
	}
	code := Code{Hash: HashSecret(secret), GrantID: grant.ID, RedirectURI: v.target.Sent(), Challenge: v.i.Params.Get("code_challenge"), Scopes: obtained,
		Offline: p.granted.Refresh, AuthTime: v.session.AuthTime, ACR: v.session.ACR, AMR: v.session.AMR, ExpiresAt: now.Add(codeTTL)}
	ev.Outcome, ev.Scopes, ev.GrantID = OutcomeOK, chosen, grant.ID
	step := RedirectStep{URL: v.redirect("code", secret), Client: ViewOf(v.client), Host: v.target.Host()}
	return step, append(saved(p.granted.Decision.Record),
		TakeInteraction{v.i.ID}, SaveGrant{grant}, SaveCode{code}, TouchClient{ID: v.client.ID, At: now}, ev), nil
}
