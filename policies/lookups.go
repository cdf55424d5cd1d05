package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// lookup is one place where a rule compares the input with what the author has written, or finds something of the author's by it.
type lookup struct {
	path  inputPath // with "[]" for any member of a list, and "{}" for any key of an object
	at    *ast.Location
	parts func() []part // what it is compared with: the constant, or the keys or members of a collection
}

// lookups calls f for each of a body.
func (g *ruleGraph) lookups(b *ruleBody, f func(lookup)) {
	r := g.reader
	binaries(b, func(operator string, left, right *ast.Term) {
		switch operator {
		case ast.Equality.Name, ast.Equal.Name, ast.NotEqual.Name:
			if path, ok := b.place(left.Value); ok {
				f(lookup{path, right.Location, func() []part { return r(b).parts(right) }})
			} else if path, ok := b.place(right.Value); ok {
				f(lookup{path, left.Location, func() []part { return r(b).parts(left) }})
			}
		case ast.Member.Name:
			g.membership(b, left, right, f)
		}
	})
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule
		case *ast.Expr:
			if x.IsCall() {
				g.getLookups(b, x.Operator(), x.Operands(), f)
			}
			originsOfExpr(x, func(v *ast.Term, as originKind, of *ast.Term) { // some input.tool.name, limit in data.config.limits
				path, ok := b.place(v.Value)
				if _, isVar := v.Value.(ast.Var); !ok || isVar {
					return
				}
				switch as {
				case fromKey:
					f(lookup{path, of.Location, func() []part { return keysOf(r(b).parts(of)) }})
				case fromMember:
					f(lookup{path, of.Location, func() []part { return elementsOf(r(b).parts(of)) }})
				}
			})
		case ast.Call:
			if head, ok := x[0].Value.(ast.Ref); ok {
				g.getLookups(b, head, x[1:], f)
			}
		case ast.Ref:
			g.refLookups(b, x, f)
		}
		return false
	}).Walk(b.rule)
}

// membership is "x in LIST", where the input is on one side.
func (g *ruleGraph) membership(b *ruleBody, left, right *ast.Term, f func(lookup)) {
	if path, ok := b.place(left.Value); ok {
		f(lookup{path, right.Location, func() []part { return elementsOf(g.reader(b).parts(right)) }})
	} else if path, ok := b.place(right.Value); ok {
		f(lookup{append(slices.Clone(path), "[]"), left.Location, func() []part { return g.reader(b).parts(left) }})
	} else if path, ok := b.keysOfInput(right.Value); ok {
		f(lookup{path, left.Location, func() []part { return g.reader(b).parts(left) }})
	}
}

// refLookups are the steps of a reference that are taken by the input: data.config.limits[input.tool.name].
func (g *ruleGraph) refLookups(b *ruleBody, ref ast.Ref, f func(lookup)) {
	if ref[0].Equal(ast.InputRootDocument) {
		return
	}
	for i, step := range ref[1:] {
		if isConstantKey(step) {
			continue
		}
		if path, ok := b.place(step.Value); ok {
			prefix := prefixOf(ref, i+1)
			f(lookup{path, step.Location, func() []part { return keysOrElements(g.reader(b).parts(prefix)) }})
		}
	}
}

// getLookups are those of object.get.
func (g *ruleGraph) getLookups(b *ruleBody, operator ast.Ref, operands []*ast.Term, f func(lookup)) {
	if operator.String() != ast.ObjectGet.Name || len(operands) < 3 {
		return
	}
	steps := stepsOfGet(operands[1])
	for i, step := range steps {
		if isConstantKey(step) {
			continue
		}
		if path, ok := b.place(step.Value); ok {
			f(lookup{path, operands[1].Location, func() []part {
				r := g.reader(b)
				parts := r.parts(operands[0])
				for _, before := range steps[:i] {
					parts = r.step(parts, before)
				}
				return keysOrElements(parts)
			}})
		}
	}
}

// keysOrElements are what a reference can find something by: the keys of objects, the elements of sets.
func keysOrElements(parts []part) (found []part) {
	for _, p := range parts {
		for _, m := range p.members() {
			if m.key != nil {
				found = append(found, *m.key)
			} else if p.isSet() {
				found = append(found, m.value)
			}
		}
	}
	return found
}

