package policies

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"
)

// Bundle is what an OPA bundle holds, verified, in the form of an author's directory.
type Bundle struct {
	Files    []AuthorFile
	Revision BundleRevision
}

// BundleRevision is the revision of a bundle. The zero value is none.
type BundleRevision struct {
	Name   string // as the manifest says it
	Number int64  // its place in the order of revisions: a later one has a greater number
}

// Bundled tells whether a file holds a bundle and no directory can have its name.
func Bundled(name string) bool {
	return strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

// files are those of the bundle as they are loaded.
func (b *Bundle) files() []file {
	files := make([]file, len(b.Files))
	for i, f := range b.Files {
		files[i] = file{path: f.Path, data: f.Data}
	}
	return files
}

// ReadBundleFile reads the archive of a bundle.
func ReadBundleFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy bundle: %w", err)
	}
	defer f.Close()
	archive, err := io.ReadAll(io.LimitReader(f, MaxBundle+1)) // ReadBundle refuses the last byte
	if err != nil {
		return nil, fmt.Errorf("cannot read the policy bundle: %w", err)
	}
	return archive, nil
}

// ReadBundle takes a bundle apart: the archive as opa build makes it, with a manifest whose roots are policy, config and lib/NAME, or
// below, and whose revision is a whole number or a time. Every fault is a *LoadError. What the rules say is not looked at yet.
func ReadBundle(archive []byte, key BundleKey) (*Bundle, error) {
	b, err := readBundle(archive, key)
	if err != nil {
		return nil, &LoadError{[]Problem{{Message: "the policy bundle " + err.Error()}}}
	}
	return b, nil
}

func readBundle(archive []byte, key BundleKey) (*Bundle, error) {
	files, err := unpack(archive)
	if err != nil {
		return nil, err
	}
	if key != (BundleKey{}) {
		if err := key.verify(files); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if err := checkBundled(f.path); err != nil {
			return nil, err
		}
	}
	manifest, err := manifestOf(files)
	if err != nil {
		return nil, err
	}
	number, err := revisionNumber(manifest.Revision)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Revision: BundleRevision{manifest.Revision, number}}
	for _, f := range files {
		if f, err = authored(f, *manifest.Roots); err != nil {
			return nil, err
		}
		if f.data != nil {
			b.Files = append(b.Files, AuthorFile{Path: f.path, Data: f.data})
		}
	}
	return b, nil
}

const (
	manifestFile   = ".manifest"
	signaturesFile = ".signatures.json"
)

// checkBundled refuses files that would be left aside without a word, or that OPA takes for something else than we do.
func checkBundled(name string) error {
	switch base := path.Base(name); {
	case base == "patch.json":
		return errors.New("is a delta bundle; only whole ones are taken")
	case name != manifestFile && (strings.HasSuffix(name, ".manifest") || strings.HasSuffix(name, ".manifest.pb")):
		return fmt.Errorf("holds %s; its manifest is the file %s at the top, in JSON", name, manifestFile)
	case name != signaturesFile && base == signaturesFile:
		return fmt.Errorf("holds %s; its signature is the file %s at the top", name, signaturesFile)
	case base == "policy.wasm" || base == "plan.json" || base == "plan.pb":
		return fmt.Errorf("holds %s: compiled policies are not taken; build it with --target rego", name)
	}
	return nil
}

// manifestOf reads the manifest and holds its roots to what authors own.
func manifestOf(files []file) (m opabundle.Manifest, err error) {
	at := slices.IndexFunc(files, func(f file) bool { return f.path == manifestFile })
	if at < 0 {
		return m, errors.New(`has no .manifest; write one with "revision" and "roots"`)
	}
	if err := decodeOne(files[at].data, &m); err != nil {
		return m, fmt.Errorf("has a .manifest that cannot be read: %w", err)
	}
	if m.RegoVersion != nil && *m.RegoVersion != 1 || len(m.FileRegoVersions) > 0 {
		return m, errors.New("has a .manifest that names a version of Rego other than 1; build it without --v0-compatible")
	}
	if len(m.WasmResolvers) > 0 {
		return m, errors.New("has a .manifest that names compiled policies, which are not taken; build it with --target rego")
	}
	if m.Roots == nil || slices.Contains(*m.Roots, "") {
		return m, errors.New(`has a .manifest without roots, so that it owns everything; write "roots": ["policy", "config"] into it`)
	}
	roots := *m.Roots
	for i, root := range roots {
		roots[i] = strings.Trim(root, "/")
		if !ownedByAuthors(roots[i]) {
			return m, fmt.Errorf("has the root %q, which is not an author's; roots are policy, config and lib/NAME (but not lib/mcp), or below these", root)
		}
		if slices.ContainsFunc(roots[:i], func(before string) bool { return opabundle.RootPathsOverlap(before, roots[i]) }) {
			return m, fmt.Errorf("has roots of which %q holds another or lies in another; keep the wider one", root)
		}
	}
	return m, nil
}

