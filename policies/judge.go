package policies

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
)

// judge gives the answer of mcp.authz.tools.judgement without evaluating that router: it asks for each exported rule of the
// packages and combines the values in Go (combineTools, shape.go). The router itself costs several times what the rules of an author do. It stays
// what tests, exports and lists of tools use, and a test over random policies holds both against each other.
type judge struct {
	compiler *ast.Compiler
	store    storage.Store
	reading  storage.Transaction // of all evaluations: nobody ever writes to the store
	asks     []asked
	queries  []inquiry
	rules    []firedRule // by place, with their labels
	seen     *witnesses
}

// asked is one exported rule of one package.
type asked struct {
	policy, export string
	name           ast.Var // of its value in the query
}

// inquiry is a query for some rules, one after the other. A rule with a single value may be undefined, so its values are collected.
type inquiry struct {
	query ast.Body
	first int // of its rules among all
	asks  []asked
}

// maxAsked is how many rules one query asks for. A query costs a few µs beside its rules, and each of its rules adds to the depth of
// the stack.
const maxAsked = 6

// asks are the exported rules in the order in which the router looks at them, so that of two errors the same one is told: first
// all whose values need a look at their shape.
func (d definitions) asks() []asked {
	var asks []asked
	add := func(export string, policies []string) {
		for _, policy := range policies {
			asks = append(asks, asked{policy, export, ast.Var(fmt.Sprint("x", len(asks)))})
		}
	}
	add("deny", d["deny"].all)
	for _, export := range []string{"allow", "required_scopes", "require_authn", "obligations", "ttl_seconds"} {
		add(export, d[export].computed)
	}
	for _, export := range []string{"required_scopes", "obligations", "require_authn", "ttl_seconds"} {
		add(export, slices.DeleteFunc(slices.Clone(d[export].all), func(policy string) bool { return slices.Contains(d[export].computed, policy) }))
	}
	return asks
}

func inquiries(asks []asked) []inquiry {
	var list []inquiry
	for few := range slices.Chunk(asks, maxAsked) {
		q := inquiry{first: len(list) * maxAsked, asks: few}
		for _, a := range few {
			value := ast.NewTerm(ast.MustParseRef("data.policy.tools").Append(ast.StringTerm(a.policy)).Append(ast.StringTerm(a.export)))
			if a.single() {
				value = ast.ArrayComprehensionTerm(ast.VarTerm("v"), ast.NewBody(ast.Equality.Expr(ast.VarTerm("v"), value)))
			}
			q.query.Append(ast.Equality.Expr(ast.NewTerm(a.name), value))
		}
		list = append(list, q)
	}
	return list
}

// single tells whether the rule has one value, or none.
func (a asked) single() bool { return a.export == "allow" || a.export == "ttl_seconds" }

// valueIn is the rule's value in the answer to its query; nil = it is undefined.
func (a asked) valueIn(found topdown.QueryResult) ast.Value {
	v := found[a.name].Value
	if list, ok := v.(*ast.Array); ok && a.single() {
		if list.Len() == 0 {
			return nil
		}
		return list.Elem(0).Value
	}
	return v
}

// newJudge prepares the queries for the packages that there are.
func (p *program) newJudge(ctx context.Context) (*judge, error) {
	c, labels, problems := p.instrument()
	if len(problems) > 0 {
		return nil, loadError(problems)
	}
	j := &judge{compiler: c, store: p.store(), asks: p.exports()[kindTools].asks(), rules: slices.Clone(p.places), seen: newWitnesses()}
	j.queries = inquiries(j.asks)
	for place, label := range labels {
		j.rules[place].Rule = label
	}
	var err error
	if j.reading, err = j.store.NewTransaction(ctx); err != nil {
		return nil, fmt.Errorf("policies: read the data documents: %w", err)
	}
	return j, nil
}

// run evaluates every exported rule, as the router does, so that whatever fails anywhere denies.
func (j *judge) run(g *generation, input ast.Value, at time.Time, u usage, cancel topdown.Cancel) result {
	var nd builtins.NDBCache
	if g.recordsND {
		nd = builtins.NDBCache{}
	}
	seen := j.seen.begin(input)
	defer j.seen.end(seen)
	document, cache, ctx := ast.NewTerm(input), topdown.NewVirtualCache(), u.context()
	values := make([]ast.Value, len(j.asks))
	for _, some := range j.queries {
		q := topdown.NewQuery(some.query).WithCompiler(j.compiler).WithStore(j.store).WithTransaction(j.reading).WithInput(document).WithTime(at).
			WithCancel(cancel).WithStrictBuiltinErrors(true).WithMetrics(metrics.NoOp()).WithVirtualCache(cache).WithBuiltins(seen.builtins)
		if nd != nil {
			q = q.WithNDBuiltinCache(nd)
		}
		answered := false
		err := q.Iter(ctx, func(found topdown.QueryResult) error {
			answered = true
			for i, a := range some.asks {
				values[some.first+i] = a.valueIn(found)
			}
			return nil
		})
		if err != nil {
			return result{err: withoutValues(err)}
		}
		if !answered {
			return result{err: errUndefined}
		}
	}
	value, err := combineTools(j.asks, values, input)
	if err != nil {
		return result{err: err}
	}
	rules := make(fired, len(seen.places))
	for i, place := range seen.places {
		rules[i] = j.rules[place]
	}
	return finish(value, rules, nd)
}

