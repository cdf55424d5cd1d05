package policies

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// TestValuesThatNeverCome: each is a load error, since a rule that compares with it would be silent.
func TestValuesThatNeverCome(t *testing.T) {
	const scopes, clients, lib = "package policy.scopes.a\n\n", "package policy.clients.a\n\n", "package lib.own\n\n"
	for _, tc := range []struct{ name, policy, want string }{
		{"a stage", scopes + "deny contains \"no\" if input.stage == \"tokn\"", "a.rego:3:38: input.stage is never \"tokn\" (did you mean \"token\"?)\n\tdeny contains \"no\" if input.stage == \"tokn\"\n\t                                     ^\n\twant one of: authorize, token, refresh, probe"},
		{"a stage that there is", scopes + "deny contains \"no\" if input.stage == \"token\"", ""},
		{"on the left", scopes + "deny contains \"no\" if \"tokn\" == input.stage", "is never"},
		{"unequal", scopes + "deny contains \"no\" if input.stage != \"tokn\"", "is never"},
		{"in a set", scopes + "deny contains \"no\" if input.stage in {\"token\", \"refersh\"}", "is never \"refersh\" (did you mean \"refresh\"?)"},
		{"in a named set", scopes + "_late := [\"refersh\"]\n\ndeny contains \"no\" if input.stage in _late", "a.rego:3:11: input.stage is never"},
		{"behind a variable", scopes + "deny contains \"no\" if {\n\ts := input.stage\n\ts == \"tokn\"\n}", "is never"},
		{"in an else", scopes + "_x if {\n\tinput.stage == \"token\"\n} else := false if {\n\tinput.stage == \"tokn\"\n}\n\ndeny contains \"no\" if _x", "a.rego:6:17: input.stage is never"},
		{"under not", scopes + "deny contains \"no\" if not input.stage == \"tokn\"", "is never"},
		{"a registration", clients + "allow if input.client.registration == \"cmd\"", "want one of: static, dcr, cimd"},
		{"a stage of clients", clients + "allow if input.stage == \"authorize\"", "want one of: register, url, document"},
		{"a subject", payments + "deny contains \"no\" if input.subject.type == \"person\"", "input.subject.type is never \"person\""},
		{"in a library, a stage of anybody", lib + "x if input.stage == \"document\"", ""},
		{"in a library", lib + "x if input.stage == \"docment\"", "is never"},
		{"in a comprehension", payments + "deny contains \"no\" if count([1 | input.client.registration == \"x\"]) == 1", "is never"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"a.rego": tc.policy + "\n"}
			if got := problemTexts(checked(t, files).Problems); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
			_, err := New(context.Background(), Config{Dir: dirWith(t, files), Defaults: true, Log: silent()})
			if (err != nil) != (tc.want != "") {
				t.Errorf("check and server do not agree: %v", err)
			}
		})
	}
}

