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
	ev.noteTried(d.Tried)
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
	return RedirectStep{URL: v.redirect("error", e.Code.Name, "error_description", e.Text()), Confirm: !v.client.Trusted(), Error: e, Client: ViewOf(v.client), Host: v.target.Host()}
}

func (v *legView) redirect(pairs ...string) string {
	return v.target.URL(append(pairs, "state", v.i.Params.Get("state"), "iss", v.e.cfg.Issuer)...)
}