func ownedByAuthors(root string) bool {
	parts := strings.Split(root, "/")
	switch parts[0] {
	case "policy", "config":
		return true
	case "lib":
		return len(parts) > 1 && parts[1] != "" && parts[1] != "mcp"
	}
	return false
}

// decodeOne reads one JSON value without repeated members.
func decodeOne(text []byte, into any) error {
	if err := oneJSON(text); err != nil {
		return err
	}
	return json.NewDecoder(bytes.NewReader(text)).Decode(into)
}

// revisionNumber orders revisions. A time is later than any whole number, so that a publisher can go over to times.
func revisionNumber(revision string) (int64, error) {
	const want = "must have a revision that grows, a whole number of at most 18 digits or a time as in RFC 3339"
	if at, err := time.Parse(time.RFC3339, revision); err == nil {
		if at.Year() < 2002 || at.Year() > 2261 {
			return 0, fmt.Errorf("%s; the year of %q cannot be right", want, revision)
		}
		return at.UnixNano(), nil
	}
	digits := revision != "" && strings.Trim(revision, "0123456789") == ""
	n, err := strconv.ParseInt(revision, 10, 64)
	if !digits || len(revision) > 18 || err != nil {
		return 0, fmt.Errorf("%s (opa build --revision); %q is neither", want, shortened(revision))
	}
	return n, nil
}

// authored is a file of a bundle as one of an author's directory, if it lies below the roots; without data it is none.
func authored(f file, roots []string) (file, error) {
	switch path.Ext(f.path) {
	case ".rego":
		return f, checkPackage(f, roots)
	case ".json", ".yaml", ".yml":
		if f.path != signaturesFile {
			return authoredData(f, roots)
		}
	}
	return file{}, nil
}

// checkPackage holds a module to the roots. One that does not parse is refused when it is loaded, together with all others.
func checkPackage(f file, roots []string) error {
	m, err := parseModule(f)
	if err != nil || m == nil || m.Package == nil {
		return nil
	}
	if !inRoots(roots, pathOf(m.Package.Path)) {
		return fmt.Errorf("holds %s of %v, which lies outside its roots %s", f.path, m.Package, strings.Join(roots, ", "))
	}
	return nil
}

// authoredData is a data file of a bundle, whose folder is its place below data. Policies read data.config only.
func authoredData(f file, roots []string) (file, error) {
	folder, base := path.Split(f.path)
	if strings.TrimSuffix(base, path.Ext(base)) != "data" {
		return f, fmt.Errorf("holds %s, which OPA does not read as data; name it data.json or data.yaml, in the folder that is its place below data", f.path)
	}
	value, err := decodeData(f)
	if err != nil {
		return f, fmt.Errorf("holds %s: %w", f.path, err)
	}
	var place []string
	if folder != "" {
		place = strings.Split(strings.TrimSuffix(folder, "/"), "/")
	}
	if outside, found := outsideOf(roots, place, value); found {
		return f, fmt.Errorf("holds %s, which sets %s outside its roots %s", f.path, shortened(strings.Join(append([]string{"data"}, outside...), ".")), strings.Join(roots, ", "))
	}
	if len(place) > 0 { // below config, as that is where roots of data lie
		return f, nil
	}
	whole, _ := value.(map[string]any)
	config, given := whole["config"]
	if !given {
		return file{}, nil
	}
	f.path = "config.json"
	f.data, err = json.Marshal(config)
	return f, err
}

// inRoots tells whether a path below data belongs to a bundle with these roots.
func inRoots(roots []string, at []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return begins(at, strings.Split(root, "/")) })
}

func begins(path, with []string) bool {
	return len(path) >= len(with) && slices.Equal(path[:len(with)], with)
}

// outsideOf finds a path below data that a value at a place sets outside the roots. Authors' data lies below config, so below policy and
// lib everything is outside.
func outsideOf(roots []string, place []string, value any) (outside []string, found bool) {
	data := len(place) == 0 || place[0] == "config"
	if data && inRoots(roots, place) {
		return nil, false
	}
	object, isObject := value.(map[string]any)
	if !data || !isObject || !slices.ContainsFunc(roots, func(root string) bool { return begins(strings.Split(root, "/"), place) }) {
		return place, true
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if outside, found := outsideOf(roots, append(slices.Clip(place), key), object[key]); found {
			return outside, true
		}
	}
	return nil, false
}
