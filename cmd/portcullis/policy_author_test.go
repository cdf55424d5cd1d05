package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnAuthorsFirstHour walks through the commands in the order in which a newcomer needs them.
func TestAnAuthorsFirstHour(t *testing.T) {
	root := t.TempDir()
	dir, out, config := filepath.Join(root, "policy"), filepath.Join(root, "out"), filepath.Join(root, "portcullis.yaml")
	write(t, config, bankConfig, 0o600)
	run := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := command(t, "", append([]string{"policy"}, args...)...)
		if code != want {
			t.Fatalf("policy %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, stdout, stderr)
		}
		for line := range strings.Lines(stdout) {
			if len([]rune(line)) > 100 && args[0] != "init" && !strings.HasPrefix(line, "{") {
				t.Errorf("a line of %d characters: %s", len(line), line)
			}
		}
		return stdout, stderr
	}
	names, next := run(0, "init", dir)
	if !strings.Contains(names, filepath.Join(dir, "tools", "amounts_test.rego")) || !strings.Contains(next, "portcullis policy test "+dir) {
		t.Errorf("%s%s", names, next)
	}
	if _, again := run(1, "init", dir); !strings.Contains(again, "nothing is overwritten") {
		t.Error(again)
	}
	if tests, _ := run(0, "test", dir, "--min-coverage", "100"); !strings.Contains(tests, "8 passed, 0 failed, 0 skipped") || !strings.Contains(tests, "100.0 %") {
		t.Error(tests)
	}
	run(0, "check", dir, "--strict", "--config", config)
	run(0, "fmt", "--check", dir)

	rule := filepath.Join(dir, "tools", "mine.rego")
	write(t, rule, "package policy.tools.mine\ndeny contains \"no\" if   input.tool.name == \"transfer\"\n", 0o644)
	if diff, _ := run(0, "fmt", "-d", dir); !strings.Contains(diff, "   2 - deny contains \"no\" if   input") {
		t.Error(diff)
	}
	run(2, "fmt", "--check", dir)
	if changed, _ := run(0, "fmt", dir); changed != rule+"\n" {
		t.Error(changed)
	}
	run(0, "fmt", "--check", dir)

	input := filepath.Join(root, "input.json")
	write(t, input, `{"token": {"scopes": ["bank:pay"]}, "mcp": {"method": "tools/call"}, "tool": {"name": "transfer", "scopes": ["bank:pay"]}}`, 0o644)
	value, trace := run(0, "eval", "-i", input, "--explain", "fails", dir)
	var decision struct {
		Allow   bool
		Reasons []struct{ Message string }
	}
	if err := json.Unmarshal([]byte(value), &decision); err != nil || decision.Allow || decision.Reasons[0].Message != "no" {
		t.Error(value, err)
	}
	if !strings.Contains(trace, "fail tools/amounts.rego:17: input.tool.name in data.config.paying_tools") {
		t.Error(trace)
	}

	if count, _ := run(0, "export", "--from", dir, "--config", config, out); !strings.Contains(count, "files in "+out) {
		t.Error(count)
	}
	write(t, rule, strings.Replace(misspelledRule, "limit", "mine", 1), 0o644)
	if found, _ := run(2, "check", dir, "--catalogue", filepath.Join(out, "catalogue.portcullis")); !strings.Contains(found, "mine.rego:5:2: input.tool.arguments.ammount") {
		t.Error(found)
	}
	if _, why := run(2, "test", dir, "--config", config); !strings.Contains(why, "input.tool.arguments.ammount") {
		t.Error(why)
	}
	if _, why := run(2, "export", "--from", dir, "--config", config, out); !strings.Contains(why, "input.tool.arguments.ammount") {
		t.Error(why)
	}
}

