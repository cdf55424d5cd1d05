package policies

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"portcullis/oauth"
)

// tool makes a catalogued tool from its inputSchema in JSON; "" = none.
func tool(t testing.TB, name, schema string) oauth.Tool {
	t.Helper()
	out := oauth.Tool{Name: name}
	if schema == "" {
		return out
	}
	if err := json.Unmarshal([]byte(schema), &out.InputSchema); err != nil {
		t.Fatal(err)
	}
	return out
}

// twoServers are a bank and a shop that both have a tool pay, with other arguments.
func twoServers(t testing.TB) []*oauth.Resource {
	transfer := `{"type": "object", "required": ["amount", "to"], "properties": {
		"amount": {"type": "number"}, "to": {"$ref": "#/$defs/account"}, "note": {"type": "string"}, "currency": {"type": "string", "enum": ["EUR", "USD"]},
		"lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
		"due": {"type": ["string", "null"]}, "flags": {"type": "array", "items": {"type": "string", "enum": ["urgent", "silent"]}}},
		"$defs": {"account": {"type": "object", "required": ["iban"], "properties": {"iban": {"type": "string"}, "owner": {"type": "string"}}}}}`
	return []*oauth.Resource{
		{ID: "https://bank.example/mcp", Key: "bank", Name: "Bank", Scopes: []oauth.ScopeInfo{{Name: "bank:pay", Description: "Pay"}, {Name: "bank:read.*", Description: "Read"}},
			Tools: []oauth.Tool{
				tool(t, "transfer", transfer),
				tool(t, "pay", `{"type": "object", "properties": {"iban": {"type": "string"}}}`),
				tool(t, "free", `{"type": "object", "properties": {"a": {}}, "additionalProperties": true}`),
				tool(t, "bare", ""),
				tool(t, "none", `{"type": "object", "additionalProperties": false}`),
				tool(t, "loop", `{"type": "object", "properties": {"next": {"$ref": "#"}, "value": {"type": "string"}}}`),
				tool(t, "either", `{"type": "object", "properties": {"kind": {"type": "string"}}, "oneOf": [{"properties": {"card": {"type": "string"}}}, {"properties": {"cash": {"type": "number"}}}]}`),
			}},
		{ID: "https://shop.example/mcp", Key: "shop", Name: "Shop", Scopes: []oauth.ScopeInfo{{Name: "shop:order", Description: "Order"}},
			Tools: []oauth.Tool{tool(t, "pay", `{"type": "object", "properties": {"card": {"type": "string"}}}`)}},
	}
}

