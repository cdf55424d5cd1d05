package policies

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"portcullis/oauth"
)

// lister answers which tools could be called at all. It evaluates the tool router partially, with everything unknown that the
// asking server will only write with the call, once for all tools that look the same to the rules.
type lister struct {
	query    partialQuery      // made at the first question
	idle     chan partialQuery // each serves one partial evaluation at a time
	unknowns []*ast.Term
	names    []test  // the rules only test a tool's name: names with equal results make no difference
	ids      []test  // the same for resource.id, which is the name again
	looks    *memory // makes keys of what the rules can see of a tool, and remembers outlooks
	remember bool    // outlooks change neither with time nor from request to request
}

// outlook is what is certain about a call before its arguments are known. Nobody changes it.
type outlook struct {
	possible bool                     // under some arguments some package allows, and nothing denies for certain
	logins   []oauth.AuthnRequirement // that are required for certain
}

// unknownInputs are what the asking server writes anew with every call. The first one is always given to the evaluation, which
// takes an empty list for "everything is unknown".
func unknownInputs() []inputPath {
	return []inputPath{
		{"tool", "arguments"}, {"tool", "schema_checked"}, {"id"}, {"context", "request_id"},
		{"subject", "properties"}, {"action", "properties"}, {"resource", "properties"}, {"context", "properties"},
		{"mcp", "protocol_version"}, {"mcp", "session_id"}, {"mcp", "uri"}, {"mcp", "prompt"}, {"mcp", "task_id"},
	}
}

func (p *program) newLister(ctx context.Context, c *ast.Compiler, remember int) (*lister, error) {
	l := &lister{query: p.partialQuery(), idle: make(chan partialQuery, runtime.GOMAXPROCS(0)), unknowns: []*ast.Term{usageUnknown()}}
	l.idle <- l.query
	d := p.dependenciesOf(c, outlookQuery)
	for i, unknown := range unknownInputs() {
		if i == 0 || slices.ContainsFunc(d.paths, func(p inputPath) bool { return p.begins(unknown) || unknown.begins(p) }) {
			l.unknowns = append(l.unknowns, unknown.term())
		}
	}
	known := slices.DeleteFunc(slices.Clone(d.paths), func(p inputPath) bool { return slices.ContainsFunc(unknownInputs(), p.begins) })
	known, l.names = withoutTested(known, d, inputPath{"tool", "name"})
	known, l.ids = withoutTested(known, d, inputPath{"resource", "id"})
	l.looks = newMemory(known, max(1, remember))
	l.remember = remember > 0 && (len(d.obstacles) == 0 || len(d.obstacles) == 1 && slices.Equal(d.calls, []string{usageBuiltin})) // that is unknown here
	return l, nil
}

// partialQuery is a query with rules and documents of its own; it gives the same one each time.
type partialQuery func() (rego.PreparedPartialQuery, error)

// withMore lets as many partial evaluations run as there are cores. A server does without: each costs the memory of all rules once more.
func (l *lister) withMore(p *program) {
	for range cap(l.idle) - 1 {
		l.idle <- p.partialQuery()
	}
}

// partialQuery makes the query over rules and documents of its own. OPA's copy propagation writes into the terms that it works on, those of the rules and of
// the documents among them, so nothing that is evaluated otherwise may share them.
func (p *program) partialQuery() partialQuery {
	return sync.OnceValues(func() (rego.PreparedPartialQuery, error) {
		own := p.compiler(false)
		if own.Compile(p.chosen(false)); own.Failed() {
			return rego.PreparedPartialQuery{}, fmt.Errorf("policies: compile for %s: %w", outlookQuery, own.Errors)
		}
		query, err := rego.New(rego.Query(outlookQuery+"[x]"), rego.Compiler(own), rego.Store(p.newStore()), rego.StrictBuiltinErrors(true), usageFunction()).
			PrepareForPartial(context.Background())
		if err != nil {
			err = fmt.Errorf("policies: prepare %s: %w", outlookQuery, err)
		}
		return query, err
	})
}

var errNoTurn = errors.New("another partial evaluation is running")

// partially evaluates the outlook with unknowns, and gives what is left of the query to read before the next evaluation with the same rules begins.
// It waits at most so long for its turn.
func (l *lister) partially(ctx context.Context, wait time.Duration, input ast.Value, read func([]ast.Body), more ...rego.EvalOption) error {
	turn := time.NewTimer(wait)
	defer turn.Stop()
	var mine partialQuery
	select {
	case mine = <-l.idle:
	case <-turn.C:
		return errNoTurn
	}
	defer func() { l.idle <- mine }()
	query, err := mine()
	if err != nil {
		return err
	}
	partial, err := query.Partial(ctx, append(more, rego.EvalParsedInput(ast.NewTerm(input).Copy().Value), rego.EvalNondeterministicBuiltins(true))...)
	if err == nil {
		read(partial.Queries)
	}
	return err
}

func (p inputPath) term() *ast.Term {
	ref := ast.Ref{ast.InputRootDocument}
	for _, key := range p {
		ref = append(ref, ast.StringTerm(key))
	}
	return ast.NewTerm(ref)
}

// withoutTested takes a path out if the rules only test it, and gives the tests.
func withoutTested(paths []inputPath, d dependencies, path inputPath) ([]inputPath, []test) {
	tests, ok := d.tested[path.String()]
	if !ok {
		return paths, nil
	}
	return slices.DeleteFunc(paths, func(p inputPath) bool { return slices.Equal(p, path) }), sortTests(tests)
}

