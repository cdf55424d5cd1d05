package policies

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// slip is a policy that an author meant otherwise: it loads, and lets calls through.
type slip struct{ name, policy, want string }

func trySlips(t *testing.T, found func(CheckReport) []Problem, slips []slip) {
	t.Helper()
	for _, s := range slips {
		t.Run(s.name, func(t *testing.T) {
			config := "withheld: [\"bank:pya\"]\nlimits: {tranfser: 5, pay: 6}\nmost: \"100\"\nby_tool: {transfer: \"7\"}\nleast: 1\n"
			got := problemTexts(found(checked(t, map[string]string{"a.rego": s.policy + "\n", "config.yaml": config})))
			if s.want == "" && got != "" || !strings.Contains(got, s.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, s.want)
			}
		})
	}
}

func errorsIn(r CheckReport) []Problem { return r.Problems }

func warningsIn(r CheckReport) []Problem { return r.Warnings }

func TestScopesOfTheConfigurationAreLookedUp(t *testing.T) {
	const scopes = "package policy.scopes.a\n\n"
	trySlips(t, errorsIn, []slip{
		{"withheld", scopes + "deny_scope contains {\"scope\": s, \"code\": \"c\", \"message\": \"m\"} if some s in data.config.withheld", "config.yaml:1:12: no registered server has the scope \"bank:pya\" (did you mean \"bank:pay\"?)"},
		{"granted", scopes + "grant contains s if some s in data.config.withheld", "no registered server has the scope \"bank:pya\""},
		{"a ceiling", "package policy.clients.a\n\nscope_ceiling := data.config.withheld", "no registered server has the scope \"bank:pya\""},
	})
}

func TestMembersAreLookedUp(t *testing.T) {
	const scopes = "package policy.scopes.a\n\n"
	trySlips(t, errorsIn, []slip{
		{"any", scopes + "deny contains \"no\" if input.requested.scopes[_] == \"bank:pya\"", "no registered server has the scope \"bank:pya\""},
		{"some", scopes + "deny contains \"no\" if {\n\tsome s in input.requested.scopes\n\ts == \"bank:pya\"\n}", "no registered server has the scope \"bank:pya\""},
		{"one that there is", scopes + "deny contains \"no\" if {\n\tsome s in input.requested.scopes\n\ts == \"bank:pay\"\n}", ""},
	})
}

// TestFieldsInObjectGet: the compiler types references, not the keys of object.get, so a misspelled one is always the default.
func TestFieldsInObjectGet(t *testing.T) {
	trySlips(t, errorsIn, []slip{
		{"a key", payments + "deny contains \"no\" if object.get(input.tool, \"nmae\", \"\") == \"transfer\"", "a.rego:3:46: input.tool has no field nmae (did you mean name?)\n\tdeny contains \"no\" if object.get(input.tool, \"nmae\", \"\") == \"transfer\"\n\t                                             ^\n\twant one of: annotations"},
		{"a path", payments + "deny contains \"no\" if object.get(input, [\"tool\", \"nmae\"], \"\") == \"transfer\"", "input.tool has no field nmae (did you mean name?)"},
		{"at the top", payments + "deny contains \"no\" if object.get(input, \"tol\", {}) == {}", "input has no field tol (did you mean tool?)"},
		{"an argument by a path", payments + "deny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tobject.get(input, [\"tool\", \"arguments\", \"amuont\"], 0) > 5\n}", "input.tool.arguments.amuont: "},
		{"another question's", "package policy.scopes.a\n\ndeny contains \"no\" if object.get(input, [\"tool\", \"name\"], \"\") == \"transfer\"", "input has no field tool"},
		{"one that there is", payments + "deny contains \"no\" if object.get(input.client, \"host\", \"\") == \"evil.example\"", ""},
		{"one of somebody else", payments + "deny contains \"no\" if object.get(input.subject.properties, \"desk\", \"\") == \"x\"", ""},
		{"in a library", "package lib.own\n\nx := object.get(input, [\"requested\", \"scopes\"], [])", ""},
	})
}