func checked(t testing.TB, files map[string]string) CheckReport {
	t.Helper()
	report, err := Check(dirWith(t, files), CheckOptions{Catalogue: twoServers(t)})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// problemTexts are problems, one after the other.
func problemTexts(problems []Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// TestArgumentsAreTypedByTheToolsOwnSchema: want "" means that nothing is wrong.
func TestArgumentsAreTypedByTheToolsOwnSchema(t *testing.T) {
	const transfer = "deny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\t"
	for _, tc := range []struct{ name, policy, want string }{
		{"the right name", transfer + "not input.tool.arguments.amount == 5\n}", ""},
		{"a misspelled name", transfer + "input.tool.arguments.ammount == 5\n}", "a.rego:5:2: input.tool.arguments.ammount: the tool transfer of bank has no such argument (did you mean amount?)\n\tinput.tool.arguments.ammount == 5\n\t^\n\twant one of: amount, currency, due, flags, lines, note, to"},
		{"the tool stands on the right", "deny contains \"no\" if {\n\t\"transfer\" == input.tool.name\n\tinput.tool.arguments.ammount == 5\n}", "no such argument"},
		{"the tool stands below", "deny contains \"no\" if {\n\tinput.tool.arguments.ammount == 5\n\tinput.tool.name == \"transfer\"\n}", "no such argument"},
		{"the tool in a set", "deny contains \"no\" if {\n\tinput.tool.name in {\"transfer\", \"pay\"}\n\tinput.tool.arguments.ibann == \"x\"\n}", "have no such argument (did you mean iban?)"},
		{"an argument of one of several tools", "deny contains \"no\" if {\n\tinput.tool.name in {\"transfer\", \"pay\"}\n\tinput.tool.arguments.card == \"x\"\n}", ""},
		{"the tool in a named set", "_tools := {\"transfer\"}\n\ndeny contains \"no\" if {\n\tinput.tool.name in _tools\n\tinput.tool.arguments.ammount == 5\n}", "no such argument"},
		{"the tool in a set rule", "_tools contains \"transfer\"\n\ndeny contains \"no\" if {\n\tinput.tool.name in _tools\n\tinput.tool.arguments.ammount == 5\n}", "no such argument"},
		{"the tool in the configuration", "deny contains \"no\" if {\n\tinput.tool.name in data.config.tools\n\tinput.tool.arguments.ammount == 5\n}", "no such argument"},
		{"the tool behind a variable", "deny contains \"no\" if {\n\tname := input.tool.name\n\tname == \"transfer\"\n\tinput.tool.arguments.ammount == 5\n}", "no such argument"},
		{"the arguments behind a variable", "deny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\targs := input.tool.arguments\n\targs.ammount == 5\n}", "no such argument"},
		{"the call behind a variable", "deny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tt := input.tool\n\tt.arguments.ammount == 5\n}", "no such argument"},
		{"a guard of its own", "_is_transfer if input.tool.name == \"transfer\"\n\ndeny contains \"no\" if {\n\t_is_transfer\n\tinput.tool.arguments.ammount == 5\n}", "no such argument"},
		{"a helper that only such rules use", transfer + "not _small\n}\n\n_small if input.tool.arguments.ammount <= 5", "a.rego:8:11: input.tool.arguments.ammount: the tool transfer"},
		{"a helper that others use, too", transfer + "not _small\n}\n\ndeny contains \"b\" if {\n\tinput.tool.name == \"free\"\n\tnot _small\n}\n\n_small if input.tool.arguments.ammount <= 5", ""},
		{"a helper that everybody uses", transfer + "not _small\n}\n\ndeny contains \"b\" if not _small\n\n_small if input.tool.arguments.ammount <= 5", ""},
		{"a helper two steps away", transfer + "not _small\n}\n\n_small if _amount <= 5\n\n_amount := input.tool.arguments.ammount", "no such argument"},
		{"a function", transfer + "_above(5)\n}\n\n_above(n) if input.tool.arguments.ammount > n", "no such argument"},
		{"an else", transfer + "not _small\n}\n\n_small if {\n\tinput.tool.arguments.amount <= 5\n} else if {\n\tinput.tool.arguments.ammount <= 5\n}", "no such argument"},
		{"a mocked call", transfer + "not _small with input as {\"tool\": {\"arguments\": {\"x\": 1}}}\n}\n\n_small if input.tool.arguments.x <= 5", ""},
		{"object.get", transfer + "object.get(input.tool.arguments, \"ammount\", 0) > 5\n}", "no such argument"},
		{"object.get with a path", transfer + "object.get(input.tool.arguments, [\"to\", \"ibn\"], \"\") == \"x\"\n}", "input.tool.arguments.to.ibn"},
		{"object.get inside", transfer + "x := [object.get(input.tool.arguments, \"ammount\", 0)]\n\tx[0] > 5\n}", "no such argument"},
		{"below a reference", transfer + "input.tool.arguments.to.ibn == \"x\"\n}", "input.tool.arguments.to.ibn: the tool transfer of bank has no such argument (did you mean iban?)"},
		{"below a scalar", transfer + "input.tool.arguments.amount.value == 1\n}", "input.tool.arguments.amount.value"},
		{"in a list", transfer + "some l in input.tool.arguments.lines\n\tl.skuu == \"x\"\n}", "undefined ref"},
		{"a type that never fits", transfer + "input.tool.arguments.amount == \"5\"\n}", "match error"},
		{"a value that may be null", transfer + "input.tool.arguments.due == null\n}", ""},
		{"a value out of a list", transfer + "input.tool.arguments.currency == \"ERU\"\n}", "input.tool.arguments.currency is never \"ERU\" (did you mean \"EUR\"?)"},
		{"a member out of a list", transfer + "\"urgnet\" in input.tool.arguments.flags\n}", "input.tool.arguments.flags[_] is never \"urgnet\" (did you mean \"urgent\"?)"},
		{"some member out of a list", transfer + "some f in input.tool.arguments.flags\n\tf == \"urgnet\"\n}", "is never \"urgnet\""},
		{"a member that there is", transfer + "\"urgent\" in input.tool.arguments.flags\n}", ""},
		{"in a message", "deny contains sprintf(\"%v\", [input.tool.arguments.ammount]) if input.tool.name == \"transfer\"", "no such argument"},
		{"a tool that takes anything", "deny contains \"no\" if {\n\tinput.tool.name == \"free\"\n\tinput.tool.arguments.b == 5\n}", ""},
		{"a tool without a schema", "deny contains \"no\" if {\n\tinput.tool.name == \"bare\"\n\tinput.tool.arguments.b == 5\n}", ""},
		{"a tool without arguments", "deny contains \"no\" if {\n\tinput.tool.name == \"none\"\n\tinput.tool.arguments.b == 5\n}", "no such argument"},
		{"a schema that refers to itself", "deny contains \"no\" if {\n\tinput.tool.name == \"loop\"\n\tinput.tool.arguments.next.next.valeu == \"x\"\n}", "did you mean value?"},
		{"alternatives", "deny contains \"no\" if {\n\tinput.tool.name == \"either\"\n\tinput.tool.arguments.cash == 5\n}", ""},
		{"beside all alternatives", "deny contains \"no\" if {\n\tinput.tool.name == \"either\"\n\tinput.tool.arguments.csh == 5\n}", "did you mean cash?"},
		{"a tool of two servers", "deny contains \"no\" if {\n\tinput.tool.name == \"pay\"\n\tinput.tool.arguments.card == \"x\"\n}", ""},
		{"and the server", "deny contains \"no\" if {\n\tinput.tool.name == \"pay\"\n\tinput.resource.server == \"bank\"\n\tinput.tool.arguments.card == \"x\"\n}", "the tool pay of bank has no such argument"},
		{"and the server's identifier", "deny contains \"no\" if {\n\tinput.tool.name == \"pay\"\n\tinput.resource.server_id == \"https://bank.example/mcp\"\n\tinput.tool.arguments.card == \"x\"\n}", "the tool pay of bank has no such argument"},
		{"no tool", "deny contains \"no\" if input.tool.arguments.anything == 5", ""},
		{"any tool but one", "deny contains \"no\" if {\n\tinput.tool.name != \"transfer\"\n\tinput.tool.arguments.anything == 5\n}", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"a.rego": payments + tc.policy + "\n", "config.yaml": "tools: [transfer]\n"}
			got := problemTexts(checked(t, files).Problems)
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
			_, err := New(context.Background(), Config{Dir: dirWith(t, files), Defaults: true, Catalogue: twoServers(t), Log: silent()})
			if (err != nil) != (tc.want != "") {
				t.Errorf("check and server do not agree: %v", err)
			}
		})
	}
}

