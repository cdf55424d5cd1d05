package oauth

import (
	"context"
	"crypto/sha256"
	"time"
)

// TokenChecker tells whether an access token is alive right now. Introspection and decisions share it.
type TokenChecker struct {
	issuer *Issuer
	states TokenStateReader
	seen   *lru[[sha256.Size]byte, *accessClaims] // verified signatures, under the hash of the whole token
}

// maxSeenTokens bounds the memory of verified tokens: about 0.5 KiB each.
const maxSeenTokens = 16384

// NewTokenChecker builds the checker.
func NewTokenChecker(issuer *Issuer, states TokenStateReader) *TokenChecker {
	return &TokenChecker{issuer: issuer, states: states, seen: newLRU[[sha256.Size]byte, *accessClaims](maxSeenTokens)}
}

type liveToken struct {
	claims  *accessClaims
	subject Subject
}

// check returns nil for every token that the caller must not rely on: forged, expired, for another resource,
// revoked, of an ended family or grant, of a disabled user. Only a storage fault is an error.
func (t *TokenChecker) check(ctx context.Context, token string, caller *Resource) (*liveToken, error) {
	claims := t.verified(token)
	if claims == nil || claims.Audience != caller.ID {
		return nil, nil
	}
	state, err := t.states.TokenState(ctx, claims.ID, claims.GrantID, claims.FamilyID, claims.Subject)
	if err != nil {
		return nil, err
	}
	if !state.alive(claims) {
		return nil, nil
	}
	return &liveToken{claims: claims, subject: state.User.Subject()}, nil
}

// verified looks the token up by the hash of its whole text before it verifies a signature. The times are checked at every look. One
// that has expired stays remembered like any other: who asks again must not pay for its signature again, nor tell by the time.
func (t *TokenChecker) verified(token string) *accessClaims {
	key := tokenHash(token)
	claims, ok := t.seen.Get(key)
	if !ok {
		var err error
		if claims, err = t.issuer.signed(token); err != nil {
			return nil
		}
		t.seen.Put(key, claims)
	}
	if claims.check(t.issuer.cfg.Issuer, time.Now()) != nil {
		return nil
	}
	return claims
}

// usualToken is as long as nearly all of our tokens are, in bytes.
const usualToken = 1 << 10

// tokenHash is the SHA-256 of the whole token. The room for a usual one is on the stack.
func tokenHash(token string) [sha256.Size]byte {
	var room [usualToken]byte
	return sha256.Sum256(append(room[:0], token...))
}

// alive: an unknown grant, family or user is as dead as an ended one.
func (s *TokenState) alive(c *accessClaims) bool {
	switch {
	case s.Revoked, s.Grant == nil, !s.Grant.Live(), s.Grant.ClientID != c.ClientID, s.Grant.Resource != c.Audience:
		return false
	case c.FamilyID != "" && (s.Family == nil || !s.Family.EndedAt.IsZero() || s.Family.GrantID != c.GrantID):
		return false
	case s.User == nil || s.User.Disabled || s.User.ID != c.Subject:
		return false
	}
	return true
}
