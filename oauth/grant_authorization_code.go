package oauth

import (
	"bytes"
	"context"
	"errors"
	"time"
)

// AuthorizationCode is the grant type of RFC 6749 §4.1.3 with PKCE (RFC 7636 §4.5).
type AuthorizationCode struct {
	Codes           CodeReader
	Users           UserReader
	Resources       ResourceDirectory
	RefreshAbsolute time.Duration // the longest life of a family
}

// Name is authorization_code.
func (AuthorizationCode) Name() string { return "authorization_code" }

// ClientAuth lets every client use it.
func (AuthorizationCode) ClientAuth() ClientRule { return ClientAny }

// Prove checks the code in an order that costs a stranger's guess nothing: client, redirect URI and resource before the
// verifier; a wrong verifier is counted, a second valid redemption ends what the first one made.
func (g AuthorizationCode) Prove(ctx context.Context, r TokenRequest) (*Authorization, error) {
	code := r.Form.Get("code")
	if code == "" {
		return nil, InvalidRequest.Errorf("code is missing")
	}
	s, err := g.Codes.Code(ctx, hashDatedSecret(code))
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, unknownCode()
	case err != nil:
		return nil, err
	case s.Grant.ClientID != r.Client.ID:
		return nil, unknownCode().For("code_of_another_client")
	}
	if sent := r.Form.Get("redirect_uri"); sent != "" && sent != s.Code.RedirectURI {
		return nil, InvalidGrant.Errorf("redirect_uri differs from the authorization request").For("redirect_mismatch")
	}
	resource, err := tokenResource(g.Resources, r.Form, s.Grant.Resource)
	if err != nil {
		return nil, err
	}
	if !verifierMatches(r.Form.Get("code_verifier"), s.Code.Challenge) {
		return nil, g.wrongVerifier(ctx, s)
	}
	if !s.Code.SpentAt.IsZero() {
		return nil, g.replayed(ctx, s)
	}
	if err := g.checkLive(s, r.Client); err != nil {
		return nil, err
	}
	user, err := liveUser(ctx, g.Users, s.Grant.UserID)
	if err != nil {
		return nil, err
	}
	return g.authorize(r, s, user, resource)
}

func unknownCode() *Error {
	return InvalidGrant.Errorf("the code is unknown or was issued to another client; start a new authorization request").For("code_unknown")
}

func (g AuthorizationCode) checkLive(s *CodeState, c *Client) error {
	switch {
	case s.Code.Failures >= MaxCodeFailures:
		return InvalidGrant.Errorf("the code was burnt by wrong verifiers; start a new authorization request").For("code_burnt")
	case !time.Now().Before(s.Code.ExpiresAt):
		return InvalidGrant.Errorf("the code has expired; start a new authorization request").For("code_expired")
	case !s.Grant.Live():
		return InvalidGrant.Errorf("the consent behind this code was revoked").For("grant_ended")
	}
	return nil
}

// wrongVerifier counts against a code that could still be redeemed; a replay with a wrong verifier costs nothing.
func (g AuthorizationCode) wrongVerifier(ctx context.Context, s *CodeState) *Error {
	e := InvalidGrant.Errorf("code_verifier does not match the code_challenge").For("pkce_mismatch")
	if s.Code.SpentAt.IsZero() && s.Code.Failures < MaxCodeFailures && time.Now().Before(s.Code.ExpiresAt) {
		ev := codeEvent(ctx, s)
		ev.Type, ev.Outcome, ev.Reason = EventTokenRefused, OutcomeDenied, "pkce_mismatch"
		e = e.Costing(CountCodeFailure{Hash: s.Code.Hash}, ev)
	}
	return e
}

// replayed ends the family that the first redemption made (RFC 6749 §4.1.2, OAuth 2.1 §7.5.2).
func (g AuthorizationCode) replayed(ctx context.Context, s *CodeState) *Error {
	e := InvalidGrant.Errorf("the code was redeemed before; every token that came from it has been revoked").For("code_replayed")
	if s.Ended { // nothing is left to end, and one code would be enough to fill the audit
		return e
	}
	ev := codeEvent(ctx, s)
	ev.Type, ev.Outcome, ev.Reason, ev.FamilyID = EventCodeReplayed, OutcomeDenied, "code_replayed", s.Code.FamilyID
	return e.Costing(EndFamily{ID: s.Code.FamilyID, Reason: "code_replayed", At: ev.Time}, ev)
}

func codeEvent(ctx context.Context, s *CodeState) Event {
	rc := RequestFrom(ctx)
	return Event{Time: rc.Time, SubjectID: s.Grant.UserID, ClientID: s.Grant.ClientID, ResourceID: s.Grant.Resource, GrantID: s.Grant.ID,
		IP: rc.IP, RequestID: rc.RequestID, Detail: map[string]string{"grant_type": "authorization_code"}}
}

func (g AuthorizationCode) authorize(r TokenRequest, s *CodeState, user *User, resource *Resource) (*Authorization, error) {
	now := time.Now().Truncate(time.Second)
	family := &Family{ID: newDatedID("fam_", now), GrantID: s.Grant.ID, Scopes: s.Code.Scopes, RedirectURI: s.Code.RedirectURI, AuthTime: s.Code.AuthTime, ACR: s.Code.ACR,
		AMR: s.Code.AMR, CreatedAt: now, ExpiresAt: now.Add(g.RefreshAbsolute)}
	return &Authorization{
		GrantType: g.Name(), Stage: StageToken, Client: r.Client, Subject: user.Subject(), Resource: resource,
		Ceiling: s.Code.Scopes.Meet(s.Grant.Scopes), Asked: s.Code.Scopes.Without(OfflineAccess), Consented: s.Grant.Scopes, Grant: s.Grant, Family: family,
		Authn:   Authentication{Time: s.Code.AuthTime, ACR: s.Code.ACR, AMR: s.Code.AMR},
		Refresh: RefreshPlan{Issue: s.Code.Offline}, Event: EventTokenIssued,
		Spend: []Change{SpendCode{Hash: bytes.Clone(s.Code.Hash), FamilyID: family.ID, At: now}, SaveFamily{*family}},
	}, nil
}

// liveUser reads the person behind a grant; a disabled one ends every road to a token.
func liveUser(ctx context.Context, users UserReader, id string) (*User, error) {
	u, err := users.User(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, InvalidGrant.Errorf("the account behind this grant is gone").For("user_gone")
	case err != nil:
		return nil, err
	case u.Disabled:
		return nil, InvalidGrant.Errorf("the account behind this grant is disabled").For("user_disabled")
	}
	return u, nil
}
