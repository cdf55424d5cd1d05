package tests

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// undecidable are rule bodies and rules of a package policy.tools.NAME that give no sound answer, each for a call of its own.
func undecidable() map[string]string {
	const a = "input.tool.arguments"
	return map[string]string{
		"G1 a conflict":                "ttl_seconds := 1\n\nttl_seconds := 2 if %s",
		"G1 text as allow":             "allow := " + a + ".day if %s",
		"G1 a number as denial":        "deny contains count(" + a + ") if %s",
		"G1 an empty denial":           "deny contains substring(" + a + ".day, 0, 0) if %s",
		"G1 null as denial":            "deny contains json.unmarshal(\"null\") if %s",
		"G1 a denial with more":        "deny contains object.union({\"code\": \"x\", \"message\": \"y\"}, {\"allow\": true}) if %s",
		"G1 an object as scope":        "required_scopes contains json.unmarshal(\"{}\") if %s",
		"G1 a lifetime below zero":     "ttl_seconds := 0 - 1 if %s",
		"G1 an obligation of no type":  "obligations contains object.union({\"id\": \"x\"}, {}) if %s",
		"G1 a login of no kind":        "require_authn contains object.union({\"acr_values\": []}, {}) if %s",
		"G1 more than fits an answer":  "obligations contains {\"id\": \"x\", \"type\": concat(\"\", [\"0123456789\" | some _ in numbers.range(1, 10000)])} if %s",
		"G1 an error in the rule":      "deny contains \"x\" if { %s; to_number(" + a + ".day) > 5 }",
		"G2 an error under a negation": "allow if { %s; not to_number(" + a + ".day) > 5 }",
		"G2 an error in a helper":      "_big if to_number(" + a + ".day) > 5\n\nallow if { %s; not _big }",
		"G2 an error under every":      "deny contains \"x\" if { %s; not _all }\n\n_all if every d in [" + a + ".day] { to_number(d) < 5 }",
		"G2 division by zero":          "deny contains \"x\" if { %s; 1 / count(\"\") > 5 }",
		"G4 loops":                     "deny contains \"x\" if { %s; count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i == j]) > 0 }",
		"G4 an endless range":          "deny contains \"x\" if { %s; count(numbers.range(1, 1000000000)) > 0 }",
		"G4 a whole network":           "deny contains \"x\" if { %s; count(net.cidr_expand(\"10.0.0.0/8\")) > 0 }",
		"G4 walking again and again":   "deny contains \"x\" if { %s; count([x | some i in numbers.range(1, 100000000); walk(input, x); i > 0]) > 0 }",
	}
}

// G1, G2, G4: a rule that cannot decide denies, beside an allow of the shipped default; the caller learns no more than that; the metric
// counts it; and all the time other calls are decided.
func TestAPolicyThatCannotDecideDenies(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	s.editConfig(func(text string) string { return strings.Replace(text, "deadline: 5s", "deadline: 2s", 1) })
	cases := undecidable()
	for i, name := range slices.Sorted(maps.Keys(cases)) {
		condition := fmt.Sprintf("input.tool.arguments.day == %q", name)
		s.writePolicy(fmt.Sprintf("tools/case_%d.rego", i), fmt.Sprintf("package policy.tools.case_%d\n\n%s\n", i, fmt.Sprintf(cases[name], condition)))
	}
	s.run()
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	for name := range cases {
		t.Run(name, func(t *testing.T) {
			quoted := fmt.Sprintf("{\"day\":%q}", name)
			a := b.as(t).decide(token, "calendar_list", quoted).wantDecision(false, "policy_error")
			if a.json("context.challenge") != nil || strings.Contains(a.body, ".rego") || strings.Contains(a.body, "to_number") || strings.Contains(a.body, "eval_") {
				t.Errorf("the answer tells about the rule: %s", a.body)
			}
			b.as(t).decide(token, "calendar_list", `{"day":"monday"}`).wantDecision(true, "allowed")
		})
	}
	count := regexp.MustCompile(`portcullis_decisions_total\{outcome="denied",reason="policy_error"\} (\d+)`).FindStringSubmatch(b.get(s.admin + "/metrics").want(200).body)
	if count == nil || count[1] != fmt.Sprint(len(cases)) {
		t.Errorf("the metric says %v, want %d", count, len(cases))
	}
	if got := s.auditTypes()["decision denied"]; got != len(cases) {
		t.Errorf("the audit has %d denials, want %d", got, len(cases))
	}
}

// G1: with nothing loaded nothing is allowed: no call, no scope.
func TestWithoutPoliciesNothingIsAllowed(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	token := s.browser(t).tokens(ask()).text("access_token")
	s.stop()
	s.editConfig(func(text string) string {
		text = strings.Replace(text, "policy: {deadline: 5s}", "policy: {deadline: 5s, defaults: none}", 1)
		return regexp.MustCompile(`(?m)^policies:.*$`).ReplaceAllString(text, `policies: ""`)
	})
	s.run()
	b := s.browser(t)
	b.decide(token, "calendar_list", `{}`).wantDecision(false, "not_allowed")
	b.evaluate(`{"subject":{"type":"user","id":"x"},"action":{"name":"read"},"resource":{"type":"doc","id":"1"}}`).wantDecision(false, "not_allowed")
	q := ask()
	page, path := b.begin(q)
	wantRedirectError(t, s, b.login(page, path, "alice").want(303).location(), q, "invalid_scope")
}

