package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// origin is one place that gives a variable its value.
type origin struct {
	as  originKind
	of  *ast.Term
	top bool // a condition of the rule itself, and not of something inside it
}

type originKind int

const (
	fromValue  originKind = iota // x := of
	fromMember                   // some x in of
	fromKey                      // some x, _ in of; of[x]
)

// findOrigins finds them in the whole body. A variable of one name in two comprehensions counts as one.
func (b *ruleBody) findOrigins() map[ast.Var][]origin {
	found := map[ast.Var][]origin{}
	top := map[*ast.Expr]bool{}
	for _, e := range b.rule.Body {
		top[e] = !e.Negated && len(e.With) == 0
	}
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule
		case *ast.Expr:
			originsOfExpr(x, func(v *ast.Term, as originKind, of *ast.Term) {
				if name, ok := v.Value.(ast.Var); ok && !name.IsWildcard() {
					found[name] = append(found[name], origin{as, of, top[x]})
				}
			})
		case ast.Ref:
			for i := 1; i < len(x); i++ {
				if name, ok := x[i].Value.(ast.Var); ok && !name.IsWildcard() {
					found[name] = append(found[name], origin{fromKey, prefixOf(x, i), false})
				}
			}
		}
		return false
	}).Walk(b.rule)
	return found
}

// prefixOf are the first parts of a reference.
func prefixOf(ref ast.Ref, n int) *ast.Term {
	if n == 1 {
		return ref[0]
	}
	return ast.NewTerm(ref[:n:n])
}

// originsOfExpr calls f for each variable that an expression gives a value.
func originsOfExpr(e *ast.Expr, f func(v *ast.Term, as originKind, of *ast.Term)) {
	switch x := e.Terms.(type) {
	case *ast.SomeDecl:
		for _, s := range x.Symbols {
			switch call, _ := s.Value.(ast.Call); len(call) {
			case 3: // some x in of
				f(call[1], fromMember, call[2])
			case 4: // some k, x in of
				f(call[1], fromKey, call[3])
				f(call[2], fromMember, call[3])
			}
		}
	case *ast.Every:
		if x.Key != nil {
			f(x.Key, fromKey, x.Domain)
		}
		f(x.Value, fromMember, x.Domain)
	default:
		if e.IsAssignment() || e.IsEquality() && len(e.Operands()) == 2 {
			f(e.Operand(0), fromValue, e.Operand(1))
			if e.IsEquality() {
				f(e.Operand(1), fromValue, e.Operand(0))
			}
		}
	}
}

// place is inputPath, or for any member of a list (input.token.scopes[_], some x in input.token.scopes) the list and "[]", and for
// any key of an object (some x, _ in input.tool.arguments) the object and "{}".
func (b *ruleBody) place(v ast.Value) (inputPath, bool) {
	if path, ok := b.inputPath(v); ok {
		return path, true
	}
	switch v := v.(type) {
	case ast.Ref:
		if last := v[len(v)-1].Value; len(v) > 2 && !last.IsGround() {
			path, ok := b.inputPath(v[:len(v)-1])
			return append(slices.Clone(path), "[]"), ok
		}
	case ast.Var:
		for _, x := range b.origins[v] {
			if path, ok := b.inputPath(x.of.Value); ok && x.as == fromMember {
				return append(slices.Clone(path), "[]"), true
			} else if ok && x.as == fromKey {
				return append(slices.Clone(path), "{}"), true
			}
			if path, ok := b.keysOfInput(x.of.Value); ok && x.as == fromMember {
				return path, true
			}
		}
	}
	return nil, false
}

// keysOfInput is the place of object.keys(input.tool.arguments).
func (b *ruleBody) keysOfInput(v ast.Value) (inputPath, bool) {
	call, ok := v.(ast.Call)
	if !ok || len(call) != 2 || call[0].String() != ast.ObjectKeys.Name {
		return nil, false
	}
	path, ok := b.inputPath(call[1].Value)
	return append(slices.Clone(path), "{}"), ok
}

// functionCall is one place that calls a function of the author's.
type functionCall struct {
	by       *ruleBody
	operands []*ast.Term
	mocked   bool // with another input in the place of the real one
}

// calls finds those of the author's functions, by name.
func (g *ruleGraph) calls() map[string][]functionCall {
	found := map[string][]functionCall{}
	for _, b := range g.bodies {
		add := func(operator ast.Value, operands []*ast.Term, mocked bool) {
			if name := g.resolve(b.module, operator); name != "" {
				found[name] = append(found[name], functionCall{b, operands, mocked})
			}
		}
		var walk func(x any, mocked bool)
		walk = func(x any, mocked bool) {
			ast.NewGenericVisitor(func(y any) bool {
				switch y := y.(type) {
				case *ast.Rule:
					return y != b.rule
				case *ast.Expr:
					if len(y.With) > 0 && !mocked {
						walk(y, true)
						return true
					}
					if y.IsCall() {
						add(y.Operator(), y.Operands(), mocked)
					}
				case ast.Call:
					add(y[0].Value, y[1:], mocked)
				}
				return false
			}).Walk(x)
		}
		walk(b.rule, false)
	}
	return found
}

// maxNesting bounds how far a part of the input is followed from function to function.
const maxNesting = 4

// aliasParameters takes a parameter of a function for a part of the input, if all that call it pass that part.
func (g *ruleGraph) aliasParameters() {
	calls := g.calls()
	for range maxNesting {
		for _, d := range g.bodies {
			for i, arg := range d.rule.Head.Args {
				if v, ok := arg.Value.(ast.Var); ok && !v.IsWildcard() && d.aliases[v] == nil {
					if ref := passed(calls[d.name], i); ref != nil {
						d.aliases[v] = ref
					}
				}
			}
		}
	}
}

// passed is the part of the input that all calls pass at a place, or nil.
func passed(calls []functionCall, i int) (ref ast.Ref) {
	for n, c := range calls {
		if c.mocked || i >= len(c.operands) {
			return nil
		}
		path, ok := c.by.inputPath(c.operands[i].Value)
		if !ok {
			return nil
		}
		own := slices.Clone(ast.InputRootRef)
		for _, key := range path {
			own = append(own, ast.StringTerm(key))
		}
		if n > 0 && !own.Equal(ref) {
			return nil
		}
		ref = own
	}
	return ref
}
