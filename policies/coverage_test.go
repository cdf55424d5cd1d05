package policies

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

const halfTested = `package policy.tools.a

deny contains "early" if {
	input.tool.name == "transfer"
	input.tool.arguments.amount > 5
	count(input.tool.arguments.to) > 5
}

deny contains "never" if {
	input.tool.name == "other"
	input.tool.arguments.y == 1
}

_unused if input.tool.title == "z"

deny contains "half" if {
	input.tool.name != "x"
	input.tool.arguments.amount > 76
}
`

const oneTest = `package policy.tools.a_test

import data.lib.mcp.testing
import data.mcp.authz.tools

test_allowed if {
	call := testing.tool_call({"name": "transfer", "arguments": {"amount": 1, "to": "abc"}})
	tools.decision.allow with input as call
}
`

func TestCoverageSaysWhyALineIsNotReached(t *testing.T) {
	files := map[string]string{"a.rego": halfTested, "a_test.rego": oneTest}
	report, err := Test(context.Background(), dirWith(t, files), TestOptions{Coverage: true})
	if err != nil || report.Passed != 1 {
		t.Fatal(report, err)
	}
	c := report.Coverage
	got := map[string]string{}
	for _, m := range c.Missed {
		got[fmt.Sprintf("%d-%d", m.Line, m.End)] = m.Why
	}
	want := map[string]string{
		"3-3":   "its conditions never all hold",
		"6-6":   "nothing gets past line 5",
		"9-11":  "no test has the values that it asks for",
		"14-14": "no test asks for it",
		"16-16": "its conditions never all hold",
	}
	for place, why := range want {
		if got[place] != why {
			t.Errorf("%s: got %q, want %q", place, got[place], why)
		}
	}
	if len(got) != len(want) || len(c.Files) != 1 || c.Lines != c.Files[0].Lines || c.Covered != 4 || c.Lines != 11 || c.Percent < 36 || c.Percent > 37 {
		t.Errorf("%+v", c)
	}
}

func TestCoverageOfNothing(t *testing.T) {
	report, err := Test(context.Background(), dirWith(t, map[string]string{"a.rego": halfTested}), TestOptions{Coverage: true, Bench: true})
	if err != nil || report.Coverage.Covered != 0 || report.Coverage.Lines != 11 || report.Coverage.Percent != 0 || len(report.Bench) != 0 {
		t.Errorf("without tests: %+v %v", report.Coverage, err)
	}
	report, err = Test(context.Background(), t.TempDir(), TestOptions{Coverage: true})
	if err != nil || report.Coverage.Percent != 100 {
		t.Errorf("without policies: %+v %v", report.Coverage, err)
	}
}

func TestBenchMeasuresEachTest(t *testing.T) {
	report, err := Test(context.Background(), dirWith(t, map[string]string{"a.rego": halfTested, "a_test.rego": oneTest}), TestOptions{Bench: true})
	if err != nil || len(report.Bench) != 1 {
		t.Fatal(report.Bench, err)
	}
	if b := report.Bench[0]; b.Error != "" || b.Nanos < 1000 || b.Allocs < 10 || b.Rounds < 1 || b.Name != "test_allowed" {
		t.Errorf("%+v", b)
	}
}

// TestAFailingTestShowsItsLine with the values of the variables below it, and nothing in front of them.
func TestAFailingTestShowsItsLine(t *testing.T) {
	test := "package policy.tools.a_test\n\ntest_sum if {\n\tx := 1 + 1\n\ty := {\"a\": 5}\n\tx == y.a\n}\n\ntest_case[note] if {\n\tsome note, n in {\"one\": 1, \"two\": 2}\n\tn == 1\n}\n"
	report, err := Test(context.Background(), dirWith(t, map[string]string{"a_test.rego": test}), TestOptions{})
	if err != nil || report.Failed != 2 || report.Passed != 1 {
		t.Fatal(report, err)
	}
	if got := report.Tests[0].FailedAt; !strings.HasPrefix(got, "a_test.rego:6:\n  x == y.a\n") || !strings.Contains(got, "5") || !strings.Contains(got, "2") {
		t.Errorf("%q", got)
	}
	if got := report.Tests[2]; got.Name != "test_case/two" || got.Passed || !strings.HasPrefix(got.FailedAt, "a_test.rego:11:\n  n == 1\n") {
		t.Errorf("%+v", got)
	}
}
