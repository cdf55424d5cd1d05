package policies

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"

	"portcullis/oauth"
)

// BuildOptions say what Build makes.
type BuildOptions struct {
	Revision   string            // a whole number or a time as in RFC 3339, greater than that of the bundle before
	Signer     BundleSigner      // the zero value signs nothing
	Catalogue  []*oauth.Resource // that the directory is checked against; empty = not known
	NoDefaults bool
}

// BuildReport says what a bundle is made of.
type BuildReport struct {
	Revision BundleRevision
	Files    int
	Tests    int // that passed
}

// Build makes an OPA bundle of an author's directory, if a server would take it: with its tests, and with its configuration as data.config. What the
// author can mend is a *LoadError. Stock OPA cannot do that, as it does not have the shipped packages that rules call.
func Build(ctx context.Context, dir string, o BuildOptions) ([]byte, BuildReport, error) {
	none := func(err error) ([]byte, BuildReport, error) { return nil, BuildReport{}, err }
	if _, err := revisionNumber(o.Revision); err != nil {
		return none(fmt.Errorf("a bundle %w", err))
	}
	s, problems, err := readSource(dir, !o.NoDefaults, o.Catalogue)
	if err != nil {
		return none(err)
	}
	g, err := load(ctx, s, problems, 0)
	if err != nil {
		return none(err)
	}
	b, err := s.bundled(o.Revision)
	if err != nil {
		return none(err)
	}
	if err := o.Signer.sign(&b); err != nil {
		return none(err)
	}
	var out bytes.Buffer
	if err := opabundle.Write(&out, b); err != nil {
		return none(fmt.Errorf("policies: %w", err))
	}
	back, err := ReadBundle(out.Bytes(), o.Signer.public) // nobody shall publish what servers refuse
	if err != nil {
		return none(err)
	}
	return out.Bytes(), BuildReport{Revision: back.Revision, Files: len(s.author), Tests: g.tests}, nil
}

// bundled is a source as OPA's bundle.
func (s source) bundled(revision string) (b opabundle.Bundle, err error) {
	config, problems := configDocument(s.author)
	if err := loadError(problems); err != nil {
		return b, err
	}
	version := 1
	roots := []string{"config", "policy"}
	b = opabundle.Bundle{Data: map[string]any{"config": config}}
	for _, f := range s.author {
		if !f.isRego() {
			continue
		}
		m, err := parseModule(f)
		if err != nil {
			return b, loadError(problemsOf(err))
		}
		at := pathOf(m.Package.Path)
		root := at[0]
		if root == "lib" {
			root += "/" + at[1]
		}
		if !ownedByAuthors(root) {
			return b, loadError([]Problem{problemAt(m.Package.Location, "a bundle cannot hold %v: its roots are policy, config and lib/NAME", m.Package)})
		}
		roots = append(roots, root)
		path := "/" + f.path
		b.Modules = append(b.Modules, opabundle.ModuleFile{URL: path, Path: path, RelativePath: path, Raw: f.data, Parsed: m})
	}
	slices.Sort(roots)
	roots = slices.Compact(roots)
	b.Manifest = opabundle.Manifest{Revision: revision, Roots: &roots, RegoVersion: &version}
	return b, nil
}
