package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// ruleGraph knows the author's rules and who refers to whom, before the compiler has looked at them. Tests are no part of it.
type ruleGraph struct {
	program *program
	bodies  []*ruleBody
	rules   map[string][]*ruleBody // by name, such as policy.tools.payments.deny
	callers map[string][]*ruleBody // by name; nil stands for somebody who puts another input in the place of the real one
	seen    map[*ruleBody]choice   // contexts that are known already
	busy    map[*ruleBody]bool     // guards against rules that refer to themselves; the compiler refuses them later
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
}

func (p *program) graph() *ruleGraph {
	g := &ruleGraph{program: p, rules: map[string][]*ruleBody{}, callers: map[string][]*ruleBody{}, seen: map[*ruleBody]choice{}, busy: map[*ruleBody]bool{}}
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
				g.bodies = append(g.bodies, b)
				g.rules[b.name] = append(g.rules[b.name], b)
			}
		}
	}
	for _, b := range g.bodies {
		g.note(b)
	}
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
	var head ast.Var
	var rest ast.Ref
	switch v := v.(type) {
	case ast.Var:
		head = v
	case ast.Ref:
		first, ok := v[0].Value.(ast.Var)
		if !ok {
			return ""
		}
		head, rest = first, v[1:]
	default:
		return ""
	}
	var path []string
	if head != ast.DefaultRootDocument.Value {
		path = append(pathOf(m.Package.Path), string(head))
		for _, i := range m.Imports {
			if ref, ok := i.Path.Value.(ast.Ref); ok && i.Name() == head && ref[0].Equal(ast.DefaultRootDocument) {
				path = pathOf(ref)
			}
		}
	}
	for _, t := range rest {
		key, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		path = append(path, string(key))
	}
	for ; len(path) > 0; path = path[:len(path)-1] {
		if name := strings.Join(path, "."); g.rules[name] != nil {
			return name
		}
	}
	return ""
}

// inputPath is the place in the input that a term means, itself or by another name. ok is false if it means anything else, or
// if a part of the place is not constant.
func (b *ruleBody) inputPath(v ast.Value) (inputPath, bool) {
	path, whole := b.inputBeginning(v)
	return path, whole && len(path) > 0
}

// inputBeginning is the constant beginning of a reference into the input; whole tells that there is no more to it.
func (b *ruleBody) inputBeginning(v ast.Value) (path inputPath, whole bool) {
	var ref ast.Ref
	switch v := v.(type) {
	case ast.Var:
		ref = b.aliases[v]
		if v == ast.InputRootDocument.Value {
			ref = ast.InputRootRef
		}
	case ast.Ref:
		ref = v
		if head, ok := v[0].Value.(ast.Var); ok && b.aliases[head] != nil {
			ref = append(slices.Clone(b.aliases[head]), v[1:]...)
		}
	}
	if len(ref) == 0 || !ref[0].Equal(ast.InputRootDocument) {
		return nil, false
	}
	path = fixedPath(ref)
	return path, len(path) == len(ref)-1
}

// texts are the strings that a collection holds: written in place, or of a rule or a part of data.config that is nothing else.
func (g *ruleGraph) texts(b *ruleBody, v ast.Value) (terms []*ast.Term, ok bool) {
	switch v := v.(type) {
	case ast.Set:
		return stringTerms(v.Slice())
	case *ast.Array:
		all := make([]*ast.Term, 0, v.Len())
		v.Foreach(func(t *ast.Term) { all = append(all, t) })
		return stringTerms(all)
	case ast.Ref:
		if path := pathOfData(v); len(path) > 1 && path[0] == "config" {
			return g.configTexts(path[1:])
		}
	}
	name := g.resolve(b.module, v)
	if name == "" {
		return nil, false
	}
	for _, d := range g.rules[name] {
		switch {
		case d == b || d.branch || len(d.rule.Head.Args) > 0 || !isTrue(d.rule.Body):
			return nil, false
		case d.rule.Head.Key != nil:
			more, ok := stringTerms([]*ast.Term{d.rule.Head.Key})
			if !ok {
				return nil, false
			}
			terms = append(terms, more...)
		case d.rule.Head.Value != nil && isConstant(d.rule.Head.Value.Value):
			return g.texts(d, d.rule.Head.Value.Value)
		default:
			return nil, false
		}
	}
	return terms, true
}

