package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// findMembers finds what a body takes out of the input by object.get(input, "actors", []). The compiler has written it as x = input and a call
// with x. Below the input's root the member would be too little: whether the object around it is there makes a difference, too.
func (w *dependencyWalk) findMembers(body ast.Body) {
	if w.mockedGet {
		return
	}
	whole := map[ast.Var]*ast.Expr{}
	for _, e := range body {
		if e.IsEquality() && !e.Negated && len(e.With) == 0 {
			if v, ok := e.Operand(0).Value.(ast.Var); ok && w.uses[v] == 2 && isInput(e.Operand(1).Value) {
				whole[v] = e
			}
		}
	}
	for _, e := range body {
		if !e.IsCall() || len(e.Operands()) < 3 || e.Operator().String() != ast.ObjectGet.Name {
			continue
		}
		v, _ := e.Operand(0).Value.(ast.Var)
		path := fixedPath(append(slices.Clone(ast.InputRootRef), stepsOfGet(e.Operand(1))...))
		if bind := whole[v]; len(path) > 0 && (bind != nil || isInput(e.Operand(0).Value)) {
			w.members[e] = path
			if bind != nil {
				w.tests[bind] = true
			}
		}
	}
}

func isInput(v ast.Value) bool {
	ref, ok := v.(ast.Ref)
	return v.Compare(ast.InputRootDocument.Value) == 0 || ok && ref.Equal(ast.InputRootRef)
}

// mocksGet tells whether "with" puts something in the place of object.get somewhere. That would see the whole input.
func mocksGet(c *ast.Compiler) (found bool) {
	for _, m := range c.Modules {
		ast.NewGenericVisitor(func(x any) bool {
			if with, ok := x.(*ast.With); ok {
				found = found || with.Target.String() == ast.ObjectGet.Name
			}
			return found
		}).Walk(m)
	}
	return found
}
