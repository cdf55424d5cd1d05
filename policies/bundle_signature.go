package policies

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"
)

// BundleKey verifies signatures of bundles. The zero value verifies nothing: bundles need no signature, and none is looked at.
type BundleKey struct {
	text      string // public key, PEM
	id        string // "" = whatever the signature names
	algorithm string
}

// bundleAlgorithms are those that bundles can be signed with, by the curve of a key or "RSA"; the first is meant when none is named.
// Those with a shared secret are missing on purpose: who can verify could sign.
func bundleAlgorithms() map[string][]string {
	return map[string][]string{"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}, "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}}
}

// minRSA is the fewest bits of an RSA key (RFC 7518 §3.3).
const minRSA = 2048

// NewBundleKey reads a public key or certificate in PEM. The id is the kid that a signature must name, "" = any; the
// algorithm (RFC 7518 §3.1) may be empty.
func NewBundleKey(text, id, algorithm string) (BundleKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return BundleKey{}, errors.New("must hold one public key in PEM and nothing else")
	}
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return BundleKey{}, errors.New("holds a private key; the server needs the public one only (openssl pkey -in FILE -pubout)")
	}
	kind, err := publicKind(block)
	if err != nil {
		return BundleKey{}, err
	}
	fitting := bundleAlgorithms()[kind]
	switch {
	case len(fitting) == 0:
		return BundleKey{}, errors.New("must hold an RSA key or one of the curves P-256, P-384 and P-521")
	case algorithm == "":
		algorithm = fitting[0]
	case !slices.Contains(fitting, algorithm):
		return BundleKey{}, fmt.Errorf("holds a key for %s, and not for the algorithm %q", strings.Join(fitting, ", "), algorithm)
	}
	return BundleKey{text: string(pem.EncodeToMemory(block)), id: id, algorithm: algorithm}, nil
}

// publicKind is the name of a key's curve, or "RSA".
func publicKind(block *pem.Block) (string, error) {
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		err = fmt.Errorf("holds a %s; want a PUBLIC KEY or a CERTIFICATE", block.Type)
	}
	if err != nil {
		return "", err
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name, nil
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return "", fmt.Errorf("holds an RSA key of %d bits; it must have %d", k.N.BitLen(), minRSA)
		}
		return "RSA", nil
	}
	return "", nil
}

// BundleSigner signs bundles. The zero value signs nothing.
type BundleSigner struct {
	text   string // private key, PEM
	public BundleKey
}

// NewBundleSigner reads a private key in PEM. The id is the kid that its signatures name; the algorithm may be empty.
func NewBundleSigner(text, id, algorithm string) (BundleSigner, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return BundleSigner{}, errors.New("must hold a private key in PEM")
	}
	key, err := privateKey(block)
	if err != nil {
		return BundleSigner{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return BundleSigner{}, err
	}
	public, err := NewBundleKey(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), id, algorithm)
	return BundleSigner{text: string(pem.EncodeToMemory(block)), public: public}, err
}

func privateKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("holds a %s; want a PRIVATE KEY without a password", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("holds a key that signs nothing")
	}
	return signer, nil
}

// sign signs every file of a bundle.
func (s BundleSigner) sign(b *opabundle.Bundle) error {
	if s == (BundleSigner{}) {
		return nil
	}
	return b.GenerateSignature(opabundle.NewSigningConfig(s.text, s.public.algorithm, ""), s.public.id, false)
}

// Thumbprint tells keys apart; "" for the zero value.
func (k BundleKey) Thumbprint() string {
	if k == (BundleKey{}) {
		return ""
	}
	hash := sha256.Sum256([]byte(k.text + k.algorithm))
	return hex.EncodeToString(hash[:])
}

// verification is OPA's form of the key. A key without an id takes the place of any id.
func (k BundleKey) verification() *opabundle.VerificationConfig {
	const anyID = "key"
	id, forced := k.id, ""
	if id == "" {
		id, forced = anyID, anyID
	}
	return opabundle.NewVerificationConfig(map[string]*opabundle.KeyConfig{id: {Key: k.text, Algorithm: k.algorithm}}, forced, "", nil)
}

// verify demands that the signature is of this key and covers every file, and no other.
func (k BundleKey) verify(files []file) error {
	at := slices.IndexFunc(files, func(f file) bool { return f.path == signaturesFile })
	if at < 0 {
		return fmt.Errorf("is not signed: %s is missing (opa build --signing-key)", signaturesFile)
	}
	var signatures opabundle.SignaturesConfig
	if err := decodeOne(files[at].data, &signatures); err != nil {
		return fmt.Errorf("has a %s that cannot be read: %w", signaturesFile, err)
	}
	signed, err := opabundle.VerifyBundleSignature(signatures, k.verification())
	if err != nil {
		return fmt.Errorf("has a signature that is not of the key for bundles: %w", err)
	}
	for _, f := range files {
		if f.path == signaturesFile {
			continue
		}
		if alg := signed[f.path].Algorithm; alg == string(opabundle.MD5) || alg == string(opabundle.SHA1) {
			return fmt.Errorf("has a signature with the digest %s of %s, which others could have made; sign it with SHA-256", alg, f.path)
		}
		if err := opabundle.VerifyBundleFile(f.path, *bytes.NewBuffer(f.data), signed); err != nil {
			return fmt.Errorf("is not what was signed: %w", err)
		}
	}
	if len(signed) > 0 { // what was verified is gone from it
		return fmt.Errorf("is not what was signed: %s is missing", strings.Join(slices.Sorted(maps.Keys(signed)), ", "))
	}
	return nil
}
