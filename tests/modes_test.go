package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// figure reads one line of the metrics; 0 if it is not there.
func (s *server) figure(name string) int {
	s.t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\d+)$`).FindStringSubmatch(s.program(s.t).get(s.admin + "/metrics").want(200).body)
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// withShadow writes a copy of the policies as the shadow, with changed files, and names it in the configuration.
func (s *server) withShadow(files map[string]string) (dir string) {
	s.t.Helper()
	dir = filepath.Join(s.dir, "shadow")
	copyTree(s.t, "testdata/policies", dir)
	for name, text := range files {
		writeFile(s.t, filepath.Join(dir, "policy/tools", name), text)
	}
	s.editConfig(func(text string) string { return text + "\npolicies_shadow: " + dir + "\n" })
	return dir
}

// shadow is a member of what /readyz tells of the shadow. What is wrong with it only policy status says.
func (s *server) shadow(member string) string {
	s.t.Helper()
	return s.program(s.t).get(s.admin + "/readyz").want(200).text("policies.shadow." + member)
}

const shadowDenied = `portcullis_policy_would_flip_total{kind="tools",mode="shadow",package="",would_be="denied"}`

// TestAShadowTellsWhatItWouldAnswer: answers are those of the policies in force; the flips stand in metrics and audit; a shadow that is broken or
// gone stops nothing.
func TestAShadowTellsWhatItWouldAnswer(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	limit, err := os.ReadFile("testdata/policies/policy/tools/limit.rego")
	if err != nil {
		t.Fatal(err)
	}
	strict := strings.Replace(string(limit), "amount <= 1000", "amount <= 5", 1)
	dir := s.withShadow(map[string]string{"limit.rego": strict})
	s.run()
	waitFor(t, "the shadow", func() bool { return s.shadow("revision") != "" })
	token := s.browser(t).tokens(ask(by("carol"), scopes(scopeTransfer))).text("access_token")
	b := s.program(t)
	for range 3 {
		a := b.decide(token, "transfer", `{"amount":50}`).wantDecision(true, "allowed")
		if strings.Contains(a.body, "would_flip") || a.text("context.policy_revision") == s.shadow("revision") {
			t.Errorf("the shadow is in the answer: %s", a.body)
		}
	}
	b.decide(token, "transfer", `{"amount":5000}`).wantDecision(false, "limit_exceeded")
	waitFor(t, "the flips", func() bool { return s.figure(shadowDenied) == 3 })
	row := ""
	waitFor(t, "the row", func() bool {
		out, _, _ := s.command("audit", "tail")
		row = regexp.MustCompile(`(?m)^.*policy\.shadow_flip.*$`).FindString(out)
		return row != ""
	})
	for _, part := range []string{"allowed", "would_be_denied", "client=cli", "tool=transfer", "rules=limit.deny"} {
		if !strings.Contains(row, part) {
			t.Errorf("the row lacks %s: %s", part, row)
		}
	}
	s.wantBrokenShadowStopsNothing(token, filepath.Join(dir, "policy/tools/limit.rego"), strict)
	if out, errs, code := s.command("audit", "verify"); code != 0 {
		t.Errorf("exit %d %s%s", code, out, errs)
	}
}

func (s *server) wantBrokenShadowStopsNothing(token, file, strict string) {
	t, b, before := s.t, s.program(s.t), s.shadow("revision")
	writeFile(t, file, "package policy.tools.limit\n\ndenny contains \"x\" if true\n")
	waitFor(t, "the fault", func() bool { return s.shadow("stale") == "true" })
	if s.shadow("revision") != before || s.shadow("error") != "" {
		t.Errorf("/readyz tells %q of %q", s.shadow("error"), s.shadow("revision"))
	}
	out, _, code := s.command("policy", "status")
	if code != 0 || !strings.Contains(out, "shadow    "+before) || !strings.Contains(out, "denny") || !strings.Contains(out, "limit.rego:3") {
		t.Errorf("exit %d %s", code, out)
	}
	b.decide(token, "transfer", `{"amount":51}`).wantDecision(true, "allowed")
	writeFile(t, file, strings.Replace(strict, "amount <= 5", "amount <= 60", 1))
	waitFor(t, "the mended shadow", func() bool { return s.shadow("stale") == "false" && s.shadow("revision") != before })
	compared := s.figure(`portcullis_policy_shadow_total{outcome="evaluated"}`)
	flips := s.figure(shadowDenied)
	b.decide(token, "transfer", `{"amount":52}`).wantDecision(true, "allowed")
	waitFor(t, "the comparison", func() bool { return s.figure(`portcullis_policy_shadow_total{outcome="evaluated"}`) > compared })
	if got := s.figure(shadowDenied); got != flips {
		t.Errorf("%d flips, then %d, although both allow", flips, got)
	}
}

// TestAShadowThatIsMissingMayComeLater: the server starts without it, and sees it when it comes.
func TestAShadowThatIsMissingMayComeLater(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	dir := filepath.Join(s.dir, "later")
	s.editConfig(func(text string) string { return text + "\npolicies_shadow: " + dir + "\n" })
	s.run()
	waitFor(t, "the complaint", func() bool {
		out, _, _ := s.command("policy", "status", "-o", "json")
		return strings.Contains(out, `"shadow":{"revision":"","stale":true,"error":"`) && strings.Contains(out, "later")
	})
	copyTree(t, "testdata/policies", dir)
	waitFor(t, "the shadow", func() bool { return s.shadow("revision") != "" && s.shadow("stale") == "false" })
}

