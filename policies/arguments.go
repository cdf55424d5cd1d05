package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// typeArguments gives the type checker the schemas of the tools that each rule is about, and finds misspelled arguments.
func (g *ruleGraph) typeArguments() (problems, notes []Problem) {
	for _, b := range g.bodies {
		if b.own.kind != kindTools && b.own.kind != "" || b.own.log {
			continue
		}
		uses, computed := g.argumentUses(b)
		if len(g.program.catalogue) > 0 {
			notes = append(notes, computed...)
		}
		if len(uses) == 0 {
			continue
		}
		s := g.subject(b)
		notes = append(notes, g.argumentNotes(b, s, uses[0])...)
		if s.schema == nil {
			continue
		}
		for _, use := range uses {
			if f := argumentAt(s.schema, use); !f.known {
				one := unknownArgument(s, use, f)
				one.about.file, one.about.line = b.rule.Location.File, b.rule.Location.Row
				problems = append(problems, one)
			}
		}
		if !b.branch { // the compiler takes no annotations for branches
			g.program.annotate(b, s)
		}
	}
	return problems, notes
}

// argumentUse is one place where a rule names an argument.
type argumentUse struct {
	path inputPath // below input.tool.arguments
	at   *ast.Location
	some string // in the place of a name: what the names begin with, end with or contain, such as startswith
}

// argumentUses finds them, also as the key of object.get, as what a variable goes through that chooses one, and as what the names of
// arguments are compared with. computed are notes of those that only a call knows.
func (g *ruleGraph) argumentUses(b *ruleBody) (uses []argumentUse, computed []Problem) {
	base := inputPath{"tool", "arguments"}
	walkInput(b, func(path inputPath, at *ast.Location) {
		if len(path) > len(base) && path.begins(base) {
			uses = append(uses, argumentUse{path: path[len(base):], at: at})
		}
	})
	add := func(path inputPath, parts []part, at *ast.Location) (known bool) {
		for _, p := range parts {
			if text, ok := p.text(); ok {
				known, uses = true, append(uses, argumentUse{path: append(slices.Clone(path), text), at: g.placeOf(p, at)})
			}
		}
		return known
	}
	g.chosenArguments(b, func(path inputPath, step *ast.Term, at *ast.Location) {
		if !add(path[len(base):], g.reader(b).parts(step), at) && b.isComputed(step) {
			computed = append(computed, problemAt(at, "%s[%s] is not checked: only the call tells which argument it is", path, step))
		}
	})
	g.lookups(b, func(l lookup) { // some name, _ in input.tool.arguments; name == "amount"
		if path, keys := argumentKeys(l.path); keys {
			add(path, l.parts(), l.at)
		}
	})
	uses = append(uses, g.partialNames(b)...)
	slices.SortStableFunc(uses, func(x, y argumentUse) int { return x.at.Compare(y.at) })
	return uses, computed
}

// chosenArguments calls f for each step below the arguments that is not constant: input.tool.arguments[name], and the same in object.get.
func (g *ruleGraph) chosenArguments(b *ruleBody, f func(path inputPath, step *ast.Term, at *ast.Location)) {
	base := inputPath{"tool", "arguments"}
	get := func(operator ast.Ref, operands []*ast.Term) {
		if operator.String() != ast.ObjectGet.Name || len(operands) < 3 {
			return
		}
		if path, whole := b.inputBeginning(operands[0].Value); whole && path.begins(base) && !isConstantKey(operands[1]) {
			if _, list := operands[1].Value.(*ast.Array); !list {
				f(path, operands[1], operands[1].Location)
			}
		}
	}
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule
		case *ast.Expr:
			if x.IsCall() {
				get(x.Operator(), x.Operands())
			}
		case ast.Call:
			if head, ok := x[0].Value.(ast.Ref); ok {
				get(head, x[1:])
			}
		case ast.Ref:
			path, _ := b.inputBeginning(x)
			if whole := b.unaliased(x); path.begins(base) && len(whole) > len(path)+1 {
				step := whole[len(path)+1]
				f(path, step, step.Location)
			}
		}
		return false
	}).Walk(b.rule)
}

// argumentKeys tells whether a place is the names of arguments, and below what.
func argumentKeys(path inputPath) (below inputPath, ok bool) {
	if n := len(path) - 1; n >= 2 && path[n] == "{}" && path.begins(inputPath{"tool", "arguments"}) {
		return path[2:n], true
	}
	return nil, false
}

// partialNames are the arguments that a rule chooses by a part of their name: startswith(name, "amount_").
func (g *ruleGraph) partialNames(b *ruleBody) (uses []argumentUse) {
	binaries(b, func(operator string, left, right *ast.Term) {
		if operator != ast.StartsWith.Name && operator != ast.EndsWith.Name && operator != ast.Contains.Name {
			return
		}
		path, _ := b.place(left.Value)
		below, ok := argumentKeys(path)
		if text, constant := right.Value.(ast.String); ok && constant {
			uses = append(uses, argumentUse{path: append(slices.Clone(below), string(text)), at: right.Location, some: operator})
		}
	})
	return uses
}

