package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// checkAbsent warns of deny rules that say nothing when a value is missing: a comparison with it fails then, and the rule
// with it.
func (g *ruleGraph) checkAbsent() []Problem {
	var found []Problem
	for _, b := range g.bodies {
		name := ruleName(b.rule)
		if !b.exported || name != "deny" && name != "deny_scope" {
			continue
		}
		schema := g.inputSchema(b, g.subject(b))
		for _, e := range b.rule.Body {
			if at, path := g.failing(b, e, schema, map[string]bool{}); path != nil {
				found = append(found, absent(name, at, path))
			}
		}
		found = append(found, g.checkAbsentEntry(b, schema)...)
	}
	return found
}

// failing is the condition that an expression of a deny rule comes down to, and the place of the input whose absence lets it fail. What a
// helper says counts as if it stood in the rule, unless one of its bodies holds without that place.
func (g *ruleGraph) failing(b *ruleBody, e *ast.Expr, schema map[string]any, seen map[string]bool) (*ast.Expr, inputPath) {
	if failsWhenAbsent(b, e) {
		return e, mayBeAbsent(b, e, schema)
	}
	name := g.helper(b, e)
	if name == "" || seen[name] {
		return nil, nil
	}
	seen[name] = true
	if e.IsCall() {
		if path := mayBeAbsent(b, e, schema); path != nil {
			return e, path
		}
	}
	return g.failingHelper(name, schema, seen)
}

// failingHelper is the same for a helper: the place without which each of its bodies fails.
func (g *ruleGraph) failingHelper(name string, schema map[string]any, seen map[string]bool) (at *ast.Expr, path inputPath) {
	for _, b := range g.rules[name] {
		if saysFalse(b.rule) {
			continue
		}
		var here inputPath
		for _, e := range b.rule.Body {
			found, place := g.failing(b, e, schema, seen)
			if place == nil || path != nil && place.String() != path.String() {
				continue
			}
			if here = place; at == nil {
				at = found
			}
			break
		}
		if here == nil {
			return nil, nil
		}
		path = here
	}
	return at, path
}

// saysFalse tells a body that says no more than a rule that does not hold.
func saysFalse(r *ast.Rule) bool {
	return r.Head.Value != nil && r.Head.Value.Equal(ast.BooleanTerm(false))
}

// helper is the author's rule or function that an expression asks to hold, or "".
func (g *ruleGraph) helper(b *ruleBody, e *ast.Expr) string {
	if e.Negated || len(e.With) > 0 {
		return ""
	}
	asked, isTerm := e.Terms.(*ast.Term)
	if e.IsCall() {
		asked, isTerm = e.OperatorTerm(), true
	}
	if !isTerm {
		return ""
	}
	name := g.resolve(b.module, asked.Value)
	if len(g.rules[name]) == 0 || g.rules[name][0].exported {
		return ""
	}
	return name
}

// failsWhenAbsent tells the conditions that are meant to find something bad: comparisons, and what is negated in the classic way,
// which takes the value out of the negation first. Equality is left alone: it chooses what a rule is about.
func failsWhenAbsent(b *ruleBody, e *ast.Expr) bool {
	if !e.IsCall() || len(e.With) > 0 {
		return false
	}
	operator := e.Operator().String()
	if e.Negated {
		return !hasBetterNot(b.module) && operator != ast.Equality.Name && operator != ast.Equal.Name
	}
	switch operator {
	case ast.GreaterThan.Name, ast.GreaterThanEq.Name, ast.LessThan.Name, ast.LessThanEq.Name, ast.NotEqual.Name:
		return true
	}
	return false
}

// hasBetterNot tells whether "not" in this module also holds when a value inside it is absent.
func hasBetterNot(m *ast.Module) bool {
	return slices.ContainsFunc(m.Imports, func(i *ast.Import) bool {
		path := i.Path.Value.String()
		return path == "future.keywords.not" || path == "rego.v2"
	})
}

// mayBeAbsent is the first place of the input in an expression that is not always there.
func mayBeAbsent(b *ruleBody, e *ast.Expr, schema map[string]any) inputPath {
	var found inputPath
	ast.WalkTerms(e, func(t *ast.Term) bool {
		path, ok := b.inputPath(t.Value)
		if !ok || found != nil {
			return false
		}
		if f := fieldAt(schema, path); f.known && !f.always {
			found = path
		}
		return false
	})
	return found
}

// absent is said where the condition stands, about the rule that says nothing.
func absent(rule string, e *ast.Expr, path inputPath) Problem {
	if e.Negated {
		return problemAt(e.Location, "%s may be absent, and then not fails too and %s says nothing; import future.keywords.not, or negate a rule of its own", path, rule)
	}
	return problemAt(e.Location, "%s may be absent, and then this fails and %s says nothing; say in a rule of its own what is safe, and deny if not that", path, rule)
}