// TestNamesThatTheCatalogueDoesNotKnow: a misspelled one is an error, as other misspellings are; one that resembles nothing is a
// warning, since the next server's catalogue may know it.
func TestNamesThatTheCatalogueDoesNotKnow(t *testing.T) {
	const scopes = "package policy.scopes.a\n\n"
	for _, tc := range []struct{ name, policy, wrong, warned string }{
		{"a tool", payments + "deny contains \"no\" if input.tool.name == \"tranfser\"", "a.rego:3:42: no registered server has a tool \"tranfser\" (did you mean \"transfer\"?)", ""},
		{"another tool", payments + "deny contains \"no\" if input.tool.name == \"other\"", "", "a.rego:3:42: no registered server has a tool \"other\""},
		{"a tool in a set", payments + "deny contains \"no\" if input.tool.name in {\"transfer\", \"other\"}", "", "no registered server has a tool \"other\""},
		{"a tool in the configuration", payments + "deny contains \"no\" if input.tool.name in data.config.tools", "", "config.yaml:1:19: no registered server has a tool \"gone\" (did you mean \"none\"?); a.rego:3 looks it up by input.tool.name"},
		{"a tool for a function", payments + "_is(name) if name == \"tranfser\"\n\ndeny contains \"no\" if _is(input.tool.name)", "a.rego:3:22: no registered server has a tool \"tranfser\"", ""},
		{"a server", payments + "deny contains \"no\" if input.resource.server == \"bnak\"", "no registered server has the name \"bnak\" (did you mean \"bank\"?)", ""},
		{"a server's identifier", payments + "deny contains \"no\" if input.resource.server_id == \"https://other.example\"", "", "no registered server has the name"},
		{"a needed scope", payments + "required_scopes contains \"bank:pya\"", "no registered server has the scope \"bank:pya\" (did you mean \"bank:pay\"?)", ""},
		{"another needed scope", payments + "required_scopes contains \"bank:close\"", "", "no registered server has the scope \"bank:close\""},
		{"a scope below a wildcard", payments + "required_scopes contains \"bank:read.accounts\"", "", ""},
		{"a wildcard above a scope", payments + "required_scopes contains \"shop:*\"", "", ""},
		{"a granted scope", scopes + "grant contains \"bank:pya\" if input.subject.type == \"user\"", "no registered server has the scope", ""},
		{"a granted scope out of several", scopes + "grant contains scope if some scope in [\"shop:order\", \"bank:pya\"]", "no registered server has the scope \"bank:pya\"", ""},
		{"a granted scope beside the one that it resembles", scopes + "grant contains scope if some scope in [\"bank:pay\", \"bank:pya\"]", "", "no registered server has the scope \"bank:pya\""},
		{"a withheld scope", scopes + "deny_scope contains {\"scope\": \"bank:pya\", \"code\": \"c\", \"message\": \"m\"}", "a.rego:3:31: no registered server has the scope", ""},
		{"a withheld scope out of several", scopes + "deny_scope contains {\"scope\": s, \"code\": \"c\", \"message\": \"m\"} if some s in {\"shop:order\", \"bank:pya\"}", "no registered server has the scope \"bank:pya\"", ""},
		{"consent", scopes + "require_consent contains \"bank:pya\"", "no registered server has the scope", ""},
		{"a ceiling", "package policy.clients.a\n\nscope_ceiling := [\"shop:order\", \"bank:pya\"]", "no registered server has the scope \"bank:pya\"", ""},
		{"a scope of the token", payments + "deny contains \"no\" if \"bank:pya\" in input.token.scopes", "no registered server has the scope", ""},
		{"a scope for a helper", payments + "import data.lib.mcp\n\ndeny contains \"no\" if not mcp.has_scope(\"bank:pya\")", "no registered server has the scope", ""},
		{"the protocol's own scope", scopes + "grant contains \"offline_access\"", "", ""},
		{"nothing wrong", payments + "deny contains \"no\" if {\n\tinput.tool.name == \"pay\"\n\tinput.resource.server == \"shop\"\n}", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"a.rego": tc.policy + "\n", "config.yaml": "tools: [transfer, gone]\n"}
			report := checked(t, files)
			for got, want := range map[string]string{problemTexts(report.Problems): tc.wrong, problemTexts(report.Warnings): tc.warned} {
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			}
			if report, err := Check(dirWith(t, files), CheckOptions{}); err != nil || len(report.Warnings)+len(report.Problems) > 0 {
				t.Error("without a catalogue:", problemTexts(report.Problems), problemTexts(report.Warnings), err)
			}
			if _, err := New(context.Background(), Config{Dir: dirWith(t, files), Defaults: true, Catalogue: twoServers(t), Log: silent()}); (err != nil) != (tc.wrong != "") {
				t.Error("check and server do not agree:", err)
			}
		})
	}
}

// helpersOfDeny are what conditions of TestDenyRulesThatAMissingValueSilences ask.
const helpersOfDeny = `
_small if input.tool.arguments.count <= 5

_large if input.tool.arguments.count > 5

_twice if _large

default _usual := false

_usual if input.tool.arguments.count > 5

_either if input.tool.arguments.count > 5

_either if input.tool.arguments.count < 0

_safe if input.tool.arguments.count > 5

_safe if not is_number(object.get(input.tool.arguments, "count", null))

default _strict := true

_strict := false if input.tool.arguments.count <= 5

_above(x) if x > 5

_many(x) if x.count > 5
`

