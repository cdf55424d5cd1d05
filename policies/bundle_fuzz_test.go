package policies

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"
)

// FuzzBundle: whatever stands in an archive, it is refused with a reason, or OPA reads the same from it, and nothing in it is anyone's but an author's.
func FuzzBundle(f *testing.F) {
	f.Add(shippable()[".manifest"], "tools/quiet.rego", quietModule, "data.json", `{"config":{"limit":5}}`)
	f.Add(manifest("2026-11-24T18:00:00Z", "policy/tools", "lib/ours", "config/limit"), "lib/ours.rego", "package lib.ours\n\nx := 1\n", "config/limit/data.yaml", "eur: 5\n")
	f.Add(manifest("1", "/policy/", "config"), "x_test.rego", "package policy.tools[\"a/b\"]_test\n", "config/data.yml", "a: [1, 2.50]\n")
	f.Add(`{"revision":"7","Roots":["policy"],"rego_version":1,"metadata":{"a":1}}`, "./a.rego", "package policy", "config.yaml", "")
	f.Add(`{"roots":null}`, "patch.json", "{}", ".signatures.json", `{"signatures":["a.b.c"]}`)
	f.Fuzz(func(t *testing.T, manifest, moduleName, module, dataName, data string) {
		files := map[string]string{".manifest": manifest, moduleName: module, dataName: data}
		for name := range files {
			if name == "" || len(name) > 90 || strings.ContainsRune(name, 0) || strings.HasSuffix(name, "/") {
				return // names that an archive cannot have
			}
		}
		archive := archived(t, files)
		b, err := ReadBundle(archive, BundleKey{})
		if err != nil {
			if !IsLoadError(err) || !strings.HasPrefix(err.Error(), "the policy bundle ") {
				t.Fatalf("no reason that a publisher understands: %v", err)
			}
			return
		}
		wantAuthors(t, b)
		wantAsOPA(t, b, archive)
	})
}

// wantAuthors demands that a bundle, once it is read, is what Activate would take.
func wantAuthors(t *testing.T, b *Bundle) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range b.Files {
		if problem := checkGiven(f, seen[f.Path]); problem != nil {
			t.Error(problem)
		}
		seen[f.Path] = true
		if m, err := parseModule(file{path: f.Path, data: f.Data}); strings.HasSuffix(f.Path, ".rego") && err == nil && m != nil && m.Package != nil {
			switch at := pathOf(m.Package.Path); {
			case at[0] == "policy", at[0] == "config", at[0] == "lib" && len(at) > 1 && at[1] != "mcp":
			default:
				t.Errorf("%s is %v", f.Path, m.Package)
			}
		}
	}
}

// wantAsOPA demands that OPA reads the same packages and the same data.config. What cannot be loaded at all is not compared.
func wantAsOPA(t *testing.T, b *Bundle, archive []byte) {
	t.Helper()
	files := b.files()
	config, problems := configDocument(files)
	var packages []string
	for _, f := range files {
		if !f.isRego() {
			continue
		}
		m, err := parseModule(f)
		if err != nil || m == nil {
			return
		}
		packages = append(packages, m.Package.String())
	}
	if len(problems) > 0 {
		return
	}
	theirs, err := opabundle.NewReader(bytes.NewReader(archive)).WithSkipBundleVerification(true).WithProcessAnnotations(true).WithCapabilities(capabilities()).Read()
	if err != nil {
		t.Fatalf("OPA refuses what we take: %v", err)
	}
	var others []string
	for _, m := range theirs.Modules {
		others = append(others, m.Parsed.Package.String())
	}
	slices.Sort(packages)
	slices.Sort(others)
	if !slices.Equal(packages, others) || theirs.Manifest.Revision != b.Revision.Name {
		t.Errorf("packages %v of revision %q, and OPA reads %v of %q", packages, b.Revision.Name, others, theirs.Manifest.Revision)
	}
	data, _ := theirs.Data["config"].(map[string]any)
	if len(config)+len(data) > 0 && !reflect.DeepEqual(config, data) {
		t.Errorf("data.config is %v, and OPA reads %v", config, data)
	}
}

// FuzzUnpack: no archive ends the program, or gets beyond the bounds.
func FuzzUnpack(f *testing.F) {
	reader, err := gzip.NewReader(bytes.NewReader(archived(f, shippable())))
	if err != nil {
		f.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte(strings.Repeat("\x00", 1024)))
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := unpack(zipped(t, string(text)))
		size := 0
		for _, f := range files {
			size += len(f.data)
		}
		if err != nil && files != nil || size > maxBundleUnpacked || len(files) > maxBundleFiles {
			t.Errorf("%d files of %d bytes, %v", len(files), size, err)
		}
	})
}

// FuzzSignedBundle (G7): a signed bundle of which one byte was changed is refused, or means the same.
func FuzzSignedBundle(f *testing.F) {
	ours := newSigner(f, "ES256")
	files := filesIn(f, signed(f, ours, shippable()))
	names := slices.Sorted(maps.Keys(files))
	key := ours.key(f, "k1")
	good, err := ReadBundle(archived(f, files), key)
	if err != nil {
		f.Fatal(err)
	}
	wanted, _ := configDocument(good.files())
	for i, name := range names {
		f.Add(uint8(i), uint16(0), byte('x'))
		f.Add(uint8(i), uint16(len(files[name])-1), byte(' '))
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, to byte) {
		name := names[int(which)%len(names)]
		text := []byte(files[name])
		text[int(at)%len(text)] = to
		b, err := ReadBundle(archived(t, altered(files, name, string(text))), key)
		if err != nil {
			return
		}
		config, problems := configDocument(b.files())
		if len(problems) > 0 || !reflect.DeepEqual(config, wanted) || b.Revision != good.Revision {
			t.Errorf("%s: %v of revision %v, %v", name, config, b.Revision, problems)
		}
		if name == "tools/quiet.rego" && string(text) != files[name] {
			t.Errorf("the module was changed to %q", text)
		}
	})
}