// isComputed tells whether a step is neither constant nor a variable that goes through all there is.
func (b *ruleBody) isComputed(step *ast.Term) bool {
	v, isVar := step.Value.(ast.Var)
	if !isVar {
		return !isConstantKey(step)
	}
	return slices.ContainsFunc(b.origins[v], func(x origin) bool {
		_, ofInput := b.inputPath(x.of.Value)
		_, keys := b.keysOfInput(x.of.Value)
		return x.as != fromKey && !keys || x.as == fromKey && !ofInput
	})
}

// placeOf is where the author has written a part.
func (g *ruleGraph) placeOf(p part, otherwise *ast.Location) *ast.Location {
	switch {
	case p.term == nil:
		where := g.program.placeOfConfig(p.path, p.isKey)
		return &where
	case p.term.Location != nil:
		return p.term.Location
	}
	return otherwise
}

// argumentAt is what the schema of a tool's arguments says about a use of one.
func argumentAt(schema map[string]any, use argumentUse) field {
	last := len(use.path) - 1
	if use.some == "" || last < 0 {
		return fieldAt(schema, use.path)
	}
	f := fieldAt(schema, append(slices.Clone(use.path[:last]), "\x00")) // a name that no argument has
	match := map[string]func(string, string) bool{ast.StartsWith.Name: strings.HasPrefix, ast.EndsWith.Name: strings.HasSuffix, ast.Contains.Name: strings.Contains}[use.some]
	f.known = f.known || f.missing == last && slices.ContainsFunc(f.siblings, func(name string) bool { return match(name, use.path[last]) })
	return f
}

func unknownArgument(s subject, use argumentUse, f field) Problem {
	names := strings.Join(use.path[:f.missing+1], ".")
	hint := nearestHint(use.path[f.missing], f.siblings)
	p := problemAt(use.at, "input.tool.arguments.%s: %s has no such argument%s", names, s.names(), hint)
	if use.some != "" {
		p.Message = fmt.Sprintf("%s has no such argument as %s(…, %q) chooses", s.names(), use.some, use.path[len(use.path)-1])
	}
	if len(s.tools) > 1 {
		p.Message = strings.Replace(p.Message, " has no such", " have no such", 1)
	}
	if len(f.siblings) > 0 {
		p.Detail = "want one of: " + strings.Join(f.siblings, ", ")
	}
	return p
}

// argumentNotes says what keeps the arguments of a rule from being checked.
func (g *ruleGraph) argumentNotes(b *ruleBody, s subject, use argumentUse) []Problem {
	name := "input.tool.arguments." + strings.Join(use.path, ".")
	switch {
	case len(g.program.catalogue) == 0:
		return nil // said once for all
	case s.choice.tools == nil:
		return []Problem{problemAt(use.at, "%s is not checked: the rule does not say which tool it is about; compare input.tool.name with a constant", name)}
	case len(s.tools) == 0:
		return []Problem{problemAt(use.at, "%s is not checked: no registered server has a tool that this rule can be about", name)}
	case s.schema == nil:
		return []Problem{problemAt(use.at, "%s is not checked: the inputSchema of %s allows any arguments", name, s.names())}
	case s.choice.servers == nil && manyServers(s.tools):
		return []Problem{problemAt(use.at, "%s is checked against %s together; compare input.resource.server with a constant to have it checked against one", name, s.names())}
	}
	return []Problem{problemAt(use.at, "%s is checked against %s", name, s.names())}
}

// manyServers tells whether a tool of one name lies on several servers.
func manyServers(tools []foundTool) bool {
	servers := map[string]string{}
	for _, f := range tools {
		if before, known := servers[f.tool.Name]; known && before != f.server {
			return true
		}
		servers[f.tool.Name] = f.server
	}
	return false
}

// annotate types input.tool.arguments for one rule.
func (p *program) annotate(b *ruleBody, s subject) {
	key := make([]string, len(s.tools))
	for i, f := range s.tools {
		key[i] = f.String()
	}
	slices.Sort(key)
	ref := ast.MustParseRef("schema.tool_arguments").Append(ast.StringTerm(strings.Join(key, " ")))
	p.schemas.Put(ref, s.schema)
	b.module.Annotations = append(b.module.Annotations, (&ast.Annotations{Scope: "rule", Location: b.rule.Location,
		Schemas: []*ast.SchemaAnnotation{{Path: ast.MustParseRef("input.tool.arguments"), Schema: ref}}}).Copy(b.rule))
}
