package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// helper is a function of lib.mcp in Go, for the compiler of a judge. It never fails, and what it refuses is undefined, as in Rego; exports,
// tests and the router keep the Rego.
type helper struct {
	name  string
	arity int
	holds func(input ast.Value, operands []*ast.Term) bool
	fits  func(operands []*ast.Term) bool // nil: it takes all there are
}

// helpers leave out what fails in Rego for some operands, so that the same error is told.
func helpers() []helper {
	return []helper{
		{name: "in_group", arity: 1, holds: inGroup},
		{name: "has_scope", arity: 1, holds: hasScope, fits: func(operands []*ast.Term) bool { _, ok := operands[0].Value.(ast.String); return ok }},
		{name: "number_between", arity: 3, holds: numberBetween},
	}
}

func (h helper) rego() ast.Ref { return ast.MustParseRef("data.lib.mcp." + h.name) }

// builtin is the name under which the judge calls it.
func (h helper) builtin() string { return "portcullis." + h.name }

func inGroup(input ast.Value, operands []*ast.Term) bool {
	return isAmong(input, operands[0], "subject", "groups")
}

func hasScope(input ast.Value, operands []*ast.Term) bool {
	held, err := input.Find(ast.Ref{ast.InternedTerm("token"), ast.InternedTerm("scopes")})
	return err == nil && slices.ContainsFunc(textsIn(held), func(h string) bool { return covers(h, operands[0].Value) })
}

func isAmong(input ast.Value, t *ast.Term, path ...string) bool {
	ref := make(ast.Ref, len(path))
	for i, key := range path {
		ref[i] = ast.InternedTerm(key)
	}
	found, err := input.Find(ref)
	if err != nil {
		return false
	}
	switch list := found.(type) {
	case *ast.Array:
		return list.Until(t.Equal)
	case ast.Set:
		return list.Contains(t)
	}
	return false
}

func numberBetween(_ ast.Value, operands []*ast.Term) bool {
	for _, o := range operands {
		if _, ok := o.Value.(ast.Number); !ok {
			return false
		}
	}
	value, low, high := operands[0].Value, operands[1].Value, operands[2].Value
	return value.Compare(low) >= 0 && value.Compare(high) <= 0
}

// implementation looks at the input that the witness has.
func (h helper) implementation(w *witness) *topdown.Builtin {
	args := slices.Repeat([]types.Type{types.A}, h.arity)
	return &topdown.Builtin{Decl: &ast.Builtin{Name: h.builtin(), Decl: types.NewFunction(args, types.B), CanSkipBctx: true},
		Func: func(_ topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
			if !h.holds(w.input, operands) {
				return nil
			}
			return iter(ast.InternedTerm(true))
		}}
}

// useHelpers lets the rules of a judge call helpers in Go, and asks plain conditions of one line where they are wanted: both cost an evaluation
// of a rule less. Where anything is replaced by "with", another input or another rule may be meant, so then nothing is changed.
func useHelpers(c *ast.Compiler) {
	replaced := false
	for _, m := range c.Modules {
		ast.WalkExprs(m, func(e *ast.Expr) bool { replaced = replaced || len(e.With) > 0; return false })
	}
	if replaced {
		return
	}
	for _, m := range c.Modules {
		if m.Package.Path.String() == "data.lib.mcp" {
			continue
		}
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			useHelper(e)
			useCondition(c, e)
			return false
		})
	}
}

func useHelper(e *ast.Expr) {
	terms, ok := e.Terms.([]*ast.Term)
	if !ok || !e.IsCall() {
		return
	}
	for _, h := range helpers() {
		if len(terms) <= h.arity || !h.rego().Equal(terms[0].Value) || h.fits != nil && !h.fits(terms[1:]) {
			continue
		}
		call := slices.Clone(terms)
		call[0] = ast.RefTerm(ast.VarTerm("portcullis"), ast.StringTerm(h.name)).SetLocation(terms[0].Location)
		e.Terms = call
	}
}

// useCondition puts the one line of a rule in the place of a reference to it.
func useCondition(c *ast.Compiler, e *ast.Expr) {
	t, ok := e.Terms.(*ast.Term)
	if !ok {
		return
	}
	ref, ok := t.Value.(ast.Ref)
	if !ok || !ref.IsGround() || !ref[0].Equal(ast.DefaultRootDocument) {
		return
	}
	rules := c.GetRulesExact(ref)
	if len(rules) != 1 || !isCondition(rules[0]) {
		return
	}
	e.Terms = rules[0].Body[0].Copy().Terms
}

// isCondition tells that a rule is true if one expression without variables is, and else undefined. One that others see tells that it fired.
func isCondition(r *ast.Rule) bool {
	private := strings.HasPrefix(ruleName(r), "_") || r.Module.Package.Path.HasPrefix(ast.MustParseRef("data.lib"))
	if !private || r.Default || r.Else != nil || len(r.Body) != 1 || len(r.Head.Args) > 0 || r.Head.Key != nil || r.Head.Value == nil ||
		r.Head.Value.Value.Compare(ast.Boolean(true)) != 0 || r.Body[0].Negated {
		return false
	}
	terms, isCall := r.Body[0].Terms.([]*ast.Term)
	return isCall && ast.Equality.Ref().Equal(terms[0].Value) && !slices.ContainsFunc(terms[1:], func(t *ast.Term) bool { return !isPlain(t) })
}

// isPlain tells that a term has no variables and calls nothing.
func isPlain(t *ast.Term) bool {
	plain := true
	ast.WalkTerms(t, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Var:
			plain = plain && (v.Equal(ast.InputRootDocument.Value) || v.Equal(ast.DefaultRootDocument.Value))
		case ast.Call, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			plain = false
		}
		return !plain
	})
	return plain
}
