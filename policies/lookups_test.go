package policies

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"portcullis/oauth"
)

// TestTablesThatAreLookedUpByTheInput: a misspelled key of the author's own data would never be found, and a limit that is not
// found denies nothing.
func TestTablesThatAreLookedUpByTheInput(t *testing.T) {
	const limit = "no registered server has a tool \"trasnfer\" (did you mean \"transfer\"?)"
	const deny, scopes = payments + "deny contains \"no\" if ", "package policy.scopes.a\n\ndeny contains \"no\" if "
	config := strings.Join([]string{
		"# what everybody may do",        // 1
		"limits:",                        // 2
		"  pay: 1",                       // 3
		"  trasnfer: 5",                  // 4
		"set: [pay, trasnfer]",           // 5
		"rules:",                         // 6
		"  - {tool: pay, max: 1}",        // 7
		"  - {tool: trasnfer, max: 5}",   // 8
		"servers:",                       // 9
		"  bank: {trasnfer: 5, free: 1}", // 10
		"  shop: {free: 6}",              // 11
		"only: {bnak: {pay: 7}}",         // 12
		"scopes: {\"bank:pya\": 1}",      // 13
		"hosts: {cmid: 1, dcr: 2}",       // 14
		"methods: {tool/call: 1}",        // 15
		"right: {transfer: 5, default: 1, transfer_2: 6, later: 7, transfers: 8}", // 16
		"base: &base {trasnfer: 5}",   // 17
		"merged: {<<: *base, pay: 1}", // 18
	}, "\n") + "\n"
	for _, tc := range []struct{ name, policy, want string }{
		{"a reference", deny + "input.tool.arguments.a > data.config.limits[input.tool.name]", "config.yaml:4:3: " + limit + "; a.rego:3 looks it up by input.tool.name\n\ttrasnfer: 5\n\t^\n\twant one of: bare, either, free"},
		{"a local name", deny + "{\n\tlimits := data.config.limits\n\tlimits[input.tool.name] == 5\n}", "config.yaml:4:3: " + limit},
		{"the tool by a local name", deny + "{\n\tname := input.tool.name\n\tdata.config.limits[name] == 5\n}", "config.yaml:4:3: " + limit},
		{"a rule of its own", payments + "_limits := data.config.limits\n\ndeny contains \"no\" if _limits[input.tool.name] == 5", "config.yaml:4:3: " + limit},
		{"an import", payments + "import data.config.limits\n\ndeny contains \"no\" if limits[input.tool.name] == 5", "config.yaml:4:3: " + limit},
		{"an import with another name", payments + "import data.config as c\n\ndeny contains \"no\" if c.limits[input.tool.name] == 5", "config.yaml:4:3: " + limit},
		{"a rule of a library", payments + "import data.lib.own\n\ndeny contains \"no\" if own.limits[input.tool.name] == 5", "config.yaml:4:3: " + limit},
		{"a function", payments + "_limit(tool) := data.config.limits[tool]\n\ndeny contains \"no\" if _limit(input.tool.name) == 5", "config.yaml:4:3: " + limit},
		{"a function of a function", payments + "_limit(tool) := data.config.limits[tool]\n\n_above(tool) if _limit(tool) > 5\n\ndeny contains \"no\" if _above(input.tool.name)", "config.yaml:4:3: " + limit},
		{"a function that is called with something else, too", payments + "_limit(tool) := data.config.limits[tool]\n\ndeny contains \"no\" if _limit(input.tool.name) > _limit(\"pay\")", ""},
		{"object.get", deny + "object.get(data.config.limits, input.tool.name, 0) == 5", "config.yaml:4:3: " + limit},
		{"object.get with a path", deny + "object.get(data.config, [\"limits\", input.tool.name], 0) == 5", "config.yaml:4:3: " + limit},
		{"object.keys", deny + "not input.tool.name in object.keys(data.config.limits)", "config.yaml:4:3: " + limit},
		{"some", deny + "{\n\tsome tool, limit in data.config.limits\n\ttool == input.tool.name\n\tlimit == 5\n}", "config.yaml:4:3: " + limit},
		{"some, the other way round", deny + "{\n\tsome tool, limit in data.config.limits\n\tinput.tool.name == tool\n\tlimit == 5\n}", "config.yaml:4:3: " + limit},
		{"some with the tool itself", deny + "some input.tool.name, _ in data.config.limits", "config.yaml:4:3: " + limit},
		{"some below a reference", deny + "{\n\tsome tool\n\tdata.config.limits[tool] == 5\n\ttool == input.tool.name\n}", "config.yaml:4:3: " + limit},
		{"a comprehension", deny + "input.tool.name in {tool | some tool, _ in data.config.limits}", "config.yaml:4:3: " + limit},
		{"every", deny + "every tool, _ in data.config.limits {\n\ttool != input.tool.name\n}", "config.yaml:4:3: " + limit},
		{"membership", deny + "input.tool.name in data.config.set", "config.yaml:5:12: " + limit},
		{"some element", deny + "{\n\tsome tool in data.config.set\n\ttool == input.tool.name\n}", "config.yaml:5:12: " + limit},
		{"any element", deny + "input.tool.name == data.config.set[_]", "config.yaml:5:12: " + limit},
		{"a part of any element", deny + "{\n\tsome rule in data.config.rules\n\trule.tool == input.tool.name\n}", "config.yaml:8:12: " + limit},
		{"a part of any element by a reference", deny + "data.config.rules[i].tool == input.tool.name", "config.yaml:8:12: " + limit},
		{"by server and tool", deny + "data.config.servers[input.resource.server][input.tool.name] == 5", "config.yaml:10:10: the server bank does not have a tool \"trasnfer\" (did you mean \"transfer\"?)"},
		{"a server", deny + "data.config.only[input.resource.server][input.tool.name] == 5", "config.yaml:12:8: no registered server has the name \"bnak\" (did you mean \"bank\"?)"},
		{"the tools of one server", deny + "data.config.servers.bank[input.tool.name] == 5", "config.yaml:10:10: " + limit},
		{"a scope", scopes + "{\n\tsome s in input.requested.scopes\n\tdata.config.scopes[s]\n}", "config.yaml:13:10: no registered server has the scope \"bank:pya\" (did you mean \"bank:pay\"?)"},
		{"a scope by a reference", scopes + "data.config.scopes[input.requested.scopes[_]]", "config.yaml:13:10: "},
		{"a value out of a list", scopes + "data.config.hosts[input.client.registration] == 1", "config.yaml:14:9: input.client.registration is never \"cmid\" (did you mean \"cimd\"?)"},
		{"a method", deny + "data.config.methods[input.action.name] == 1", "config.yaml:15:11: MCP has no method \"tool/call\" (did you mean \"tools/call\"?)"},
		{"a table in Rego", payments + "_limits := {\"trasnfer\": 5}\n\ndeny contains \"no\" if _limits[input.tool.name] == 5", "a.rego:3:13: " + limit},
		{"a table of rules", payments + "_limits[\"trasnfer\"] := 5\n\ndeny contains \"no\" if _limits[input.tool.name] == 5", "a.rego:3:9: " + limit},
		{"a set in Rego", payments + "_tools contains \"trasnfer\"\n\ndeny contains \"no\" if _tools[input.tool.name]", "a.rego:3:17: " + limit},
		{"a table in place", deny + "{\"trasnfer\": 5}[input.tool.name] == 5", "a.rego:3:24: " + limit},
		{"what a merge brings in", deny + "data.config.merged[input.tool.name] == 5", "config.yaml:18:9: " + limit},
		{"a table by something that anybody may be", deny + "data.config.limits[input.subject.id] == 5", ""},
		{"right, or not known to be wrong", deny + "object.get(data.config.right, input.tool.name, data.config.right.default) == 5", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"a.rego": tc.policy + "\n", "lib.rego": "package lib.own\n\nlimits := data.config.limits\n", "config.yaml": config}
			if got := problemTexts(checked(t, files).Problems); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
			_, err := New(context.Background(), Config{Dir: dirWith(t, files), Defaults: true, Catalogue: twoServers(t), Log: silent()})
			if (err != nil) != (tc.want != "") {
				t.Errorf("check and server do not agree: %v", err)
			}
			if report, err := Check(dirWith(t, files), CheckOptions{}); err != nil || strings.Contains(problemTexts(report.Problems), "registered") {
				t.Error("without a catalogue:", problemTexts(report.Problems), err)
			}
		})
	}
}

