package policies

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestQuery(t *testing.T) {
	dir := dirWith(t, map[string]string{"config.yaml": "limit: 9007199254740993\n", "a.rego": payments +
		"deny contains \"late\" if {\n\ttime.clock(time.now_ns())[0] > 18\n\tprint(\"it is late for\", input.tool.name)\n}\n\ndeny contains \"when\" if input.context.unix_time == 1769850000\n\n" +
		"_twice := 1 if input.tool.name == \"a\"\n\n_twice := 2 if input.tool.name in {\"a\", \"b\"}\n\ndeny contains \"c\" if _twice == 3\n"})
	const call = `{"token": {"scopes": []}, "mcp": {"method": "tools/call"}, "tool": {"name": "%", "scopes": [], "arguments": {"n": 9007199254740993}}}`
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tc := range []struct {
		name, query, input string
		at                 time.Time
		explain            string
		want, trace, print string // parts of the value or error, of the trace, of print
	}{
		{"the question of the input", "", call, at("2026-01-31T12:00:00Z"), "", `"allow":true`, "", ""},
		{"the clock", "", call, at("2026-01-31T19:00:00Z"), "", `"message":"late"`, "", "a.rego:5: it is late for %"},
		{"the context follows the clock", "", call, at("2026-01-31T09:00:00Z"), "", `"message":"when"`, "", ""},
		{"a value", "data.config.limit", "", time.Time{}, "", "9007199254740993", "", ""},
		{"numbers stay exact", "input.tool.arguments.n", call, time.Time{}, "", "9007199254740993", "", ""},
		{"what failed", "", call, at("2026-01-31T12:00:00Z"), ExplainFails, `"allow":true`, "fail a.rego:8: input.context.unix_time == 1769850000", ""},
		{"everything", "", call, at("2026-01-31T12:00:00Z"), ExplainFull, `"allow":true`, "Enter data.mcp.authz.tools.decision", ""},
		{"a conflict", "", strings.Replace(call, "%", "a", 1), at("2026-01-31T12:00:00Z"), "", "the evaluation fails: ", "", ""},
		{"a misspelled reference", "data.policy.tools.payment.deny", "", time.Time{}, "", "data.policy.tools.payment leads nowhere", "", ""},
		{"no Rego", "1 +", "", time.Time{}, "", "the query is no Rego: ", "", ""},
		{"a built-in that is not offered", "http.send({})", "", time.Time{}, "", "http.send", "", ""},
		{"no question", "", `{"x": 1}`, time.Time{}, "", "does not tell which question it is", "", ""},
		{"no input, no question", "", "", time.Time{}, "", "does not tell which question it is", "", ""},
		{"a repeated member", "", `{"a": 1, "a": 2}`, time.Time{}, "", "duplicate", "", ""},
		{"a list", "", `[]`, time.Time{}, "", "must be a JSON object", "", ""},
		{"undefined", "data.policy.tools.payments._twice", `{"tool": {"name": "z"}}`, time.Time{}, "", "undefined", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := QueryOptions{Query: tc.query, At: tc.at, Explain: tc.explain}
			if tc.input != "" {
				o.Input = []byte(tc.input)
			}
			r, err := Query(context.Background(), dir, o)
			got := string(r.Value)
			if err != nil {
				got = err.Error()
			} else if !r.Defined {
				got = "undefined"
			}
			if !strings.Contains(got, tc.want) || !strings.Contains(r.Trace, tc.trace) || !strings.Contains(strings.Join(r.Prints, "\n"), tc.print) {
				t.Errorf("got %s\nprint %q\ntrace %.2000s", got, r.Prints, r.Trace)
			}
		})
	}
}

func TestQueryHintsAtFieldsThatNoServerSends(t *testing.T) {
	r, err := Query(context.Background(), t.TempDir(), QueryOptions{Input: []byte(`{"mcp": {"methd": "x"}, "tool": {"name": "x", "arguments": {"anything": 1}}, "tokn": {}}`)})
	if err != nil || strings.Join(r.Hints, "\n") != "input.mcp.methd is in no such input (did you mean \"method\"?)\ninput.tokn is in no such input (did you mean \"token\"?)" {
		t.Errorf("%q %v", r.Hints, err)
	}
	if _, err := Query(context.Background(), dirWith(t, map[string]string{"a.rego": payments + "denny contains 1\n"}), QueryOptions{Query: "1"}); !IsLoadError(err) {
		t.Error(err)
	}
}
