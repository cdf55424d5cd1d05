package oauth

import (
	"testing"
	"time"
)

// TestWhatARefreshStandsOnMustBeAlive: each thing by itself. A refresh token never outlives its family, so no flow shows that a retry of a used
// one rests on the family's end too.
func TestWhatARefreshStandsOnMustBeAlive(t *testing.T) {
	now := time.Now()
	for name, row := range map[string]struct {
		spoil  func(*RefreshState)
		reason string // "" = it is alive
	}{
		"fresh":                           {func(*RefreshState) {}, ""},
		"used, its window is open":        {func(s *RefreshState) { s.Refresh.UsedAt = now }, ""},
		"the grant has ended":             {func(s *RefreshState) { s.Grant.EndedAt = now }, "grant_ended"},
		"the family has ended":            {func(s *RefreshState) { s.Family.EndedAt = now }, "family_ended"},
		"the family has run out":          {func(s *RefreshState) { s.Family.ExpiresAt = now }, "family_expired"},
		"run out, and the token was used": {func(s *RefreshState) { s.Family.ExpiresAt, s.Refresh.UsedAt = now, now }, "family_expired"},
		"not used for too long":           {func(s *RefreshState) { s.Refresh.ExpiresAt = now }, "refresh_expired"},
	} {
		s := &RefreshState{Refresh: &Refresh{ExpiresAt: now.Add(time.Hour)}, Family: &Family{ExpiresAt: now.Add(time.Hour)}, Grant: &Grant{}}
		row.spoil(s)
		switch err := checkRefreshLive(s); {
		case err == nil && row.reason != "":
			t.Errorf("%s: it is alive", name)
		case err != nil && AsError(err).ReasonOrCode() != row.reason:
			t.Errorf("%s: %v, want %q", name, err, row.reason)
		}
	}
}

// TestARefreshNeedsTheRedirectOfItsConsent: a document that no longer lists it is another application's now, or was mended.
func TestARefreshNeedsTheRedirectOfItsConsent(t *testing.T) {
	c := &Client{RedirectURIs: []string{"https://app.example/new", "http://127.0.0.1/cb"}}
	for uri, there := range map[string]bool{"": true, "https://app.example/new": true, "http://127.0.0.1/cb": true, "http://127.0.0.1:1234/cb": true, "https://app.example/old": false, "https://app.example/ne": false} {
		err := redirectStillThere(c, uri)
		if (err == nil) != there || err != nil && AsError(err).ReasonOrCode() != "redirect_gone" {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
