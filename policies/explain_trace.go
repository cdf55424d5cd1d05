package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// TraceLine is one event of an evaluation.
type TraceLine struct {
	Event  string            `json:"event"` // fail, note or exit
	File   string            `json:"file"`
	Line   int               `json:"line"`
	Text   string            `json:"text"` // the expression, or the head of the rule
	Values map[string]string `json:"values,omitempty"`
}

// steps watches an evaluation. It switches the index of rules off, or a rule whose first condition fails would leave no trace.
type steps struct {
	past   *reenactment
	tracer *topdown.BufferTracer
}

func newSteps(a *reenactment) *steps { return &steps{past: a, tracer: topdown.NewBufferTracer()} }

func (s *steps) options() []rego.EvalOption {
	return append(unhurried(), rego.EvalQueryTracer(s.tracer))
}

// unhurried lets every rule be looked at.
func unhurried() []rego.EvalOption {
	return []rego.EvalOption{rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false)}
}

// isPolicy tells the files that authors write or may replace from the shipped machinery.
func isPolicy(file string) bool {
	return file != "" && !strings.HasPrefix(file, shippedPrefix+"mcp/") && !strings.HasPrefix(file, shippedPrefix+"lib/")
}

// lines are the events that tell an author something, in their order.
func (s *steps) lines() []TraceLine {
	var lines []TraceLine
	for _, e := range *s.tracer {
		if e.Location == nil || !isPolicy(e.Location.File) {
			continue
		}
		switch e.Op {
		case topdown.FailOp, topdown.NoteOp, topdown.ExitOp:
		default:
			continue
		}
		line := TraceLine{Event: strings.ToLower(string(e.Op)), File: e.Location.File, Line: e.Location.Row, Text: firstLine(e.Location.Text), Values: valuesOf(e)}
		if len(lines) == 0 || fmt.Sprint(lines[len(lines)-1]) != fmt.Sprint(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func firstLine(text []byte) string {
	first, _, more := strings.Cut(string(text), "\n")
	if first = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(first), "{")); more {
		return first + " …"
	}
	return first
}

// valuesOf are the variables that the author has named, with their values.
func valuesOf(e *topdown.Event) map[string]string {
	values := map[string]string{}
	if e.Locals == nil {
		return values
	}
	e.Locals.Iter(func(k, v ast.Value) bool {
		name, ok := k.(ast.Var)
		if !ok {
			return false
		}
		if meta, known := e.LocalMetadata[name]; known {
			name = meta.Name
		}
		if !name.IsWildcard() && !name.IsGenerated() {
			values[string(name)] = shortened(v.String())
		}
		return false
	})
	return values
}

// maxShown is how much of a value is shown.
const maxShown = 60

func shortened(text string) string {
	if r := []rune(text); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return text
}

// near lists the rules of an export that did not hold, and how far each came.
func (x *explaining) near(export string) []NearRule {
	if x.steps == nil {
		return nil
	}
	furthest := map[string]*topdown.Event{} // by place of the rule
	entered := map[uint64]*ast.Rule{}
	for _, e := range *x.steps.tracer {
		if rule, ok := e.Node.(*ast.Rule); ok && e.Op == topdown.EnterOp {
			entered[e.QueryID] = rule
		}
		rule := entered[e.QueryID]
		if e.Op != topdown.FailOp || rule == nil || e.Location == nil {
			continue
		}
		if place := rule.Location.String(); furthest[place] == nil || furthest[place].Location.Compare(e.Location) < 0 {
			furthest[place] = e
		}
	}
	var list []NearRule
	for _, f := range x.past.places {
		own := fmt.Sprintf("%s:%d", f.File, f.Line)
		if f.Export != export || !x.past.isOfKind(f, x.r.Kind) {
			continue
		}
		e := furthest[own]
		if e == nil {
			continue
		}
		list = append(list, NearRule{x.rule(f), fmt.Sprintf("%s:%d: %s", e.Location.File, e.Location.Row, firstLine(e.Location.Text))})
	}
	slices.SortFunc(list, func(a, b NearRule) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	return list
}

// isOfKind tells whether a rule stands in a package of the kind: packages of two kinds may have one name.
func (a *reenactment) isOfKind(f firedRule, k kind) bool {
	m := a.program.modules[f.File]
	return m != nil && slices.Equal(pathOf(m.Package.Path), []string{"policy", string(k), f.Package})
}

// constantMember is a text of an object that is written out in a rule.
func constantMember(v ast.Value, key string) (string, bool) {
	obj, ok := v.(ast.Object)
	if !ok {
		return "", false
	}
	text, ok := valueOf(obj, key).(ast.String)
	return string(text), ok
}
