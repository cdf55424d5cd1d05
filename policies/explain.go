package policies

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// ExplainRequest is everything that is known of one decision. At least one of Record and Event is there.
type ExplainRequest struct {
	ID       string
	Record   *oauth.DecisionRecord   // nil = the policies were not asked, or the record is gone
	Event    *oauth.Event            // its audit row; nil = gone
	Policies *oauth.PolicyGeneration // that decided; nil = no longer kept
	Probe    *oauth.DecisionRecord   // of a missing scope: whether it could be had; nil = nobody asked
	Trace    bool
}

// Explanation says what a decision saw, which rules made it, and for a denial what would have to change.
type Explanation struct {
	ID       string    `json:"id"`
	Question string    `json:"question,omitempty"` // tools, access, scopes or clients; absent if the policies were not asked
	Time     time.Time `json:"time"`
	Allowed  bool      `json:"allowed"`
	Reason   string    `json:"reason,omitempty"` // machine word
	Subject  string    `json:"subject,omitempty"`
	Client   string    `json:"client,omitempty"`
	Server   string    `json:"server,omitempty"`
	Action   string    `json:"action,omitempty"` // such as tools/call transfer, or refresh
	Revision string    `json:"policy_revision,omitempty"`
	InForce  string    `json:"policy_revision_now,omitempty"` // if others are in force by now; the caller's to fill in

	Saw      []Seen         `json:"saw,omitempty"`
	Rules    []Rule         `json:"rules,omitempty"`    // that fired
	Tried    []TriedPackage `json:"log_only,omitempty"` // packages in mode log_only that would have changed the answer, or failed
	Granted  oauth.Scopes   `json:"granted_scopes,omitempty"`
	Withheld []ScopeRefused `json:"withheld_scopes,omitempty"`
	Changes  []Change       `json:"changes,omitempty"` // all of them are needed, and no others
	Trace    []TraceLine    `json:"trace,omitempty"`
	Unknown  []string       `json:"unknown,omitempty"` // what cannot be said, and why
}

// Seen is one value of the input.
type Seen struct {
	Path   string `json:"path"`             // such as input.tool.name
	Value  string `json:"value,omitempty"`  // JSON; absent if it is not in the record
	Hidden string `json:"hidden,omitempty"` // why, with its type if known: number, masked; removed; replaced
}

// Rule is an exported rule of a package, and where it stood at the revision.
type Rule struct {
	Label   string   `json:"label"`
	Package string   `json:"package"` // such as policy.tools.payments
	Export  string   `json:"export"`  // such as deny
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Source  []string `json:"source,omitempty"` // its lines; absent if the policies are no longer kept
}

// TriedPackage is a package in mode log_only: it took no part in the answer.
type TriedPackage struct {
	Package string       `json:"package"`
	WouldBe string       `json:"would_be"` // allowed or denied
	Granted oauth.Scopes `json:"granted_scopes,omitempty"`
	Error   string       `json:"error,omitempty"` // it failed, and would deny if it were enforced
	Rules   []Rule       `json:"rules,omitempty"` // of this package, that fired
}

// ScopeRefused is a scope that was asked for and not granted.
type ScopeRefused struct {
	Scope string `json:"scope"`
	Code  string `json:"code"`
}

// explaining is one explanation on its way.
type explaining struct {
	*Explanation
	request ExplainRequest
	r       *recorded
	past    *reenactment // nil: cannot be had
	stale   []StaleTool  // of the policies that decided
	steps   *steps       // of an evaluation; nil: cannot be had
}

// Explain says why a decision is what it is. What it cannot say without guessing it lists under Unknown.
func Explain(ctx context.Context, q ExplainRequest) (*Explanation, error) {
	x := &explaining{Explanation: &Explanation{ID: q.ID}, request: q}
	if q.Event != nil {
		x.readEvent(q.Event)
	}
	if q.Record == nil {
		x.unrecorded()
		return x.Explanation, nil
	}
	r, err := readRecord(q.Record.Document)
	if err != nil {
		return nil, err
	}
	x.r = r
	x.open(ctx)
	x.recorded()
	return x.Explanation, nil
}

