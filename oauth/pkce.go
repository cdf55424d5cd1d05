package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// checkChallenge checks the challenge of an authorization request. Only S256 is accepted; a missing method would mean
// "plain" (RFC 7636 §4.3) and is refused.
func checkChallenge(challenge, method string) error {
	switch {
	case challenge == "":
		return InvalidRequest.Errorf("code_challenge is missing; every client must use PKCE").For("pkce_missing")
	case method != "S256":
		return InvalidRequest.Errorf("code_challenge_method must be S256").For("pkce_method")
	case len(challenge) != 43 || !isBase64URL(challenge):
		return InvalidRequest.Errorf("code_challenge must be the 43 characters of BASE64URL(SHA256(code_verifier))").For("pkce_challenge")
	}
	return nil
}

func isBase64URL(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

// verifierMatches compares in constant time (RFC 7636 §4.6). A verifier has 43 to 128 unreserved characters (§4.1).
func verifierMatches(verifier, challenge string) bool {
	if len(verifier) < 43 || len(verifier) > 128 || challenge == "" {
		return false
	}
	for i := range len(verifier) {
		c := verifier[i]
		if !isAlphanumeric(c) && c != '-' && c != '.' && c != '_' && c != '~' {
			return false
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}
