package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"portcullis/oauth"
)

// reenactment is a set of policies that recorded decisions are asked again of. It holds no deadline of a server and remembers nothing.
type reenactment struct {
	*generation
	program  *program
	compiler *ast.Compiler
	reads    map[kind]dependencies // of the rules, and of what is looked at in Go
	limit    time.Duration         // of one evaluation
}

// reenactLimit is how long an evaluation may take when nobody waits for it.
const reenactLimit = 5 * time.Second

// errTooLong says that an evaluation reached the limit: nobody can say what it would have answered.
var errTooLong = errors.New("the evaluation took longer than " + reenactLimit.String())

// reenact compiles a source without running its tests.
func reenact(ctx context.Context, s source) (*reenactment, error) {
	p, problems, err := s.parse()
	if err != nil {
		return nil, err
	}
	if p == nil || len(problems) > 0 {
		return nil, loadError(problems)
	}
	compiler, problems := p.compile(false)
	if len(problems) > 0 {
		return nil, loadError(withCompiled(nil, problems))
	}
	return p.reenactment(ctx, s, compiler)
}

func (p *program) reenactment(ctx context.Context, s source, compiler *ast.Compiler) (*reenactment, error) {
	g, err := p.generation(ctx, s, compiler, 0)
	if err != nil {
		return nil, err
	}
	g.lister.withMore(p)
	a := &reenactment{generation: g, program: p, compiler: compiler, reads: map[kind]dependencies{}, limit: reenactLimit}
	for _, k := range kinds() {
		d := p.dependenciesOf(compiler, k.query())
		d.paths = append(d.paths, clampReads(k)...)
		a.reads[k] = d
	}
	return a, nil
}

// clampReads are the inputs that are looked at in Go, after the rules.
func clampReads(k kind) []inputPath {
	switch k {
	case kindTools:
		return []inputPath{{"token", "scopes"}, {"token", "acr"}, {"token", "auth_time"}}
	case kindScopes:
		return []inputPath{{"requested", "scopes"}, {"prior", "consented_scopes"}, {"stage"}, {"authn", "acr"}, {"authn", "auth_time"}}
	}
	return nil
}

// again evaluates a recorded input with the recorded clock and answers of built-ins, and gives what Decide, GrantScopes or Admit would
// have said. The error tells that it cannot be said.
func (a *reenactment) again(r *recorded, input map[string]any, more ...rego.EvalOption) (outcome, fired, error) {
	term, err := termOf(input, -inputDepth)
	if err != nil {
		return outcome{}, nil, err
	}
	answer := a.evaluate(r, term.Value, more)
	if answer.err != nil {
		if errors.Is(answer.err, errTooLong) || errors.Is(answer.err, errNotAsked) {
			return outcome{}, nil, answer.err
		}
		return failure(answer.err), nil, nil
	}
	o, err := a.outcome(r, answer.value)
	if err != nil {
		return failure(err), answer.fired, nil
	}
	return o, answer.fired, nil
}

// inputDepth is how deep in an input values from outside may begin: termOf bounds what is below.
const inputDepth = 3

func failure(err error) outcome {
	return outcome{Reasons: []outcomeReason{{Code: codePolicyError, Policy: err.Error()}}}
}

func (a *reenactment) evaluate(r *recorded, input ast.Value, more []rego.EvalOption) result {
	cancel := topdown.NewCancel()
	timer := time.AfterFunc(a.limit, cancel.Cancel)
	defer timer.Stop()
	var tracker topdown.EvaluatedRuleTracker
	var value ast.Value
	options := append([]rego.EvalOption{
		rego.EvalParsedInput(input),
		rego.EvalTime(time.Unix(0, r.At)),
		rego.EvalExternalCancel(cancel),
		rego.EvalEvaluatedRuleTracker(&tracker),
		rego.EvalNDBuiltinCache(recordedAnswers(r.ND)),
		rego.EvalGenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) {
			value = t.Value
			return nil, nil
		}),
	}, more...)
	notAsked := false
	rs, err := a.queries[r.Kind].Eval(usageThen(r.ND, &notAsked).context(), options...)
	switch {
	case notAsked:
		return result{err: errNotAsked}
	case topdown.IsCancel(err):
		return result{err: errTooLong}
	case err != nil:
		return result{err: withoutValues(err)}
	case len(rs) != 1 || value == nil:
		return result{err: errors.New("the decision is undefined")}
	case sizeOf(value, maxResult) > maxResult:
		return result{err: fmt.Errorf("the result is larger than %d bytes", maxResult)}
	}
	return result{value: value, fired: a.firedRules(&tracker)}
}