// TestDenyRulesThatAMissingValueSilences; each row says what the evaluator does, too.
func TestDenyRulesThatAMissingValueSilences(t *testing.T) {
	for _, tc := range []struct {
		name, condition string
		warned          bool
	}{
		{"above a limit", "input.tool.arguments.count > 5", true},
		{"below a limit", "5 > input.tool.arguments.count", true},
		{"unequal", "input.tool.arguments.count != 5", true},
		{"behind a variable", "n := input.tool.arguments.count\n\tn > 5", true},
		{"inside a call", "to_number(input.tool.arguments.count) > 5", true},
		{"the classic not of a comparison", "not input.tool.arguments.count <= 5", true},
		{"the classic not of a membership", "not input.tool.arguments.count in {1, 2}", true},
		{"the classic not of a call", "not startswith(input.tool.arguments.count, \"x\")", true},
		{"the classic not of equality", "not input.tool.arguments.count == 5", false},
		{"the classic not of a rule", "not _small", false},
		{"object.get", "object.get(input.tool.arguments, \"count\", 9) > 5", false},
		{"a value that is required", "input.tool.arguments.amount > 5", false},
		{"a helper", "_large", true},
		{"a helper of a helper", "_twice", true},
		{"a helper with a default", "_usual", true},
		{"a helper whose bodies all need it", "_either", true},
		{"a helper that sees to it", "_safe", false},
		{"a helper that holds by default", "_strict", false},
		{"a function", "_above(input.tool.arguments.count)", true},
		{"a function of all arguments", "_many(input.tool.arguments)", true},
		{"a function of what is there", "_above(input.tool.arguments.amount)", false},
		{"a field that is always there", "input.context.unix_time > 5", false},
		{"a field that is not", "input.subject.username != \"alice\"", true},
		{"a choice of what the rule is about", "input.tool.arguments.count == 5", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			catalogue := twoServers(t)
			catalogue[0].Tools = append(catalogue[0].Tools, tool(t, "buy", `{"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}, "count": {}}}`))
			text := payments + "deny contains \"no\" if {\n\tinput.tool.name == \"buy\"\n\t" + tc.condition + "\n}\n" + helpersOfDeny
			report, err := Check(dirWith(t, map[string]string{"a.rego": text}), CheckOptions{Catalogue: catalogue})
			if err != nil || len(report.Problems) > 0 {
				t.Fatal(problemTexts(report.Problems), err)
			}
			if got := problemTexts(report.Warnings); strings.Contains(got, "may be absent") != tc.warned {
				t.Errorf("warned %v, want %v:\n%s", !tc.warned, tc.warned, got)
			}
			// What it is about: without the value, a rule that is warned of denies nothing.
			e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": text}), Defaults: true, Catalogue: catalogue})
			v := call("transfer", map[string]any{"amount": json.Number("9")}, "bank:pay")
			buy := catalogue[0].Tools[len(catalogue[0].Tools)-1]
			v.Caller, v.Tool, v.Subject.Username = catalogue[0], &buy, ""
			d := decide(t, e, v)
			if choice := strings.Contains(tc.condition, "count == 5") && !strings.Contains(tc.condition, "not"); d.Allow != (tc.warned || choice) {
				t.Errorf("the evaluator allows: %v, and the warning says %v (%v)", d.Allow, tc.warned, d.Reasons)
			}
		})
	}
	better := payments + "import future.keywords.not\n\ndeny contains \"no\" if not input.tool.arguments.count <= 5\n"
	if got := problemTexts(checked(t, map[string]string{"a.rego": better}).Warnings); got != "" {
		t.Error("with future.keywords.not an absent value is denied:", got)
	}
}

// TestReferencesIntoTheCatalogue: the form always counts, the names where the catalogue is known.
func TestReferencesIntoTheCatalogue(t *testing.T) {
	for _, tc := range []struct{ name, reference, want, unknown string }{
		{"a server", "data.servers.bank.name", "", ""},
		{"a server that there is not", "data.servers.bnak.name", "data.servers.bnak leads nowhere; want one of: bank, shop", ""},
		{"a misspelled part", "data.servers.bank.tool", "data.servers.bank.tool leads nowhere; want one of: id, name, scopes, tools, wildcard_scopes", "want one of: id"},
		{"a misspelled part of any server", "data.servers[input.resource.server].scops", "leads nowhere; want one of: id, name, scopes", "want one of: id"},
		{"a tool that there is not", "data.servers.bank.tools.tranfer.title", "data.servers.bank.tools.tranfer leads nowhere", ""},
		{"a misspelled hint", "data.servers[_].tools[_].annotations.readonlyHint", "readonlyHint leads nowhere; want one of: destructiveHint", "readonlyHint"},
		{"a misspelled property of a scope", "data.servers.bank.scopes[\"bank:pay\"].rsk", "want one of: description, destructive, risk", "want one of: description"},
		{"below a value", "data.servers.bank.name.first", "data.servers.bank.name is a value", "is a value"},
		{"all servers", "data.servers[_].id", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"a.rego": payments + "deny contains \"no\" if " + tc.reference + " == \"x\"\n"}
			if got := problemTexts(checked(t, files).Problems); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
			report, err := Check(dirWith(t, files), CheckOptions{})
			if err != nil || tc.unknown == "" && len(report.Problems) > 0 || !strings.Contains(problemTexts(report.Problems), tc.unknown) {
				t.Errorf("without a catalogue: %s %v", problemTexts(report.Problems), err)
			}
		})
	}
}