// TestComparingNumbersWithTexts: every number is below every text, so the one is always true and the other never.
func TestComparingNumbersWithTexts(t *testing.T) {
	const about = payments + "deny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tinput.resource.server == \"bank\"\n\t"
	trySlips(t, errorsIn, []slip{
		{"an argument", about + "input.tool.arguments.amount > \"100\"\n}", "a.rego:6:32: input.tool.arguments.amount is a number and \"100\" a text"},
		{"on the left", about + "\"100\" <= input.tool.arguments.amount\n}", "input.tool.arguments.amount is a number"},
		{"a field", payments + "deny contains \"no\" if input.context.unix_time >= \"2026\"", "input.context.unix_time is a number"},
		{"a text and a number", payments + "deny contains \"no\" if input.context.time > 5", "input.context.time is a text and 5 a number"},
		{"a text of the configuration", about + "input.tool.arguments.amount > data.config.most\n}", "a.rego:6:32: input.tool.arguments.amount is a number and data.config.most a text; every number is below every text, so write the value without quotes (config.yaml:3)"},
		{"by another name", about + "not _small\n}\n\n_most := data.config.most\n\n_small if input.tool.arguments.amount <= _most", "a.rego:11:42: input.tool.arguments.amount is a number and _most a text"},
		{"of a table", about + "input.tool.arguments.amount > data.config.by_tool[input.tool.name]\n}", "(config.yaml:4)"},
		{"a number of the configuration", about + "input.tool.arguments.amount > data.config.least\n}", ""},
		{"a field and a number of the configuration", payments + "deny contains \"no\" if input.context.time > data.config.least", "input.context.time is a text and data.config.least a number"},
		{"two numbers", about + "input.tool.arguments.amount > 100\n}", ""},
		{"two texts", payments + "deny contains \"no\" if input.context.time > \"2026\"", ""},
	})
}

// TestEntriesThatCannotBeMade: what a deny rule says has no value when a part of it has none, and then nothing is denied.
func TestEntriesThatCannotBeMade(t *testing.T) {
	const (
		about  = " if {\n\tinput.tool.name == \"transfer\"\n\tinput.resource.server == \"bank\"\n}"
		silent = " may be absent, and then deny has nothing to say and denies nothing"
		text   = "deny contains {\"code\": \"a\", \"message\": _m}" + about + "\n\n"
	)
	trySlips(t, warningsIn, []slip{
		{"a message", payments + "deny contains {\"code\": \"a\", \"message\": sprintf(\"%v\", [input.tool.arguments.note])}" + about, "a.rego:3:55: input.tool.arguments.note" + silent},
		{"a text", payments + "deny contains input.client.host" + about, "a.rego:3:15: input.client.host" + silent},
		{"by another name", payments + "deny contains who if {\n\twho := input.subject.username\n\tinput.tool.name == \"transfer\"\n}", "input.subject.username" + silent},
		{"in a rule of its own", payments + text + "_m := sprintf(\"%v\", [input.token.auth_time])", "a.rego:8:22: input.token.auth_time" + silent},
		{"a table", payments + text + "_m := data.config.limits[input.tool.name]", "a.rego:8:7: data.config.limits[input.tool.name] may lead nowhere, and then deny has nothing to say"},
		{"a scope", "package policy.scopes.a\n\ndeny_scope contains {\"scope\": \"bank:pay\", \"code\": \"a\", \"message\": input.client.host} if input.stage == \"token\"", "input.client.host may be absent, and then deny_scope has nothing to say"},
		{"one that is always there", payments + "deny contains input.subject.id" + about, ""},
		{"with a default", payments + "deny contains object.get(input.client, \"host\", \"?\")" + about, ""},
		{"a rule with a default", payments + text + "default _m := \"m\"\n\n_m := input.client.host", ""},
		{"one that the rule is about", payments + "deny contains input.client.host if endswith(input.client.host, \".example\")", ""},
		{"a row that the rule is about", payments + "deny contains data.config.limits[input.tool.name] if data.config.limits[input.tool.name] == 6", ""},
		{"one that a rule needs", payments + "deny contains input.client.host if _known\n\n_known if input.client.host in {\"a.example\"}", ""},
		{"a list", payments + "deny contains concat(\",\", [r | r := input.token.amr[_]])" + about, ""},
	})
}