func isConstant(v ast.Value) bool {
	switch v.(type) {
	case ast.Set, *ast.Array:
		return true
	}
	return false
}

func stringTerms(all []*ast.Term) ([]*ast.Term, bool) {
	for _, t := range all {
		if _, ok := t.Value.(ast.String); !ok {
			return nil, false
		}
	}
	return all, true
}

// pathOfData is a wholly constant reference below data, without "data".
func pathOfData(ref ast.Ref) []string {
	if !ref[0].Equal(ast.DefaultRootDocument) || !ref.IsGround() {
		return nil
	}
	return pathOf(ref)
}

func (g *ruleGraph) configTexts(path []string) ([]*ast.Term, bool) {
	var at any = g.program.config
	for _, key := range path {
		object, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		at = object[key]
	}
	list, ok := at.([]any)
	var terms []*ast.Term
	for _, x := range list {
		text, isText := x.(string)
		ok = ok && isText
		terms = append(terms, ast.StringTerm(text))
	}
	return terms, ok
}

// context is what the body is about: what it says itself, and what all say that refer to it.
func (g *ruleGraph) context(b *ruleBody) choice {
	if b == nil {
		return choice{}
	}
	if c, known := g.seen[b]; known {
		return c
	}
	if g.busy[b] {
		return choice{}
	}
	g.busy[b] = true
	defer delete(g.busy, b)
	c := g.says(b)
	if callers := g.callers[b.name]; !b.exported && len(callers) > 0 {
		around := choice{tools: map[string]bool{}, servers: map[string]bool{}}
		for _, caller := range callers {
			if caller == nil || caller.name != b.name {
				around = around.join(g.context(caller))
			}
		}
		c = c.meet(around)
	}
	g.seen[b] = c
	return c
}

// says is what the body demands of tool and server.
func (g *ruleGraph) says(b *ruleBody) choice {
	var c choice
	for _, e := range b.rule.Body {
		if !e.Negated && len(e.With) == 0 {
			c = c.meet(g.demands(b, e))
		}
	}
	return c
}

func (g *ruleGraph) demands(b *ruleBody, e *ast.Expr) choice {
	if t, ok := e.Terms.(*ast.Term); ok {
		return g.guard(b, t.Value)
	}
	if !e.IsCall() || len(e.Operands()) != 2 {
		return choice{}
	}
	left, right := e.Operand(0), e.Operand(1)
	switch e.Operator().String() {
	case ast.Equality.Name, ast.Equal.Name:
		if path, ok := b.inputPath(left.Value); ok {
			return g.chosen(path, []*ast.Term{right})
		}
		if path, ok := b.inputPath(right.Value); ok {
			return g.chosen(path, []*ast.Term{left})
		}
	case ast.Member.Name:
		path, ok := b.inputPath(left.Value)
		if texts, known := g.texts(b, right.Value); ok && known {
			return g.chosen(path, texts)
		}
	}
	return choice{}
}

// guard is what a rule demands that stands alone as a condition: _is_transfer.
func (g *ruleGraph) guard(b *ruleBody, v ast.Value) choice {
	name := g.resolve(b.module, v)
	if name == "" || name == b.name {
		return choice{}
	}
	c := choice{tools: map[string]bool{}, servers: map[string]bool{}}
	for _, d := range g.rules[name] {
		if d.rule.Head.Value != nil && d.rule.Head.Value.Value.Compare(ast.Boolean(false)) == 0 {
			continue // the condition does not hold by this one
		}
		if g.busy[d] {
			return choice{}
		}
		g.busy[d] = true
		c = c.join(g.says(d))
		delete(g.busy, d)
	}
	return c
}

// chosen is what a comparison of an input with constants demands.
func (g *ruleGraph) chosen(path inputPath, constants []*ast.Term) choice {
	names := map[string]bool{}
	for _, t := range constants {
		text, ok := t.Value.(ast.String)
		if !ok {
			return choice{}
		}
		names[string(text)] = true
	}
	switch path.String() {
	case "input.tool.name":
		return choice{tools: names}
	case "input.resource.server":
		return choice{servers: names}
	case "input.resource.server_id":
		keys := map[string]bool{}
		for _, r := range g.program.catalogue {
			if names[r.ID] {
				keys[r.Key] = true
			}
		}
		return choice{servers: keys}
	}
	return choice{}
}
