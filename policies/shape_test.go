package policies

import (
	"context"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// inRego evaluates a query of the shipped modules over an input; nil = undefined.
func inRego(t *testing.T, query string) func(ast.Value) any {
	t.Helper()
	s, problems, err := readSource("", true, nil)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	p, problems, err := s.parse()
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	compiler, problems := p.compile(false)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	prepared, err := rego.New(rego.Query(query), rego.Compiler(compiler), rego.Store(p.store()), rego.StrictBuiltinErrors(true)).PrepareForEval(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return func(input ast.Value) any {
		rs, err := prepared.Eval(context.Background(), rego.EvalParsedInput(input))
		if err != nil {
			t.Fatal(err)
		}
		if len(rs) == 0 {
			return nil
		}
		return rs[0].Expressions[0].Value
	}
}

// TestShapesInRegoAndGo gives every value to mcp.authz.shape and to its twin in Go.
func TestShapesInRegoAndGo(t *testing.T) {
	accepted := map[string]int{}
	for name, twin := range map[string]struct {
		query string
		holds func(ast.Value) bool
	}{
		"text":          {"data.mcp.authz.shape.text(input)", isText},
		"seconds":       {"data.mcp.authz.shape.seconds(input, 0)", func(v ast.Value) bool { return isSeconds(v, 0) }},
		"seconds, 1":    {"data.mcp.authz.shape.seconds(input, 1)", func(v ast.Value) bool { return isSeconds(v, 1) }},
		"authn":         {"data.mcp.authz.shape.authn_requirement(input)", isRequirement},
		"obligation":    {"data.mcp.authz.shape.obligation(input)", isObligation},
		"authn of sets": {`data.mcp.authz.shape.authn_requirement({"acr_values": {x | some x in input}})`, func(v ast.Value) bool { return isTexts(setOf(v)) }},
	} {
		ask := inRego(t, twin.query)
		for _, value := range givenValues() {
			term, err := termOf(value, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := ask(term.Value) == true
			if got := twin.holds(term.Value); got != want {
				t.Errorf("%s of %v: %v in Go, %v in Rego", name, term, got, want)
			}
			if want {
				accepted[name]++
			}
		}
		if accepted[name] == 0 || accepted[name] == len(givenValues()) {
			t.Errorf("%s: %d values accepted prove little", name, accepted[name])
		}
	}
}

// setOf are the elements of a collection, as Rego's some … in sees them.
func setOf(v ast.Value) ast.Value {
	set := ast.NewSet()
	switch v := v.(type) {
	case *ast.Array:
		v.Foreach(set.Add)
	case ast.Object:
		v.Foreach(func(_, value *ast.Term) { set.Add(value) })
	}
	return set
}

// TestReasonsInRegoAndGo compares what becomes of the entries of a deny set.
func TestReasonsInRegoAndGo(t *testing.T) {
	ask := inRego(t, `data.mcp.authz.shape.reason("p", input)`)
	for _, value := range givenValues() {
		term, err := termOf(value, 0)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ast.InterfaceToValue(ask(term.Value))
		if err != nil {
			t.Fatal(err)
		}
		if got := shapedReason("p", term); got.Value.Compare(want) != 0 {
			t.Errorf("%v: %v in Go, %v in Rego", term, got, want)
		}
	}
}

// TestScopesCoverInRegoAndGo compares lib.mcp.scope_covers with the function that the server uses.
func TestScopesCoverInRegoAndGo(t *testing.T) {
	ask := inRego(t, "data.lib.mcp.scope_covers(input[0], input[1])")
	scopes := []string{"", "*", "a", "a:b", "a:c", "a:*", "a:", "a:b*", "a:bc", "a:*:*", "a:*:b", "a:b:*", "a:b:c", "a:b.*", "a:b.c", "a:b.", "a:b/*", "a:b/c", ":*", ":", ":a", "m:e:f.*", "m:e:f.a.*", "m:e:f.echo", "ä:*", "ä:ö"}
	covered := 0
	for _, held := range scopes {
		for _, wanted := range scopes {
			want := ask(ast.NewArray(ast.StringTerm(held), ast.StringTerm(wanted))) == true
			if got := covers(held, ast.String(wanted)); got != want {
				t.Errorf("%q covers %q: %v in Go, %v in Rego", held, wanted, got, want)
			}
			if want {
				covered++
			}
		}
	}
	if covered < len(scopes)+10 {
		t.Errorf("only %d pairs are covered", covered)
	}
}
