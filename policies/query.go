package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/print"

	"portcullis/oauth"
)

// queryTimeout bounds one evaluation that an author asks for.
const queryTimeout = 5 * time.Second

// How much an evaluation tells about itself.
const (
	ExplainNothing = ""
	ExplainFails   = "fails" // the conditions of the author's rules that did not hold, and the rules that did
	ExplainFull    = "full"  // OPA's whole trace
)

// QueryOptions say what Query evaluates.
type QueryOptions struct {
	Query      string            // in Rego; "" = the decision that the input is a question for
	Input      []byte            // JSON; nil = undefined
	At         time.Time         // the clock, and input.context.time and unix_time; zero = now, and as the input says
	Explain    string            // ExplainNothing, ExplainFails or ExplainFull
	Catalogue  []*oauth.Resource // data.servers
	NoDefaults bool              // leave the shipped defaults out
}

// QueryResult is what an evaluation says.
type QueryResult struct {
	Query   string          `json:"query"`
	Defined bool            `json:"defined"`
	Value   json.RawMessage `json:"value,omitempty"` // of the last expression; sets are lists
	Prints  []string        `json:"prints,omitempty"`
	Hints   []string        `json:"hints,omitempty"` // fields of the input that no server sends
	Trace   string          `json:"trace,omitempty"`
}

// Query evaluates one query over a policy directory, with the checks and built-ins of a server. Errors of the author are a
// *LoadError.
func Query(ctx context.Context, dir string, o QueryOptions) (QueryResult, error) {
	s, found, err := readSource(dir, !o.NoDefaults, o.Catalogue)
	if err != nil {
		return QueryResult{}, err
	}
	p, problems, err := s.parse()
	if err != nil {
		return QueryResult{}, err
	}
	c, more := p.compile(true)
	if problems = withCompiled(append(found, problems...), more); len(problems) > 0 {
		return QueryResult{}, loadError(withCarets(problems, s.author))
	}
	input, err := o.input()
	if err != nil {
		return QueryResult{}, err
	}
	r := QueryResult{Query: o.Query}
	if r.Query == "" {
		if r.Query = questionOf(input); r.Query == "" {
			return r, fmt.Errorf("the input does not tell which question it is; name a query, such as data.mcp.authz.tools.decision")
		}
	}
	if err := p.checkQuery(c, r.Query); err != nil {
		return r, err
	}
	r.Hints = p.strangers(r.Query, input)
	return p.query(ctx, c, o, r, input)
}

// input reads the input strictly and lays the clock over it.
func (o QueryOptions) input() (map[string]any, error) {
	if o.Input == nil {
		return nil, nil
	}
	value, err := decodeData(file{path: "input.json", data: o.Input})
	if err != nil {
		return nil, fmt.Errorf("the input is no JSON: %w", err)
	}
	input, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the input must be a JSON object")
	}
	if !o.At.IsZero() {
		about, ok := input["context"].(map[string]any)
		if !ok {
			about = map[string]any{}
			input["context"] = about
		}
		about["time"] = o.At.UTC().Format(time.RFC3339)
		about["unix_time"] = json.Number(fmt.Sprint(o.At.Unix()))
	}
	return input, nil
}

// questionOf tells the decision that an input is a question for, by the parts that only one of them has.
func questionOf(input map[string]any) string {
	has := func(part string) bool { _, ok := input[part]; return ok }
	switch {
	case has("requested"):
		return "data.mcp.authz.scopes.decision"
	case has("token"), has("tool"), has("mcp"):
		return "data.mcp.authz.tools.decision"
	case has("client"):
		return "data.mcp.authz.clients.decision"
	case has("action"):
		return "data.mcp.authz.access.decision"
	}
	return ""
}

// checkQuery refuses references that lead nowhere: undefined would be the answer to a misspelled name, too.
func (p *program) checkQuery(c *ast.Compiler, query string) error {
	body, err := ast.ParseBodyWithOpts(query, ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: capabilities()})
	if err != nil {
		return fmt.Errorf("the query is no Rego: %s", problemsOf(err)[0])
	}
	var wrong string
	ast.WalkRefs(body, func(ref ast.Ref) bool {
		if wrong == "" {
			wrong = p.checkReference(c, ref)
		}
		return false
	})
	if wrong != "" {
		return fmt.Errorf("the query: %s", wrong)
	}
	return nil
}

// strangers are the fields of an input that its question never has.
func (p *program) strangers(query string, input map[string]any) []string {
	for _, k := range kinds() {
		if strings.HasPrefix(query, "data.mcp.authz."+string(k)+".") {
			schema, _ := p.inputs[inputSchemaOf(k)].(map[string]any)
			return strangersIn(schema, nil, input)
		}
	}
	return nil
}

func strangersIn(schema map[string]any, at inputPath, value map[string]any) []string {
	var hints []string
	for key, member := range value {
		path := append(slices.Clone(at), key)
		f := fieldAt(schema, path)
		if !f.known {
			hint := fmt.Sprintf("%s is in no such input%s", path, didYouMean(key, f.siblings))
			hints = append(hints, hint)
			continue
		}
		if child, ok := member.(map[string]any); ok {
			hints = append(hints, strangersIn(schema, path, child)...)
		}
	}
	slices.Sort(hints)
	return hints
}

// printed collects what print() says.
type printed struct{ lines *[]string }

// Print implements OPA's print.Hook.
func (h printed) Print(at print.Context, text string) error {
	*h.lines = append(*h.lines, fmt.Sprintf("%s:%d: %s", at.Location.File, at.Location.Row, text))
	return nil
}

func (p *program) query(ctx context.Context, c *ast.Compiler, o QueryOptions, r QueryResult, input map[string]any) (QueryResult, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	options := []func(*rego.Rego){rego.Query(r.Query), rego.Compiler(c), rego.Store(p.store()), rego.StrictBuiltinErrors(true),
		rego.EnablePrintStatements(true), rego.PrintHook(printed{&r.Prints}), usageFunction()}
	query, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		return r, fmt.Errorf("the query: %w", err)
	}
	var with []rego.EvalOption
	if o.Input != nil {
		with = append(with, rego.EvalInput(input))
	}
	if !o.At.IsZero() {
		with = append(with, rego.EvalTime(o.At))
	}
	steps := newSteps(nil)
	full := topdown.NewBufferTracer()
	switch o.Explain {
	case ExplainFails:
		with = append(with, steps.options()...)
	case ExplainFull:
		with = append(with, rego.EvalQueryTracer(full))
	}
	results, err := query.Eval(ctx, with...)
	switch o.Explain {
	case ExplainFails:
		r.Trace = traceText(steps.lines())
	case ExplainFull:
		var text bytes.Buffer
		topdown.PrettyTraceWithLocation(&text, *full)
		r.Trace = text.String()
	}
	if err != nil {
		return r, fmt.Errorf("the evaluation fails: %w", err)
	}
	if len(results) == 0 {
		return r, nil
	}
	r.Defined = true
	expressions := results[0].Expressions
	r.Value, err = json.Marshal(expressions[len(expressions)-1].Value)
	return r, err
}

// traceText is one line per event.
func traceText(lines []TraceLine) string {
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&out, "%-4s %s:%d: %s", l.Event, l.File, l.Line, l.Text)
		names := make([]string, 0, len(l.Values))
		for name := range l.Values {
			names = append(names, name)
		}
		slices.Sort(names)
		for i, name := range names {
			lead := ", "
			if i == 0 {
				lead = "   with "
			}
			fmt.Fprintf(&out, "%s%s = %s", lead, name, l.Values[name])
		}
		out.WriteByte('\n')
	}
	return out.String()
}
