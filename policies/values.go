package policies

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// checkValues looks at the constants and the tables that rules compare and look up with the input: a value that the input never
// has is a problem, and so is a misspelled name of the catalogue; a name that it does not know otherwise is a warning, since another
// server's catalogue may know it.
func (g *ruleGraph) checkValues() (problems, warnings []Problem) {
	named := map[string]bool{}
	for _, b := range g.bodies {
		g.constantKeys(b, named)
	}
	told := map[string]bool{}
	for _, b := range g.bodies {
		if b.own.log {
			continue
		}
		schema := g.inputSchema(b, g.subject(b))
		problems = append(problems, strangeFields(b, schema)...)
		g.orders(b, func(path inputPath, other *ast.Term) {
			if p := g.neverOrdered(b, path, fieldAt(schema, path).schema["type"], other); p != nil {
				problems = append(problems, *p)
			}
		})
		g.lookups(b, func(l lookup) {
			v := g.vocabularyOf(b, l.path, schema)
			if v == nil {
				return
			}
			wrong, unknown := g.lookUp(l, *v, named, told)
			problems, warnings = append(problems, wrong...), append(warnings, unknown...)
		})
		wrong, unknown := g.lookUp(lookup{parts: func() []part { return g.scopeConstants(b) }}, *g.program.scopeNames(), named, told)
		problems, warnings = append(problems, wrong...), append(warnings, unknown...)
	}
	return problems, warnings
}

// strangeFields finds fields that object.get asks for and the input never has: the compiler types references only, so a misspelled
// one would always be the default. Arguments are looked at by typeArguments.
func strangeFields(b *ruleBody, schema map[string]any) (problems []Problem) {
	ignore := func(inputPath, *ast.Location) {}
	walkReads(b, ignore, func(path inputPath, at *ast.Location) {
		f := fieldAt(schema, path)
		if f.known || path.begins(inputPath{"tool", "arguments"}) && f.missing > 1 {
			return
		}
		p := problemAt(at, "%s has no field %s%s", path[:f.missing], path[f.missing], nearestHint(path[f.missing], f.siblings))
		if len(f.siblings) > 0 {
			p.Detail = "want one of: " + strings.Join(f.siblings, ", ")
		}
		problems = append(problems, p)
	})
	return problems
}

// neverOrdered finds a number that is compared with a text: in Rego every number is below every text.
func (g *ruleGraph) neverOrdered(b *ruleBody, path inputPath, kind any, other *ast.Term) *Problem {
	written := g.reader(b).parts(other)
	if len(written) == 0 {
		written = []part{{term: other}} // numbers are no names, so the reader leaves them out
	}
	for _, w := range written {
		_, text := w.text()
		if w.path != nil && w.isKey {
			continue
		}
		at := other.Location
		shown := other.String()
		if w.term != nil && w.term.Location != nil {
			at, shown = w.term.Location, w.term.String()
		}
		var p Problem
		switch number := w.isNumber(); {
		case text && (kind == "number" || kind == "integer"):
			p = problemAt(at, "%s is a number and %s a text; every number is below every text, so write %s without quotes", path, shown, w.called())
		case number && kind == "string":
			p = problemAt(at, "%s is a text and %s a number; every number is below every text, so compare with a text", path, shown)
		default:
			continue
		}
		if w.path != nil {
			where := g.program.placeOfConfig(w.path, false)
			p.Message += fmt.Sprintf(" (%s:%d)", where.File, where.Row)
		}
		return &p
	}
	return nil
}

// called is what a message calls the value.
func (p part) called() string {
	if p.path != nil {
		return "the value"
	}
	return "the constant"
}

func (p part) isNumber() bool {
	if p.term != nil {
		_, ok := p.term.Value.(ast.Number)
		return ok
	}
	switch p.value.(type) {
	case json.Number, int, int64, uint64, float64:
		return true
	}
	return false
}

// orders calls f for every place of the input that a body compares with something else by <, <=, > or >=.
func (g *ruleGraph) orders(b *ruleBody, f func(path inputPath, other *ast.Term)) {
	binaries(b, func(operator string, left, right *ast.Term) {
		switch operator {
		case ast.LessThan.Name, ast.LessThanEq.Name, ast.GreaterThan.Name, ast.GreaterThanEq.Name:
			if path, ok := b.inputPath(left.Value); ok {
				f(path, right)
			} else if path, ok := b.inputPath(right.Value); ok {
				f(path, left)
			}
		}
	})
}

// binaries calls f for every call with two operands.
func binaries(b *ruleBody, f func(operator string, left, right *ast.Term)) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule
		case *ast.Expr:
			if x.IsCall() && len(x.Operands()) == 2 {
				f(x.Operator().String(), x.Operand(0), x.Operand(1))
			}
		case ast.Call:
			if len(x) == 3 {
				f(x[0].String(), x[1], x[2])
			}
		}
		return false
	}).Walk(b.rule)
}

// scopeConstants are the scopes that a rule gives out or asks for, as far as they are written by the author.
func (g *ruleGraph) scopeConstants(b *ruleBody) (found []part) {
	r := g.reader(b)
	ast.WalkTerms(b.rule, func(t *ast.Term) bool { // mcp.has_scope("a:b")
		if call, ok := t.Value.(ast.Call); ok && isHasScope(b, call[0].Value) {
			found = append(found, r.parts(call[1])...)
		}
		return false
	})
	ast.WalkExprs(b.rule, func(e *ast.Expr) bool {
		if e.IsCall() && len(e.Operands()) > 0 && isHasScope(b, e.Operator()) {
			found = append(found, r.parts(e.Operand(0))...)
		}
		return false
	})
	head := b.rule.Head
	switch name := ruleName(b.rule); {
	case head == nil || !b.exported:
	case name == "grant" || name == "required_scopes" || name == "require_consent":
		found = append(found, r.parts(head.Key)...)
	case name == "scope_ceiling" && head.Value != nil:
		found = append(found, elementsOf(r.parts(head.Value))...)
	case name == "deny_scope" && head.Key != nil:
		if entry, ok := head.Key.Value.(ast.Object); ok {
			found = append(found, r.parts(entry.Get(ast.StringTerm("scope")))...)
		}
	}
	return found
}

func isHasScope(b *ruleBody, v ast.Value) bool {
	ref, ok := v.(ast.Ref)
	if !ok || len(ref) == 0 {
		return false
	}
	if ref.String() == "data.lib.mcp.has_scope" {
		return true
	}
	head, ok := ref[0].Value.(ast.Var)
	if !ok || len(ref) != 2 || !ref[1].Equal(ast.StringTerm("has_scope")) {
		return false
	}
	return slices.ContainsFunc(b.module.Imports, func(i *ast.Import) bool {
		return i.Name() == head && i.Path.Value.String() == "data.lib.mcp"
	})
}