func TestConfigurationBelowValues(t *testing.T) {
	for _, tc := range []struct{ name, reference, want string }{
		{"below a number", "data.config.limit.eur", "data.config.limit.eur leads nowhere; data.config.limit is a number"},
		{"below a text", "data.config.name.x", "data.config.name is a text"},
		{"below a boolean", "data.config.on.x", "data.config.on is a boolean"},
		{"a name in a list", "data.config.list.x", "data.config.list is a list, whose elements have numbers"},
		{"a number in a list", "data.config.list[0]", ""},
		{"any of a list", "data.config.list[_]", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"config.yaml": "limit: 5\nname: x\non: true\nlist: [a]\n", "a.rego": payments + "deny contains \"no\" if " + tc.reference + " == \"x\"\n"}
			if got := problemTexts(checked(t, files).Problems); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

// TestProblemsShowTheirLine: each has a caret below its place, also on long lines and behind tabs.
func TestProblemsShowTheirLine(t *testing.T) {
	for _, tc := range []struct{ name, line, want string }{
		{"a tab in front", "\tdeny := 1", "deny := 1\n^"},
		{"a tab inside", "x\tdeny := 1", "x deny := 1\n  ^"},
		{"other alphabets", "\"äöü\" deny", "\"äöü\" deny\n      ^"},
		{"a long line", strings.Repeat("a", 200) + "deny" + strings.Repeat("b", 200), "…" + strings.Repeat("a", 45) + "deny" + strings.Repeat("b", 39) + "…\n" + strings.Repeat(" ", 46) + "^"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := caret(tc.line, strings.Index(tc.line, "deny")+1); got != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
	for _, tc := range []string{"alow if true", "deny := 1", "deny contains \"no\" if input.tol", "deny contains \"no\" if data.config.x", "deny contains \"no\" if http.send({})", "deny contains := 1"} {
		report := checked(t, map[string]string{"a.rego": payments + tc + "\n"})
		for _, p := range report.Problems {
			if !strings.Contains(p.Detail, "^") || p.Line != 3 {
				t.Errorf("%s: %s", tc, p)
			}
		}
		if len(report.Problems) == 0 {
			t.Errorf("%s: nothing is wrong", tc)
		}
	}
}

func TestMocksOfFieldsThatNoInputHas(t *testing.T) {
	test := "package policy.tools.payments_test\n\nimport data.policy.tools.payments\n\ntest_x if count(payments.deny) == 0 with input.tol.name as \"x\"\n\n" +
		"test_y if count(payments.deny) == 0 with input.tool.arguments.anything as 1 with input.stage as \"token\" with input as {}\n"
	report := checked(t, map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.name == \"pay\"\n", "a_test.rego": test})
	if got := problemTexts(report.Warnings); len(report.Problems) > 0 || len(report.Warnings) != 1 || !strings.HasPrefix(got, "a_test.rego:5:42: input.tol.name is in no input (did you mean \"tool\"?)") {
		t.Errorf("%s %s", got, problemTexts(report.Problems))
	}
}

func TestUnknownBuiltins(t *testing.T) {
	got := problemTexts(checked(t, map[string]string{"a.rego": payments + "deny contains \"no\" if startwith(input.tool.name, \"x\")\n"}).Problems)
	if !strings.Contains(got, "undefined function startwith (did you mean \"startswith\"?)") {
		t.Error(got)
	}
}
