package policies

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"github.com/open-policy-agent/opa/v1/types"

	"portcullis/oauth"
)

// usageBuiltin is mcp.usage(seconds), the one built-in of ours that policies may call: how many calls of this tool under this grant
// were allowed in that time. Where nobody counts it is an error, and errors deny.
const usageBuiltin = "mcp.usage"

// usageDeclaration says to the compiler what mcp.usage is. Its answers change, so that no answer which rests on one is remembered.
func usageDeclaration() *ast.Builtin {
	return &ast.Builtin{
		Name:        usageBuiltin,
		Description: "How many calls of this tool under this grant were allowed in the last seconds. Whole seconds, at most 31 days.",
		Decl: types.NewFunction(
			types.Args(types.Named("seconds", types.N).Description("how far to look back")),
			types.Named("calls", types.N).Description("how many calls were allowed, this one not among them")),
		Nondeterministic: true,
	}
}

// usage answers mcp.usage during one evaluation; looking: no answer stands on what it says. It travels in the evaluation's context.
type usage func(looking bool, seconds *ast.Term) (*ast.Term, error)

type usageKey struct{}

// context carries the answers to an evaluation.
func (u usage) context() context.Context {
	if u == nil {
		return context.Background()
	}
	return context.WithValue(context.Background(), usageKey{}, u)
}

// looking is for packages on trial.
func (u usage) looking() usage {
	if u == nil {
		return nil
	}
	return func(_ bool, seconds *ast.Term) (*ast.Term, error) { return u(true, seconds) }
}

// usageNow asks whoever counts the calls. The caller's context is only good for its values: a client that hangs up must not change what
// is decided.
func usageNow(ctx context.Context, v oauth.Evaluation) usage {
	if v.Usage == nil {
		return nil
	}
	return func(looking bool, seconds *ast.Term) (*ast.Term, error) {
		window, err := windowOf(seconds)
		if err != nil {
			return nil, err
		}
		ctx := context.WithoutCancel(ctx)
		if looking {
			ctx = oauth.OnlyLooking(ctx)
		}
		calls, err := v.Usage(ctx, window)
		if err != nil {
			return nil, errors.New("the calls cannot be counted")
		}
		return ast.NewTerm(ast.Number(strconv.FormatInt(calls, 10))), nil
	}
}

// windowOf reads the operand of mcp.usage.
func windowOf(seconds *ast.Term) (time.Duration, error) {
	number, _ := seconds.Value.(ast.Number)
	n, whole := number.Int64()
	if !whole || n < 1 || n > int64(oauth.MaxUsageWindow/time.Second) {
		return 0, fmt.Errorf("seconds must be a whole number from 1 to %d (31 days)", int64(oauth.MaxUsageWindow/time.Second))
	}
	return time.Duration(n) * time.Second, nil
}

// usageThen answers what a recorded decision was answered, and notes when it was not asked that.
func usageThen(nd builtins.NDBCache, missing *bool) usage {
	return func(_ bool, seconds *ast.Term) (*ast.Term, error) {
		if calls, found := nd.Get(usageBuiltin, ast.NewArray(seconds)); found {
			return ast.NewTerm(calls), nil
		}
		*missing = true
		return nil, errNotAsked
	}
}

// errNotAsked says that a record cannot tell what mcp.usage would have answered.
var errNotAsked = errors.New("the policies come to a call of " + usageBuiltin + " whose answer of then is not recorded")

// usageUnknown leaves the answers as open as the arguments of a call that is still to come.
func usageUnknown() *ast.Term {
	return ast.NewTerm(ast.Ref{ast.VarTerm("mcp"), ast.StringTerm("usage")})
}

// usageFunction lets a query call mcp.usage.
func usageFunction() func(*rego.Rego) {
	d := usageDeclaration()
	return rego.Function1(&rego.Function{Name: d.Name, Decl: d.Decl, Nondeterministic: true}, answerUsage)
}

// usageImplementation is the same for a query that is put together without package rego.
func usageImplementation() *topdown.Builtin {
	return &topdown.Builtin{Decl: usageDeclaration(), Func: func(c topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
		calls, err := answerUsage(c, operands[0])
		if err != nil {
			return &topdown.Error{Code: topdown.BuiltinErr, Message: usageBuiltin + ": " + err.Error(), Location: c.Location}
		}
		return iter(calls)
	}}
}

func answerUsage(c topdown.BuiltinContext, seconds *ast.Term) (*ast.Term, error) {
	u, _ := c.Context.Value(usageKey{}).(usage)
	if u == nil {
		return nil, errors.New("nobody counts here; in a test say: with mcp.usage as 3")
	}
	return u(false, seconds)
}

// checkUsage refuses calls of mcp.usage that would always fail: where no tool is called there is nothing to count, and a window that is
// written out can be looked at.
func checkUsage(m *ast.Module, own ownPackage) []Problem {
	if own.test {
		return nil
	}
	var problems []Problem
	look := func(call []*ast.Term) {
		if len(call) == 0 || call[0].String() != usageBuiltin {
			return
		}
		if own.log || own.kind != "" && own.kind != kindTools {
			problems = append(problems, problemAt(call[0].Location, "mcp.usage counts calls of tools; only packages below policy.tools can ask it"))
			return
		}
		if len(call) > 1 {
			_, number := call[1].Value.(ast.Number)
			if _, err := windowOf(call[1]); number && err != nil {
				problems = append(problems, problemAt(call[1].Location, "mcp.usage: %s", err))
			}
		}
	}
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Expr:
			call, _ := x.Terms.([]*ast.Term)
			look(call)
		case ast.Call:
			look(x)
		}
		return false
	}).Walk(m)
	return problems
}
