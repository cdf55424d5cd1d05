package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// NewID makes a public identifier of 130 random bits with a prefix that tells its kind, such as "grt_".
func NewID(prefix string) string { return prefix + rand.Text() }

// NewSecret makes a secret of 260 random bits from the alphabet A–Z2–7, safe in every encoding (RFC 6749 §10.10).
func NewSecret() string { return rand.Text() + rand.Text() }

// HashSecret is how generated secrets are stored: SHA-256. They are long and random, so no slow hash is needed.
func HashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// SameSecret compares a presented secret with stored hashes in constant time. It looks at every hash.
func SameSecret(presented string, hashes [][]byte) bool {
	sum := HashSecret(presented)
	same := 0
	for _, h := range hashes {
		same |= subtle.ConstantTimeCompare(sum, h)
	}
	return same == 1
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