// combineTools is mcp.authz.tools.judgement. A nil value is an undefined rule.
func combineTools(asks []asked, values []ast.Value, input ast.Value) (ast.Value, error) {
	var c combined
	for i, a := range asks {
		if values[i] == nil {
			continue
		}
		if err := c.add(a, values[i]); err != nil {
			return nil, err
		}
	}
	missing := c.missing(input)
	reasons := c.reasonSet()
	return ast.NewObject(
		ast.Item(ast.InternedTerm("allow"), ast.InternedTerm(reasons.Len() == 0 && missing.Len() == 0)),
		ast.Item(ast.InternedTerm("reasons"), ast.NewTerm(reasons)),
		ast.Item(ast.InternedTerm("required_scopes"), ast.NewTerm(orEmpty(c.required))),
		ast.Item(ast.InternedTerm("missing_scopes"), ast.NewTerm(missing)),
		ast.Item(ast.InternedTerm("require_authn"), ast.NewTerm(orEmpty(c.authn))),
		ast.Item(ast.InternedTerm("obligations"), ast.NewTerm(orEmpty(c.obligations))),
		ast.Item(ast.InternedTerm("ttl_seconds"), c.seconds()),
	), nil
}

// combined is what the packages said so far.
type combined struct {
	reasons                      []*ast.Term
	permitted                    bool
	required, authn, obligations ast.Set
	ttl                          *ast.Term // the smallest; nil = none
}

func (c *combined) add(a asked, v ast.Value) error {
	if a.single() {
		c.single(a, v)
		return nil
	}
	set, ok := v.(ast.Set)
	if !ok {
		return fmt.Errorf("policy.tools.%s.%s is no set", a.policy, a.export) // the loader lets nothing else pass
	}
	switch a.export {
	case "deny":
		set.Foreach(func(entry *ast.Term) { c.reasons = append(c.reasons, shapedReason(a.policy, entry)) })
	case "required_scopes":
		c.check(a, set, isText)
		c.required = union(c.required, onlyStrings(set))
	case "require_authn":
		c.check(a, set, isRequirement)
		c.authn = union(c.authn, set)
	case "obligations":
		c.check(a, set, isObligation)
		c.obligations = union(c.obligations, set)
	}
	return nil
}

// single takes the value of a rule that has one.
func (c *combined) single(a asked, v ast.Value) {
	if a.export == "allow" {
		allow, ok := v.(ast.Boolean)
		c.permitted = c.permitted || bool(allow)
		if !ok {
			c.reasons = append(c.reasons, malformed(a.policy, a.export))
		}
		return
	}
	if !isSeconds(v, 0) {
		c.reasons = append(c.reasons, malformed(a.policy, a.export))
	}
	if c.ttl == nil || v.Compare(c.ttl.Value) < 0 {
		c.ttl = ast.NewTerm(v)
	}
}

// check finds members of a wrong shape.
func (c *combined) check(a asked, set ast.Set, right func(ast.Value) bool) {
	if set.Until(func(t *ast.Term) bool { return !right(t.Value) }) {
		c.reasons = append(c.reasons, malformed(a.policy, a.export))
	}
}

// missing are the required scopes that the token neither holds nor covers with a wildcard.
func (c *combined) missing(input ast.Value) ast.Set {
	missing := ast.NewSet()
	if c.required == nil || c.required.Len() == 0 {
		return missing
	}
	var held []string
	if scopes, err := input.Find(ast.Ref{ast.InternedTerm("token"), ast.InternedTerm("scopes")}); err == nil {
		held = textsIn(scopes)
	}
	c.required.Foreach(func(t *ast.Term) {
		if !slices.ContainsFunc(held, func(h string) bool { return covers(h, t.Value) }) {
			missing.Add(t)
		}
	})
	return missing
}

// reasonSet is why the call is denied; without reasons of their own it is denied unless some package allows it.
func (c *combined) reasonSet() ast.Set {
	if len(c.reasons) == 0 && !c.permitted {
		return ast.NewSet(reasonTerm("not_allowed", "no policy allows this", "default deny"))
	}
	return ast.NewSet(c.reasons...)
}

func (c *combined) seconds() *ast.Term {
	if c.ttl == nil {
		return ast.InternedTerm(0)
	}
	return c.ttl
}