// listDeadlines is how many times the deadline of one evaluation a whole list may take. A list is all or nothing: without one the asking server
// goes by the token's scopes, and half of one would hide tools that can be called. What was found by then is remembered, so the next
// question goes on from there.
const listDeadlines = 20

// CallableTools implements oauth.ToolLister: the tools in the order of the catalogue. A policy that fails for certain still
// leaves a tool in the list; one that reaches the deadline, or gets no turn until then, makes an error, and so does a list that is not ready after listDeadlines of
// them or when the context ends.
func (e *Engine) CallableTools(ctx context.Context, v oauth.Evaluation) ([]string, error) {
	if v.Token == nil || v.Caller == nil {
		return nil, errors.New("a list of tools needs a verified token and the server that asks")
	}
	g, now := e.current.Load(), at(v.Context).Truncate(time.Second)
	names := make([]string, 0, len(v.Caller.Tools))
	seen := map[cacheKey]*outlook{}
	end := time.Now().Add(listDeadlines * e.deadline)
	for i := range v.Caller.Tools {
		if ctx.Err() != nil || time.Now().After(end) {
			return nil, fmt.Errorf("the list was not ready in time (%d of %d tools)", i, len(v.Caller.Tools))
		}
		tool := &v.Caller.Tools[i]
		if g.isStale(v.Caller.Key, tool.Name) {
			continue // also where an evaluation fails, which leaves others in the list
		}
		o, err := e.outlook(g, imagined(v, tool), seen)
		if err != nil {
			return nil, fmt.Errorf("tool %s: %w", tool.Name, err)
		}
		unmet := func(q oauth.AuthnRequirement) bool { return !q.Met(v.Token.Authn, now) }
		if o.possible && !slices.ContainsFunc(o.logins, unmet) {
			names = append(names, tool.Name)
		}
	}
	return names, nil
}

// imagined is a call of the tool, with nothing in it that is not known before.
func imagined(v oauth.Evaluation, tool *oauth.Tool) oauth.Evaluation {
	v.Action = oauth.AuthZENAction{Name: "tools/call"}
	v.Resource = oauth.AuthZENResource{Type: "tool", ID: tool.Name}
	v.MCP = oauth.MCPCall{Method: "tools/call"}
	v.Tool, v.Args, v.Claimed.Properties, v.Extra = tool, nil, nil, nil
	return v
}

func (e *Engine) outlook(g *generation, v oauth.Evaluation, seen map[cacheKey]*outlook) (*outlook, error) {
	l := g.lister
	write := func(o *object) error { return o.toolCall(v) }
	key, ok := l.looks.key(write, results(l.names, v.Tool.Name), results(l.ids, v.Tool.Name))
	if !ok {
		return nil, errors.New("what is known of the call is out of bounds")
	}
	if o := seen[key]; o != nil {
		return o, nil
	}
	if l.remember {
		if r, hit := l.looks.get(key); hit {
			return r.answer.(*outlook), nil
		}
	}
	input := e.words.object(12)
	if err := write(&input); err != nil {
		return nil, err
	}
	if _, err := l.query(); err != nil { // compiled the first time, which is no part of the deadline
		return nil, err
	}
	cancel := topdown.NewCancel()
	r := e.guard(func() result { return l.evaluate(input.value(), at(v.Context), e.deadline, cancel) }, cancel.Cancel)
	if r.err != nil {
		return nil, r.err
	}
	seen[key] = r.outlook
	if l.remember {
		l.looks.put(&remembered{key: key, answer: r.outlook})
	}
	return r.outlook, nil
}

func (l *lister) evaluate(input ast.Value, at time.Time, wait time.Duration, cancel topdown.Cancel) result {
	var found *outlook
	err := l.partially(context.Background(), wait, input, func(left []ast.Body) { found = readOutlook(left) },
		rego.EvalParsedUnknowns(l.unknowns), rego.EvalTime(at), rego.EvalExternalCancel(cancel))
	switch {
	case errors.Is(err, errNoTurn):
		return result{err: err}
	case topdown.IsCancel(err):
		return result{err: withoutValues(err)}
	case err != nil: // the policy fails for certain
		return result{outlook: &outlook{possible: true}}
	}
	return result{outlook: found}
}

// readOutlook reads what is left of the query. Each body is one way in which a member x of the set comes about. A body with
// nothing but x = VALUE is certain; with more in it, it depends on what is unknown.
func readOutlook(queries []ast.Body) *outlook {
	o := &outlook{}
	denied := false
	for _, body := range queries {
		member := memberOf(body)
		certain := member != nil && len(body) == 1
		switch member := member.(type) {
		case nil:
			o.possible = true // nobody knows what comes out
		case ast.String:
			o.possible = o.possible || member == "permitted"
			denied = denied || certain && member != "permitted"
		default:
			r := read("requirement", member)
			if q := r.requirement(); certain && r.done() == nil {
				o.logins = append(o.logins, q)
			}
		}
	}
	o.possible = o.possible && !denied
	return o
}

// memberOf is the value of x in a body, or nil if it is not known.
func memberOf(body ast.Body) ast.Value {
	for _, e := range body {
		if !e.IsEquality() || e.Negated || len(e.With) > 0 {
			continue
		}
		for i := range 2 {
			x, isVar := e.Operand(i).Value.(ast.Var)
			if v := e.Operand(1 - i).Value; isVar && x == "x" && v.IsGround() && ast.IsConstant(v) {
				return v
			}
		}
	}
	return nil
}