// TestAnEndlessShadowSlowsNoAnswer: while the shadow is still busy with the first questions, all have their answers. If an answer waited for it, as
// many would be evaluated as are answered. It ends with the server.
func TestAnEndlessShadowSlowsNoAnswer(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	s.withShadow(map[string]string{"loop.rego": `package policy.tools.loop

deny contains "x" if {
	input.tool.name == "transfer"
	some a in numbers.range(1, 9000)
	some b in numbers.range(1, 9000)
	some c in numbers.range(1, 9000)
	a + b + c == 0
}
`})
	s.run()
	waitFor(t, "the shadow", func() bool { return s.shadow("revision") != "" })
	token := s.browser(t).tokens(ask(by("carol"), scopes(scopeTransfer))).text("access_token")
	before := s.figure(`portcullis_policy_shadow_total{outcome="evaluated"}`)
	b := s.program(t)
	const all = 30
	for i := range all {
		b.decide(token, "transfer", fmt.Sprintf(`{"amount":%d}`, i+1)).wantDecision(true, "allowed")
	}
	if n := s.figure(`portcullis_policy_shadow_total{outcome="evaluated"}`) - before; n > all/2 {
		t.Errorf("the shadow has finished %d of %d", n, all)
	}
	s.stop()
}

// TestLogOnlyPackagesTellWhatTheyWouldAnswer: in the decision, in the audit rows of calls and of tokens, in explain and in the metrics.
func TestLogOnlyPackagesTellWhatTheyWouldAnswer(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	trial := "# METADATA\n# custom:\n#   mode: log_only\npackage policy."
	s.writePolicy("tools/trial.rego", trial+"tools.trial\n\ndeny contains \"too much\" if input.tool.arguments.amount > 5\n")
	s.writePolicy("scopes/trial.rego", trial+"scopes.trial\n\ndeny contains \"not her\" if input.subject.username == \"carol\"\n")
	s.run()
	token := s.browser(t).tokens(ask(by("carol"), scopes(scopeTransfer))).text("access_token")
	b := s.program(t)
	a := b.decide(token, "transfer", `{"amount":50}`).wantDecision(true, "allowed")
	if !strings.Contains(a.body, `"would_flip":[{"package":"policy.tools.trial","would_be":"denied"}]`) {
		t.Errorf("%s", a.body)
	}
	if other := b.decide(token, "transfer", `{"amount":3}`).wantDecision(true, "allowed"); strings.Contains(other.body, "would_flip") {
		t.Errorf("%s", other.body)
	}
	out, errs, code := s.command("audit", "export")
	for _, kind := range []string{"decision", "token.issued", "consent"} {
		row := regexp.MustCompile(`(?m)^.*"type":"` + kind + `".*"would_flip":"policy\.(tools|scopes)\.trial denied[^"]*".*$`).FindString(out)
		if code != 0 || row == "" {
			t.Errorf("exit %d, no row of %s tells: %s%s", code, kind, out, errs)
		}
	}
	if out, errs, code := s.command("policy", "explain", a.text("context.evaluation_id")); code != 0 || !strings.Contains(out, "Not combined (log_only):") || !strings.Contains(out, "trial.rego:6") {
		t.Errorf("exit %d %s%s", code, out, errs)
	}
	if n := s.figure(`portcullis_policy_would_flip_total{kind="tools",mode="log_only",package="policy.tools.trial",would_be="denied"}`); n != 1 {
		t.Errorf("counted %d", n)
	}
}
