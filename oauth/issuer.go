package oauth

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"portcullis/oauth/jose"
)

// typAccessToken is the header typ of access tokens (RFC 9068 §2.1).
const typAccessToken = "at+jwt"

// clockSkew is accepted on iat only; expiry is exact.
const clockSkew = 60 * time.Second

// maxAccessToken bounds the length of a presented token in bytes.
const maxAccessToken = 4096

// accessClaims is an access token (RFC 9068 §2.2). Mint writes it and verify reads it.
type accessClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	ClientID  string   `json:"client_id"`
	Scope     string   `json:"scope"`
	ID        string   `json:"jti"`
	IssuedAt  int64    `json:"iat"`
	ExpiresAt int64    `json:"exp"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	GrantID   string   `json:"grant_id,omitempty"`  // ours: revocation of the grant ends the token
	FamilyID  string   `json:"family_id,omitempty"` // ours: revocation of one install ends the token
	GrantType string   `json:"gty,omitempty"`       // ours: how it was obtained, for policies
}

func (c *accessClaims) expires() time.Time { return time.Unix(c.ExpiresAt, 0) }

func (c *accessClaims) info() *TokenInfo {
	scopes, _ := ParseScopes(c.Scope)
	t := &TokenInfo{ID: c.ID, Scopes: scopes, IssuedAt: time.Unix(c.IssuedAt, 0), ExpiresAt: c.expires(),
		Authn: Authentication{ACR: c.ACR, AMR: c.AMR}, GrantID: c.GrantID, FamilyID: c.FamilyID, GrantType: c.GrantType}
	if c.AuthTime > 0 {
		t.Authn.Time = time.Unix(c.AuthTime, 0)
	}
	return t
}

// IssuerConfig is what Issuer needs.
type IssuerConfig struct {
	Issuer          string // the issuer identifier, stamped byte for byte
	Keys            *Keys
	ServerKey       []byte        // seals refresh successors
	RefreshIdle     time.Duration // a refresh token that is not used this long ends
	RefreshAbsolute time.Duration // a family lives no longer
	ReuseGrace      time.Duration // public clients' retry window (DESIGN §9)
}

// usualClaims is how many bytes the claims of most tokens need at most.
const usualClaims = 768

// Issuer mints and verifies tokens.
type Issuer struct {
	cfg          IssuerConfig
	successorKey []byte // derived from the server key
}

// NewIssuer checks the configuration.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	if cfg.Issuer == "" || cfg.Keys == nil || len(cfg.ServerKey) != 32 {
		return nil, errors.New("issuer: an issuer identifier, keys and a server key of 32 bytes are needed")
	}
	if cfg.RefreshIdle <= 0 || cfg.RefreshAbsolute < cfg.RefreshIdle || cfg.ReuseGrace < 0 {
		return nil, errors.New("issuer: want 0 < refresh_idle <= refresh_absolute and reuse_grace >= 0")
	}
	return &Issuer{cfg: cfg, successorKey: jose.Derive(cfg.ServerKey, "refresh successor")}, nil
}

// RefreshPlan says what happens to the refresh token of an authorization.
type RefreshPlan struct {
	Issue     bool     // hand out a refresh token
	Rotate    *Refresh // rotate this one; nil with Issue and without Successor = the first of a new family
	Presented string   // the token that is rotated; the successor is sealed under it
	Successor string   // a retry: hand out this successor again, nothing changes
}

// Mint makes the tokens of an authorization and the changes that must be committed before they are handed out.
func (i *Issuer) Mint(a *Authorization, g scopeGrant) (*TokenResponse, []Change, error) {
	now := time.Now().Truncate(time.Second)
	exp := now.Add(g.TTL)
	if !a.NotAfter.IsZero() && exp.After(a.NotAfter) {
		exp = a.NotAfter
	}
	claims := accessClaims{Issuer: i.cfg.Issuer, Subject: a.Subject.ID, Audience: a.Resource.ID, ClientID: a.Client.ID, Scope: g.Scopes.String(),
		ID: NewID("at_"), IssuedAt: now.Unix(), ExpiresAt: exp.Unix(), ACR: a.Authn.ACR, AMR: a.Authn.AMR, GrantType: a.GrantType}
	if !a.Authn.Time.IsZero() {
		claims.AuthTime = a.Authn.Time.Unix()
	}
	if a.Grant != nil {
		claims.GrantID = a.Grant.ID
	}
	if a.Family != nil {
		claims.FamilyID = a.Family.ID
	}
	token, err := i.cfg.Keys.sign(typAccessToken, claims.appendJSON(make([]byte, 0, usualClaims)))
	if err != nil {
		return nil, nil, err
	}
	out := &TokenResponse{AccessToken: token, TokenType: "Bearer", ExpiresIn: claims.ExpiresAt - claims.IssuedAt, Scope: g.Scopes.String()}
	changes, err := i.mintRefresh(a, out, now)
	a.minted = claims
	return out, changes, err
}

// mintRefresh fills in the refresh token: the first of a family, a rotation, or the same successor once more.
func (i *Issuer) mintRefresh(a *Authorization, out *TokenResponse, now time.Time) ([]Change, error) {
	if !a.Refresh.Issue {
		return nil, nil
	}
	if slices.Contains(a.Family.Scopes, OfflineAccess) { // echoed when it was asked for (RFC 6749 §5.1)
		scopes, _ := ParseScopes(out.Scope)
		out.Scope = scopes.Union(Scopes{OfflineAccess}).String()
	}
	if a.Refresh.Successor != "" {
		out.RefreshToken = a.Refresh.Successor
		return nil, nil
	}
	secret := newDatedSecret(now)
	next := Refresh{Hash: hashDatedSecret(secret), FamilyID: a.Family.ID, Generation: 1, CreatedAt: now, ExpiresAt: now.Add(i.cfg.RefreshIdle)}
	if next.ExpiresAt.After(a.Family.ExpiresAt) {
		next.ExpiresAt = a.Family.ExpiresAt
	}
	out.RefreshToken = secret
	used := a.Refresh.Rotate
	if used == nil {
		return []Change{SaveRefresh{next}}, nil
	}
	next.Generation = used.Generation + 1
	change := RotateRefresh{Hash: used.Hash, UsedAt: now, Next: next}
	if window := i.reuseWindow(a); window > 0 {
		sealed, err := jose.Seal(i.sealingKey(a.Refresh.Presented), []byte(secret), used.Hash)
		if err != nil {
			return nil, err
		}
		change.WindowEnds, change.Sealed = now.Add(window), sealed
	}
	return []Change{change}, nil
}

// sealingKey seals a successor so that neither the database alone nor the server key alone opens it.
func (i *Issuer) sealingKey(presented string) []byte {
	sum := sha256.Sum256(slices.Concat(i.successorKey, []byte(presented)))
	return sum[:]
}

// successor opens the sealed successor of a rotated token.
func (i *Issuer) successor(presented string, r *Refresh) (string, error) {
	text, err := jose.Open(i.sealingKey(presented), r.Successor, r.Hash)
	return string(text), err
}

// verify checks an access token of ours: signature, type, issuer, times. Audience and revocation are the caller's
// business. Every failure is one and the same to the outside.
func (i *Issuer) verify(token string) (*accessClaims, error) {
	c, err := i.signed(token)
	if err != nil {
		return nil, err
	}
	return c, c.check(i.cfg.Issuer, time.Now())
}

// signed reads a token of the right type that our keys signed. What it says is not checked.
func (i *Issuer) signed(token string) (*accessClaims, error) {
	if len(token) > maxAccessToken {
		return nil, errors.New("token too long")
	}
	payload, err := jose.Verifier{}.Verify(token, typAccessToken, i.cfg.Keys.public)
	if err != nil {
		return nil, err
	}
	var c accessClaims
	if err := DecodeStrict(payload, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *accessClaims) check(issuer string, now time.Time) error {
	switch {
	case c.Issuer != issuer:
		return errors.New("token of another issuer")
	case c.ID == "" || c.Subject == "" || c.Audience == "" || c.ClientID == "":
		return errors.New("token without jti, sub, aud or client_id")
	case c.ExpiresAt == 0 || !now.Before(c.expires()):
		return errors.New("token expired")
	case time.Unix(c.IssuedAt, 0).After(now.Add(clockSkew)):
		return errors.New("token from the future")
	}
	return nil
}
