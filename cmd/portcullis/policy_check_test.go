package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bankConfig is a configuration with one server and one typed tool.
const bankConfig = `issuer: http://127.0.0.1:8080
resources:
  - id: http://127.0.0.1:3001/mcp
    key: bank
    name: Bank
    scopes: [{name: "bank:pay", description: "Pay"}]
    tools:
      - name: transfer
        scopes: ["bank:pay"]
        inputSchema: {type: object, required: [to], properties: {amount: {type: number}, to: {type: string}}}
`

// policyFolder is a folder with one policy file beside a configuration file.
func policyFolder(t *testing.T, rego string) (dir, config string) {
	t.Helper()
	root := t.TempDir()
	dir, config = filepath.Join(root, "policy"), filepath.Join(root, "portcullis.yaml")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "limit.rego"), rego, 0o644)
	write(t, config, bankConfig, 0o600)
	return dir, config
}

const misspelledRule = `package policy.tools.limit

deny contains "no" if {
	input.tool.name == "transfer"
	input.tool.arguments.ammount > 100
}
`

const mayBeAbsentRule = `package policy.tools.limit

deny contains "no" if {
	input.tool.name == "transfer"
	input.tool.arguments.amount > 100
}
`

func TestPolicyCheck(t *testing.T) {
	for _, tc := range []struct {
		name, rego string
		args       []string // DIR and CONFIG stand for the two
		code       int
		stdout     []string
		stderr     string
	}{
		{"a misspelled argument", misspelledRule, []string{"DIR", "--config", "CONFIG"}, 2, []string{"limit.rego:5:2: input.tool.arguments.ammount: the tool transfer of bank has no such argument", "\n\tinput.tool.arguments.ammount > 100\n\t^\n", "want one of: amount, to", "1 file, 1 problem, 0 warnings"}, ""},
		{"without a catalogue it is not known", misspelledRule, []string{"DIR"}, 0, []string{"1 file, 0 problems, 1 warning"}, "Without --config or --catalogue"},
		{"a warning", mayBeAbsentRule, []string{"DIR", "--config", "CONFIG"}, 0, []string{"warning: limit.rego:5:2: input.tool.arguments.amount may be absent", "0 problems, 1 warning"}, ""},
		{"a warning, strictly", mayBeAbsentRule, []string{"DIR", "--config", "CONFIG", "--strict"}, 2, []string{"0 problems, 1 warning"}, ""},
		{"what was checked", mayBeAbsentRule, []string{"DIR", "--config", "CONFIG", "-v"}, 0, []string{"note: limit.rego:5:2: input.tool.arguments.amount is checked against the tool transfer of bank"}, ""},
		{"two catalogues", mayBeAbsentRule, []string{"DIR", "--config", "CONFIG", "--catalogue", "x"}, 2, nil, "give --catalogue or --config, not both"},
		{"a catalogue that is none", mayBeAbsentRule, []string{"DIR", "--catalogue", "CONFIG"}, 1, nil, "portcullis.yaml: no JSON"},
		{"a bad configuration", mayBeAbsentRule, []string{"DIR", "--config", "DIR/none.yaml"}, 78, nil, "cannot be read"},
		{"a package on trial", "# METADATA\n# custom:\n#   mode: log_only\npackage policy.tools.limit\n\ndeny contains \"no\" if input.tool.name == \"transfer\"\n", []string{"DIR"}, 0,
			[]string{"on trial: limit.rego:1:1: package policy.tools.limit is log_only: it is evaluated", "1 file, 0 problems, 0 warnings"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, config := policyFolder(t, tc.rego)
			args := []string{"policy", "check"}
			for _, a := range tc.args {
				args = append(args, strings.NewReplacer("DIR", dir, "CONFIG", config).Replace(a))
			}
			code, stdout, stderr := command(t, "", args...)
			if code != tc.code || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("exit code %d, want %d; stderr %q", code, tc.code, stderr)
			}
			for _, want := range tc.stdout {
				if !strings.Contains(strings.ReplaceAll(stdout, "\n    ", " "), want) {
					t.Errorf("%q is not in\n%s", want, stdout)
				}
			}
			for line := range strings.Lines(stdout) {
				if len(line) > 100 {
					t.Errorf("a line of %d characters: %s", len(line), line)
				}
			}
		})
	}
}

func TestPolicyCheckAsJSON(t *testing.T) {
	dir, config := policyFolder(t, misspelledRule)
	code, stdout, _ := command(t, "", "policy", "check", dir, "--config", config, "-o", "json")
	var report struct {
		Problems, Warnings, Notes []struct {
			File, Message, Detail string
			Line, Column          int
		}
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 2 || len(report.Problems) != 1 {
		t.Fatal(code, err, stdout)
	}
	if p := report.Problems[0]; p.File != "limit.rego" || p.Line != 5 || p.Column != 2 || !strings.Contains(p.Detail, "^\nwant one of: amount, to") {
		t.Errorf("%+v", p)
	}
}
