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
			if !failsWhenAbsent(b, e) {
				continue
			}
			if path := mayBeAbsent(b, e, schema); path != nil {
				found = append(found, absent(b, e, path))
			}
		}
		found = append(found, g.checkAbsentEntry(b, schema)...)
	}
	return found
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

func absent(b *ruleBody, e *ast.Expr, path inputPath) Problem {
	if e.Negated {
		return problemAt(e.Location, "%s may be absent, and then not fails too and %s says nothing; import future.keywords.not, or negate a rule of its own", path, ruleName(b.rule))
	}
	return problemAt(e.Location, "%s may be absent, and then this fails and %s says nothing; say in a rule of its own what is safe, and deny if not that", path, ruleName(b.rule))
}
