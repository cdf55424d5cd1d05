package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// checkUnused warns of helpers that nobody asks for. A rule that is meant to deny and is named _deny_large, or a condition that
// is left out of the rule that needs it, would be ignored without a word.
func (g *ruleGraph) checkUnused() (found []Problem) {
	if g.program.partial {
		return nil // somebody may ask in what could not be read
	}
	asked, told := g.askedByTests(), map[string]bool{}
	for _, b := range g.bodies {
		name := b.name
		other := func(caller *ruleBody) bool { return caller == nil || caller.name != name }
		if !strings.HasPrefix(ruleName(b.rule), "_") || told[name] || asked[name] || slices.ContainsFunc(g.callers[name], other) {
			continue
		}
		told[name] = true
		found = append(found, problemAt(b.rule.Head.Location, "nobody asks for %s, so it does nothing; name it in the rule that needs it, or remove it", ruleName(b.rule)))
	}
	return found
}

// askedByTests are the rules that tests refer to.
func (g *ruleGraph) askedByTests() map[string]bool {
	asked := map[string]bool{}
	for _, file := range g.program.author {
		m := g.program.modules[file]
		if !g.program.tests[file] || m == nil {
			continue
		}
		ast.WalkRefs(m, func(ref ast.Ref) bool {
			name, _ := g.resolveRef(m, ref)
			asked[name] = true
			return false
		})
	}
	return asked
}