// TestKeysThatMayBeToolsOfTomorrow are warnings: nothing known looks like them, or the tool that they resemble is in the table, too.
func TestKeysThatMayBeToolsOfTomorrow(t *testing.T) {
	files := map[string]string{
		"a.rego":      payments + "deny contains \"no\" if object.get(data.config.limits, input.tool.name, data.config.limits.default) == 5\n",
		"config.yaml": "limits:\n  transfer: 5\n  default: 1\n  transfer_2: 6\n  later: 7\n  transfers: 8\n",
	}
	report := checked(t, files)
	want := "config.yaml:4:3: no registered server has a tool \"transfer_2\" (did you mean \"transfer\"?); a.rego:3 looks it up by input.tool.name\n\ttransfer_2: 6\n\t^\n" +
		"config.yaml:5:3: no registered server has a tool \"later\"; a.rego:3 looks it up by input.tool.name\n\tlater: 7\n\t^\n" +
		"config.yaml:6:3: no registered server has a tool \"transfers\" (did you mean \"transfer\"?); a.rego:3 looks it up by input.tool.name\n\ttransfers: 8\n\t^"
	if got := problemTexts(report.Warnings); got != want || len(report.Problems) > 0 {
		t.Errorf("got:\n%s\n%s\nwant:\n%s", got, problemTexts(report.Problems), want)
	}
}

