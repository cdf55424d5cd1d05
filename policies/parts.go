package policies

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// part is a value that the author has written: somewhere in data.config, or as a constant in a rule.
type part struct {
	path   []string  // where in data.config; nil = a constant, or data.config itself
	value  any       // of data.config
	isKey  bool      // the key at path is meant, not the value
	term   *ast.Term // the constant
	made   []member  // a collection that is put together, such as object.keys(data.config.limits); nil = none
	server string    // the key of the server, if a step was taken by it
}

// member is what a collection holds: an object's member has a key, an element of a list or set has none.
type member struct {
	key   *part
	value part
}

// text is the string that the part is, if it is one.
func (p part) text() (string, bool) {
	switch {
	case p.isKey:
		return p.path[len(p.path)-1], true
	case p.term != nil:
		text, ok := p.term.Value.(ast.String)
		return string(text), ok
	}
	text, ok := p.value.(string)
	return text, ok
}

// members are those of a collection, in a fixed order. Anything else has none.
func (p part) members() (all []member) {
	switch {
	case p.isKey:
	case p.made != nil:
		all = slices.Clone(p.made)
	case p.term != nil:
		all = membersOfConstant(p.term.Value)
	default:
		switch v := p.value.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				at := append(slices.Clone(p.path), name)
				all = append(all, member{&part{path: at, isKey: true}, part{path: at, value: v[name]}})
			}
		case []any:
			for i, x := range v {
				all = append(all, member{value: part{path: append(slices.Clone(p.path), strconv.Itoa(i)), value: x}})
			}
		}
	}
	for i := range all {
		all[i].value.server = cmp.Or(all[i].value.server, p.server)
		if all[i].key != nil {
			all[i].key.server = p.server
		}
	}
	return all
}

func membersOfConstant(v ast.Value) (all []member) {
	switch v := v.(type) {
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) { all = append(all, member{&part{term: key}, part{term: value}}) })
	case *ast.Array:
		v.Foreach(func(t *ast.Term) { all = append(all, member{value: part{term: t}}) })
	case ast.Set:
		v.Foreach(func(t *ast.Term) { all = append(all, member{value: part{term: t}}) })
	}
	return all
}

// collection is one that holds these parts.
func collection(parts []part) []part {
	made := make([]member, 0, len(parts))
	for _, p := range parts {
		made = append(made, member{value: p})
	}
	return []part{{made: made}}
}

// keysOf are the keys of those that are objects.
func keysOf(parts []part) (keys []part) {
	for _, p := range parts {
		for _, m := range p.members() {
			if m.key != nil {
				keys = append(keys, *m.key)
			}
		}
	}
	return keys
}

// elementsOf is what all of them hold.
func elementsOf(parts []part) (values []part) {
	for _, p := range parts {
		for _, m := range p.members() {
			values = append(values, m.value)
		}
	}
	return values
}

// underKey is what lies below a constant key.
func underKey(parts []part, key *ast.Term) (below []part) {
	for _, p := range parts {
		switch name, isText := key.Value.(ast.String); {
		case p.isKey:
		case p.made != nil:
			for _, m := range p.made {
				if m.key != nil && m.key.term.Equal(key) {
					below = append(below, m.value)
				}
			}
		case p.term != nil:
			if o, ok := p.term.Value.(ast.Object); ok {
				if t := o.Get(key); t != nil {
					below = append(below, part{term: t, server: p.server})
				}
			}
		default:
			if object, ok := p.value.(map[string]any); ok && isText {
				if v, found := object[string(name)]; found {
					below = append(below, part{path: append(slices.Clone(p.path), string(name)), value: v, server: p.server})
				}
			}
		}
	}
	return below
}

// maxReading bounds how far variables and rules are followed that refer to one another.
const maxReading = 2000

// termReader finds out what terms of one body mean.
type termReader struct {
	g    *ruleGraph
	b    *ruleBody
	left *int
}

func (g *ruleGraph) reader(b *ruleBody) termReader {
	left := maxReading
	return termReader{g, b, &left}
}

// parts are the values that a term can be, as far as the author has written them. It may be something else besides.
func (r termReader) parts(t *ast.Term) []part {
	if *r.left--; *r.left < 0 || t == nil {
		return nil
	}
	switch v := t.Value.(type) {
	case ast.String, ast.Set, *ast.Array, ast.Object:
		return []part{{term: t}}
	case ast.Var:
		if parts, bound := r.variable(v); bound {
			return parts
		}
		return r.below(ast.Ref{t})
	case ast.Ref:
		return r.below(v)
	case ast.Call:
		return r.call(v)
	case *ast.SetComprehension:
		return collection(r.parts(v.Term))
	case *ast.ArrayComprehension:
		return collection(r.parts(v.Term))
	}
	return nil
}

