package policies

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

const quota = `package policy.tools.quota

deny contains {"code": "quota", "message": "no more calls"} if {
	input.tool.name == "transfer"
	mcp.usage(86400) >= 3
}
`

// used is a call of which this many were counted before, in any time. asked holds the windows that policies asked for.
func used(calls int64, asked *[]time.Duration) oauth.Evaluation {
	v := call("transfer", nil, "tools:payments.transfer")
	v.Usage = func(_ context.Context, window time.Duration) (int64, error) {
		*asked = append(*asked, window)
		return calls, nil
	}
	return v
}

func TestUsageIsAskedAndTheCallMustBeCounted(t *testing.T) {
	for name, text := range map[string]string{"the built-in": quota, "by the helper": strings.Replace(quota, "\n\ndeny", "\n\nimport data.lib.mcp\n\ndeny", 1)} {
		e := engineWith(t, map[string]string{"a.rego": text})
		if !e.CountsUse() {
			t.Errorf("%s: the policies ask, and the engine does not say so", name)
		}
		for calls, want := range map[int64]string{0: "allow", 2: "allow", 3: "quota", 9: "quota"} {
			var asked []time.Duration
			d := decide(t, e, used(calls, &asked))
			if word(d) != want || !d.CountUse || d.TTL != 0 {
				t.Errorf("%s: after %d calls %+v, want %s", name, calls, d, want)
			}
			if !slices.Equal(asked, []time.Duration{24 * time.Hour}) {
				t.Errorf("%s: asked for %v", name, asked)
			}
		}
		if d := decide(t, e, call("get_weather", nil, "tools:weather.read")); word(d) != "allow" || !d.CountUse {
			t.Errorf("%s: a tool without a quota: %+v", name, d) // counted, since another rule may ask tomorrow
		}
		if s := e.CacheStats(); s.Hits+s.Misses > 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if e := engineWith(t, nil); e.CountsUse() || decide(t, e, call("get_weather", nil, "tools:weather.read")).CountUse {
		t.Error("the shipped policies count calls")
	}
}

// TestUsageLeavesNoReusableAnswers: the asking server's reuse would not be counted.
func TestUsageLeavesNoReusableAnswers(t *testing.T) {
	ttl := "package policy.tools.ttl\n\nttl_seconds := 60\n"
	v := call("get_weather", nil, "tools:weather.read")
	if d := decide(t, engineWith(t, map[string]string{"ttl.rego": ttl}), v); d.TTL != time.Minute {
		t.Errorf("without a quota: %s", d.TTL)
	}
	if d := decide(t, engineWith(t, map[string]string{"ttl.rego": ttl, "a.rego": quota}), v); d.TTL != 0 || !d.Allow {
		t.Errorf("with a quota: %+v", d)
	}
}

func TestWhatCannotBeCountedDenies(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": strings.Replace(quota, "86400", "input.tool.arguments.seconds", 1)})
	for seconds, want := range map[string]string{"1": "allow", "2678400": "allow", "2678401": codePolicyError, "0": codePolicyError, "-1": codePolicyError,
		"1.5": codePolicyError, "1e30": codePolicyError, `"60"`: codePolicyError, "null": codePolicyError} {
		var asked []time.Duration
		v := used(0, &asked)
		v.Args = map[string]any{"seconds": json.Number(seconds)}
		if seconds == "null" || seconds[0] == '"' {
			v.Args["seconds"] = strings.Trim(seconds, `"`)
		}
		if d := decide(t, e, v); word(d) != want {
			t.Errorf("%s seconds: %+v, want %s", seconds, d, want)
		}
	}
	e = engineWith(t, map[string]string{"a.rego": quota})
	v := call("transfer", nil, "tools:payments.transfer")
	if d := decide(t, e, v); word(d) != codePolicyError {
		t.Errorf("nobody counts: %+v", d)
	}
	v.Usage = func(context.Context, time.Duration) (int64, error) { return 0, errors.New("CANARY") }
	if d := decide(t, e, v); word(d) != codePolicyError || strings.Contains(d.Reasons[0].Policy, "CANARY") {
		t.Errorf("a count that fails: %+v", d)
	}
}

func TestUsageIsRefusedWhereItWouldAlwaysFail(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"package policy.scopes.a\n\ndeny contains \"x\" if mcp.usage(60) > 1\n", "a.rego:3:22: mcp.usage counts calls of tools; only packages below policy.tools can ask it"},
		{"package policy.clients.a\n\ndeny contains \"x\" if {\n\tn := mcp.usage(60)\n\tn > 1\n}\n", "only packages below policy.tools"},
		{"package policy.access.a\n\ndeny contains \"x\" if mcp.usage(60) > 1\n", "only packages below policy.tools"},
		{"package system.log\n\nmask contains \"/input/tool/arguments/x\" if mcp.usage(60) > 1\n", "only packages below policy.tools"},
		{"package policy.tools.a\n\ndeny contains \"x\" if mcp.usage(0) > 1\n", "a.rego:3:32: mcp.usage: seconds must be a whole number from 1 to 2678400 (31 days)"},
		{"package policy.tools.a\n\ndeny contains \"x\" if mcp.usage(2678401) > 1\n", "from 1 to 2678400"},
		{"package policy.tools.a\n\ndeny contains \"x\" if mcp.usage(\"60\") > 1\n", "mcp.usage"},
	} {
		_, err := New(t.Context(), Config{Dir: dirWith(t, map[string]string{"a.rego": tc.text}), Log: silent()})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s\ngot  %v\nwant %s", tc.text, err, tc.want)
		}
	}
}

