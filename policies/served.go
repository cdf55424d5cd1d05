package policies

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ServedBundle is the policies in force as an OPA bundle (a tar.gz), for OPA elsewhere to decide by the same rules.
type ServedBundle struct {
	Revision string // of the policies; also in the manifest
	Tag      string // names exactly these bytes: the revision, and a digest of the bytes, since programs of two versions may write one revision in two ways
	Data     []byte // nobody changes it
}

// ServedBundle gives the bundle of the policies in force. It is made when it is asked for the first time, and kept as long as they are in force.
// It holds the shipped modules, the author's without their tests, data.config and data.servers; no schemas, and no secret of ours.
func (e *Engine) ServedBundle() (ServedBundle, error) { return e.current.Load().bundle() }

// servedBundle makes the bundle of a source. The same source makes the same bytes.
func (s source) servedBundle() (b ServedBundle, err error) {
	s.resources = nil // nothing is typed once more
	p, problems, err := s.parse()
	if err == nil {
		err = loadError(problems)
	}
	if err != nil {
		return b, err
	}
	files, err := s.stockFiles(p)
	if err != nil {
		return b, err
	}
	for name := range p.tests {
		if p.tests[name] {
			delete(files, name)
		}
	}
	manifest, err := json.Marshal(map[string]any{"revision": s.revision, "roots": p.rootsOf(files), "rego_version": 1})
	if err != nil {
		return b, fmt.Errorf("policies: %w", err)
	}
	files[".manifest"] = manifest
	if b.Data, err = packBundle(files); err != nil {
		return b, fmt.Errorf("policies: %w", err)
	}
	digest := sha256.Sum256(b.Data)
	b.Revision, b.Tag = s.revision, fmt.Sprintf("%s-%x", s.revision, digest[:8])
	return b, nil
}

// rootsOf are the roots of a bundle with these files: what it owns of data. It leaves to others what it does not fill: below system OPA has
// documents of its own, and data.mcp.usage is for who counts calls (stock/usage.rego).
func (p *program) rootsOf(files map[string][]byte) []string {
	roots := []string{"config", "servers"}
	for name := range files {
		m := p.modules[name]
		if m == nil {
			continue
		}
		path := pathOf(m.Package.Path)
		if path[0] == "policy" || path[0] == "lib" {
			path = path[:1]
		} else {
			path = path[:min(2, len(path))]
		}
		roots = append(roots, strings.Join(path, "/"))
	}
	slices.Sort(roots)
	return slices.Compact(roots)
}

// packBundle writes files in the order of their names, without times, so that the same files make the same bytes.
func packBundle(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, name := range sortedNames(files) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "/" + name, Size: int64(len(files[name])), Mode: 0o644, Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