// variable is what a body gives a variable.
func (r termReader) variable(v ast.Var) (parts []part, bound bool) {
	for _, x := range r.b.origins[v] {
		bound = true
		of := r.parts(x.of)
		switch x.as {
		case fromKey:
			of = keysOf(of)
		case fromMember:
			of = elementsOf(of)
		}
		parts = append(parts, of...)
	}
	return parts, bound
}

// below follows a reference; where a step is not constant, everything there counts.
func (r termReader) below(ref ast.Ref) []part {
	parts, rest := r.begin(ref)
	for _, step := range rest {
		if len(parts) == 0 {
			return nil
		}
		parts = r.step(parts, step)
	}
	return parts
}

// begin is what a reference begins with, and the steps that are left.
func (r termReader) begin(ref ast.Ref) ([]part, ast.Ref) {
	head, isVar := ref[0].Value.(ast.Var)
	if !isVar {
		return r.parts(ref[0]), ref[1:]
	}
	if parts, bound := r.variable(head); bound {
		return parts, ref[1:]
	}
	for _, i := range r.b.module.Imports {
		if path, ok := i.Path.Value.(ast.Ref); ok && i.Name() == head && path[0].Equal(ast.DefaultRootDocument) {
			ref = append(slices.Clone(path), ref[1:]...)
			break
		}
	}
	if len(ref) > 1 && ref[0].Equal(ast.DefaultRootDocument) && ref[1].Equal(ast.StringTerm("config")) {
		return []part{{value: r.g.program.config}}, ref[2:]
	}
	name, used := r.g.resolveRef(r.b.module, ref)
	if name == "" {
		return nil, nil
	}
	return r.rule(name), ref[used:]
}

// rule is what the bodies of a rule give.
func (r termReader) rule(name string) (parts []part) {
	var made []member
	for _, d := range r.g.rules[name] {
		inside := termReader{r.g, d, r.left}
		head := d.rule.Head
		switch ref := head.Ref(); {
		case d == r.b || len(head.Args) > 0:
		case head.Value == nil: // a set
			for _, p := range inside.parts(head.Key) {
				made = append(made, member{value: p})
			}
		case len(ref) == 1:
			parts = append(parts, inside.parts(head.Value)...)
		case len(ref) == 2 && isConstantKey(ref[1]): // an object, of which this is one member
			made = append(made, member{&part{term: ref[1]}, part{term: head.Value}})
		}
	}
	if made != nil {
		parts = append(parts, part{made: made})
	}
	return parts
}

// step goes one step down, and remembers which server was chosen.
func (r termReader) step(parts []part, step *ast.Term) []part {
	if isConstantKey(step) {
		return underKey(parts, step)
	}
	var below []part
	path, _ := r.b.place(step.Value)
	for _, p := range parts {
		for _, m := range p.members() {
			if m.key != nil && path.String() == "input.resource.server" {
				m.value.server, _ = m.key.text()
			}
			below = append(below, m.value)
		}
	}
	return below
}

func isConstantKey(t *ast.Term) bool {
	switch t.Value.(type) {
	case ast.String, ast.Number, ast.Boolean, ast.Null:
		return true
	}
	return false
}

// call is what the few built-ins give that only pass on what they take.
func (r termReader) call(c ast.Call) []part {
	switch operator := c[0].String(); {
	case operator == ast.ObjectKeys.Name && len(c) == 2:
		return collection(keysOf(r.parts(c[1])))
	case operator == ast.ObjectGet.Name && len(c) == 4:
		parts := r.parts(c[1])
		for _, step := range stepsOfGet(c[2]) {
			parts = r.step(parts, step)
		}
		return append(parts, r.parts(c[3])...)
	}
	return nil
}

// stepsOfGet are the steps that object.get takes: one, or those of a list.
func stepsOfGet(key *ast.Term) []*ast.Term {
	list, ok := key.Value.(*ast.Array)
	if !ok {
		return []*ast.Term{key}
	}
	steps := make([]*ast.Term, 0, list.Len())
	list.Foreach(func(t *ast.Term) { steps = append(steps, t) })
	return steps
}

// key names a place of data.config.
func (p part) key() string { return strings.Join(p.path, "\x00") }

// id names the place at which the author has written it.
func (p part) id(l lookup) string {
	switch {
	case p.term == nil:
		return fmt.Sprintf("%t %s", p.isKey, p.key())
	case p.term.Location != nil:
		return p.term.Location.String() + " " + p.term.String()
	}
	return fmt.Sprintf("%v %s", l.at, p.term)
}

// isSet tells whether a reference finds its members by what they are.
func (p part) isSet() bool {
	if p.term != nil {
		_, ok := p.term.Value.(ast.Set)
		return ok
	}
	return p.made != nil
}