func TestUsageIsAnObstacleWithItsReason(t *testing.T) {
	report, err := Check(dirWith(t, map[string]string{"a.rego": quota}), CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := "a.rego:5:2: policy not cacheable because it calls mcp.usage, whose answer changes with every call"
	found := false
	for _, c := range report.Cache {
		for _, o := range c.Obstacles {
			found = found || o.String() == want && c.Kind == string(kindTools)
		}
	}
	if !found {
		t.Errorf("%+v, want %s", report.Cache, want)
	}
}

// TestAListOfToolsTakesNoQuotaForUsedUp: nothing is counted in a list, and a quota is there again tomorrow. What else denies still does.
func TestAListOfToolsTakesNoQuotaForUsedUp(t *testing.T) {
	for policy, want := range map[string]string{
		quota: "get_weather transfer",
		"package policy.tools.a\n\ndeny contains \"x\" if mcp.usage(60) >= 3\n":                                       "get_weather transfer",
		"package policy.tools.a\n\ndeny contains \"x\" if not mcp.usage(60) < 3\n":                                    "get_weather transfer",
		"package policy.tools.a\n\ndeny contains \"x\" if {\n\tinput.tool.name == \"transfer\"\n\tmcp.usage(60)\n}\n": "get_weather transfer",
		quota + "\ndeny contains \"y\" if input.tool.name == \"transfer\"\n":                                          "get_weather",
	} {
		e := engineWith(t, map[string]string{"a.rego": policy})
		v := call("get_weather", nil, "tools:weather.read", "tools:payments.transfer")
		v.Usage = func(context.Context, time.Duration) (int64, error) { t.Error("asked"); return 99, nil }
		names, err := e.CallableTools(t.Context(), v)
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s%v %v, want %s", policy, names, err, want)
		}
	}
}

func TestReplayAnswersWhatWasCountedThen(t *testing.T) {
	h := newHistory(t, RecordValues, map[string]string{"a.rego": quota})
	var asked []time.Duration
	for calls := range int64(6) {
		h.decide(t, used(calls, &asked))
	}
	for _, tc := range []struct {
		text                  string
		lost, gained, unknown int64
	}{
		{quota, 0, 0, 0},
		{strings.Replace(quota, ">= 3", ">= 5", 1), 0, 2, 0},
		{strings.Replace(quota, ">= 3", ">= 1", 1), 2, 0, 0},
		{strings.Replace(quota, "86400", "3600", 1), 0, 0, 6}, // nobody knows how many there were in that hour
		{strings.Replace(quota, "transfer", "get_weather", 1), 0, 3, 0},
	} {
		r := h.replay(t, map[string]string{"a.rego": tc.text})
		if r.Denied.Count != tc.lost || r.Allowed.Count != tc.gained || r.Unknown != tc.unknown {
			t.Errorf("%s%+v", tc.text, r)
		}
	}
}

func TestAnExplanationShowsHowOftenTheToolWasCalled(t *testing.T) {
	var asked []time.Duration
	v := used(3, &asked)
	s := scene{mode: RecordMasked, call: &v, files: map[string]string{"a.rego": quota}}
	_, record := s.decide(t)
	x := s.explain(t, record)
	if got := seen(x, "mcp.usage(86400)"); got != "3" {
		t.Errorf("shown as %s", got)
	}
	if len(x.Changes) != 1 || x.Changes[0].Kind != ChangeRule || x.Changes[0].Rule.Line != 3 || unknown(x, "again") {
		t.Errorf("%+v", x)
	}
}
