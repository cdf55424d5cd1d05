package policies

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"
)

// Bounds of a bundle.
const (
	MaxBundle         = 16 << 20 // bytes of the archive
	maxBundleUnpacked = 64 << 20 // bytes of all its files together
	maxBundleFiles    = 10_000
)

// Bundle is what an OPA bundle holds, verified, in the form of an author's directory.
type Bundle struct {
	Files    []AuthorFile
	Revision string // as its manifest says it
	Number   int64  // the order of revisions: a later one has a greater number
}

// BundleKey verifies signatures of bundles. The zero value verifies nothing: bundles need no signature, and none is looked at.
type BundleKey struct {
	PEM       string // public key
	ID        string // the kid that the signature must name; "" = whatever it names
	Algorithm string // one of BundleAlgorithms
}

// BundleAlgorithms are those that a bundle can be signed with. Those with a shared secret are missing on purpose: who can verify could sign.
func BundleAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
}

// verification is OPA's form of the key. A key without an id takes the place of any id.
func (k BundleKey) verification() *opabundle.VerificationConfig {
	const anyID = "key"
	id, forced := k.ID, ""
	if id == "" {
		id, forced = anyID, anyID
	}
	return opabundle.NewVerificationConfig(map[string]*opabundle.KeyConfig{id: {Key: k.PEM, Algorithm: k.Algorithm}}, forced, "", nil)
}

// ReadBundle takes a bundle apart: the archive as opa build makes it, with a manifest whose roots are policy, config and lib/NAME, or
// below, and whose revision is a whole number or a time. Every fault is a *LoadError.
func ReadBundle(archive []byte, key BundleKey) (*Bundle, error) {
	b, err := readBundle(archive, key)
	if err != nil {
		return nil, &LoadError{[]Problem{{Message: "the policy bundle: " + err.Error()}}}
	}
	return b, nil
}

func readBundle(archive []byte, key BundleKey) (*Bundle, error) {
	if err := vetArchive(archive); err != nil {
		return nil, err
	}
	reader := opabundle.NewReader(bytes.NewReader(archive)).WithProcessAnnotations(true).WithCapabilities(capabilities()).WithSizeLimitBytes(maxFileBytes)
	if key == (BundleKey{}) {
		reader = reader.WithSkipBundleVerification(true)
	} else {
		reader = reader.WithBundleVerificationConfig(key.verification())
	}
	found, err := reader.Read()
	if err != nil {
		return nil, err
	}
	if found.Type() != opabundle.SnapshotBundleType {
		return nil, errors.New("is a delta bundle; only whole ones are taken")
	}
	b := &Bundle{Revision: found.Manifest.Revision}
	if err := checkManifest(found.Manifest); err != nil {
		return nil, err
	}
	if b.Number, err = revisionNumber(b.Revision); err != nil {
		return nil, err
	}
	b.Files, err = authorOf(archive)
	return b, err
}

// vetArchive looks at the archive before OPA does: how much it unpacks to, and that nothing in it would be left aside without a word.
func vetArchive(archive []byte) error {
	if len(archive) > MaxBundle {
		return fmt.Errorf("is larger than %d bytes", MaxBundle)
	}
	seen := map[string]bool{}
	return eachInBundle(archive, func(name string, _ []byte) error {
		switch base := path.Base(name); {
		case !fs.ValidPath(name):
			return fmt.Errorf("%q is no path inside a bundle", name)
		case seen[name]:
			return fmt.Errorf("%s is there twice", name)
		case base == "patch.json":
			return errors.New("is a delta bundle; only whole ones are taken")
		case strings.HasPrefix(base, ".manifest") && name != ".manifest", strings.HasPrefix(base, ".signatures") && name != ".signatures.json":
			return fmt.Errorf("%s: the manifest is the file .manifest in JSON and the signature .signatures.json, both at the top", name)
		case base == "policy.wasm" || base == "plan.json" || strings.HasPrefix(base, "plan."):
			return fmt.Errorf("%s: compiled policies are not taken; build the bundle with --target rego", name)
		}
		seen[name] = true
		return nil
	})
}

