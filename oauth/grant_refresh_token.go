package oauth

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// RefreshToken is the grant type of RFC 6749 §6. Every use rotates the token; a retry inside the reuse window gets the same
// successor, any other reuse ends the family (DESIGN §9).
type RefreshToken struct {
	Refreshes RefreshReader
	Users     UserReader
	Resources ResourceDirectory
	Issuer    *Issuer
}

// Name is refresh_token.
func (RefreshToken) Name() string { return "refresh_token" }

// ClientAuth lets every client use it.
func (RefreshToken) ClientAuth() ClientRule { return ClientAny }

// Prove checks the refresh token and everything that it stands on before it says what would be spent.
func (g RefreshToken) Prove(ctx context.Context, r TokenRequest) (*Authorization, error) {
	token := r.Form.Get("refresh_token")
	if token == "" {
		return nil, InvalidRequest.Errorf("refresh_token is missing")
	}
	s, err := g.Refreshes.Refresh(ctx, hashDatedSecret(token))
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, unknownRefresh()
	case err != nil:
		return nil, err
	case s.Grant.ClientID != r.Client.ID:
		return nil, unknownRefresh().For("refresh_of_another_client")
	}
	if err := checkRefreshLive(s); err != nil {
		return nil, err
	}
	if err := redirectStillThere(r.Client, cmp.Or(s.Family.RedirectURI, s.Grant.RedirectURI)); err != nil {
		return nil, err
	}
	resource, err := tokenResource(g.Resources, r.Form, s.Grant.Resource)
	if err != nil {
		return nil, err
	}
	ceiling := s.Family.Scopes.Meet(s.Grant.Scopes)
	asked, err := refreshScopes(r.Form.Get("scope"), s.Family.Scopes.Without(OfflineAccess))
	if err != nil {
		return nil, err
	}
	user, err := liveUser(ctx, g.Users, s.Grant.UserID)
	if err != nil {
		return nil, err
	}
	a := &Authorization{GrantType: g.Name(), Stage: StageRefresh, Client: r.Client, Subject: user.Subject(), Resource: resource,
		Ceiling: ceiling, Asked: asked, Consented: s.Grant.Scopes, Grant: s.Grant, Family: s.Family, JKT: s.Family.JKT, NotAfter: s.Family.ExpiresAt,
		Authn: Authentication{Time: s.Family.AuthTime, ACR: s.Family.ACR, AMR: s.Family.AMR}, Event: EventTokenRefreshed,
		Refresh: RefreshPlan{Issue: true, Rotate: s.Refresh, Presented: token}}
	if s.Refresh.UsedAt.IsZero() {
		return a, nil
	}
	return g.retry(ctx, a, s, token)
}

func unknownRefresh() *Error {
	return InvalidGrant.Errorf("the refresh token is unknown or was issued to another client; start a new authorization request").For("refresh_unknown")
}

// checkRefreshLive comes before the reuse window: a revoked family is dead inside it too (facts A6 T4).
func checkRefreshLive(s *RefreshState) error {
	now := time.Now()
	switch {
	case !s.Grant.Live():
		return InvalidGrant.Errorf("the consent behind this refresh token was revoked").For("grant_ended")
	case !s.Family.EndedAt.IsZero():
		return InvalidGrant.Errorf("the refresh token was revoked").For("family_ended")
	case !s.Family.Live(now):
		return InvalidGrant.Errorf("the refresh token has reached its longest life; start a new authorization request").For("family_expired")
	case s.Refresh.UsedAt.IsZero() && !now.Before(s.Refresh.ExpiresAt):
		return InvalidGrant.Errorf("the refresh token was not used for too long; start a new authorization request").For("refresh_expired")
	}
	return nil
}

// redirectStillThere refuses a refresh when the client's document no longer lists the redirect URI that the consent was
// given for: the login's own, for a thief's login does not become right by the person's next one.
func redirectStillThere(c *Client, uri string) error {
	if _, there := matchRedirect(c.RedirectURIs, uri); uri == "" || there {
		return nil
	}
	return InvalidGrant.Errorf("the client no longer registers the redirect URI of this consent; start a new authorization request").For("redirect_gone")
}

// refreshScopes: a refresh may narrow, never widen; omitted means the family's (RFC 6749 §6).
func refreshScopes(text string, family Scopes) (Scopes, error) {
	asked, err := ParseScopes(text)
	if err != nil {
		return nil, InvalidScope.Errorf("%v", err)
	}
	asked = asked.Without(OfflineAccess)
	if len(asked) == 0 {
		return family, nil
	}
	if wider := family.Missing(asked); len(wider) > 0 {
		return nil, InvalidScope.Errorf("the scope %q was not granted; ask for it with a new authorization request", Cut(wider[0], 80))
	}
	return asked, nil
}

// retry answers the direct parent of the current token, inside its window and before the successor was used, with
// the same successor. Everything else is reuse.
func (g RefreshToken) retry(ctx context.Context, a *Authorization, s *RefreshState, token string) (*Authorization, error) {
	if !s.Refresh.SuccessorUsed && time.Now().Before(s.Refresh.WindowEnds) && len(s.Refresh.Successor) > 0 {
		successor, err := g.Issuer.successor(token, s.Refresh)
		if err != nil {
			return nil, err
		}
		a.Refresh.Rotate, a.Refresh.Successor, a.Event = nil, successor, EventTokenRetried
		return a, nil
	}
	ev := a.row(ctx, ScopeDecision{})
	ev.Type, ev.Outcome, ev.Reason = EventRefreshReused, OutcomeDenied, "refresh_reused"
	return nil, InvalidGrant.Errorf("the refresh token was used before; every token of this login has been revoked").For("refresh_reused").
		Costing(EndFamily{ID: s.Family.ID, Reason: "refresh_reused", At: ev.Time}, ev)
}

// reuseWindow is 0 for confidential and key-bound clients: they can prove who they are, so a retry is a replay.
func (i *Issuer) reuseWindow(a *Authorization) time.Duration {
	if !a.Client.Public() || a.JKT != "" {
		return 0
	}
	return i.cfg.ReuseGrace
}
