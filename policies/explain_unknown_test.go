package policies

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"portcullis/oauth"
)

// seen is what an explanation shows at a path.
func seen(x *Explanation, path string) string {
	for _, s := range x.Saw {
		if s.Path == path {
			return strings.TrimSpace(s.Value + " " + s.Hidden)
		}
	}
	return "nothing"
}

func unknown(x *Explanation, words string) bool {
	return slices.ContainsFunc(x.Unknown, func(u string) bool { return strings.Contains(u, words) })
}

func TestAnExplanationShowsWhatWasSeenAndNoMore(t *testing.T) {
	v := call("transfer", map[string]any{"amount": json.Number("5000"), "a/b": "SECRET1", "card": map[string]any{"number": "SECRET2"}}, "tools:payments.transfer")
	s := scene{mode: RecordMasked, call: &v, files: map[string]string{"tools/payments.rego": paymentsRego,
		"log.rego": "package system.log\n\nmask contains \"/input/tool/arguments/a%2Fb\"\n\nmask contains {\"op\": \"upsert\", \"path\": \"/input/subject/username\", \"value\": \"somebody\"}\n"}}
	_, record := s.decide(t)
	x := s.explain(t, record)
	for path, want := range map[string]string{
		"input.tool.name": `"transfer"`, "input.tool.arguments.amount": "number, masked", "input.tool.arguments.card": "object, masked",
		"input.tool.arguments.a/b": "removed", "input.subject.username": "replaced", "input.subject.groups": `["staff"]`,
	} {
		if got := seen(x, path); got != want {
			t.Errorf("%s is shown as %s, want %s", path, got, want)
		}
	}
	if text, err := json.Marshal(x); err != nil || strings.Contains(string(text), "SECRET") {
		t.Errorf("%s, %v", text, err)
	}
	if len(x.Changes) != 1 || x.Changes[0].Kind != ChangeRule || x.Changes[0].Rule.Line != 3 || len(x.Changes[0].Rule.Source) != 4 {
		t.Errorf("%+v", x.Changes)
	}
	if x.Trace != nil || !unknown(x, "input.tool.arguments.amount (masked)") {
		t.Errorf("a masked value that a rule can read makes a trace a guess: %+v, %q", x.Trace, x.Unknown)
	}
}

func TestATraceShowsWhatTheAuthorsRulesDid(t *testing.T) {
	v := call("transfer", map[string]any{"amount": json.Number("5")}, "tools:payments.transfer")
	s := scene{call: &v, files: map[string]string{"tools/payments.rego": paymentsRego + "\ndeny contains \"big group\" if {\n\tsome g in input.subject.groups\n\tcount(g) > 100\n}\n"}}
	_, record := s.decide(t)
	x := s.explain(t, record)
	has := func(event, text, value string) bool {
		return slices.ContainsFunc(x.Trace, func(l TraceLine) bool {
			return l.Event == event && strings.HasPrefix(l.Text, text) && (value == "" || l.Values["g"] == value)
		})
	}
	if !has("fail", "input.tool.arguments.amount > 1000", "") || !has("fail", "count(g) > 100", `"staff"`) || !has("exit", "allow if", "") {
		t.Errorf("%+v", x.Trace)
	}
	for _, l := range x.Trace {
		if !isPolicy(l.File) {
			t.Errorf("the machinery is in the trace: %+v", l)
		}
	}
	if len(x.Changes) > 0 || !x.Allowed {
		t.Errorf("%+v", x)
	}
}

// TestATraceNeedsNoValueThatNoRuleCameTo: the amount is masked, and the rule that would read it ends before.
func TestATraceNeedsNoValueThatNoRuleCameTo(t *testing.T) {
	for rule, traced := range map[string]bool{
		"input.tool.name == \"transfer\"\n\tinput.tool.arguments.amount > 1000":            true,
		"input.tool.arguments.amount > 1000\n\tinput.tool.name == \"transfer\"":            false, // the index would leave it out, the trace does not
		"input.tool.name == \"get_weather\"\n\tinput.tool.arguments.amount > 1000":         false,
		"not input.tool.name == \"get_weather\"\n\tnot input.tool.arguments.amount < 1000": true,
	} {
		v := call("get_weather", map[string]any{"amount": json.Number("5000")}, "tools:calendar.read")
		s := scene{mode: RecordMasked, call: &v, files: map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"x\" if {\n\t" + rule + "\n}\n"}}
		_, record := s.decide(t)
		if x := s.explain(t, record); (len(x.Trace) > 0) != traced || unknown(x, "amount (masked)") == traced {
			t.Errorf("%s: %q, %d lines", rule, x.Unknown, len(x.Trace))
		}
	}
}