func TestMethodsThatThereAreNot(t *testing.T) {
	trySlips(t, errorsIn, []slip{
		{"one", payments + "deny contains \"no\" if input.mcp.method == \"tool/call\"", "a.rego:3:43: MCP has no method \"tool/call\" (did you mean \"tools/call\"?)"},
		{"of a set", payments + "deny contains \"no\" if input.mcp.method in {\"tools/call\", \"resource/read\"}", "MCP has no method \"resource/read\" (did you mean \"resources/read\"?)"},
		{"by the action", payments + "deny contains \"no\" if input.action.name == \"tool/call\"", "a.rego:3:44: MCP has no method \"tool/call\""},
		{"an action of another question", "package policy.access.a\n\nallow if input.action.name == \"tool/call\"", ""},
	})
	trySlips(t, warningsIn, []slip{
		{"one of somebody's own", payments + "deny contains \"no\" if input.mcp.method == \"bank/close\"", "a.rego:3:43: MCP has no method \"bank/close\"; policies see it only if a server sends it"},
		{"one that there is", payments + "deny contains \"no\" if input.mcp.method == \"resources/read\"", ""},
		{"a notification", payments + "deny contains \"no\" if input.mcp.method == \"notifications/cancelled\"", ""},
	})
}

// TestTrialsThatAreNone: the author wants to try a package, and nobody reads what says so.
func TestTrialsThatAreNone(t *testing.T) {
	const rule = "package policy.tools.a\n\nallow if input.tool.name == \"transfer\""
	trySlips(t, errorsIn, []slip{
		{"without custom", "# METADATA\n# mode: log_only\n" + rule, "a.rego:2:1: this mode is not read, and the package is enforced"},
		{"without METADATA", "# custom:\n#   mode: log_only\n" + rule, "a.rego:2:1: this mode is not read"},
		{"misspelled METADATA", "# METDATA\n# custom: {mode: log_only}\n" + rule, "a.rego:2:1: this mode is not read"},
		{"in its place", "# METADATA\n# custom:\n#   mode: log_only\n" + rule, ""},
		{"in prose", "# Without mode: log_only this is enforced.\n" + rule, ""},
	})
}

func TestMalformedConstants(t *testing.T) {
	const scopes = "package policy.scopes.a\n\n"
	trySlips(t, errorsIn, []slip{
		{"a reason", payments + "deny contains {\"cod\": \"a\", \"message\": \"b\"} if input.tool.name == \"transfer\"", "rule deny holds {\"cod\": \"a\", \"message\": \"b\"}, which is no {code, message}"},
		{"a requirement", payments + "require_authn contains {\"maxage\": 5}", "rule require_authn holds {\"maxage\": 5}, which is no {acr_values, max_age}"},
		{"a list that is a text", scopes + "require_authn contains {\"acr_values\": \"mfa\"}", "which is no {acr_values, max_age}"},
		{"an age that is a text", payments + "require_authn contains {\"max_age\": \"5\"}", "which is no {acr_values, max_age}"},
		{"a withheld scope", scopes + "deny_scope contains {\"scope\": \"bank:pay\", \"message\": \"m\"}", "which is no {scope, code, message}"},
		{"less than no time", payments + "ttl_seconds := -3", "rule ttl_seconds is -3, no whole number from 0 up to ten years"},
		{"half a second", payments + "ttl_seconds := 0.5", "rule ttl_seconds is 0.5, no whole number"},
		{"no time for a token", scopes + "token_ttl_seconds := 0", "rule token_ttl_seconds is 0, no whole number from 1"},
		{"no time to reuse an answer", payments + "ttl_seconds := 0", ""},
		{"an obligation", payments + "obligations contains {\"typ\": \"x\", \"id\": \"y\"}", "which is no {id, type, properties}"},
		{"computed", payments + "deny contains {\"code\": \"a\", \"message\": sprintf(\"%v\", [1])}", ""},
		{"right", payments + "require_authn contains {\"max_age\": 300, \"acr_values\": [\"mfa\"]}", ""},
	})
}