// recordedAnswers is a copy: an evaluation adds to it.
func recordedAnswers(nd builtins.NDBCache) builtins.NDBCache {
	c := builtins.NDBCache{}
	for name, answers := range nd {
		answers.Foreach(func(k, v *ast.Term) { c.Put(name, k.Value, v.Value) })
	}
	return c
}

// outcome reads a router's answer and clamps it as a server does.
func (a *reenactment) outcome(r *recorded, value ast.Value) (outcome, error) {
	switch r.Kind {
	case kindTools:
		d, err := decodeTools(value)
		if err != nil {
			return outcome{}, err
		}
		clampDecision(&d, oauth.Evaluation{Token: &oauth.TokenInfo{Scopes: r.scopes("token", "scopes"), Authn: r.authn("token")}, Context: r.context()})
		return callOutcome(d), nil
	case kindAccess:
		d, err := decodeAccess(value)
		d.Allow = d.Allow && len(d.Reasons) == 0
		return callOutcome(d), err
	case kindScopes:
		d, err := decodeScopes(value)
		if err != nil {
			return outcome{}, err
		}
		clampGrant(&d, r.scopes("requested", "scopes"))
		return grantOutcome(d, oauth.ScopeRequest{Authn: r.authn("authn"), Context: r.context()}), nil
	case kindClients:
		d, err := decodeClients(value)
		return outcome{Allow: d.Allow && len(d.Reasons) == 0, Reasons: outcomeReasons(d.Reasons)}, err
	}
	return outcome{}, fmt.Errorf("there is no question named %q", r.Kind)
}

func (r *recorded) context() oauth.RequestContext {
	return oauth.RequestContext{Time: time.Unix(0, r.At)}
}

func (r *recorded) authn(block string) oauth.Authentication {
	a := oauth.Authentication{ACR: r.text(block, "acr")}
	if s := r.seconds(block, "auth_time"); s != 0 {
		a.Time = time.Unix(s, 0)
	}
	return a
}

// interactive tells whether a person is there who can still log in or consent.
func interactive(stage oauth.Stage) bool {
	return stage != oauth.StageToken && stage != oauth.StageRefresh
}

// interactive is about the recorded request.
func (r *recorded) interactive() bool { return interactive(oauth.Stage(r.text("stage"))) }

// effective are the scopes that came of a recorded answer, or would have.
func (r *recorded) effective(o outcome) oauth.Scopes {
	return effective(o, r.interactive(), r.scopes("prior", "consented_scopes"))
}

// effective are the scopes that a grant gives after what oauth does with the answer: without a person there an unmet login gives
// nothing, and what needs consent only goes to those who have consented.
func effective(o outcome, interactive bool, consented oauth.Scopes) oauth.Scopes {
	if interactive {
		return o.Granted
	}
	if len(o.Authn) > 0 {
		return nil
	}
	unasked := consented.Missing(o.Consent)
	return slices.DeleteFunc(slices.Clone(o.Granted), func(s string) bool { return unasked.Has(s) })
}

// unasked are the scopes that need a consent which the person has not given.
func (r *recorded) unasked(o outcome) oauth.Scopes {
	return r.scopes("prior", "consented_scopes").Missing(o.Consent)
}

// jsonOfInput is for people: a value of an input as one line of JSON.
func jsonOfInput(v any) string {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "?"
	}
	return strings.TrimSuffix(text.String(), "\n")
}
