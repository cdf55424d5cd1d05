package oauth

import (
	"context"
	"errors"
	"time"
)

// RevocationConfig is what RevocationEndpoint needs.
type RevocationConfig struct {
	Clients   ClientResolver
	Auth      *ClientAuthenticator
	Refreshes RefreshReader
	States    TokenStateReader
	Issuer    *Issuer
	Ledger    Ledger
}

// RevocationEndpoint revokes tokens (RFC 7009).
type RevocationEndpoint struct{ cfg RevocationConfig }

// NewRevocation builds the endpoint.
func NewRevocation(cfg RevocationConfig) *RevocationEndpoint { return &RevocationEndpoint{cfg} }

// Revoke ends the token that the form names: a refresh token with its family, an access token by its jti. An unknown
// token, one of another client and one that is dead already are no errors and change nothing (RFC 7009 §2.2). The answer waits for the disk.
func (e *RevocationEndpoint) Revoke(ctx context.Context, r DirectRequest) error {
	if err := checkOnce(r.Form); err != nil {
		return err
	}
	client, err := e.cfg.Auth.Authenticate(ctx, e.cfg.Clients, r, AnyAge)
	if err != nil {
		return pay(ctx, e.cfg.Ledger, err)
	}
	token := r.Form.Get("token")
	if token == "" {
		return InvalidRequest.Errorf("token is missing")
	}
	_, err = settle(ctx, e.cfg.Ledger, func() (struct{}, []Change, error) {
		changes, err := e.changes(ctx, client, token)
		return struct{}{}, changes, err
	})
	return err
}

func (e *RevocationEndpoint) changes(ctx context.Context, client *Client, token string) ([]Change, error) {
	rc := RequestFrom(ctx)
	ev := Event{Time: rc.Time, Type: EventTokenRevoked, Outcome: OutcomeOK, Reason: "client", ClientID: client.ID, IP: rc.IP, RequestID: rc.RequestID}
	if claims, err := e.cfg.Issuer.verify(token); err == nil {
		if claims.ClientID != client.ID {
			return nil, nil
		}
		state, err := e.cfg.States.TokenState(ctx, claims.ID, claims.GrantID, claims.FamilyID, claims.Subject)
		if err != nil || !state.alive(claims) { // or one token would be enough to fill the audit
			return nil, err
		}
		ev.SubjectID, ev.ResourceID, ev.GrantID, ev.FamilyID, ev.JTI = claims.Subject, claims.Audience, claims.GrantID, claims.FamilyID, claims.ID
		return []Change{RevokeToken{JTI: claims.ID, ExpiresAt: claims.expires().Add(time.Second)}, ev}, nil
	}
	s, err := e.cfg.Refreshes.Refresh(ctx, hashDatedSecret(token))
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case s.Grant.ClientID != client.ID || !s.Family.EndedAt.IsZero():
		return nil, nil
	}
	ev.SubjectID, ev.ResourceID, ev.GrantID, ev.FamilyID = s.Grant.UserID, s.Grant.Resource, s.Grant.ID, s.Family.ID
	return []Change{EndFamily{ID: s.Family.ID, Reason: "client", At: rc.Time}, ev}, nil
}
