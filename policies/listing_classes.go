package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// test is something that a rule asks about a text of the input: is it this one, does it begin with this.
type test struct {
	op   string // the name of the built-in; "eq" for all comparisons
	with string
}

// holds gives the test's result for a text.
func (t test) holds(text string) bool {
	switch t.op {
	case ast.StartsWith.Name:
		return strings.HasPrefix(text, t.with)
	case ast.EndsWith.Name:
		return strings.HasSuffix(text, t.with)
	case ast.Contains.Name:
		return strings.Contains(text, t.with)
	}
	return text == t.with
}

// results are those of all tests for a text, one letter each.
func results(tests []test, text string) string {
	letters := make([]byte, len(tests))
	for i, t := range tests {
		letters[i] = '-'
		if t.holds(text) {
			letters[i] = '+'
		}
	}
	return string(letters)
}

// findTests finds what a body only tests: input.tool.name == "transfer", or != "", or in {"a", "b"}, or a startswith. The
// compiler has written most of them as x = input.tool.name and a call with x.
func (w *dependencyWalk) findTests(body ast.Body) {
	bound := map[ast.Var]*ast.Expr{}
	for _, e := range body {
		if v, ok := binding(e); ok {
			bound[v] = e
		}
	}
	for _, e := range body {
		operands := e.Operands()
		if !e.IsCall() || len(operands) < 2 {
			continue
		}
		for i, operand := range operands[:2] {
			ref, bind := w.inputOf(operand.Value, bound)
			path := fixedPath(ref)
			if len(path) == 0 || len(path) != len(ref)-1 {
				continue
			}
			if tests, ok := w.testsOf(e, operands[1-i].Value, i == 0, bound); ok {
				w.note(path, e.Location)
				w.tested[path.String()] = append(w.tested[path.String()], tests...)
				w.tests[e] = true
				if bind != nil {
					w.tests[bind] = true
				}
				break
			}
		}
	}
}

// binding tells whether an expression is x = REFERENCE.
func binding(e *ast.Expr) (ast.Var, bool) {
	if !e.IsEquality() || e.Negated || len(e.With) > 0 {
		return "", false
	}
	v, isVar := e.Operand(0).Value.(ast.Var)
	_, isRef := e.Operand(1).Value.(ast.Ref)
	return v, isVar && isRef
}

// inputOf is the input reference that an operand is, itself or through a binding that serves nothing else.
func (w *dependencyWalk) inputOf(v ast.Value, bound map[ast.Var]*ast.Expr) (ref ast.Ref, bind *ast.Expr) {
	if x, ok := v.(ast.Var); ok && bound[x] != nil && w.uses[x] == 2 {
		bind = bound[x]
		v = bind.Operand(1).Value
	}
	ref, ok := v.(ast.Ref)
	if !ok || !ref[0].Equal(ast.InputRootDocument) {
		return ast.Ref{ast.InputRootDocument}, nil
	}
	return ref, bind
}

// testsOf are the tests that an expression makes with its other operand; ok is false if it does anything else.
func (w *dependencyWalk) testsOf(e *ast.Expr, v ast.Value, inputFirst bool, bound map[ast.Var]*ast.Expr) ([]test, bool) {
	op := e.Operator().String()
	switch op {
	case ast.Equality.Name, ast.Equal.Name, ast.NotEqual.Name:
		return scalarTest(v)
	case ast.StartsWith.Name, ast.EndsWith.Name, ast.Contains.Name:
		text, ok := v.(ast.String)
		return []test{{op, string(text)}}, ok && inputFirst
	case ast.Member.Name:
		return w.collection(v, inputFirst, bound)
	}
	return nil, false
}

// scalarTest compares with one constant. One that is no text never equals a text, but is a test all the same.
func scalarTest(v ast.Value) ([]test, bool) {
	if text, ok := v.(ast.String); ok {
		return []test{{ast.Equality.Name, string(text)}}, true
	}
	return nil, ast.IsScalar(v)
}

// collection compares with the members of a set or array: written in place, or of a rule that is nothing else, or of data.config.
func (w *dependencyWalk) collection(v ast.Value, inputFirst bool, bound map[ast.Var]*ast.Expr) (tests []test, ok bool) {
	if x, isVar := v.(ast.Var); isVar && bound[x] != nil {
		v = bound[x].Operand(1).Value
	}
	if ref, isRef := v.(ast.Ref); isRef {
		v = w.constant(ref)
	}
	ok = inputFirst
	add := func(t *ast.Term) {
		more, scalar := scalarTest(t.Value)
		tests, ok = append(tests, more...), ok && scalar
	}
	switch v := v.(type) {
	case ast.Set:
		v.Foreach(add)
	case *ast.Array:
		v.Foreach(add)
	default:
		return nil, false
	}
	return tests, ok
}

// constant is the value of a rule without conditions, or of a member of data.config, or nil.
func (w *dependencyWalk) constant(ref ast.Ref) ast.Value {
	if !ref[0].Equal(ast.DefaultRootDocument) || !ref.IsGround() {
		return nil
	}
	if len(ref) > 2 && ref[1].Equal(ast.StringTerm("config")) {
		config, err := ast.InterfaceToValue(w.config)
		if err != nil {
			return nil
		}
		v, err := config.Find(ref[2:])
		if err != nil {
			return nil
		}
		return v
	}
	rules := w.compiler.GetRulesExact(ref)
	if len(rules) != 1 || rules[0].Else != nil || rules[0].Head.Value == nil || rules[0].Head.Key != nil || len(rules[0].Head.Args) > 0 || !isTrue(rules[0].Body) {
		return nil
	}
	return rules[0].Head.Value.Value
}

func isTrue(body ast.Body) bool {
	if len(body) != 1 {
		return false
	}
	t, ok := body[0].Terms.(*ast.Term)
	return ok && !body[0].Negated && len(body[0].With) == 0 && ast.Boolean(true).Equal(t.Value)
}

// sortTests makes the tests of a path a short list in a fixed order.
func sortTests(tests []test) []test {
	tests = slices.Clone(tests)
	slices.SortFunc(tests, func(a, b test) int {
		if a.op != b.op {
			return strings.Compare(a.op, b.op)
		}
		return strings.Compare(a.with, b.with)
	})
	return slices.Compact(tests)
}
