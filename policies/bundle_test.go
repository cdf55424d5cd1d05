package policies

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"
)

// signer makes a key pair in PEM.
func signer(t *testing.T) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := x509.MarshalPKCS8PrivateKey(key)
	b, errB := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: a})), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b}))
}

// bundled is a bundle with one package and data.config; private "" leaves it unsigned.
func bundled(t *testing.T, private, revision string, roots ...string) []byte {
	t.Helper()
	raw := []byte("package policy.tools.quiet\n\ndeny contains \"quiet\" if input.tool.name == \"x\"\n")
	m, err := parseModule(file{path: "tools/quiet.rego", data: raw})
	if err != nil {
		t.Fatal(err)
	}
	b := opabundle.Bundle{Manifest: opabundle.Manifest{Revision: revision, Roots: &roots}, Data: map[string]any{"config": map[string]any{"limit": 5}},
		Modules: []opabundle.ModuleFile{{URL: "/tools/quiet.rego", Path: "/tools/quiet.rego", RelativePath: "/tools/quiet.rego", Raw: raw, Parsed: m}}}
	if private != "" {
		if err := b.GenerateSignature(opabundle.NewSigningConfig(private, "ES256", ""), "k1", false); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := opabundle.Write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOnlyWhatIsSignedAndOwnedIsRead(t *testing.T) {
	private, public := signer(t)
	stranger, _ := signer(t)
	key := BundleKey{PEM: public, ID: "k1", Algorithm: "ES256"}
	for _, tc := range []struct {
		name    string
		archive []byte
		key     BundleKey
		want    string
	}{
		{"signed", bundled(t, private, "7", "policy", "config"), key, ""},
		{"unsigned, without a key", bundled(t, "", "7", "policy", "config"), BundleKey{}, ""},
		{"unsigned", bundled(t, "", "7", "policy", "config"), key, "missing .signatures.json"},
		{"signed by another", bundled(t, stranger, "7", "policy", "config"), key, "failed to verify"},
		{"another key id", bundled(t, private, "7", "policy", "config"), BundleKey{PEM: public, ID: "k2", Algorithm: "ES256"}, "not found"},
		{"owns everything", bundled(t, private, "7", ""), key, "names no roots"},
		{"owns the routers", bundled(t, private, "7", "policy", "config", "mcp"), key, "is not an author's"},
		{"owns the shipped library", bundled(t, private, "7", "policy", "config", "lib/mcp"), key, "is not an author's"},
		{"no revision", bundled(t, private, "", "policy", "config"), key, "must have a revision"},
		{"a revision in words", bundled(t, private, "v7", "policy", "config"), key, "must have a revision"},
	} {
		b, err := ReadBundle(tc.archive, tc.key)
		switch {
		case tc.want == "" && (err != nil || b.Number != 7 || len(b.Files) == 0):
			t.Errorf("%s: %+v %v", tc.name, b, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