// TestNamesOfRulesAreSuggested: who misspells a helper is told the one that is meant.
func TestNamesOfRulesAreSuggested(t *testing.T) {
	const mcp = "package policy.tools.a\n\nimport data.lib.mcp\n\n"
	trySlips(t, errorsIn, []slip{
		{"a package", "package policy.tools.a\n\nimport data.lib.mpc\n\ndeny contains \"no\" if not mpc.is_person", "a.rego:5:27: data.lib.mpc leads nowhere; there is no such package or rule (did you mean mcp?)"},
		{"a rule", mcp + "deny contains \"no\" if not mcp.is_persn", "data.lib.mcp.is_persn leads nowhere; there is no such package or rule (did you mean is_person?)"},
		{"a function", mcp + "deny contains \"no\" if not mcp.in_gruop(\"a\")", "undefined function data.lib.mcp.in_gruop (did you mean in_group?)"},
		{"nothing like it", mcp + "deny contains \"no\" if mcp.whatever(1)", "undefined function data.lib.mcp.whatever\n"},
	})
}

func TestHelpersThatNobodyAsksFor(t *testing.T) {
	trySlips(t, warningsIn, []slip{
		{"a deny", payments + "_deny contains \"no\" if input.tool.name == \"pay\"", "a.rego:3:1: nobody asks for _deny, so it does nothing"},
		{"one of two bodies asks for the other", payments + "_a(x) := x\n\n_a(x) := _a(x) if x == 5", "nobody asks for _a"},
		{"one that is asked for", payments + "deny contains \"no\" if _pays\n\n_pays if input.tool.name == \"pay\"", ""},
		{"with a mock", payments + "deny contains \"no\" if _pays with input.tool.name as \"pay\"\n\n_pays if input.tool.name == \"pay\"", ""},
	})
	tested := map[string]string{
		"a.rego":      payments + "_pays if input.tool.name == \"pay\"\n",
		"a_test.rego": "package policy.tools.payments_test\n\nimport data.policy.tools.payments\n\ntest_a if not payments._pays with input.tool.name as \"x\"\n",
	}
	if got := problemTexts(checked(t, tested).Warnings); got != "" {
		t.Errorf("a helper that only a test asks for: %s", got)
	}
}

// TestMembersOfDecisions: a test that says "not" of a member that no decision has would pass whatever the rules say.
func TestMembersOfDecisions(t *testing.T) {
	const test = "package policy.tools.a_test\n\nimport data.lib.mcp.testing\nimport data.mcp.authz.tools\n\ntest_a if "
	report := checked(t, map[string]string{"a_test.rego": test + "not tools.decision.allowed with input as testing.tool_call({\"name\": \"pay\"})\n"})
	if got := problemTexts(report.Problems); !strings.Contains(got, "a_test.rego:6:15: undefined ref: data.mcp.authz.tools.decision.allowed") || !strings.Contains(got, "want (one of): [\"allow\"") {
		t.Error(got)
	}
}

// TestEveryFileSaysTheMode: rules of a file that says nothing would be switched off by another file.
func TestEveryFileSaysTheMode(t *testing.T) {
	report := checked(t, map[string]string{
		"a.rego": "# METADATA\n# custom:\n#   mode: log_only\npackage policy.tools.a\n\ndeny contains \"a\"\n",
		"b.rego": "package policy.tools.a\n\ndeny contains \"b\"\n",
	})
	if got := problemTexts(report.Problems); !strings.Contains(got, "b.rego:1:1: another file of package policy.tools.a has mode log_only") {
		t.Error(got)
	}
}

// TestMethodsOfTheDefault: what the shipped default allows is no unknown method, and the other way round.
func TestMethodsOfTheDefault(t *testing.T) {
	text, err := embedded.ReadFile("rego/policy/tools/default.rego")
	if err != nil {
		t.Fatal(err)
	}
	_, set, _ := strings.Cut(string(text), "_methods := {")
	set, _, _ = strings.Cut(set, "}")
	want := []string{"tools/call"}
	for line := range strings.SplitSeq(strings.TrimSpace(set), "\n") {
		want = append(want, strings.Trim(strings.TrimSpace(line), "\","))
	}
	if got := mcpMethods(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestTheServerSaysWarnings: not everybody checks a folder before saving it.
func TestTheServerSaysWarnings(t *testing.T) {
	var out bytes.Buffer
	dir := dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.name == \"other\"\n"})
	if _, err := New(context.Background(), Config{Dir: dir, Defaults: true, Catalogue: twoServers(t), Log: slog.New(slog.NewTextHandler(&out, nil))}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "a.rego:3:42: no registered server has a tool") {
		t.Error(got)
	}
}
