package policies

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"
)

// TestTheHelpersOfTestsMakeRealInputs: with every field that is always there, and none that the schemas do not know.
func TestTheHelpersOfTestsMakeRealInputs(t *testing.T) {
	s, _, err := readSource("", true, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := s.parse()
	if err != nil {
		t.Fatal(err)
	}
	c, problems := p.compile(true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, tc := range []struct{ schema, call string }{
		{"tool_call", `tool_call({"name": "x"})`},
		{"tool_call", `tool_call({"name": "x", "arguments": {"a": 1}, "scopes": ["a:b"], "amr": ["pwd"], "actor": {"type": "agent", "id": "a"}, "user": data.lib.mcp.testing.user({"type": "service"})})`},
		{"tool_call", `tool_call({"method": "prompts/get", "prompt": "p", "client": data.lib.mcp.testing.client({"registration": "dcr"})})`},
		{"scope_grant", `grant_request({})`},
		{"scope_grant", `grant_request({"scopes": ["a:b"], "acr_values": ["mfa"], "max_age": 5, "actor": {"type": "agent", "id": "a"}, "client": data.lib.mcp.testing.client({"registration": "static"})})`},
	} {
		t.Run(tc.call, func(t *testing.T) {
			rs, err := rego.New(rego.Query("data.lib.mcp.testing."+tc.call), rego.Compiler(c), rego.Store(p.store())).Eval(context.Background())
			if err != nil || len(rs) != 1 {
				t.Fatal(rs, err)
			}
			schema := p.inputs[tc.schema].(map[string]any)
			demand(t, "input", schema, rs[0].Expressions[0].Value)
			onlyKnown(t, schema, nil, rs[0].Expressions[0].Value)
		})
	}
	chosen := p.chosen(false)
	for name := range chosen {
		if name == "shipped/lib/mcp/testing.rego" {
			t.Error("a server loads the helpers of tests")
		}
	}
}

// onlyKnown reports members that a schema does not have, and words that a field cannot be.
func onlyKnown(t *testing.T, schema map[string]any, at inputPath, value any) {
	t.Helper()
	f := fieldAt(schema, at)
	if !f.known {
		text, _ := json.Marshal(value)
		t.Errorf("%s is in no input: %s", at, text)
		return
	}
	if problem := neverHas(f.schema, value); problem != "" {
		t.Errorf("%s is never %s", at, problem)
	}
	if object, ok := value.(map[string]any); ok {
		for key, member := range object {
			onlyKnown(t, schema, append(at[:len(at):len(at)], key), member)
		}
	}
}

func neverHas(schema map[string]any, value any) string {
	values, _ := schema["enum"].([]any)
	text, ok := value.(string)
	if !ok || len(values) == 0 {
		return ""
	}
	for _, v := range values {
		if v == text {
			return ""
		}
	}
	return text
}
