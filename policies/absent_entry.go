package policies

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// entryWalk looks for values that can be missing in what a deny rule says: then the rule says nothing at all, whatever its body found.
type entryWalk struct {
	graph  *ruleGraph
	schema map[string]any   // of the input, as the deny rule knows it
	needed map[string]bool  // what the body finds anyway, so that the rule is only about calls that have it
	asked  map[string]bool  // rules whose needs are known
	busy   map[string]bool  // rules that are being followed
	say    func(p *Problem) // takes what is found
	name   string           // deny or deny_scope
}

// checkAbsentEntry warns of a deny rule whose entry, or a rule that it takes a text from, cannot be made when a value is missing.
func (g *ruleGraph) checkAbsentEntry(b *ruleBody, schema map[string]any) (found []Problem) {
	w := entryWalk{graph: g, schema: schema, needed: map[string]bool{}, asked: map[string]bool{}, busy: map[string]bool{}, name: ruleName(b.rule)}
	w.say = func(p *Problem) { found = append(found, *p) }
	w.neededBy(b)
	w.term(b, b.rule.Head.Key)
	return found
}

// neededBy adds the references that the conditions of a body fail without, also those of rules that they ask.
func (w *entryWalk) neededBy(b *ruleBody) {
	for _, e := range b.rule.Body {
		if e.Negated || e.IsAssignment() {
			continue // an assignment fails, too, but does not mean to choose
		}
		ast.WalkTerms(e, func(t *ast.Term) bool {
			if ref := b.unaliased(t.Value); ref != nil {
				w.needed[ref.String()] = true
			}
			if name := w.graph.resolve(b.module, t.Value); len(w.graph.rules[name]) == 1 && !w.asked[name] {
				w.asked[name] = true
				w.neededBy(w.graph.rules[name][0])
			}
			return isGet(t.Value)
		})
	}
}

// isGet tells a call of object.get, which has a default.
func isGet(v ast.Value) bool {
	call, ok := v.(ast.Call)
	return ok && len(call) == 4 && call[0].String() == ast.ObjectGet.Name
}

// term looks at a term in the body b. Comprehensions are empty, not missing, when something in them is.
func (w *entryWalk) term(b *ruleBody, t *ast.Term) {
	if t == nil {
		return
	}
	ast.WalkTerms(t, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			return true
		case ast.Call:
			return isGet(v)
		case ast.Ref, ast.Var:
			return w.reference(b, t)
		}
		return false
	})
}

// reference tells whether nothing inside it is to be looked at any more.
func (w *entryWalk) reference(b *ruleBody, t *ast.Term) bool {
	ref := b.unaliased(t.Value)
	if ref != nil && w.needed[ref.String()] {
		return true
	}
	if path, ok := b.inputPath(t.Value); ok {
		if f := fieldAt(w.schema, path); f.known && !f.always {
			p := problemAt(t.Location, "%s may be absent, and then %s has nothing to say and denies nothing; take it with object.get and a default, or leave it out", path, w.name)
			w.say(&p)
		}
		return true
	}
	if w.looksUp(b, ref) {
		p := problemAt(t.Location, "%s may lead nowhere, and then %s has nothing to say and denies nothing; take it with object.get and a default, or leave it out", ref, w.name)
		w.say(&p)
		return true
	}
	w.rule(b, t.Value)
	return false
}

// looksUp tells whether a reference finds something in data.config by what the caller sent.
func (w *entryWalk) looksUp(b *ruleBody, ref ast.Ref) bool {
	if len(ref) < 3 || !ref[0].Equal(ast.DefaultRootDocument) || !ref[1].Equal(ast.StringTerm("config")) {
		return false
	}
	for _, step := range ref[2:] {
		if isConstantKey(step) {
			continue
		}
		_, isCall := step.Value.(ast.Call)
		_, sent := b.place(step.Value)
		if isCall || sent || w.graph.resolve(b.module, step.Value) != "" {
			return true
		}
	}
	return false
}

// rule follows a rule that has one body and no default. Where there are more, another may give the value.
func (w *entryWalk) rule(b *ruleBody, v ast.Value) {
	name := w.graph.resolve(b.module, v)
	bodies := w.graph.rules[name]
	if len(bodies) != 1 || w.busy[name] || len(bodies[0].rule.Head.Args) > 0 || bodies[0].rule.Head.Value == nil {
		return
	}
	w.busy[name] = true
	w.term(bodies[0], bodies[0].rule.Head.Value)
}