// G1: a scope policy that cannot decide refuses at every stage, spends nothing, and the same code and refresh token work when it is mended.
func TestAScopePolicyThatCannotDecideRefuses(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"a conflict":     "refresh := true\n\nrefresh := false if input.stage == %q",
		"an error":       "deny contains \"x\" if { input.stage == %q; to_number(input.subject.username) > 5 }",
		"under negation": "grant contains \"office:payroll.read\" if { input.stage == %q; not to_number(input.subject.username) > 5 }",
		"a wrong shape":  "deny_scope contains {\"scope\": input.stage} if input.stage == %q",
		"a lifetime":     "token_ttl_seconds := 1 - 1 if input.stage == %q",
	} {
		t.Run("G1 "+name, func(t *testing.T) {
			t.Parallel()
			s := start(t, "main.yaml", nil)
			b := s.browser(t)
			q := ask()
			first := b.tokens(q)
			code := b.code(q)
			for stage, fails := range map[string]func() *answer{
				"token": func() *answer {
					return b.post("/token", q.redemption(code)).wantError(503, "temporarily_unavailable")
				},
				"refresh": func() *answer {
					return b.refresh("cli", first.text("refresh_token")).wantError(503, "temporarily_unavailable")
				},
				"authorize": func() *answer {
					page, _ := b.begin(q)
					return page.wantPageError(503, "temporarily_unavailable")
				},
			} {
				s.reloadWith("scopes/broken.rego", "package policy.scopes.broken\n\n"+fmt.Sprintf(rule, stage)+"\n")
				if a := fails(); strings.Contains(a.body, "broken") || strings.Contains(a.body, "to_number") || a.header.Get("Location") != "" {
					t.Errorf("%s: the answer tells about the rule: %s", stage, a.body)
				}
			}
			s.reloadWith("scopes/broken.rego", "package policy.scopes.broken\n")
			b.post("/token", q.redemption(code)).want(200)
			b.refresh("cli", first.text("refresh_token")).want(200)
		})
	}
}

// reloadWith puts a file of policies in force.
func (s *server) reloadWith(name, text string) {
	s.t.Helper()
	before := s.auditTypes()["policy.activated ok"]
	s.writePolicy(name, text)
	waitFor(s.t, "the new rule", func() bool { return s.auditTypes()["policy.activated ok"] > before })
}

// G13: a policy widens nothing: not beyond what was asked, what the client may have or what was consented to; and no rule of it
// reaches the claims of a token.
func TestAPolicyCannotWiden(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	narrow := b.tokens(ask())
	s.reloadWith("scopes/greedy.rego", `package policy.scopes.greedy

grant contains scope if some scope in ["office:payroll.read", "office:crm.write", "office:*", "*", "notes:pages.read", "admin:all"]

token_ttl_seconds := 1000000
`)
	first := b.tokens(ask())
	for name, a := range map[string]*answer{"first": first, "refresh": b.refresh("cli", first.text("refresh_token")).want(200), "from before": b.refresh("cli", narrow.text("refresh_token")).want(200)} {
		if got := withoutOffline(a.text("scope")); got != scopeCalendar {
			t.Errorf("G13 %s: scope %q", name, got)
		}
		if a.text("expires_in") != "600" {
			t.Errorf("G13 %s: lifetime %s, want the configured one", name, a.text("expires_in"))
		}
		_, claims := claimsOf(t, a.text("access_token"))
		names := slices.Sorted(maps.Keys(claims))
		want := []string{"acr", "amr", "aud", "auth_time", "client_id", "exp", "family_id", "grant_id", "gty", "iat", "iss", "jti", "scope", "sub"}
		if !slices.Equal(names, want) || claims["iss"] != s.issuer || claims["aud"] != office || claims["client_id"] != "cli" {
			t.Errorf("G13 %s: claims %v", name, claims)
		}
		b.decide(a.text("access_token"), "salaries", `{}`).wantDecision(false, "scope_not_available")
	}
	for _, rule := range []string{"claims := {\"sub\": \"root\"}", "iss := \"https://evil.example\"", "aud contains \"x\"", "sub := \"root\"", "exp := 9999999999", "subject := {\"id\": \"root\"}", "scope := \"*\"", "client_id := \"web\""} {
		for _, kind := range []string{"scopes", "tools", "clients", "access"} {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "x.rego"), "package policy."+kind+".x\n\n"+rule+"\n")
			if out, errs, got := runProgram(t, "", "policy", "check", dir); got != 2 || !strings.Contains(out+errs, "would be ignored") {
				t.Errorf("G13 policy.%s with %s: exit %d %s%s", kind, rule, got, out, errs)
			}
		}
	}
}
