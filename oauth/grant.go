package oauth

import "time"

// Grant is a consent: user × client × resource. It never revives; a new consent after its end is a new grant.
type Grant struct {
	ID           string
	UserID       string
	ClientID     string
	Resource     string // canonical id
	Scopes       Scopes // everything consented so far
	ClientDigest string // the client's document or metadata at the last consent
	RedirectURI  string // the redirect URI of the last consent, as registered
	CreatedAt    time.Time
	LastUsedAt   time.Time
	EndedAt      time.Time // zero = live
	EndReason    string
}

// Live tells whether the grant has not ended.
func (g *Grant) Live() bool { return g.EndedAt.IsZero() }

// Code is an authorization code, known only by its hash (RFC 6749 §4.1.2).
type Code struct {
	Hash        []byte // see hashDatedSecret
	GrantID     string
	RedirectURI string // as sent at the authorization endpoint
	Challenge   string // S256
	Scopes      Scopes // what was consented in this interaction, with offline_access if that was asked for
	Offline     bool   // offline_access was granted
	AuthTime    time.Time
	ACR         string
	AMR         []string
	ExpiresAt   time.Time
	Failures    int       // wrong verifiers so far; the fifth burns it
	SpentAt     time.Time // zero = not redeemed
	FamilyID    string    // the family that the redemption made
}

// Family is one code redemption, with its own scopes and refresh generations: one install of a client.
type Family struct {
	ID          string
	GrantID     string
	Scopes      Scopes // the ceiling of every refresh; with offline_access if that was asked for
	JKT         string // DPoP key thumbprint; "" = bearer
	RedirectURI string // that its code went to, as sent; "" = not known
	AuthTime    time.Time
	ACR         string
	AMR         []string
	CreatedAt   time.Time
	ExpiresAt   time.Time // absolute end
	EndedAt     time.Time // zero = live
	EndReason   string
}

// Live tells whether the family has neither ended nor expired at the given time.
func (f *Family) Live(now time.Time) bool { return f.EndedAt.IsZero() && now.Before(f.ExpiresAt) }

// Refresh is one generation of a family's refresh token, known only by its hash.
type Refresh struct {
	Hash          []byte // see hashDatedSecret
	FamilyID      string
	Generation    int // 1 for the first
	CreatedAt     time.Time
	ExpiresAt     time.Time // idle end
	UsedAt        time.Time // zero = not rotated yet
	WindowEnds    time.Time // until when a retry gets the same successor
	Successor     []byte    // the successor, sealed under a key made from this token and the server key; nil once erased
	SuccessorUsed bool      // filled by the reader: the next generation was rotated itself
}

// RefreshState is everything that a refresh needs, read in one go.
type RefreshState struct {
	Refresh *Refresh
	Family  *Family
	Grant   *Grant
}

// CodeState is everything that a code redemption needs, read in one go.
type CodeState struct {
	Code  *Code
	Grant *Grant
	Ended bool // the family that its redemption made has ended; false without a redemption
}

// TokenState is what the decision and introspection paths must know of a token, read in one query.
type TokenState struct {
	Revoked bool    // its jti was revoked
	Grant   *Grant  // nil if unknown
	Family  *Family // nil if the token names none
	User    *User   // nil for services
}

// Session is a person's login in one browser. Its id is a secret, stored as SHA-256.
type Session struct {
	Hash      []byte
	UserID    string
	AuthTime  time.Time
	ACR       string
	AMR       []string
	ExpiresAt time.Time
}