func TestALibraryIsTypedByWhoUsesIt(t *testing.T) {
	lib := "package lib.own\n\nsmall if input.tool.arguments.ammount <= 5\n"
	user := "package policy.tools.a\n\nimport data.lib.own\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tnot own.small\n}\n"
	if got := problemTexts(checked(t, map[string]string{"lib.rego": lib, "a.rego": user}).Problems); !strings.Contains(got, "lib.rego:3:10: input.tool.arguments.ammount") {
		t.Error(got)
	}
}

// TestNotesSayWhatIsNotChecked: check -v shows them.
func TestNotesSayWhatIsNotChecked(t *testing.T) {
	for _, tc := range []struct{ name, condition, want string }{
		{"a tool", `input.tool.name == "transfer"`, "x is checked against the tool transfer of bank"},
		{"no tool", `input.mcp.method == "tools/call"`, "does not say which tool it is about"},
		{"a tool of two servers", `input.tool.name == "pay"`, "compare input.resource.server with a constant"},
		{"a tool of nobody", `input.tool.name == "other"`, "no registered server has a tool"},
		{"a tool that takes anything", `input.tool.name == "free"`, "allows any arguments"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report := checked(t, map[string]string{"a.rego": payments + "deny contains \"no\" if {\n\t" + tc.condition + "\n\tinput.tool.arguments.x == 1\n}\n"})
			if got := problemTexts(report.Notes); len(report.Notes) != 1 || !strings.Contains(got, tc.want) {
				t.Errorf("%s\nwant %q", got, tc.want)
			}
		})
	}
	report, err := Check(dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.arguments.x == 1\n"}), CheckOptions{})
	if err != nil || len(report.Notes) != 0 {
		t.Error("without a catalogue nothing can be said", report.Notes, err)
	}
}

func TestForeignReferencesInToolSchemasAreRefused(t *testing.T) {
	for name, schema := range map[string]string{
		"a file":      `{"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}`,
		"an address":  `{"type": "object", "allOf": [{"$ref": "http://127.0.0.1/x"}]}`,
		"a neighbour": `{"type": "object", "$dynamicRef": "other.json#/x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			catalogue := []*oauth.Resource{{ID: "https://x.example", Key: "x", Tools: []oauth.Tool{tool(t, "t", schema)}}}
			report, err := Check(t.TempDir(), CheckOptions{Catalogue: catalogue})
			if err != nil || !strings.Contains(problemTexts(report.Problems), "the inputSchema of x/t refers to") {
				t.Errorf("%v %v", report.Problems, err)
			}
			if _, err := New(context.Background(), Config{Catalogue: catalogue, Log: silent()}); err == nil {
				t.Error("a server starts with it")
			}
		})
	}
}

// TestABombAmongSchemas: a schema that branches into itself is read to a bound.
func TestABombAmongSchemas(t *testing.T) {
	bomb := `{"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}, "c": {"$ref": "#"}, "d": {"$ref": "#"}, "e": {"$ref": "#"}, "f": {"$ref": "#"}}}`
	x := tool(t, "x", bomb)
	schema, open := argumentSchema(&x)
	if open || !fieldAt(schema, inputPath{"a", "b", "c"}).known || fieldAt(schema, inputPath{"z"}).known {
		t.Error(schema)
	}
	text, err := json.Marshal(schema)
	if err != nil || len(text) > 200_000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