// recorded explains from the record, with the policies of then if they can be had.
func (x *explaining) recorded() {
	x.read()
	x.enact()
	switch {
	case x.r.Kind == kindScopes:
		x.explainGrant()
	case !x.Allowed:
		x.explainCall()
	}
	if x.request.Trace && x.steps != nil {
		x.Trace = x.steps.lines()
	}
}

func (x *explaining) cannotSay(format string, args ...any) {
	x.Unknown = append(x.Unknown, fmt.Sprintf(format, args...))
}

// readEvent takes over what the audit says. For a recorded decision the record says more.
func (x *explaining) readEvent(e *oauth.Event) {
	x.Time, x.Revision = e.Time.UTC(), e.Revision
	good := e.Outcome == oauth.OutcomeAllowed || e.Outcome == oauth.OutcomeOK
	x.Allowed, x.Reason = good && e.Type != oauth.EventGrantEnded, cmp.Or(e.Reason, e.Outcome)
	x.Subject, x.Client, x.Server = cmp.Or(e.Username, e.SubjectID, e.Detail["claimed_subject"]), e.ClientID, e.ResourceID
	x.Action = strings.TrimSpace(e.Action + " " + e.Tool)
	if e.Type != oauth.EventDecision {
		x.Action = e.Type
	}
}

// open prepares the policies that decided.
func (x *explaining) open(ctx context.Context) {
	g := x.request.Policies
	if g == nil {
		x.cannotSay("The policies of revision %s are no longer kept (policy.generations says how many are). Which rules fired is in the record; "+
			"what stands in them is not.", x.r.Revision)
		return
	}
	s, err := openStored(g.Revision, g.Document)
	if err == nil {
		x.stale = s.stale
		x.past, err = reenact(ctx, s)
	}
	if err != nil {
		x.cannotSay("The policies of revision %s cannot be read by this program: %s", x.r.Revision, err)
	}
}

// read takes over what the record says.
func (x *explaining) read() {
	r := x.r
	x.Question, x.Time, x.Revision = string(r.Kind), time.Unix(0, r.At).UTC(), r.Revision
	x.Subject = cmp.Or(r.text("subject", "username"), r.text("subject", "id"), x.Subject)
	x.Client = cmp.Or(r.text("client", "id"), x.Client)
	x.Server = cmp.Or(r.text("resource", "server"), x.Server)
	if tool := r.text("tool", "name"); tool != "" || r.Kind == kindTools {
		x.Action = strings.TrimSpace(r.text("action", "name") + " " + tool)
	} else if stage := r.text("stage"); stage != "" {
		x.Action = stage
	}
	x.readRules()
	if r.Withheld != "" {
		x.cannotSay("What the policies saw is not in the record: %s.", r.Withheld)
	}
	x.look(nil, r.input)
	x.lookAtUsage()
	if x.request.Event == nil {
		x.cannotSay("The audit row of this decision is gone: how the request ended is not known, only what the policies said.")
		x.Allowed = r.Result.Allow && (r.Kind != kindScopes || len(r.effective(r.Result)) > 0)
		x.Reason = outcomeWord(r.Result)
	}
}

