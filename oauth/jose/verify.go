package jose

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The reasons why a token is refused. Errors of Verify wrap exactly one of them.
var (
	ErrTooLong    = errors.New("token too long")
	ErrMalformed  = errors.New("malformed token")             // parts, base64url, JSON
	ErrHeader     = errors.New("token header not allowed")    // crit, b64, jwk, jku, x5u, x5c, x5t
	ErrType       = errors.New("token of another type")       // typ
	ErrAlgorithm  = errors.New("token algorithm not allowed") // alg is not the key's
	ErrUnknownKey = errors.New("token key unknown")           // kid
	ErrSignature  = errors.New("token signature wrong")
)

// DefaultMaxBytes is the longest token that is looked at when a Verifier sets no limit.
const DefaultMaxBytes = 4096

const maxKeyIDBytes = 128

// Verifier checks compact JWS strictly. The zero value is ready. It checks form, type, algorithm and signature; what the claims
// say (issuer, audience, expiry) is its caller's business.
type Verifier struct {
	MaxBytes int // longest token in bytes; 0 = DefaultMaxBytes
}

// header has the members that matter. Those of type Value are refused when they are present at all: they would let a
// token choose its own key or change the meaning of the signature (RFC 7515 §4.1, RFC 7797).
type header struct {
	Alg  string         `json:"alg"`
	KID  string         `json:"kid"`
	Typ  string         `json:"typ"`
	Crit jsontext.Value `json:"crit"`
	B64  jsontext.Value `json:"b64"`
	JWK  jsontext.Value `json:"jwk"`
	JKU  jsontext.Value `json:"jku"`
	X5U  jsontext.Value `json:"x5u"`
	X5C  jsontext.Value `json:"x5c"`
	X5T  jsontext.Value `json:"x5t"`
	X5T2 jsontext.Value `json:"x5t#S256"`
	Zip  jsontext.Value `json:"zip"`
	Enc  jsontext.Value `json:"enc"`
}

// Verify returns the payload of a token of the given type, a JSON object, after its signature was checked with the key that keys knows under the
// token's kid. The key decides the algorithm, never the token.
func (v Verifier) Verify(token, typ string, keys func(kid string) (PublicKey, bool)) ([]byte, error) {
	if limit := v.limit(); len(token) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLong, limit)
	}
	if strings.Count(token, ".") != 2 {
		return nil, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	first, rest, _ := strings.Cut(token, ".")
	second, third, _ := strings.Cut(rest, ".")
	h, err := readHeader(first)
	if err != nil {
		return nil, err
	}
	if !sameType(h.Typ, typ) {
		return nil, fmt.Errorf("%w: want %q", ErrType, typ)
	}
	key, ok := keys(h.KID)
	if !ok {
		return nil, ErrUnknownKey
	}
	if h.Alg != key.alg {
		return nil, fmt.Errorf("%w: the key is for %s", ErrAlgorithm, key.alg)
	}
	payload, err := decodeSegment(second)
	if err != nil {
		return nil, fmt.Errorf("%w in the payload", err)
	}
	signature, err := decodeSegment(third)
	if err != nil {
		return nil, fmt.Errorf("%w in the signature", err)
	}
	if err := key.verifier.Verify([]byte(token[:len(first)+1+len(second)]), signature, key.raw); err != nil {
		return nil, ErrSignature
	}
	if !strictObject(payload) {
		return nil, fmt.Errorf("%w: the payload is no JSON object with distinct members", ErrMalformed)
	}
	return payload, nil
}

func (v Verifier) limit() int {
	if v.MaxBytes > 0 {
		return v.MaxBytes
	}
	return DefaultMaxBytes
}

func readHeader(segment string) (header, error) {
	var h header
	text, err := decodeSegment(segment)
	if err != nil {
		return h, fmt.Errorf("%w in the header", err)
	}
	if !strictObject(text) || json.Unmarshal(text, &h) != nil {
		return h, fmt.Errorf("%w: the header is no JSON object with distinct members", ErrMalformed)
	}
	for _, refused := range []jsontext.Value{h.Crit, h.B64, h.JWK, h.JKU, h.X5U, h.X5C, h.X5T, h.X5T2, h.Zip, h.Enc} {
		if refused != nil {
			return h, ErrHeader
		}
	}
	if h.KID == "" || len(h.KID) > maxKeyIDBytes {
		return h, fmt.Errorf("%w: kid must have 1 to %d bytes", ErrMalformed, maxKeyIDBytes)
	}
	if h.Alg == "" || h.Typ == "" {
		return h, fmt.Errorf("%w: the header needs alg and typ", ErrMalformed)
	}
	return h, nil
}

// decodeSegment reads unpadded base64url (RFC 7515 §2) of which every text has one spelling: the standard library would
// skip line breaks, so they are refused before.
func decodeSegment(s string) ([]byte, error) {
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%w: bad base64url", ErrMalformed)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: bad base64url", ErrMalformed)
	}
	return data, nil
}

// strictObject tells whether data is one JSON object without repeated members and with valid UTF-8.
func strictObject(data []byte) bool {
	return len(data) > 0 && data[0] == '{' && jsontext.Value(data).IsValid()
}

// sameType compares media types as RFC 7515 §4.1.9 says: without regard to case, "application/" may be left out.
func sameType(got, want string) bool {
	const prefix = "application/"
	if len(got) > len(prefix) && strings.EqualFold(got[:len(prefix)], prefix) {
		got = got[len(prefix):]
	}
	return strings.EqualFold(got, want)
}
