package policies

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

// stock compiles the Rego of an export with nothing but what OPA itself has, strictly, and reads its config.
func stock(t *testing.T, out string, names []string) (modules map[string]*ast.Module, c *ast.Compiler, config map[string]any) {
	t.Helper()
	modules = map[string]*ast.Module{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case name == "config/data.json":
			if err := json.Unmarshal(text, &config); err != nil {
				t.Fatal(err)
			}
		case strings.HasSuffix(name, ".rego"):
			modules[name] = ast.MustParseModuleWithOpts(string(text), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		}
	}
	c = ast.NewCompiler().WithStrict(true)
	if c.Compile(modules); c.Failed() {
		t.Fatal(c.Errors)
	}
	return modules, c, config
}

// TestStockOPATakesPoliciesThatCount: it decides by the counts that it is given, denies without, and runs the author's tests.
func TestStockOPATakesPoliciesThatCount(t *testing.T) {
	for name, dir := range map[string]string{
		"the example": filepath.Join("examples", "daily-quota"),
		"without the import": dirWith(t, map[string]string{"config.yaml": "quota: {transfer: 10}\n",
			"a.rego":      "# METADATA\n# title: a\npackage policy.tools.a # of calls\ndeny contains \"used up\" if mcp.usage(86400) >= data.config.quota[input.tool.name]\n",
			"a_test.rego": "package policy.tools.a_test\n\ntest_a if count(data.policy.tools.a.deny) == 1 with input as {\"tool\": {\"name\": \"transfer\"}} with mcp.usage as 10\n"}),
		"with the import": dirWith(t, map[string]string{"config.yaml": "quota: {transfer: 10}\n",
			"a.rego":      "package policy.tools.a\n\nimport data.lib.mcp\n\ndeny contains \"used up\" if mcp.usage(86400) >= data.config.quota[input.tool.name]\n",
			"a_test.rego": "package policy.tools.a_test\n\ntest_a if count(data.policy.tools.a.deny) == 1 with input as {\"tool\": {\"name\": \"transfer\"}} with data.lib.mcp.usage as 10\n"}),
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			names, err := Export(out, ExportOptions{From: dir})
			if err != nil {
				t.Fatal(err)
			}
			modules, compiler, config := stock(t, out, names)
			input := map[string]any{"mcp": map[string]any{"method": "tools/call"}, "token": map[string]any{"scopes": []any{}}, "context": map[string]any{"unix_time": 5},
				"tool": map[string]any{"name": "transfer", "scopes": []any{}}}
			for counts, want := range map[string]bool{`{}`: false, `{"mcp": {"usage": {"86400": 9}}}`: true, `{"mcp": {"usage": {"86400": 10}}}`: false, `{"mcp": {"usage": {"3600": 0}}}`: false} {
				var data map[string]any
				if err := json.Unmarshal([]byte(counts), &data); err != nil {
					t.Fatal(err)
				}
				data["config"] = config
				rs, err := rego.New(rego.Query("data.mcp.authz.tools.decision.allow"), rego.Input(input), rego.Compiler(compiler), rego.Store(inmem.NewFromObject(data))).Eval(t.Context())
				if err != nil || len(rs) != 1 || rs[0].Expressions[0].Value != want {
					t.Errorf("with %s: %v %v, want %v", counts, rs, err, want)
				}
			}
			results, err := tester.NewRunner().SetStore(inmem.NewFromObject(map[string]any{"config": config})).SetModules(modules).RunTests(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			ran := 0
			for r := range results {
				if ran++; !r.Pass() {
					t.Errorf("%v", r)
				}
			}
			if ran == 0 {
				t.Error("no test ran")
			}
		})
	}
}
