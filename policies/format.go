package policies

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
)

// Formatted is a file that is not in the one usual layout.
type Formatted struct {
	File          string // relative to the root
	Before, After []byte
}

// Unformatted finds the .rego files below a root that are not in the layout of opa fmt. Files that do not parse are a
// *LoadError with all of them.
func Unformatted(root fs.FS) ([]Formatted, error) {
	files, problems := readTree(root)
	var found []Formatted
	for _, f := range files {
		if !f.isRego() {
			continue
		}
		after, err := Format(f.path, f.data)
		if err != nil {
			problems = append(problems, problemsOf(err)...)
			continue
		}
		if !bytes.Equal(after, f.data) {
			found = append(found, Formatted{f.path, f.data, after})
		}
	}
	return found, loadError(withCarets(problems, files))
}

// Format is a Rego file in the one usual layout (opa fmt).
func Format(name string, text []byte) ([]byte, error) {
	out, err := format.SourceWithOpts(name, text, format.Opts{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	return out, nil
}

// Diff shows the lines that formatting would take away (-) and put in (+), with their line numbers.
func (f Formatted) Diff() string {
	a, b := strings.Split(string(f.Before), "\n"), strings.Split(string(f.After), "\n")
	common := longest(a, b)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n", f.File)
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j >= len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			fmt.Fprintf(&out, "%4d - %s\n", i+1, a[i])
			i++
		default:
			fmt.Fprintf(&out, "%4d + %s\n", j+1, b[j])
			j++
		}
	}
	return out.String()
}

// longest is the length of the longest common subsequence of a[i:] and b[j:], for all i and j.
func longest(a, b []string) [][]int {
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}