func TestTheRuleThatCameNearSaysWhereItStopped(t *testing.T) {
	v := call("transfer", nil, "tools:payments.transfer")
	s := scene{call: &v, files: map[string]string{"tools/default.rego": "package policy.tools.default\n\nallow if {\n\tinput.tool.name == \"transfer\"\n\tsome g in input.subject.groups\n\tg == \"treasury\"\n}\n\nallow if input.client.trusted\n"}}
	_, record := s.decide(t)
	x := s.explain(t, record)
	if len(x.Changes) != 1 || len(x.Changes[0].Near) != 2 {
		t.Fatalf("%+v", x.Changes)
	}
	for i, want := range []string{`tools/default.rego:6: g == "treasury"`, `tools/default.rego:9: input.client.trusted`} {
		if got := x.Changes[0].Near[i].Stopped; got != want {
			t.Errorf("stopped at %s, want %s", got, want)
		}
	}
}

func TestWhatIsGoneIsNotGuessed(t *testing.T) {
	v := call("transfer", nil)
	s := scene{call: &v}
	_, record := s.decide(t)
	ask := func(q ExplainRequest) *Explanation {
		t.Helper()
		x, err := Explain(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := ask(ExplainRequest{Record: record, Trace: true}); !unknown(x, "no longer kept") || x.Trace != nil || len(x.Changes) != 1 || x.Changes[0].Kind != ChangeScopes {
		t.Errorf("the policies are gone: %+v", x)
	}
	damaged := s.policies
	damaged.Document = damaged.Document[:50]
	if x := ask(ExplainRequest{Record: record, Policies: &damaged}); !unknown(x, "damaged") || len(x.Changes) != 1 {
		t.Errorf("the policies are damaged: %+v", x)
	}
	denied := oauth.Event{Type: oauth.EventDecision, Outcome: oauth.OutcomeDenied, Reason: "payments.limit", Rules: []string{"payments.limit"}}
	if x := ask(ExplainRequest{Event: &denied}); !unknown(x, "payments.limit") || len(x.Changes) > 0 {
		t.Errorf("the record is gone: %+v", x)
	}
	if x := ask(ExplainRequest{Record: record, Policies: &s.policies, Event: &oauth.Event{Type: oauth.EventDecision, Outcome: oauth.OutcomeDenied, Reason: "scope_not_available"}}); !unknown(x, "Why is not recorded") {
		t.Errorf("the probe is gone: %+v", x)
	}
	if _, err := Explain(t.Context(), ExplainRequest{Record: &oauth.DecisionRecord{Document: []byte(`{"v":2}`)}}); err == nil {
		t.Error("a record of another form was read")
	}
}

// TestACallerCannotForgeAMask: with the values recorded, something that looks like a digest is a value.
func TestACallerCannotForgeAMask(t *testing.T) {
	v := call("transfer", map[string]any{"x": map[string]any{"$masked": "string", "digest": "abc"}}, "tools:payments.transfer")
	s := scene{call: &v}
	_, record := s.decide(t)
	if x := s.explain(t, record); seen(x, "input.tool.arguments.x.digest") != `"abc"` {
		t.Errorf("%+v", x.Saw)
	}
}

// TestWhatWasRefusedAfterwards: the policies had nothing against it, and still somebody wants to know why.
func TestWhatWasRefusedAfterwards(t *testing.T) {
	h := newHistory(t, RecordValues, nil)
	h.decide(t, call("get_weather", nil, "tools:weather.read"))
	for reason, want := range map[string]string{
		"usage_overtaken": "call again: the policies count calls of this tool",
		"another":         "It was refused afterwards, with the reason \"another\".",
	} {
		x, err := Explain(t.Context(), ExplainRequest{ID: "dec_0", Record: &h.records[0], Event: &oauth.Event{Type: oauth.EventDecision, Outcome: oauth.OutcomeDenied, Reason: reason}})
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join(x.Unknown, "\n")
		for _, c := range x.Changes {
			said += "\n" + c.Text
		}
		if x.Allowed || !strings.Contains(said, want) {
			t.Errorf("%s: %q", reason, said)
		}
	}
}

// TestARuleThatIsNamedForTheDeadline: a value of a wrong shape is no missed deadline, whatever the package is called.
func TestARuleThatIsNamedForTheDeadline(t *testing.T) {
	h := newHistory(t, RecordValues, map[string]string{"tools/deadline.rego": "package policy.tools.deadline\n\nttl_seconds := input.context.unix_time * -1\n"})
	h.decide(t, call("get_weather", nil, "tools:weather.read"))
	x, err := Explain(t.Context(), ExplainRequest{ID: "dec_0", Record: &h.records[0], Event: &oauth.Event{Type: oauth.EventDecision, Outcome: oauth.OutcomeDenied, Reason: codePolicyError}})
	if err != nil || len(x.Changes) != 1 || x.Changes[0].Kind != ChangePolicy || !strings.Contains(x.Changes[0].Text, "mend ttl_seconds of policy.tools.deadline: its value has a wrong shape (tools/deadline.rego:3)") {
		t.Errorf("%+v %v", x, err)
	}
}
