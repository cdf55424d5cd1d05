package oauth

import (
	"errors"
	"strings"
	"testing"
)

// The pair of RFC 7636 appendix B.
const (
	rfcVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	rfcChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func TestVerifierMatches(t *testing.T) {
	for name, c := range map[string]struct {
		verifier, challenge string
		want                bool
	}{
		"appendix B":            {rfcVerifier, rfcChallenge, true},
		"one character off":     {"e" + rfcVerifier[1:], rfcChallenge, false},
		"verifier too short":    {rfcVerifier[:42], rfcChallenge, false},
		"verifier too long":     {strings.Repeat("a", 129), rfcChallenge, false},
		"empty verifier":        {"", rfcChallenge, false},
		"empty challenge":       {rfcVerifier, "", false},
		"plain":                 {rfcVerifier, rfcVerifier, false},
		"bad character":         {rfcVerifier[:42] + "+", rfcChallenge, false},
		"challenge in addition": {rfcVerifier, rfcChallenge + "=", false},
	} {
		if got := verifierMatches(c.verifier, c.challenge); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestChallengeOfTheRequest(t *testing.T) {
	for name, c := range map[string]struct{ challenge, method, reason string }{
		"C1 no challenge":                {"", "", "pkce_missing"},
		"C1 method without challenge":    {"", "S256", "pkce_missing"},
		"C2 method omitted means plain":  {rfcChallenge, "", "pkce_method"},
		"C2 plain":                       {rfcChallenge, "plain", "pkce_method"},
		"C2 method in lower case":        {rfcChallenge, "s256", "pkce_method"},
		"C3 42 characters":               {rfcChallenge[:42], "S256", "pkce_challenge"},
		"C3 129 characters":              {strings.Repeat("a", 129), "S256", "pkce_challenge"},
		"C3 characters outside the text": {rfcChallenge[:42] + "=", "S256", "pkce_challenge"},
	} {
		var e *Error
		if err := checkChallenge(c.challenge, c.method); !errors.As(err, &e) || e.Reason != c.reason || e.Code != InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkChallenge(rfcChallenge, "S256"); err != nil {
		t.Error(err)
	}
}
