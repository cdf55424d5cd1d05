package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// checkValues looks at the constants that rules compare with: a value that the input never has is a problem, a name that the
// catalogue does not know a warning, since another server's catalogue may know it.
func (g *ruleGraph) checkValues() (problems, warnings []Problem) {
	for _, b := range g.bodies {
		if b.own.log {
			continue
		}
		s := g.subject(b)
		schema := g.inputSchema(b, s)
		problems = append(problems, strangeFields(b, schema)...)
		g.orders(b, func(path inputPath, constant *ast.Term) {
			if p := neverOrdered(path, fieldAt(schema, path).schema["type"], constant); p != nil {
				problems = append(problems, *p)
			}
		})
		g.comparisons(b, func(path inputPath, constant *ast.Term) {
			text, ok := constant.Value.(ast.String)
			if !ok {
				return
			}
			if values, _ := fieldAt(schema, path).schema["enum"].([]any); len(values) > 0 && !slices.Contains(values, any(string(text))) {
				problems = append(problems, neverEqual(path, string(text), values, constant.Location))
			}
			if p := g.program.unknownName(path, string(text), constant.Location); p != nil {
				warnings = append(warnings, *p)
			}
		})
		for _, scope := range g.scopeConstants(b) {
			text, _ := scope.Value.(ast.String)
			if p := g.program.unknownScope(string(text), scope.Location); p != nil {
				warnings = append(warnings, *p)
			}
		}
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

func nearestHint(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

func neverEqual(path inputPath, text string, values []any, at *ast.Location) Problem {
	known := make([]string, len(values))
	for i, v := range values {
		known[i] = fmt.Sprint(v)
	}
	hint := ""
	if near := nearest(text, known); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	p := problemAt(at, "%s is never %q%s", path, text, hint)
	p.Detail = "want one of: " + strings.Join(known, ", ")
	return p
}

// neverOrdered finds a number that is compared with a text: in Rego every number is below every text.
func neverOrdered(path inputPath, kind any, constant *ast.Term) *Problem {
	var p Problem
	switch constant.Value.(type) {
	case ast.String:
		if kind != "number" && kind != "integer" {
			return nil
		}
		p = problemAt(constant.Location, "%s is a number and %s a text; every number is below every text, so write the constant without quotes", path, constant)
	case ast.Number:
		if kind != "string" {
			return nil
		}
		p = problemAt(constant.Location, "%s is a text and %s a number; every number is below every text, so compare with a text", path, constant)
	default:
		return nil
	}
	return &p
}

// orders calls f for every place of the input that a body compares with a constant by <, <=, > or >=.
func (g *ruleGraph) orders(b *ruleBody, f func(path inputPath, constant *ast.Term)) {
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

// comparisons calls f for every place of the input that a body compares with a constant, and each such constant.
func (g *ruleGraph) comparisons(b *ruleBody, f func(path inputPath, constant *ast.Term)) {
	binaries(b, func(operator string, left, right *ast.Term) { g.comparison(b, operator, left, right, f) })
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

func (g *ruleGraph) comparison(b *ruleBody, operator string, left, right *ast.Term, f func(inputPath, *ast.Term)) {
	switch operator {
	case ast.Equality.Name, ast.Equal.Name, ast.NotEqual.Name:
		if path, ok := b.place(left.Value); ok {
			f(path, right)
		} else if path, ok := b.place(right.Value); ok {
			f(path, left)
		}
	case ast.Member.Name:
		if path, ok := b.inputPath(left.Value); ok {
			texts, _ := g.texts(b, right.Value)
			for _, t := range placed(texts, right.Location) {
				f(path, t)
			}
		} else if path, ok := b.inputPath(right.Value); ok {
			f(append(slices.Clone(path), "[]"), left)
		}
	}
}

// place is inputPath, or for any member of a list (input.token.scopes[_], some x in input.token.scopes) the list and "[]".
func (b *ruleBody) place(v ast.Value) (inputPath, bool) {
	if path, ok := b.inputPath(v); ok {
		return path, true
	}
	var list ast.Value
	switch v := v.(type) {
	case ast.Ref:
		if last := v[len(v)-1].Value; len(v) > 2 && !last.IsGround() {
			list = v[:len(v)-1]
		}
	case ast.Var:
		list = b.membersOf(v)
	}
	if list == nil {
		return nil, false
	}
	path, ok := b.inputPath(list)
	return append(slices.Clone(path), "[]"), ok
}

// membersOf is what a variable goes through: "some x in LIST" or "every x in LIST".
func (b *ruleBody) membersOf(v ast.Var) (list ast.Value) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule
		case *ast.SomeDecl:
			if len(x.Symbols) == 1 {
				if call, ok := x.Symbols[0].Value.(ast.Call); ok && len(call) == 3 && call[1].Value.Compare(v) == 0 {
					list = call[2].Value
				}
			}
		case *ast.Every:
			if x.Value != nil && x.Value.Value.Compare(v) == 0 {
				list = x.Domain.Value
			}
		}
		return false
	}).Walk(b.rule)
	return list
}

// placed gives texts of data.config, which stand in no Rego file, the place where a rule names them.
func placed(texts []*ast.Term, at *ast.Location) []*ast.Term {
	out := slices.Clone(texts)
	for i, t := range out {
		if t.Location == nil {
			out[i] = ast.NewTerm(t.Value).SetLocation(at)
		}
	}
	return out
}

// unknownName warns of a tool, server or scope that no registered server has.
func (p *program) unknownName(path inputPath, text string, at *ast.Location) *Problem {
	if path.String() == "input.mcp.method" {
		return unknownMethod(text, at)
	}
	if len(p.catalogue) == 0 || text == "" {
		return nil
	}
	var known []string
	var what string
	switch path.String() {
	case "input.tool.name":
		what = "tool"
		for _, r := range p.catalogue {
			for i := range r.Tools {
				known = append(known, r.Tools[i].Name)
			}
		}
	case "input.resource.server":
		what = "server"
		for _, r := range p.catalogue {
			known = append(known, r.Key)
		}
	case "input.resource.server_id":
		what = "server"
		for _, r := range p.catalogue {
			known = append(known, r.ID)
		}
	case "input.token.scopes.[]", "input.requested.scopes.[]", "input.tool.scopes.[]":
		return p.unknownScope(text, at)
	default:
		return nil
	}
	if slices.Contains(known, text) {
		return nil
	}
	found := problemAt(at, "no registered server has the name %q%s", text, didYouMean(text, known))
	if what == "tool" {
		found.Message = fmt.Sprintf("no registered server has a tool %q%s", text, didYouMean(text, known))
	}
	return &found
}

func didYouMean(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// unknownScope warns of a scope that is not in the catalogue, covers nothing of it and is covered by nothing of it.
func (p *program) unknownScope(text string, at *ast.Location) *Problem {
	if len(p.catalogue) == 0 || text == "offline_access" {
		return nil
	}
	var known []string
	for _, r := range p.catalogue {
		for _, s := range r.Scopes {
			if oauth.ScopeCovers(s.Name, text) || oauth.ScopeCovers(text, s.Name) {
				return nil
			}
			known = append(known, s.Name)
		}
	}
	found := problemAt(at, "no registered server has the scope %q%s", text, didYouMean(text, known))
	return &found
}

// scopeConstants are the scopes that a rule gives out or asks for, as far as they are written in it.
func (g *ruleGraph) scopeConstants(b *ruleBody) []*ast.Term {
	var found []*ast.Term
	ast.WalkTerms(b.rule, func(t *ast.Term) bool { // mcp.has_scope("a:b")
		if call, ok := t.Value.(ast.Call); ok && isHasScope(b, call[0].Value) {
			found = append(found, call[1])
		}
		return false
	})
	ast.WalkExprs(b.rule, func(e *ast.Expr) bool {
		if e.IsCall() && len(e.Operands()) > 0 && isHasScope(b, e.Operator()) {
			found = append(found, e.Operand(0))
		}
		return false
	})
	head := b.rule.Head
	switch name := ruleName(b.rule); {
	case head == nil || !b.exported:
	case name == "grant" || name == "required_scopes" || name == "require_consent":
		found = append(found, g.constantsOf(b, head.Key)...)
	case name == "scope_ceiling" && head.Value != nil:
		texts, _ := g.texts(b, head.Value.Value)
		found = append(found, placed(texts, head.Value.Location)...)
	case name == "deny_scope" && head.Key != nil:
		if entry, ok := head.Key.Value.(ast.Object); ok {
			found = append(found, g.constantsOf(b, entry.Get(ast.StringTerm("scope")))...)
		}
	}
	return slices.DeleteFunc(found, func(t *ast.Term) bool {
		_, ok := t.Value.(ast.String)
		return !ok || t.Location == nil
	})
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

// constantsOf are the texts that a term can be: itself, or what "some x in {…}" gives its variable.
func (g *ruleGraph) constantsOf(b *ruleBody, t *ast.Term) []*ast.Term {
	if t == nil {
		return nil
	}
	v, isVar := t.Value.(ast.Var)
	if !isVar {
		return []*ast.Term{t}
	}
	for _, e := range b.rule.Body {
		decl, ok := e.Terms.(*ast.SomeDecl)
		if !ok || len(decl.Symbols) != 1 {
			continue
		}
		call, ok := decl.Symbols[0].Value.(ast.Call)
		if ok && len(call) == 3 && call[1].Value.Compare(v) == 0 {
			texts, _ := g.texts(b, call[2].Value)
			return placed(texts, call[2].Location)
		}
	}
	return nil
}
