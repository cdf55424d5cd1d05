package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"
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

// dateDigits is how many hexadecimal digits of Unix seconds a date has: they suffice until 2106.
const dateDigits = 8

func date(at time.Time) string { return fmt.Sprintf("%0*x", dateDigits, at.Unix()) }

// newDatedID is NewID with the time in it. Rows under such keys lie in the order of time: what is made together is written together,
// where random keys change a page of the database for each row.
func newDatedID(prefix string, at time.Time) string { return prefix + date(at) + rand.Text() }

// newDatedSecret is NewSecret with the time in front, for the same reason.
func newDatedSecret(at time.Time) string { return date(at) + "-" + NewSecret() }

// hashDatedSecret is how codes and refresh tokens are stored: the date, which is no secret, and the SHA-256 of the whole. What has
// none, such as a token that is older than the dates, is stored as other secrets are.
func hashDatedSecret(secret string) []byte {
	if len(secret) <= dateDigits || secret[dateDigits] != '-' {
		return HashSecret(secret)
	}
	return append([]byte(secret[:dateDigits]), HashSecret(secret)...)
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
