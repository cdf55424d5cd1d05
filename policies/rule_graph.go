package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// ruleGraph knows the author's rules and who refers to whom, before the compiler has looked at them. Tests are no part of it.
type ruleGraph struct {
	program  *program
	bodies   []*ruleBody
	rules    map[string][]*ruleBody // by name, such as policy.tools.payments.deny
	callers  map[string][]*ruleBody // by name; nil stands for somebody who puts another input in the place of the real one
	seen     map[*ruleBody]choice   // contexts that are known already
	subjects map[*ruleBody]subject  // and subjects
	busy     map[*ruleBody]bool     // guards against rules that refer to themselves; the compiler refuses them later
}

// ruleBody is one way in which a rule can hold: the rule itself or one of its else branches.
type ruleBody struct {
	name     string // with its package
	own      ownPackage
	module   *ast.Module
	rule     *ast.Rule
	branch   bool // an else
	exported bool
	aliases  map[ast.Var]ast.Ref // x := input.tool.name
	origins  map[ast.Var][]origin
}

func (p *program) graph() *ruleGraph {
	g := &ruleGraph{program: p, rules: map[string][]*ruleBody{}, callers: map[string][]*ruleBody{}, seen: map[*ruleBody]choice{}, subjects: map[*ruleBody]subject{}, busy: map[*ruleBody]bool{}}
	for _, name := range slices.Sorted(slices.Values(p.author)) {
		m := p.modules[name]
		own, err := parsePackage(pathOf(m.Package.Path))
		if err != nil || own.test {
			continue
		}
		prefix := strings.Join(pathOf(m.Package.Path), ".") + "."
		for _, r := range m.Rules {
			_, exported := own.forms()[ruleName(r)]
			for at := r; at != nil; at = at.Else {
				b := &ruleBody{name: prefix + ruleName(r), own: own, module: m, rule: at, branch: at != r, exported: exported, aliases: aliasesOf(at.Body)}
				b.origins = b.findOrigins()
				g.bodies = append(g.bodies, b)
				g.rules[b.name] = append(g.rules[b.name], b)
			}
		}
	}
	for _, b := range g.bodies {
		g.note(b)
	}
	g.aliasParameters()
	return g
}

// aliasesOf finds the variables that are nothing but another name for a part of the input.
func aliasesOf(body ast.Body) map[ast.Var]ast.Ref {
	aliases := map[ast.Var]ast.Ref{}
	for _, e := range body {
		if !e.IsAssignment() || e.Negated || len(e.With) > 0 {
			continue
		}
		v, isVar := e.Operand(0).Value.(ast.Var)
		ref, isRef := e.Operand(1).Value.(ast.Ref)
		if isVar && isRef && ref[0].Equal(ast.InputRootDocument) {
			aliases[v] = ref
		}
	}
	return aliases
}

// note enters the rules that a body refers to.
func (g *ruleGraph) note(b *ruleBody) {
	visit := func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule // else branches are bodies of their own
		case *ast.Expr:
			if len(x.With) > 0 {
				g.noteMocked(b, x)
				return true
			}
		case ast.Ref, ast.Var:
			if name := g.resolve(b.module, x.(ast.Value)); name != "" {
				g.callers[name] = append(g.callers[name], b)
			}
		}
		return false
	}
	ast.NewGenericVisitor(visit).Walk(b.rule)
}

// noteMocked takes an expression with a "with" for one that can put anything in the place of the input.
func (g *ruleGraph) noteMocked(b *ruleBody, e *ast.Expr) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref, ast.Var:
			if name := g.resolve(b.module, x.(ast.Value)); name != "" {
				g.callers[name] = append(g.callers[name], nil)
			}
		}
		return false
	}).Walk(e)
}

// resolve is the name of the author's rule that a reference or variable means, or "".
func (g *ruleGraph) resolve(m *ast.Module, v ast.Value) string {
	switch v := v.(type) {
	case ast.Var:
		name, _ := g.resolveRef(m, ast.Ref{ast.NewTerm(v)})
		return name
	case ast.Ref:
		name, _ := g.resolveRef(m, v)
		return name
	}
	return ""
}

// resolveRef also tells how many parts of the reference name the rule.
func (g *ruleGraph) resolveRef(m *ast.Module, ref ast.Ref) (name string, used int) {
	head, ok := ref[0].Value.(ast.Var)
	if !ok {
		return "", 0
	}
	var path []string
	if head != ast.DefaultRootDocument.Value {
		path = append(pathOf(m.Package.Path), string(head))
		for _, i := range m.Imports {
			if whole, ok := i.Path.Value.(ast.Ref); ok && i.Name() == head && whole[0].Equal(ast.DefaultRootDocument) {
				path = pathOf(whole)
			}
		}
	}
	used = 1
	for _, t := range ref[1:] {
		key, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		path, used = append(path, string(key)), used+1
	}
	for ; len(path) > 0; path, used = path[:len(path)-1], used-1 {
		if name := strings.Join(path, "."); g.rules[name] != nil {
			return name, max(used, 1)
		}
	}
	return "", 0
}

// inputPath is the place in the input that a term means, itself or by another name. ok is false if it means anything else, or
// if a part of the place is not constant.
func (b *ruleBody) inputPath(v ast.Value) (inputPath, bool) {
	path, whole := b.inputBeginning(v)
	return path, whole && len(path) > 0
}

// inputBeginning is the constant beginning of a reference into the input; whole tells that there is no more to it.
func (b *ruleBody) inputBeginning(v ast.Value) (path inputPath, whole bool) {
	ref := b.unaliased(v)
	if len(ref) == 0 || !ref[0].Equal(ast.InputRootDocument) {
		return nil, false
	}
	path = fixedPath(ref)
	return path, len(path) == len(ref)-1
}

// unaliased is the reference that a term means, with other names for parts of the input replaced.
func (b *ruleBody) unaliased(v ast.Value) ast.Ref {
	switch v := v.(type) {
	case ast.Var:
		if v == ast.InputRootDocument.Value {
			return ast.InputRootRef
		}
		return b.aliases[v]
	case ast.Ref:
		if head, ok := v[0].Value.(ast.Var); ok && b.aliases[head] != nil {
			return append(slices.Clone(b.aliases[head]), v[1:]...)
		}
		return v
	}
	return nil
}