// readRules lists the rules that fired.
func (x *explaining) readRules() {
	for _, f := range x.r.Fired {
		x.Rules = append(x.Rules, x.rule(f))
	}
	slices.SortFunc(x.Rules, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	x.Rules = slices.CompactFunc(x.Rules, func(a, b Rule) bool { return a.File == b.File && a.Line == b.Line })
	for _, t := range x.r.Tried {
		one := TriedPackage{Package: t.Package, WouldBe: view{allow: t.Allow}.word(), Granted: t.Granted, Error: t.Error}
		for _, f := range t.Fired {
			one.Rules = append(one.Rules, x.rule(f))
		}
		x.Tried = append(x.Tried, one)
	}
}

// outcomeWord is an outcome as one machine word.
func outcomeWord(o outcome) string {
	switch {
	case len(o.Reasons) > 0:
		return o.Reasons[0].Code
	case len(o.Missing) > 0:
		return "insufficient_scope"
	case len(o.Authn) > 0:
		return "insufficient_user_authentication"
	case o.Allow:
		return "allowed"
	}
	return "denied"
}

// look lists the values of the input.
func (x *explaining) look(path inputPath, v any) {
	if i := slices.IndexFunc(x.r.hidden, func(h hiddenPlace) bool { return slices.Equal(h.path, path) }); i >= 0 {
		h := x.r.hidden[i]
		x.Saw = append(x.Saw, Seen{Path: path.String(), Hidden: strings.TrimPrefix(h.kind+", "+h.why, ", ")})
		return
	}
	object, ok := v.(map[string]any)
	if !ok && path != nil {
		x.Saw = append(x.Saw, Seen{Path: path.String(), Value: jsonOfInput(v)})
	}
	keys := slices.Collect(maps.Keys(object))
	for _, h := range x.r.hidden { // a removed member is not in the object
		if n := len(path); h.why == "removed" && len(h.path) == n+1 && h.path.begins(path) && ok {
			keys = append(keys, h.path[n])
		}
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		x.look(append(slices.Clone(path), key), object[key])
	}
}

// lookAtUsage lists how often the tool had been called, as far as the policies asked.
func (x *explaining) lookAtUsage() {
	answers := x.r.ND[usageBuiltin]
	if answers == nil {
		return
	}
	answers.Foreach(func(operands, calls *ast.Term) {
		if list, ok := operands.Value.(*ast.Array); ok && list.Len() == 1 {
			x.Saw = append(x.Saw, Seen{Path: usageBuiltin + "(" + list.Elem(0).String() + ")", Value: calls.String()})
		}
	})
}

// rule makes an exported rule of a fired one.
func (x *explaining) rule(f firedRule) Rule {
	r := Rule{Label: cmp.Or(f.Rule, f.Package+"."+f.Export), Package: "policy." + string(x.r.Kind) + "." + f.Package, Export: f.Export, File: f.File, Line: f.Line}
	if x.past != nil {
		r.Source = x.past.program.sourceOf(f.File, f.Line)
	}
	return r
}

// maxSourceLines is how much of a rule is shown.
const maxSourceLines = 12

// sourceOf are the lines of the rule that begins there.
func (p *program) sourceOf(file string, line int) []string {
	m := p.modules[file]
	if m == nil {
		return nil
	}
	for _, r := range m.Rules {
		if r.Location != nil && r.Location.Row == line && r.Location.File == file {
			lines := strings.Split(strings.TrimRight(string(r.Location.Text), "\n"), "\n")
			if len(lines) > maxSourceLines {
				lines = append(lines[:maxSourceLines:maxSourceLines], "…")
			}
			return lines
		}
	}
	return nil
}

// enact evaluates again what is recorded, if nothing that the rules can read is missing.
func (x *explaining) enact() {
	if x.past == nil || x.r.Withheld != "" {
		return
	}
	needed := x.r.hiddenFrom(x.past.reads[x.r.Kind].paths)
	if len(needed) > 0 && x.past.certainWithout(x.r, x.r.input, needed, unhurried()...) != untouched {
		var names []string
		for _, h := range needed {
			names = append(names, h.path.String()+" ("+h.why+")")
		}
		x.cannotSay("The rules of that revision come to values that the record keeps back: %s. So the conditions are not evaluated again. "+
			"From now on policy.record: values would keep what is only masked.", strings.Join(names, ", "))
		return
	}
	watch := newSteps(x.past)
	o, _, err := x.past.again(x.r, x.r.input, watch.options()...)
	if err != nil {
		x.cannotSay("The decision could not be evaluated again: %s.", err)
		return
	}
	if word, then := outcomeWord(o), outcomeWord(x.r.Result); word != then && then != codePolicyError {
		x.cannotSay("Evaluated again, the same policies say %s instead of %s. What follows is what the record says.", word, then)
		return
	}
	x.steps = watch
}