// TestATableOfTwoQuestions: what one question never has may come in the other, and a key that nobody has is a warning in shared data.
func TestATableOfTwoQuestions(t *testing.T) {
	for _, tc := range []struct{ name, table, wrong, warned string }{
		{"the words of both", "{token: 1, register: 2, document: 3}", "", ""},
		{"a slip", "{tokne: 1, register: 2}", "config.yaml:1:10: input.stage is never \"tokne\" (did you mean \"token\"?)", ""},
		{"a word of nobody", "{token: 1, otherwise: 2}", "", "input.stage is never \"otherwise\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report := checked(t, map[string]string{
				"s.rego":      "package policy.scopes.s\n\ndeny contains \"no\" if data.config.stages[input.stage] == 9\n",
				"c.rego":      "package policy.clients.c\n\ndeny contains \"no\" if data.config.stages[input.stage] == 9\n",
				"config.yaml": "stages: " + tc.table + "\n",
			})
			for got, want := range map[string]string{problemTexts(report.Problems): tc.wrong, problemTexts(report.Warnings): tc.warned} {
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			}
		})
	}
}

// TestDataHasItsPlace in all forms of files.
func TestDataHasItsPlace(t *testing.T) {
	rule := payments + "deny contains \"no\" if data.config.limits[input.tool.name] == 5\n"
	for _, tc := range []struct{ name, file, text, want string }{
		{"JSON", "config.json", "{\n\t\"limits\": {\n\t\t\"trasnfer\": 5\n\t}\n}\n", "config.json:3:3: "},
		{"JSON in one line", "config.json", `{"limits": {"pay": 1, "trasnfer": 5}}`, "config.json:1:23: "},
		{"a file of its own", "config/limits.yaml", "pay: 1\ntrasnfer: 5\n", "config/limits.yaml:2:1: "},
		{"quoted", "config.yaml", "limits:\n  \"trasnfer\": 5\n", "config.yaml:2:3: "},
		{"with a marker", "config.yaml", "---\nlimits:\n  trasnfer: 5\n", "config.yaml:3:3: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := problemTexts(checked(t, map[string]string{"a.rego": rule, tc.file: tc.text}).Problems); !strings.HasPrefix(got, tc.want+"no registered server") {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

// TestManyUnknownNames: one table of another catalogue is not told name by name.
func TestManyUnknownNames(t *testing.T) {
	var config strings.Builder
	config.WriteString("limits:\n")
	for i := range 5000 {
		fmt.Fprintf(&config, "  elsewhere_%d: 1\n", i)
	}
	report := checked(t, map[string]string{"a.rego": payments + "deny contains \"no\" if data.config.limits[input.tool.name] == 5\n", "config.yaml": config.String()})
	if got := problemTexts(report.Warnings); len(report.Warnings) != maxUnknown || !strings.Contains(got, "4990 more names") || len(report.Problems) > 0 {
		t.Errorf("%d warnings, %d problems:\n%s", len(report.Warnings), len(report.Problems), got)
	}
}

// TestSlipsOfTheHand: an error hangs on it, so that two tools with similar names must not be taken for one.
func TestSlipsOfTheHand(t *testing.T) {
	for _, tc := range []struct {
		text, known string
		slip        bool
	}{
		{"trasnfer", "transfer", true}, {"transfr", "transfer", true}, {"tarnsfre", "transfer", true}, {"pya", "pay", true}, {"list_payment", "list_payments", true},
		{"list-payments", "list_payments", true}, {"listPayments", "list_payments", true}, {"bank:pya", "bank:pay", true}, {"tool/call", "tools/call", true},
		{"transfer", "transfer", false}, {"buy", "pay", false}, {"play", "pay", false}, {"gone", "none", false}, {"stat", "start", false}, {"unsubscribe", "subscribe", false}, {"deactivate", "activate", false}, {"transfer_2", "transfer", false}, {"transfer2", "transfer", false},
		{"read_v1", "read_v2", false}, {"get_user", "set_user", false}, {"list_a", "list_b", false}, {"delete_user", "create_user", false}, {"list_users", "lsit_user", false}, {"", "pay", false}, {"_", "pay", false},
	} {
		if got := wordsOf([]string{tc.known}).misspelled(tc.text, nil); (got != "") != tc.slip {
			t.Errorf("%s for %s: %q", tc.text, tc.known, got)
		}
	}
}

// TestManyKeysAndTools: also a large table of a large catalogue is looked up, and the one slip in it found.
func TestManyKeysAndTools(t *testing.T) {
	catalogue := twoServers(t)
	var config strings.Builder
	config.WriteString("limits:\n")
	for i := range 5000 {
		catalogue[0].Tools = append(catalogue[0].Tools, oauth.Tool{Name: fmt.Sprintf("tool_%d", i)})
		fmt.Fprintf(&config, "  tool_%d: 1\n  other_%d: 2\n", i, i)
	}
	config.WriteString("  trasnfer: 5\n")
	dir := dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if data.config.limits[input.tool.name] == 5\n", "config.yaml": config.String()})
	report, err := Check(dir, CheckOptions{Catalogue: catalogue})
	if got := problemTexts(report.Problems); err != nil || len(report.Problems) != 1 || !strings.HasPrefix(got, "config.yaml:10002:3: ") || !strings.Contains(got, "(5007 in all)") {
		t.Error(got, err)
	}
}

// TestArgumentsThatAreChosenByName: as the key of a reference, and as what the names of arguments are compared with.
func TestArgumentsThatAreChosenByName(t *testing.T) {
	const transfer, no = "deny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\t", "input.tool.arguments.ammount: the tool transfer of bank has no such argument (did you mean amount?)"
	for _, tc := range []struct{ name, policy, want string }{
		{"a key of all", transfer + "some k, v in input.tool.arguments\n\tk == \"ammount\"\n\tv == 5\n}", "a.rego:6:7: " + no},
		{"the right key", transfer + "some k, v in input.tool.arguments\n\tk == \"amount\"\n\tv == 5\n}", ""},
		{"a key out of a set", transfer + "some k, v in input.tool.arguments\n\tnot k in {\"amount\", \"too\"}\n\tis_number(v)\n}", "a.rego:6:22: input.tool.arguments.too: the tool transfer"},
		{"a key by a reference", transfer + "some k\n\tinput.tool.arguments[k] == 5\n\tk == \"ammount\"\n}", no},
		{"object.keys", transfer + "not \"ammount\" in object.keys(input.tool.arguments)\n}", no},
		{"some of object.keys", transfer + "some k in object.keys(input.tool.arguments)\n\tk == \"ammount\"\n}", no},
		{"every", transfer + "every k, _ in input.tool.arguments {\n\t\tk != \"ammount\"\n\t}\n}", no},
		{"some of a set", transfer + "some k in {\"amount\", \"ammount\"}\n\tinput.tool.arguments[k] == 5\n}", "a.rego:5:23: " + no},
		{"some of the configuration", transfer + "some k in data.config.money\n\tinput.tool.arguments[k] == 5\n}", "config.yaml:1:17: " + no},
		{"some keys of the configuration", transfer + "some k, most in data.config.most\n\tinput.tool.arguments[k] > most\n}", "config.yaml:2:8: " + no},
		{"object.get", transfer + "some k in data.config.money\n\tobject.get(input.tool.arguments, k, 0) == 5\n}", "config.yaml:1:17: " + no},
		{"the arguments by a local name", transfer + "args := input.tool.arguments\n\tsome k in data.config.money\n\targs[k] == 5\n}", "config.yaml:1:17: " + no},
		{"a local name for the key", transfer + "k := \"ammount\"\n\tinput.tool.arguments[k] == 5\n}", no},
		{"below", transfer + "some k in {\"ibn\"}\n\tinput.tool.arguments.to[k] == \"x\"\n}", "input.tool.arguments.to.ibn: the tool"},
		{"a beginning", transfer + "some k, _ in input.tool.arguments\n\tstartswith(k, \"amnt\")\n}", "a.rego:6:16: the tool transfer of bank has no such argument as startswith(…, \"amnt\") chooses"},
		{"a beginning that there is", transfer + "some k, _ in input.tool.arguments\n\tstartswith(k, \"am\")\n}", ""},
		{"an end", transfer + "some k, _ in input.tool.arguments\n\tendswith(k, \"mnt\")\n}", "endswith(…, \"mnt\") chooses"},
		{"a tool that takes anything", "deny contains \"no\" if {\n\tinput.tool.name == \"free\"\n\tsome k, _ in input.tool.arguments\n\tstartswith(k, \"am\")\n}", ""},
		{"tools of a table", "deny contains \"no\" if input.tool.arguments.ammount > data.config.limits[input.tool.name]", "input.tool.arguments.ammount: the tools pay of bank, pay of shop, transfer of bank have no such argument"},
		{"tools of a table, by some", "deny contains \"no\" if {\n\tsome tool, limit in data.config.limits\n\ttool == input.tool.name\n\tinput.tool.arguments.ammount > limit\n}", "have no such argument (did you mean amount?)"},
		{"an argument of one of them", "deny contains \"no\" if input.tool.arguments.amount > data.config.limits[input.tool.name]", ""},
		{"a table that is not asked for its value", "deny contains \"no\" if input.tool.arguments.ammount > object.get(data.config.limits, input.tool.name, 5)", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"a.rego": payments + tc.policy + "\n", "config.yaml": "money: [amount, ammount]\nmost: {ammount: 5}\nlimits: {transfer: 5, pay: 6}\n"}
			if got := problemTexts(checked(t, files).Problems); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

// TestNotesOfArgumentsThatOnlyACallKnows: check -v shows them.
func TestNotesOfArgumentsThatOnlyACallKnows(t *testing.T) {
	for _, tc := range []struct{ name, condition, want string }{
		{"by another argument", "input.tool.arguments[input.tool.arguments.note] == 5", "a.rego:5:23: input.tool.arguments[input.tool.arguments.note] is not checked: only the call tells which argument it is"},
		{"computed", "k := sprintf(\"%s_%s\", [\"a\", \"b\"])\n\tinput.tool.arguments[k] == 5", "input.tool.arguments[k] is not checked"},
		{"without a tool", "some k in {\"amount\"}\n\tinput.tool.arguments[k] == 5", ""},
		{"all", "some k, v in input.tool.arguments\n\tv == 5\n\tk != \"\"", ""},
		{"any", "input.tool.arguments[_] == 5", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report := checked(t, map[string]string{"a.rego": payments + "deny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\t" + tc.condition + "\n}\n"})
			if got := problemTexts(report.Notes); !strings.Contains(got, tc.want) || tc.want == "" && strings.Contains(got, "only the call") {
				t.Errorf("%s\nwant %q", got, tc.want)
			}
		})
	}
	report := checked(t, map[string]string{"a.rego": payments + "deny contains \"no\" if {\n\tsome k, _ in input.tool.arguments\n\tk == \"ammount\"\n}\n"})
	if got := problemTexts(report.Notes); !strings.Contains(got, "input.tool.arguments.ammount is not checked: the rule does not say which tool it is about") {
		t.Error(got)
	}
}

// TestNamesThatGoInCircles are refused by the compiler, which comes later.
func TestNamesThatGoInCircles(t *testing.T) {
	for _, policy := range []string{
		"deny contains \"no\" if {\n\tx := y\n\ty := x\n\tx[input.tool.name] == 5\n\tinput.tool.name in x\n}",
		"deny contains \"no\" if {\n\tx = y[x]\n\ty = x[y]\n\tx == input.tool.name\n}",
		"_x := _y\n\n_y := _x\n\ndeny contains \"no\" if _x[input.tool.name] == 5",
		"_f(x) := _f(x)\n\ndeny contains \"no\" if _f(input.tool.name) == 5",
		"deny contains \"no\" if {\n\tsome x in x\n\tx == input.tool.name\n}",
	} {
		if report := checked(t, map[string]string{"a.rego": payments + policy + "\n"}); len(report.Problems) == 0 {
			t.Errorf("nothing is wrong with\n%s", policy)
		}
	}
}

// TestATableOfAnythingIsNotLookedUp: its keys are no names of the catalogue.
func TestATableOfAnythingIsNotLookedUp(t *testing.T) {
	var config strings.Builder
	config.WriteString("accounts:\n")
	for i := range 20000 {
		fmt.Fprintf(&config, "  a%d: {owner: o%d}\n", i, i)
	}
	files := map[string]string{"a.rego": payments + "deny contains \"no\" if data.config.accounts[input.tool.arguments.account].owner == input.subject.id\n"}
	dir := dirWith(t, files)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := Check(dir, CheckOptions{Catalogue: twoServers(t)})
	if err != nil || len(report.Problems) > 0 {
		t.Error(problemTexts(report.Problems), err)
	}
}
