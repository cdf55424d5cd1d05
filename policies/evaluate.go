package policies

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
)

// maxResult bounds what a router may answer, in bytes. Reasons and obligations travel to callers and into the audit.
const maxResult = 64 << 10

// result is what an evaluation gave.
type result struct {
	value ast.Value
	size  int // of the value, in bytes of text
	fired fired
	nd    builtins.NDBCache // results of recordedBuiltins
	err   error
	kept  []keptTrial // of tried, for a record
	tried []tried     // what the answer would be with packages in mode log_only

	outlook *outlook // of a partial evaluation (listing.go)
}

var errUndefined = errors.New("the decision is undefined")

// fired are the exported rules that fired.
type fired []firedRule

// of lists the labels of the named exports, in their order, each sorted.
func (f fired) of(exports ...string) []string {
	var rules []string
	for _, name := range exports {
		begin := len(rules)
		for i := range f {
			if f[i].Export == name {
				rules = append(rules, f[i].Rule)
			}
		}
		slices.Sort(rules[begin:])
		rules = append(rules[:begin], slices.Compact(rules[begin:])...)
	}
	return rules
}

// evaluate runs the router of a kind, and after it, in what is left of the same slot, those of the packages in mode log_only. The caller's
// context is not passed on: a client that hangs up must not change what is decided and recorded.
func (e *Engine) evaluate(g *generation, k kind, input ast.Value, at time.Time, u usage) result {
	leave, err := e.enter()
	if err != nil {
		return result{err: err}
	}
	defer leave()
	cancel := topdown.NewCancel()
	router := func() result { return g.run(g.queries[k], input, at, u, cancel) }
	if k == kindTools {
		router = func() result { return g.judge.run(g, input, at, u, cancel) }
	}
	r := e.within(e.deadline, &e.abandoned, router, cancel.Cancel)
	if r.err == nil {
		r.tried = e.tryOut(g, k, input, at, u)
	}
	return r
}

func (g *generation) run(query rego.PreparedEvalQuery, input ast.Value, at time.Time, u usage, cancel topdown.Cancel) result {
	var tracker topdown.EvaluatedRuleTracker
	var value ast.Value
	var nd builtins.NDBCache
	if g.recordsND {
		nd = builtins.NDBCache{}
	}
	rs, err := query.Eval(u.context(),
		rego.EvalParsedInput(input),
		rego.EvalTime(at),
		rego.EvalExternalCancel(cancel),
		rego.EvalEvaluatedRuleTracker(&tracker),
		rego.EvalNDBuiltinCache(nd),
		rego.EvalGenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) {
			value = t.Value // read by decode.go, with sets and exact numbers
			return nil, nil
		}))
	switch {
	case err != nil:
		return result{err: withoutValues(err)}
	case len(rs) != 1 || value == nil:
		return result{err: errUndefined}
	}
	return finish(value, g.firedRules(&tracker), nd)
}

// finish bounds an answer.
func finish(value ast.Value, rules fired, nd builtins.NDBCache) result {
	size := sizeOf(value, maxResult)
	if size > maxResult {
		return result{err: fmt.Errorf("the result is larger than %d bytes", maxResult)}
	}
	return result{value: value, size: size, fired: rules, nd: recordable(nd)}
}

// sizeOf adds up the text of a value and stops above the limit.
func sizeOf(v ast.Value, limit int) int {
	size := 0
	visitor := ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.String:
			size += len(x)
		case ast.Number:
			size += len(x)
		case *ast.Term:
			size += 8 // a rough price of every value
		}
		return size > limit
	})
	visitor.Walk(v)
	return size
}

// withoutValues keeps of an evaluation error its kind and place. OPA's messages quote operands, and argument values
// must not reach log or audit.
func withoutValues(err error) error {
	var e *topdown.Error
	switch {
	case topdown.IsCancel(err):
		return errors.New("the evaluation reached its deadline")
	case errors.As(err, &e) && e.Location != nil:
		return fmt.Errorf("%s at %s:%d", e.Code, e.Location.File, e.Location.Row)
	case errors.As(err, &e):
		return errors.New(e.Code)
	}
	return errors.New("the evaluation failed")
}

// firedRules finds the exported rules among the labels of those that fired.
func (g *generation) firedRules(tracker *topdown.EvaluatedRuleTracker) fired {
	f := make(fired, 0, len(tracker.Labels))
	for _, labels := range tracker.Labels {
		place, rule, ok := placeOf(labels)
		if !ok || place >= len(g.places) {
			continue
		}
		one := g.places[place]
		one.Rule = rule
		f = append(f, one)
	}
	return f
}

// placeOf reads the labels of an exported rule.
func placeOf(labels map[string]any) (place int, rule string, ok bool) {
	text, placed := labels[labelPlace].(string)
	rule, named := labels[labelRule].(string)
	place, err := strconv.Atoi(text)
	return place, rule, placed && named && err == nil
}

// recordedBuiltins are the non-deterministic built-ins whose results are recorded. That of a JWT follows from its operands and
// the clock, and the operands are what must not be recorded.
func recordedBuiltins() []string { return []string{ast.NowNanos.Name, usageBuiltin} }

func recordable(nd builtins.NDBCache) builtins.NDBCache {
	var kept builtins.NDBCache
	for _, name := range recordedBuiltins() {
		if results, used := nd[name]; used {
			if kept == nil {
				kept = builtins.NDBCache{}
			}
			kept[name] = results
		}
	}
	return kept
}
