package policies

import (
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
)

// choice says which tools of which servers a rule is about. A nil set means any.
type choice struct{ tools, servers map[string]bool }

func (c choice) meet(d choice) choice {
	return choice{tools: meetSets(c.tools, d.tools), servers: meetSets(c.servers, d.servers)}
}

func (c choice) join(d choice) choice {
	return choice{tools: joinSets(c.tools, d.tools), servers: joinSets(c.servers, d.servers)}
}

func meetSets(a, b map[string]bool) map[string]bool {
	if a == nil || b == nil {
		return maps.Clone(joinOrOther(a, b))
	}
	both := map[string]bool{}
	for x := range a {
		if b[x] {
			both[x] = true
		}
	}
	return both
}

func joinOrOther(a, b map[string]bool) map[string]bool {
	if a == nil {
		return b
	}
	return a
}

func joinSets(a, b map[string]bool) map[string]bool {
	if a == nil || b == nil {
		return nil
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// closed are the texts that a term can be and no others; ok is false if it can be anything else.
func (g *ruleGraph) closed(b *ruleBody, t *ast.Term) (texts []string, ok bool) {
	if v, isVar := t.Value.(ast.Var); isVar {
		for _, x := range b.origins[v] {
			if texts, ok := g.closedOrigin(b, x); ok {
				return texts, true
			}
		}
	}
	if text, ok := t.Value.(ast.String); ok {
		return []string{string(text)}, true
	}
	return nil, false
}

// closedOrigin is closed for what a condition of the rule itself gives a variable.
func (g *ruleGraph) closedOrigin(b *ruleBody, x origin) ([]string, bool) {
	if !x.top || !g.isComplete(b, x.of.Value) {
		return nil, false
	}
	parts := g.reader(b).parts(x.of)
	switch x.as {
	case fromKey:
		return textsOf(keysOf(parts))
	case fromMember:
		return textsOf(elementsOf(parts))
	}
	return textsOf(parts)
}

// closedMembers is closed for the members of a collection.
func (g *ruleGraph) closedMembers(b *ruleBody, t *ast.Term) ([]string, bool) {
	if !g.isComplete(b, t.Value) {
		return nil, false
	}
	return textsOf(elementsOf(g.reader(b).parts(t)))
}

// isComplete tells whether all that a collection can hold is written by the author: it stands in place, in data.config, or in
// rules without conditions.
func (g *ruleGraph) isComplete(b *ruleBody, v ast.Value) bool {
	ref, _ := v.(ast.Ref)
	switch v.(type) {
	case ast.Set, *ast.Array, ast.Object:
		return v.IsGround()
	case ast.Var:
		for _, x := range b.origins[v.(ast.Var)] {
			if _, again := x.of.Value.(ast.Var); x.as == fromValue && x.top && !again && g.isComplete(b, x.of.Value) {
				return true
			}
		}
	case ast.Ref:
		if path := pathOfData(ref); len(path) > 1 && path[0] == "config" {
			return true
		}
	default:
		return false
	}
	name := g.resolve(b.module, v)
	for _, d := range g.rules[name] {
		head := d.rule.Head
		constant := head.Value != nil && isConstant(head.Value.Value) && head.Value.IsGround() || head.Value == nil && head.Key != nil && head.Key.IsGround()
		if d == b || d.branch || len(head.Args) > 0 || len(head.Ref()) > 1 || !isTrue(d.rule.Body) || !constant {
			return false
		}
	}
	return name != ""
}

// pathOfData is a wholly constant reference below data, without "data".
func pathOfData(ref ast.Ref) []string {
	if !ref[0].Equal(ast.DefaultRootDocument) || !ref.IsGround() {
		return nil
	}
	return pathOf(ref)
}

func isConstant(v ast.Value) bool {
	switch v.(type) {
	case ast.Set, *ast.Array, ast.Object:
		return true
	}
	return false
}

// textsOf are parts that are all texts.
func textsOf(parts []part) (texts []string, ok bool) {
	for _, p := range parts {
		text, ok := p.text()
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
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
		return g.guard(b, t.Value).meet(g.keyed(b, t))
	}
	if !e.IsCall() {
		return choice{}
	}
	var c choice
	for _, operand := range e.Operands() {
		c = c.meet(g.keyed(b, operand))
	}
	if len(e.Operands()) != 2 {
		return c
	}
	left, right := e.Operand(0), e.Operand(1)
	switch e.Operator().String() {
	case ast.Equality.Name, ast.Equal.Name:
		if path, ok := b.inputPath(left.Value); ok {
			return c.meet(g.chosen(path, func() ([]string, bool) { return g.closed(b, right) }))
		}
		if path, ok := b.inputPath(right.Value); ok {
			return c.meet(g.chosen(path, func() ([]string, bool) { return g.closed(b, left) }))
		}
	case ast.Member.Name:
		if path, ok := b.inputPath(left.Value); ok {
			return c.meet(g.chosen(path, func() ([]string, bool) { return g.closedMembers(b, right) }))
		}
	}
	return c
}

// keyed is what a reference demands that looks something up by the input: data.config.limits[input.tool.name] has a value only for
// the keys of the table.
func (g *ruleGraph) keyed(b *ruleBody, t *ast.Term) choice {
	ref, ok := t.Value.(ast.Ref)
	if !ok || len(ref) < 3 {
		return choice{}
	}
	for i, step := range ref[1:] {
		path, ok := b.inputPath(step.Value)
		if table := prefixOf(ref, i+1); ok && i > 0 && g.isComplete(b, table.Value) {
			return g.chosen(path, func() ([]string, bool) { return textsOf(keysOf(g.reader(b).parts(table))) })
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

// chosen is what it demands that a place of the input has one of these texts. They are asked for only where that tells something.
func (g *ruleGraph) chosen(path inputPath, closed func() (texts []string, ok bool)) choice {
	place := path.String()
	if place != "input.tool.name" && place != "input.resource.server" && place != "input.resource.server_id" {
		return choice{}
	}
	texts, ok := closed()
	if !ok {
		return choice{}
	}
	names := map[string]bool{}
	for _, text := range texts {
		names[text] = true
	}
	switch place {
	case "input.tool.name":
		return choice{tools: names}
	case "input.resource.server":
		return choice{servers: names}
	}
	keys := map[string]bool{}
	for _, r := range g.program.catalogue {
		if names[r.ID] {
			keys[r.Key] = true
		}
	}
	return choice{servers: keys}
}
