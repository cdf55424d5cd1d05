package policies

import (
	"bytes"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// usageFile is the shipped helper that calls the built-in. An export has another file in its place (stock/usage.rego): stock OPA does not
// know the built-in, and would take none of the files.
const usageFile = "lib/usage.rego"

// withUsageImport lets a file of an export that calls the built-in call the helper: there mcp is what the import says.
func withUsageImport(m *ast.Module, text []byte) []byte {
	if m == nil || !callsUsage(m) || slices.ContainsFunc(m.Imports, func(i *ast.Import) bool { return i.Name() == "mcp" }) {
		return text
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	row := m.Package.Location.Row
	return bytes.Join(slices.Insert(lines, row, []byte("\nimport data.lib.mcp\n")), nil)
}

func callsUsage(m *ast.Module) bool {
	found := false
	ast.WalkRefs(m, func(ref ast.Ref) bool {
		found = found || ref.String() == usageBuiltin
		return found
	})
	return found
}