// maxUnknown bounds how many unknown names of one table are told one by one.
const maxUnknown = 10

// lookUp finds what a table or a constant holds that the input never does. named are the keys that rules name themselves, such as
// data.config.limits.default, and told what was said already.
func (g *ruleGraph) lookUp(l lookup, v vocabulary, named, told map[string]bool) (problems, warnings []Problem) {
	parts := l.parts()
	present := map[string]bool{}
	for _, p := range parts {
		if text, ok := p.text(); ok {
			present[text] = true
		}
	}
	more := map[*[]Problem]int{}
	for _, p := range parts {
		text, ok := p.text()
		v := v
		if p.term == nil || l.at != nil && p.term.Location != nil && p.term.Location.File != l.at.File {
			v = v.shared()
		}
		if !ok || text == "" || v.has(text, p.server) || p.isKey && named[p.key()] {
			continue
		}
		if id := p.id(l); told[id] {
			continue
		} else {
			told[id] = true
		}
		list, about := &warnings, blameHint{server: p.server, named: text, meant: v.known(p.server).misspelled(text, present)}
		if v.closed || about.meant != "" && !(v.tools && g.program.denies(p.server, about.meant)) {
			list = &problems
		}
		if more[list]++; more[list] <= maxUnknown {
			one := g.unknown(l, v, p, text, list == &problems)
			if one.about = about; !v.tools {
				one.about.meant = ""
			}
			if l.at != nil {
				one.about.file, one.about.line = l.at.File, l.at.Row
			}
			*list = append(*list, one)
		}
	}
	for list, n := range more {
		if n > maxUnknown {
			(*list)[maxUnknown-1].Message += fmt.Sprintf("; %d more names here are like this", n-maxUnknown)
		}
	}
	return problems, warnings
}

// unknown says what is wrong, at the place where the author has written it.
func (g *ruleGraph) unknown(l lookup, v vocabulary, p part, text string, wrong bool) Problem {
	known := v.known(p.server).names
	hint := didYouMean(text, known)
	if hint == "" {
		hint = v.beside
	}
	say := fmt.Sprintf(v.say, text)
	if g.program.hasServer(p.server) {
		say = strings.Replace(say, "no registered server has", "the server "+p.server+" does not have", 1)
	}
	problem := problemAt(l.at, "%s%s", say, hint)
	switch {
	case p.term != nil && p.term.Location != nil:
		problem = problemAt(p.term.Location, "%s%s", say, hint)
	case p.term == nil:
		where := g.program.placeOfConfig(p.path, p.isKey)
		if l.at != nil && l.path != nil {
			problem.Message += fmt.Sprintf("; %s:%d looks it up by %s", l.at.File, l.at.Row, shown(l.path))
		}
		problem.File, problem.Line, problem.Column = where.File, where.Row, where.Col
	}
	if wrong {
		problem.Detail = wantOneOfNames(known)
	}
	return problem
}

// shown is a place as a rule would write it.
func shown(path inputPath) string {
	return strings.ReplaceAll(path.String(), ".[]", "[_]")
}

// maxNames bounds how many names a message lists.
const maxNames = 40

func wantOneOfNames(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("want one of: %s, … (%d in all)", strings.Join(names[:maxNames], ", "), len(names))
	}
	return "want one of: " + strings.Join(names, ", ")
}

// constantKeys takes note of the keys of data.config that a body names itself.
func (g *ruleGraph) constantKeys(b *ruleBody, named map[string]bool) {
	r := g.reader(b)
	note := func(parts []part, steps []*ast.Term) {
		for _, step := range steps {
			if !isConstantKey(step) || len(parts) == 0 {
				return
			}
			parts = underKey(parts, step)
			for _, p := range parts {
				named[p.key()] = true
			}
		}
	}
	ast.WalkTerms(b.rule, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Ref:
			parts, rest := r.begin(v)
			note(parts, rest)
		case ast.Call:
			if v[0].String() == ast.ObjectGet.Name && len(v) == 4 {
				note(r.parts(v[1]), stepsOfGet(v[2]))
			}
		}
		*r.left = maxReading
		return false
	})
}
