package oauth

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"portcullis/oauth/jose"
)

// TestWhatATokenStandsOnMustBeAlive: each thing by itself. Storage ends a family with its grant and a grant with its user, so no flow can
// show that the check of one does not rest on that of another.
func TestWhatATokenStandsOnMustBeAlive(t *testing.T) {
	claims := &accessClaims{Subject: "usr_1", ClientID: "cli", Audience: "https://mcp.example/mcp", GrantID: "grt_1", FamilyID: "fam_1"}
	alive := func() *TokenState {
		return &TokenState{
			Grant:  &Grant{ID: "grt_1", ClientID: "cli", Resource: "https://mcp.example/mcp", UserID: "usr_1"},
			Family: &Family{ID: "fam_1", GrantID: "grt_1"},
			User:   &User{ID: "usr_1"},
		}
	}
	if !alive().alive(claims) {
		t.Fatal("a good token is dead")
	}
	for name, spoil := range map[string]func(*TokenState){
		"revoked":                    func(s *TokenState) { s.Revoked = true },
		"no grant":                   func(s *TokenState) { s.Grant = nil },
		"an ended grant":             func(s *TokenState) { s.Grant.EndedAt = time.Unix(1, 0) },
		"a grant of another client":  func(s *TokenState) { s.Grant.ClientID = "cli2" },
		"a grant for another server": func(s *TokenState) { s.Grant.Resource = "https://other.example/mcp" },
		"no family":                  func(s *TokenState) { s.Family = nil },
		"an ended family":            func(s *TokenState) { s.Family.EndedAt = time.Unix(1, 0) },
		"a family of another grant":  func(s *TokenState) { s.Family.GrantID = "grt_2" },
		"no user":                    func(s *TokenState) { s.User = nil },
		"a disabled user":            func(s *TokenState) { s.User.Disabled = true },
		"another user":               func(s *TokenState) { s.User.ID = "usr_2" },
	} {
		s := alive()
		spoil(s)
		if s.alive(claims) {
			t.Errorf("%s: the token is alive", name)
		}
	}
}

// TestClaimsThatAreRefused is what check wants of an access token whose signature is right.
func TestClaimsThatAreRefused(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	good := func() accessClaims {
		return accessClaims{Issuer: "https://as.example", Subject: "usr_1", Audience: "https://mcp.example/mcp", ClientID: "cli", ID: "at_1",
			IssuedAt: now.Unix() - 60, ExpiresAt: now.Unix() + 60}
	}
	if c := good(); c.check("https://as.example", now) != nil {
		t.Fatal("good claims are refused")
	}
	for name, spoil := range map[string]func(*accessClaims){
		"another issuer":             func(c *accessClaims) { c.Issuer = "https://as.example.evil" },
		"the issuer with a slash":    func(c *accessClaims) { c.Issuer = "https://as.example/" },
		"no issuer":                  func(c *accessClaims) { c.Issuer = "" },
		"no subject":                 func(c *accessClaims) { c.Subject = "" },
		"no audience":                func(c *accessClaims) { c.Audience = "" },
		"no client":                  func(c *accessClaims) { c.ClientID = "" },
		"no jti":                     func(c *accessClaims) { c.ID = "" },
		"no expiry":                  func(c *accessClaims) { c.ExpiresAt = 0 },
		"expired this second":        func(c *accessClaims) { c.ExpiresAt = now.Unix() },
		"issued in the future":       func(c *accessClaims) { c.IssuedAt = now.Unix() + 61 },
		"an expiry before the epoch": func(c *accessClaims) { c.ExpiresAt = -1 },
	} {
		c := good()
		spoil(&c)
		if c.check("https://as.example", now) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	ahead := good()
	ahead.IssuedAt = now.Unix() + 60
	if err := ahead.check("https://as.example", now); err != nil {
		t.Errorf("a clock that is a minute ahead: %v", err)
	}
}

// TestTheAccessTokenIsTakenOutOfTheContext, before anything is made of the request that policies, logs or the audit could see.
func TestTheAccessTokenIsTakenOutOfTheContext(t *testing.T) {
	r := EvaluationRequest{Action: &AuthZENAction{Name: "tools/call"}, Resource: &AuthZENResource{Type: "tool", ID: "x"},
		Context: map[string]any{"access_token": "secret", "other": "stays"}}
	token, given, err := r.check()
	if token != "secret" || !given || err != nil {
		t.Fatalf("%q, %v, %v", token, given, err)
	}
	if len(r.Context) != 1 || r.Context["other"] != "stays" {
		t.Errorf("the context is %v", r.Context)
	}
}

// TestAnExpiredTokenIsVerifiedOnce: it stays dead, and who asks again does not pay for its signature again.
func TestAnExpiredTokenIsVerifiedOnce(t *testing.T) {
	key, err := jose.GenerateES256()
	if err != nil {
		t.Fatal(err)
	}
	keys := &Keys{}
	keys.state.Store(&keyState{active: key, public: map[string]jose.PublicKey{key.KID(): key.Public()}})
	checker := NewTokenChecker(&Issuer{cfg: IssuerConfig{Issuer: "https://as.example", Keys: keys}}, nil)
	expired, err := keys.sign(typAccessToken, []byte(`{"iss":"https://as.example","sub":"u","aud":"https://mcp.example/mcp","client_id":"c","scope":"a:b","jti":"j","iat":1000,"exp":2000}`))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if live, err := checker.check(context.Background(), expired, &Resource{ID: "https://mcp.example/mcp"}); live != nil || err != nil {
			t.Fatalf("%v, %v", live, err)
		}
		if _, remembered := checker.seen.Get(sha256.Sum256([]byte(expired))); !remembered {
			t.Error("an expired token is verified again each time")
		}
	}
	forged := expired[:len(expired)-8] + "AAAAAAAA"
	if live, err := checker.check(context.Background(), forged, &Resource{ID: "https://mcp.example/mcp"}); live != nil || err != nil || checker.seen.Len() != 1 {
		t.Errorf("a forged one: %v, %v, %d are remembered", live, err, checker.seen.Len())
	}
}
