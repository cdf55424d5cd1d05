package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// ES256 is ECDSA on P-256 with SHA-256 (RFC 7518 §3.4), the one algorithm this server signs with.
const ES256 = "ES256"

// Key is a private signing key. It is immutable and safe for concurrent use.
type Key struct {
	raw    *ecdsa.PrivateKey
	signer jws.Signer
	public PublicKey
}

// PublicKey is the public half of a signing key with its id and the one algorithm that it may be used with.
type PublicKey struct {
	kid      string
	alg      string
	raw      *ecdsa.PublicKey
	verifier jws.Verifier
}

// KID is the key id, the RFC 7638 thumbprint.
func (p PublicKey) KID() string { return p.kid }

// Algorithm is the JWS algorithm of the key.
func (p PublicKey) Algorithm() string { return p.alg }

// GenerateES256 makes a new key from crypto/rand.
func GenerateES256() (*Key, error) {
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate an ES256 key: %w", err)
	}
	return newKey(raw)
}

// ParsePrivate reads what PrivateJWK wrote: a private P-256 key as a JWK. A point that does not belong to the secret
// scalar is an error, because everything signed with such a key would fail at the verifiers.
func ParsePrivate(data []byte) (*Key, error) {
	parsed, err := jwk.ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("read a private JWK: %w", err)
	}
	var stored ecdsa.PrivateKey
	if err := parsed.Raw(&stored); err != nil {
		return nil, fmt.Errorf("a signing key must be a private EC key: %w", err)
	}
	private, ok := parsed.(jwk.ECDSAPrivateKey)
	if !ok || stored.Curve != elliptic.P256() || len(private.D()) > 32 {
		return nil, errors.New("a signing key must be a private EC key on P-256")
	}
	raw, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), leftPadded(private.D(), 32))
	if err != nil {
		return nil, fmt.Errorf("a signing key must be a private EC key on P-256: %w", err)
	}
	if !raw.PublicKey.Equal(&stored.PublicKey) {
		return nil, errors.New("the public half of the signing key does not belong to its private half")
	}
	return newKey(raw)
}

// leftPadded is the number with zeros in front, as many as make it n bytes long.
func leftPadded(number []byte, n int) []byte {
	return append(make([]byte, n-len(number), n), number...)
}

func newKey(raw *ecdsa.PrivateKey) (*Key, error) {
	signer, err := jws.NewSigner(ES256)
	if err != nil {
		return nil, err
	}
	public, err := newPublic(&raw.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Key{raw: raw, signer: signer, public: public}, nil
}

func newPublic(raw *ecdsa.PublicKey) (PublicKey, error) {
	verifier, err := jws.NewVerifier(ES256)
	if err != nil {
		return PublicKey{}, err
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		return PublicKey{}, fmt.Errorf("make a JWK: %w", err)
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return PublicKey{}, fmt.Errorf("make a JWK thumbprint: %w", err)
	}
	return PublicKey{kid: base64.RawURLEncoding.EncodeToString(sum), alg: ES256, raw: raw, verifier: verifier}, nil
}

// KID is the key id, the RFC 7638 thumbprint.
func (k *Key) KID() string { return k.public.kid }

// Algorithm is the JWS algorithm of the key, "ES256".
func (k *Key) Algorithm() string { return k.public.alg }

// Public is the half that verifies.
func (k *Key) Public() PublicKey { return k.public }

// PrivateJWK is the key with its secret part, for storage in sealed form only.
func (k *Key) PrivateJWK() ([]byte, error) {
	key, err := jwk.FromRaw(k.raw)
	if err != nil {
		return nil, fmt.Errorf("make a JWK: %w", err)
	}
	return marshalJWK(key, k.public)
}

// Sign makes a compact JWS over claims. Its header holds exactly alg, kid and typ.
func (k *Key) Sign(typ string, claims []byte) (string, error) {
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		KID string `json:"kid"`
		Typ string `json:"typ"`
	}{k.public.alg, k.public.kid, typ})
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	token := make([]byte, 0, b64.EncodedLen(len(header))+b64.EncodedLen(len(claims))+b64.EncodedLen(64)+2)
	token = b64.AppendEncode(token, header)
	token = append(token, '.')
	token = b64.AppendEncode(token, claims)
	signature, err := k.signer.Sign(token, k.raw)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	token = append(token, '.')
	return string(b64.AppendEncode(token, signature)), nil
}

func marshalJWK(key jwk.Key, p PublicKey) ([]byte, error) {
	for name, value := range map[string]string{jwk.KeyIDKey: p.kid, jwk.AlgorithmKey: p.alg, jwk.KeyUsageKey: "sig"} {
		if err := key.Set(name, value); err != nil {
			return nil, fmt.Errorf("make a JWK: %w", err)
		}
	}
	return json.Marshal(key)
}
