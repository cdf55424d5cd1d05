package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"portcullis/oauth"
)

// ExportOptions say what Export writes.
type ExportOptions struct {
	From       string            // the author's directory; "" = only what is shipped
	Catalogue  []*oauth.Resource // data.servers; empty = there is none
	NoDefaults bool              // leave the shipped defaults out
}

const (
	// exportMark holds the names of the files that an export wrote, so that the next one can replace them.
	exportMark = ".portcullis-export"
	// CatalogueFile is the name of the catalogue in an export. It is JSON; opa test would read a .json as data.
	CatalogueFile = "catalogue.portcullis"
	// schemaEnding is that of the schemas in an export, for the same reason; opa check -s takes any.
	schemaEnding = ".jsonschema"
)

// Export writes everything that stock OPA needs into a directory: the shipped packages below shipped/, the author's at their
// own places, data.config and data.servers as config/data.json and servers/data.json, and the schemas. It gives the
// names of the files. A directory that holds anything but an earlier export is refused.
func Export(dir string, o ExportOptions) ([]string, error) {
	files, err := exported(o)
	if err != nil {
		return nil, err
	}
	if err := makeRoom(dir); err != nil {
		return nil, err
	}
	names := sortedNames(files)
	files[exportMark] = []byte(strings.Join(names, "\n") + "\n")
	return names, writeFiles(dir, files)
}

// exported are the files of an export by name.
func exported(o ExportOptions) (map[string][]byte, error) {
	s, found, err := readSource(o.From, !o.NoDefaults, o.Catalogue)
	if err != nil {
		return nil, err
	}
	p, problems, err := s.parse()
	if err != nil {
		return nil, err
	}
	if problems = append(found, problems...); len(problems) > 0 {
		return nil, loadError(withCarets(problems, s.author))
	}
	files, err := s.stockFiles(p)
	if err != nil {
		return nil, err
	}
	for name, schema := range p.inputs {
		if files["schemas/"+name+schemaEnding], err = exportedDocument(schema); err != nil {
			return nil, err
		}
	}
	if len(o.Catalogue) > 0 {
		if files[CatalogueFile], err = WriteCatalogue(o.Catalogue); err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
	}
	return files, nil
}

// stockFiles are the modules and the data documents of a source that parsed without problems, as stock OPA wants them.
func (s source) stockFiles(p *program) (files map[string][]byte, err error) {
	files = map[string][]byte{}
	for _, f := range s.shipped {
		if f.isRego() && !f.isTest() && p.modules[f.name()] != nil {
			if files[f.name()], err = p.exportedText(f); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range s.author {
		if !f.isRego() {
			continue // its content is in config/data.json
		}
		if _, taken := files[f.path]; taken {
			return nil, loadError([]Problem{{File: f.path, Message: "is the name of a shipped file in an export; give the file another name"}})
		}
		files[f.path] = withUsageImport(p.modules[f.path], f.data)
	}
	for name, document := range map[string]any{"config/data.json": p.config, "servers/data.json": p.servers} {
		if files[name], err = exportedDocument(document); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func exportedDocument(document any) ([]byte, error) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	return append(text, '\n'), nil
}

func sortedNames(files map[string][]byte) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// makeRoom removes the files of an earlier export, or refuses a directory that holds something else.
func makeRoom(dir string) error {
	mark, err := os.ReadFile(filepath.Join(dir, exportMark))
	if errors.Is(err, fs.ErrNotExist) {
		return mustBeEmpty(dir)
	}
	if err != nil {
		return err
	}
	for name := range strings.Lines(string(mark)) {
		name = strings.TrimSpace(name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s names %q, which lies outside; remove the directory yourself", exportMark, name)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// mustBeEmpty refuses a directory with files in it; one that does not exist is empty.
func mustBeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty, and nothing is overwritten; name a new directory", dir)
	}
	return nil
}

// writeFiles writes new files by their slash-separated names below a directory.
func writeFiles(dir string, files map[string][]byte) error {
	for _, name := range sortedNames(files) {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Init writes a directory for a newcomer: a package about scopes and one about calls with their tests, a file for data.config, and
// what editors and linters need (below .portcullis, as Export writes it). It gives the names. Nothing is overwritten.
func Init(dir string, catalogue []*oauth.Resource) ([]string, error) {
	if err := mustBeEmpty(dir); err != nil {
		return nil, err
	}
	skeleton, err := fs.Sub(embedded, "skeleton")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	err = fs.WalkDir(skeleton, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[name], err = fs.ReadFile(skeleton, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := writeFiles(dir, files); err != nil {
		return nil, err
	}
	if _, err := Export(filepath.Join(dir, ".portcullis"), ExportOptions{Catalogue: catalogue}); err != nil {
		return nil, err
	}
	return append(sortedNames(files), ".portcullis"), nil
}
