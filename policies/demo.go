package policies

import (
	"bytes"
	"fmt"
	"io/fs"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// DemoFiles is the author's directory that "portcullis demo" writes into its data directory: .rego files with
// their tests, and config.yaml.
func DemoFiles() (fs.FS, error) { return fs.Sub(embedded, "demo") }

// Unformatted lists the .rego files below a directory that "policy fmt" would change (the format of opa fmt). A file
// that does not parse is an error.
func Unformatted(root fs.FS) ([]string, error) {
	files, problems := readTree(root)
	if err := loadError(problems); err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if !f.isRego() {
			continue
		}
		want, err := Format(f.path, f.data)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(want, f.data) {
			names = append(names, f.path)
		}
	}
	return names, nil
}

// Format is a Rego file in the one usual layout (opa fmt).
func Format(name string, text []byte) ([]byte, error) {
	out, err := format.SourceWithOpts(name, text, format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	return out, nil
}