func TestPolicyTestsThatFail(t *testing.T) {
	dir, _ := policyFolder(t, mayBeAbsentRule)
	write(t, filepath.Join(dir, "limit_test.rego"), "package policy.tools.limit_test\n\ntest_good if 1 == 1\n\ntest_bad if {\n\tx := 1\n\tx == 2\n}\n", 0o644)
	code, stdout, _ := command(t, "", "policy", "test", dir)
	if code != 2 || !strings.Contains(stdout, "FAIL policy.tools.limit_test.test_bad (limit_test.rego:5, ") || !strings.Contains(stdout, "\tlimit_test.rego:7:\n\t  x == 2\n\t  |\n\t  1\n") || !strings.HasSuffix(stdout, "1 passed, 1 failed, 0 skipped\n") {
		t.Errorf("%d %s", code, stdout)
	}
	if strings.Contains(stdout, "test_good") {
		t.Error("passing tests are shown without -v")
	}
	for args, want := range map[string]int{"--run test_good": 0, "--run test_good --min-coverage 1": 2, "--min-coverage 101": 2, "--run (": 1, "--defaults maybe": 2} {
		if code, stdout, stderr := command(t, "", append([]string{"policy", "test", dir}, strings.Fields(args)...)...); code != want {
			t.Errorf("%s: exit code %d, want %d\n%s%s", args, code, want, stdout, stderr)
		}
	}
	code, stdout, _ = command(t, "", "policy", "test", dir, "--json")
	var report struct{ Passed, Failed int }
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 2 || report.Passed != 1 || report.Failed != 1 {
		t.Error(code, err, stdout)
	}
	empty := t.TempDir()
	if code, _, stderr := command(t, "", "policy", "test", empty); code != 0 || !strings.Contains(stderr, "There are no tests") {
		t.Error(code, stderr)
	}
}

func TestPolicyEval(t *testing.T) {
	dir, _ := policyFolder(t, mayBeAbsentRule)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("limit: 5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, stdin    string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"a value", "", []string{"DIR", "data.config.limit + 1"}, 0, "6\n", ""},
		{"standard input", `{"token": {}, "mcp": {"method": "ping"}}`, []string{"-i", "-", "DIR"}, 0, `"allow": true`, ""},
		{"the clock", "", []string{"--at", "2026-01-31T09:00:00Z", "DIR", "time.clock(time.now_ns())"}, 0, "9,", ""},
		{"undefined", `{"tool": {}}`, []string{"-i", "-", "DIR", "input.tool.name"}, 1, "", "input.tool.name is undefined"},
		{"as JSON", `{"tool": {}}`, []string{"-i", "-", "-o", "json", "DIR", "input.tool.name"}, 0, `"defined": false`, ""},
		{"no time", "", []string{"--at", "noon", "DIR", "1"}, 2, "", "--at must be a time such as"},
		{"no explanation", "", []string{"--explain", "all", "DIR", "1"}, 2, "", "--explain must be fails or full"},
		{"a misspelled name", "", []string{"DIR", "data.config.limt"}, 1, "", "want one of: limit"},
		{"a misspelled field", `{"mcp": {"methd": "x"}}`, []string{"-i", "-", "DIR"}, 0, `"allow": false`, `hint: input.mcp.methd is in no such input (did you mean "method"?)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := []string{"policy", "eval"}
			for _, a := range tc.args {
				args = append(args, strings.Replace(a, "DIR", dir, 1))
			}
			code, stdout, stderr := command(t, tc.stdin, args...)
			if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, tc.code, stdout, stderr)
			}
		})
	}
}

// TestRunThatFitsNothing: a misspelled --run would pass in a pipeline for ever.
func TestRunThatFitsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policy")
	if code, _, stderr := command(t, "", "policy", "init", dir); code != 0 {
		t.Fatal(stderr)
	}
	code, _, stderr := command(t, "", "policy", "test", dir, "--run", "amuonts")
	if code != 2 || !strings.Contains(stderr, "no test fits --run amuonts") {
		t.Errorf("%d %s", code, stderr)
	}
}
