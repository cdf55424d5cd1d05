package policies

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"
)

// TestWhatIsBuiltIsWhatWasTested: the bundle of a folder holds the same rules, tests and data, and OPA verifies it.
func TestWhatIsBuiltIsWhatWasTested(t *testing.T) {
	skeleton := filepath.Join(t.TempDir(), "policy")
	if _, err := Init(skeleton, nil); err != nil {
		t.Fatal(err)
	}
	numbers := dirWith(t, map[string]string{"config.yaml": "big: 12345678901234567890123\nlist: [1.50, null, \"x\"]\n", "config/a/b.json": `{"c": 1e2}`,
		"lib/own.rego": "package lib.own\n\nx := data.config.big\n", "own_test.rego": "package lib.own_test\n\nimport data.lib.own\n\ntest_x if own.x > 1\n"})
	for _, dir := range []string{skeleton, numbers, "demo", "examples/daily-quota"} {
		for _, algorithm := range []string{"", "ES256", "RS256", "PS384"} {
			o := BuildOptions{Revision: "42"}
			var key BundleKey
			if algorithm != "" {
				pair := newSigner(t, algorithm)
				var err error
				if o.Signer, err = NewBundleSigner(pair.private, "k1", algorithm); err != nil {
					t.Fatal(err)
				}
				key = pair.key(t, "k1")
			}
			archive, report, err := Build(t.Context(), dir, o)
			if err != nil {
				t.Errorf("%s: %v", dir, err)
				continue
			}
			b, err := ReadBundle(archive, key)
			if err != nil || b.Revision != report.Revision || b.Revision.Number != 42 || report.Files == 0 {
				t.Errorf("%s: %+v %v", dir, report, err)
				continue
			}
			wantSameFiles(t, dir, b)
			reader := opabundle.NewReader(bytes.NewReader(archive)).WithSkipBundleVerification(algorithm == "")
			if algorithm != "" {
				reader = reader.WithBundleVerificationConfig(key.verification())
			}
			if _, err := reader.WithProcessAnnotations(true).WithCapabilities(capabilities()).Read(); err != nil {
				t.Errorf("%s %s: OPA does not read it: %v", dir, algorithm, err)
			}
		}
	}
}

func wantSameFiles(t *testing.T, dir string, b *Bundle) {
	t.Helper()
	files, problems := authorFiles(dir)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	rego := func(files []file) map[string]string {
		out := map[string]string{}
		for _, f := range files {
			if f.isRego() {
				out[f.path] = string(f.data)
			}
		}
		return out
	}
	if a, b := rego(files), rego(b.files()); !maps.Equal(a, b) {
		t.Errorf("%s: files %v, in the bundle %v", dir, slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	before, _ := configDocument(files)
	after, problems := configDocument(b.files())
	if len(problems) > 0 || !reflect.DeepEqual(before, after) {
		t.Errorf("%s: data.config is %v, in the bundle %v %v", dir, before, after, problems)
	}
}

func TestWhatServersWouldRefuseIsNotBuilt(t *testing.T) {
	for name, tt := range map[string]struct {
		files    map[string]string
		revision string
		want     string
	}{
		"a failing test":      {map[string]string{"a_test.rego": "package policy.tools.a_test\n\ntest_never if 1 == 2\n"}, "1", "test_never"},
		"a misspelled field":  {map[string]string{"a.rego": "package policy.tools.a\n\nallow if input.tool.nme == \"x\"\n"}, "1", "a.rego:3"},
		"masks of records":    {map[string]string{"m.rego": "package system.log\n\nmask contains \"/input/subject/username\"\n"}, "1", "a bundle cannot hold package system.log"},
		"no revision":         {nil, "", "must have a revision"},
		"a revision in words": {nil, "v1", "must have a revision"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := Build(t.Context(), dirWith(t, tt.files), BuildOptions{Revision: tt.revision}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestKeysThatSignBundles(t *testing.T) {
	es := newSigner(t, "ES256")
	block, _ := pem.Decode([]byte(es.private))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	sec1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	for name, tt := range map[string]struct{ text, algorithm, want string }{
		"as openssl genpkey writes it": {es.private, "", ""},
		"as openssl ecparam writes it": {sec1, "ES256", ""},
		"public":                       {es.public, "", "holds a PUBLIC KEY"},
		"with a password":              {string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), "", "without a password"},
		"damaged":                      {string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")})), "", "parse"},
		"none":                         {"hello", "", "must hold a private key"},
		"for another algorithm":        {es.private, "HS256", "not for the algorithm"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewBundleSigner(tt.text, "", tt.algorithm); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
