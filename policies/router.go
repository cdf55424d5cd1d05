package policies

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// exports tells, per kind and rule, which packages define the rule.
type exports map[kind]definitions

// definitions tell which packages of a kind define a rule.
type definitions map[string]*definers

// definers are the packages that define a rule, sorted.
type definers struct {
	all      []string
	computed []string // those of them whose value is not a constant, which the loader has already checked
}

// exports leaves packages in mode log_only out, but for those that are named.
func (p *program) exports(tried ...ownPackage) exports {
	found := exports{}
	for _, k := range kinds() {
		found[k] = definitions{}
		for rule := range ruleForms(k) {
			found[k][rule] = &definers{}
		}
	}
	for name, m := range p.modules {
		own, ok := shippedPackage(pathOf(m.Package.Path))
		if !ok || p.tests[name] || p.logOnly[own] && !slices.Contains(tried, own) {
			continue
		}
		for _, r := range m.Rules {
			d := found[own.kind][ruleName(r)]
			if d == nil {
				continue // private
			}
			d.all = append(d.all, own.name)
			if !isChecked(ruleForms(own.kind)[ruleName(r)], r) {
				d.computed = append(d.computed, own.name)
			}
		}
	}
	for _, rules := range found {
		for _, d := range rules {
			slices.Sort(d.all)
			slices.Sort(d.computed)
			d.all, d.computed = slices.Compact(d.all), slices.Compact(d.computed)
		}
	}
	return found
}

// isChecked tells whether every value of the rule is a constant whose shape the loader has checked to the end: a text in a
// set. Booleans are always looked at: where another package allows, nothing else evaluates an allow that conflicts with
// itself or fails, and what goes wrong must deny.
func isChecked(form ruleForm, r *ast.Rule) bool {
	for ; r != nil; r = r.Else {
		if form != formSet || r.Head.Key == nil {
			return false
		}
		if text, ok := r.Head.Key.Value.(ast.String); !ok || text == "" {
			return false
		}
	}
	return true
}

// specialise rewrites the routers for the packages that there are: a rule that goes through data.policy.KIND[x].NAME
// becomes one rule for each package that defines NAME. The meaning stays (a test compares both); looking through all
// packages for every name is a third of a decision's time.
func (p *program) specialise() error {
	for _, k := range kinds() {
		if p.modules[routerName(k)] == nil {
			return fmt.Errorf("policies: the router %s is missing", routerName(k))
		}
	}
	if err := p.addTrials(); err != nil {
		return err
	}
	found := p.exports()
	for _, k := range kinds() {
		if err := specialiseRouter(p.modules[routerName(k)], found, k); err != nil {
			return err
		}
	}
	return nil
}

// routerName is the file of a kind's router.
func routerName(k kind) string { return shippedPrefix + "mcp/authz/" + string(k) + ".rego" }

func specialiseRouter(m *ast.Module, found exports, k kind) error {
	var rules, idle []*ast.Rule
	for _, r := range m.Rules {
		variable, export := iterates(r, k)
		if variable == nil {
			rules = append(rules, r)
			continue
		}
		definers := found[k][export]
		if definers == nil {
			return fmt.Errorf("policies: %s: no package may define %s", routerName(k), export)
		}
		packages := definers.all
		if checksShape(r) {
			packages = definers.computed
		}
		special, err := specialised(r, variable, packages)
		if err != nil {
			return fmt.Errorf("policies: %s: %w", routerName(k), err)
		}
		if len(packages) == 0 {
			idle = append(idle, special...)
			continue
		}
		rules = append(rules, special...)
	}
	m.Rules = withIdle(rules, idle)
	return nil
}

// withIdle adds the rules that never hold where their names would be undefined without them.
func withIdle(rules, idle []*ast.Rule) []*ast.Rule {
	defined := map[string]bool{}
	for _, r := range rules {
		defined[ruleName(r)] = defined[ruleName(r)] || !r.Default
	}
	for _, r := range idle {
		if !defined[ruleName(r)] {
			defined[ruleName(r)] = true
			rules = append(rules, r)
		}
	}
	return rules
}

// checksShape tells the routers' rules that find values of a wrong shape.
func checksShape(r *ast.Rule) bool {
	if r.Head.Key == nil {
		return false
	}
	call, ok := r.Head.Key.Value.(ast.Call)
	return ok && call[0].String() == "shape.malformed"
}

// iterates finds the variable x and the NAME of data.policy.KIND[x].NAME in a rule.
func iterates(r *ast.Rule, k kind) (variable ast.Value, export string) {
	prefix := ast.MustParseRef("data.policy." + string(k))
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		if len(ref) == len(prefix)+2 && ref.HasPrefix(prefix) {
			x, isVar := ref[len(prefix)].Value.(ast.Var)
			name, isName := ref[len(prefix)+1].Value.(ast.String)
			if isVar && isName {
				variable, export = x, string(name)
			}
		}
		return false
	})
	return variable, export
}

// specialised is a rule once for each package. With no package it stays, with a body that begins with
// false, so that its name is still defined.
func specialised(r *ast.Rule, variable ast.Value, packages []string) ([]*ast.Rule, error) {
	if len(packages) == 0 {
		never := r.Copy()
		never.Body = ast.NewBody(append([]*ast.Expr{ast.NewExpr(ast.BooleanTerm(false))}, never.Body...)...)
		return []*ast.Rule{never}, nil
	}
	rules := make([]*ast.Rule, len(packages))
	for i, name := range packages {
		special := r.Copy()
		special.Body = slices.DeleteFunc(special.Body, func(e *ast.Expr) bool { return declares(e, variable) })
		for at, e := range special.Body {
			e.Index = at
		}
		if err := substitute(special, variable, ast.String(name)); err != nil {
			return nil, err
		}
		rules[i] = special
	}
	return rules, nil
}

// substitute puts a value in the place of a variable, in the whole rule.
func substitute(r *ast.Rule, variable, value ast.Value) error {
	t := ast.NewGenericTransformer(func(x any) (any, error) {
		if v, ok := x.(ast.Var); ok && v.Compare(variable) == 0 {
			return value, nil
		}
		return x, nil
	})
	for _, e := range r.Body { // Transform does not look into "some x in xs"
		decl, ok := e.Terms.(*ast.SomeDecl)
		if !ok {
			continue
		}
		for _, symbol := range decl.Symbols {
			if _, err := ast.Transform(t, symbol); err != nil {
				return err
			}
		}
	}
	_, err := ast.Transform(t, r)
	return err
}

// declares tells whether the expression is "some x" and nothing else.
func declares(e *ast.Expr, variable ast.Value) bool {
	decl, ok := e.Terms.(*ast.SomeDecl)
	return ok && len(decl.Symbols) == 1 && decl.Symbols[0].Value.Compare(variable) == 0
}
