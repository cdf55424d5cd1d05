package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// officeTools is what a tools/list of the office server may show to the token.
func (b *browser) officeTools(token string) []any {
	b.t.Helper()
	a := b.evaluate(`{"action":{"name":"tools/list"},"resource":{"type":"mcp_server","id":"http://127.0.0.1:3001/mcp"},"context":{"access_token":"`+token+`"}}`).wantDecision(true, "allowed")
	names, _ := a.json("context.tools").([]any)
	return names
}

// A tool of the catalogue changes so that a rule about it no longer fits: that tool is denied, with a reason for everybody who asks, and everything else is served by
// the same rules, also after a restart, until rule and tool fit again.
func TestAChangedToolIsDeniedUntilItsRuleFits(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	token := b.tokens(ask(by("carol"), scopes(scopeTransfer+" office:calendar.read"))).text("access_token")
	b.decide(token, "transfer", `{"amount":5}`).wantDecision(true, "allowed")
	before := b.get(s.admin + "/readyz").want(200).text("policies.revision")
	change := func(old, new string) {
		t.Helper()
		s.stop()
		s.editConfig(func(text string) string { return strings.Replace(text, old, new, 1) })
		s.run()
	}
	const amount, sum = `{type: object, required: [amount], properties: {amount: {type: number}`, `{type: object, required: [sum], properties: {sum: {type: number}`
	change(amount, sum)
	for range 2 { // the second time it begins in that state
		denied := b.decide(token, "transfer", `{"sum":5}`).wantDecision(false, "catalogue_stale")
		if strings.Contains(denied.body, ".rego") || !strings.Contains(denied.text("context.reason_user"), "the operator must mend the policy") {
			t.Errorf("the caller is told %s", denied.body)
		}
		b.decide(token, "transfer", `{"amount":5}`).wantDecision(false, "arguments_invalid")
		b.decide(token, "calendar_list", `{}`).wantDecision(true, "allowed")
		if names := b.officeTools(token); !slices.Equal(names, []any{"calendar_list"}) {
			t.Errorf("the list has %v", names)
		}
		s.staleIsTold(b, denied.text("context.evaluation_id"))
		s.stop()
		s.run()
	}
	limit := filepath.Join(s.dir, "policies/policy/tools/limit.rego")
	text, err := os.ReadFile(limit)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, limit, strings.Replace(string(text), "arguments.amount", "arguments.sum", 1))
	waitFor(t, "the mended rule", func() bool { return b.decide(token, "transfer", `{"sum":5}`).json("decision") == true })
	b.decide(token, "transfer", `{"sum":1001}`).wantDecision(false, "limit_exceeded")
	if left := b.get(s.admin + "/readyz").json("policies.stale_tools"); left != nil {
		t.Errorf("/readyz still has %v", left)
	}
	change(sum, amount)
	b.decide(token, "transfer", `{"amount":5}`).wantDecision(false, "catalogue_stale")
	writeFile(t, limit, string(text))
	waitFor(t, "the old rule", func() bool { return b.decide(token, "transfer", `{"amount":5}`).json("decision") == true })
	if now := b.get(s.admin + "/readyz").text("policies.revision"); now != before {
		t.Errorf("rule and tool are as they were, and the revision is %s instead of %s", now, before)
	}
}

// staleIsTold looks at everything that tells an operator of the denied tool and the rule.
func (s *server) staleIsTold(b *browser, evaluation string) {
	t := s.t
	t.Helper()
	const place, tool = "policy/tools/limit.rego:11:", "office/transfer"
	if ready := b.get(s.admin + "/readyz").want(200); ready.text("policies.stale_tools.0.tool") != "transfer" && !strings.Contains(ready.body, `"stale_tools":[{"server":"office","tool":"transfer"}]`) || strings.Contains(ready.body, ".rego") {
		t.Errorf("/readyz says %s", ready.body)
	}
	if metrics := b.get(s.admin + "/metrics").want(200).body; !strings.Contains(metrics, "\nportcullis_policy_stale_tools 1\n") {
		t.Error("the metrics do not count it")
	}
	for _, told := range []struct {
		args []string
		want []string
	}{
		{[]string{"policy", "status"}, []string{"denied    " + tool, place}},
		{[]string{"policy", "explain", evaluation}, []string{"catalogue_stale", "the inputSchema of " + tool + " in the catalogue changed", place}},
		{[]string{"audit", "export"}, []string{`"stale_tools":"` + tool + ` (` + place, `"reason":"catalogue_stale"`, `"catalogue_stale.` + tool + `"`}},
	} {
		out, errs, code := s.command(told.args...)
		for _, want := range told.want {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%v: exit %d, %q is not in\n%.2000s%s", told.args, code, want, out, errs)
			}
		}
	}
	if log := s.log.String(); !strings.Contains(log, "tool denied: its entry in the catalogue has changed") || !strings.Contains(log, place) {
		t.Errorf("the log does not tell it:\n%.2000s", log)
	}
}

// At the first start there is no last generation, so rules that do not fit the catalogue are refused, as any others that do not load.
func TestRulesThatNeverFittedAToolAreRefused(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	s.editConfig(func(text string) string {
		return strings.Replace(text, `required: [amount], properties: {amount: `, `required: [sum], properties: {sum: `, 1)
	})
	_, errs, code := s.command("serve")
	if code != 78 || !strings.Contains(errs, "the tool transfer of office has no such argument") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
