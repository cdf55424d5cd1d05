package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxPasses bounds how often the compiler looks again for problems behind problems.
const maxPasses = 8

// compileRest finds the problems that others have hidden, since the compiler ends at its first stage that fails: the rules with
// problems are emptied, and the whole is compiled again.
func (p *program) compileRest(withTests bool, modules map[string]*ast.Module, errs ast.Errors) []Problem {
	found := problemsOf(errs)
	problems := p.withoutMissing(found)
	for pass := 1; pass < maxPasses; pass++ {
		var changed bool
		if modules, changed = withoutBodies(modules, found); !changed && pass > 1 {
			return problems
		}
		c := p.compiler(withTests).WithStrict(false)
		if c.Compile(modules); !c.Failed() {
			return append(problems, p.checkReferences(c)...)
		}
		found = problemsOf(c.Errors)
		problems = append(problems, p.withoutMissing(found)...)
	}
	return problems
}

// withoutMissing leaves out functions that may lie in what could not be read.
func (p *program) withoutMissing(problems []Problem) []Problem {
	if !p.partial {
		return slices.Clone(problems)
	}
	return slices.DeleteFunc(slices.Clone(problems), func(x Problem) bool { return strings.HasPrefix(x.Message, "undefined function data.") })
}

// withoutBodies empties the rules in which problems lie: their names stay, and their value may be anything.
func withoutBodies(modules map[string]*ast.Module, problems []Problem) (rest map[string]*ast.Module, changed bool) {
	rest = make(map[string]*ast.Module, len(modules))
	for name, m := range modules {
		rest[name] = m
		bad := map[*ast.Rule]bool{}
		for _, p := range problems {
			if r := ruleAt(m, p.Line); p.File == name && r != nil && !isEmptied(r) {
				bad[r] = true
			}
		}
		if len(bad) == 0 {
			continue
		}
		less := *m
		less.Rules = nil
		for _, r := range m.Rules {
			if !bad[r] {
				less.Rules = append(less.Rules, r)
			} else if empty := emptied(r); empty != nil {
				less.Rules = append(less.Rules, empty)
			}
		}
		rest[name], changed = &less, true
	}
	return rest, changed
}

// ruleAt is the rule that a line belongs to.
func ruleAt(m *ast.Module, line int) *ast.Rule {
	var last *ast.Rule
	for _, r := range m.Rules {
		if r.Location.Row <= line && (last == nil || r.Location.Row >= last.Location.Row) {
			last = r
		}
	}
	return last
}

// anyValue is a call whose result can be anything.
func anyValue() *ast.Term {
	return ast.CallTerm(ast.NewTerm(ast.JSONUnmarshal.Ref()), ast.StringTerm("null"))
}

// emptied is the rule with its name, without conditions and with any value; nil if its name alone needs them.
func emptied(r *ast.Rule) *ast.Rule {
	if !r.Head.Reference.IsGround() || r.Default {
		return nil
	}
	empty := r.Copy()
	empty.Body, empty.Else = ast.NewBody(ast.NewExpr(ast.BooleanTerm(true))), nil
	if empty.Head.Key != nil {
		empty.Head.Key = anyValue()
	} else {
		empty.Head.Value = anyValue()
	}
	return empty
}

func isEmptied(r *ast.Rule) bool {
	value := r.Head.Key
	if value == nil {
		value = r.Head.Value
	}
	return value != nil && value.Equal(anyValue())
}

// withFunctionHints names the function that a misspelled one most likely means. The compiler does not say.
func (p *program) withFunctionHints(problems []Problem) []Problem {
	for i := range problems {
		whole, found := strings.CutPrefix(problems[i].Message, "undefined function data.")
		at := strings.LastIndex(whole, ".")
		if !found || at < 0 {
			continue
		}
		var known []string
		for _, m := range p.modules {
			if strings.Join(pathOf(m.Package.Path), ".") != whole[:at] {
				continue
			}
			for _, r := range m.Rules {
				if name := ruleName(r); len(r.Head.Args) > 0 && !strings.HasPrefix(name, "_") {
					known = append(known, name)
				}
			}
		}
		slices.Sort(known)
		problems[i].Message += nearestHint(whole[at+1:], known)
	}
	return problems
}