// eachInBundle calls f for every file of an archive, within the bounds.
func eachInBundle(archive []byte, f func(name string, data []byte) error) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return fmt.Errorf("is no .tar.gz archive: %w", err)
	}
	limited := &io.LimitedReader{R: unpacked, N: maxBundleUnpacked}
	files := tar.NewReader(limited)
	for n := 0; ; n++ {
		header, err := files.Next()
		switch {
		case limited.N == 0:
			return fmt.Errorf("unpacks to more than %d bytes", maxBundleUnpacked)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("is no .tar.gz archive: %w", err)
		case n == maxBundleFiles:
			return fmt.Errorf("holds more than %d files", maxBundleFiles)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(header.Name, "./"), "/")
		if header.Typeflag == tar.TypeDir || header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if header.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s is no regular file", name)
		}
		data, err := io.ReadAll(io.LimitReader(files, maxFileBytes+1))
		switch {
		case limited.N == 0:
			return fmt.Errorf("unpacks to more than %d bytes", maxBundleUnpacked)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		case len(data) > maxFileBytes:
			return fmt.Errorf("%s is larger than %d bytes", name, maxFileBytes)
		}
		if err := f(name, data); err != nil {
			return err
		}
	}
}

// checkManifest holds a bundle to what authors own. OPA has checked already that nothing in it lies outside its roots.
func checkManifest(m opabundle.Manifest) error {
	if m.Roots == nil || slices.Contains(*m.Roots, "") {
		return errors.New(`its manifest names no roots, so that it owns everything; write "roots": ["policy", "config"] into .manifest`)
	}
	for _, root := range *m.Roots {
		parts := strings.Split(root, "/")
		switch {
		case parts[0] == "policy", parts[0] == "config":
		case parts[0] == "lib" && len(parts) > 1 && parts[1] != "mcp":
		default:
			return fmt.Errorf("its root %q is not an author's; roots are policy, config, lib/NAME (but not lib/mcp), or below these", root)
		}
	}
	if m.RegoVersion != nil && *m.RegoVersion != 1 || len(m.FileRegoVersions) > 0 {
		return errors.New("its manifest names a version of Rego other than 1; build it without --v0-compatible")
	}
	return nil
}

// revisionNumber orders revisions. A time is later than any whole number, so that a publisher can go over to times.
func revisionNumber(revision string) (int64, error) {
	const want = "its manifest must have a revision that grows, a whole number of at most 18 digits or a time as in RFC 3339"
	if at, err := time.Parse(time.RFC3339, revision); err == nil {
		if at.Year() < 2002 || at.Year() > 2261 {
			return 0, fmt.Errorf("%s; the year of %q cannot be right", want, revision)
		}
		return at.UnixNano(), nil
	}
	digits := revision != "" && strings.Trim(revision, "0123456789") == ""
	n, err := strconv.ParseInt(revision, 10, 64)
	if !digits || len(revision) > 18 || err != nil {
		return 0, fmt.Errorf("%s (opa build --revision); %q is neither", want, revision)
	}
	return n, nil
}

// authorOf makes an author's files of a bundle: its Rego as it is, and its data as one config.json.
func authorOf(archive []byte) ([]AuthorFile, error) {
	var files []AuthorFile
	config := map[string]any{}
	hasData := false
	err := eachInBundle(archive, func(name string, data []byte) error {
		switch path.Ext(name) {
		case ".rego":
			files = append(files, AuthorFile{Path: name, Data: data})
			return nil
		case ".json", ".yaml", ".yml":
		default:
			return nil
		}
		if name == ".signatures.json" {
			return nil
		}
		hasData = true
		if err := mergeBundleData(config, name, data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil || !hasData {
		return files, err
	}
	text, err := json.Marshal(config)
	return append(files, AuthorFile{Path: "config.json", Data: text}), err
}

// mergeBundleData adds a bundle's data file to data.config. Its folder is its place below data.
func mergeBundleData(config map[string]any, name string, data []byte) error {
	if base := path.Base(name); strings.TrimSuffix(base, path.Ext(base)) != "data" {
		return errors.New("is not read as data by OPA; name it data.json or data.yaml, in the folder that is its place below data")
	}
	value, err := decodeData(file{path: name, data: data})
	if err != nil {
		return err
	}
	var place []string
	if folder := path.Dir(name); folder != "." {
		place = strings.Split(folder, "/")
	}
	if len(place) > 0 && place[0] == "config" {
		return mergeAt(config, place[1:], value)
	}
	whole, isObject := value.(map[string]any)
	if len(place) > 0 || !isObject {
		return errors.New("data lies below config; policies read it as data.config")
	}
	for key, below := range whole {
		if key != "config" {
			return fmt.Errorf("sets data.%s; data lies below config, and policies read it as data.config", key)
		}
		if err := mergeAt(config, nil, below); err != nil {
			return err
		}
	}
	return nil
}
