package policies

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"portcullis/oauth"
)

// tried is what the answer would be if one package in mode log_only were combined. Nobody changes it.
type tried struct {
	own    ownPackage
	value  ast.Value
	size   int
	answer any   // decoded
	fired  fired // the rules of this package
	err    error // then there is nothing else
	passed bool  // err says that it was not asked: other packages in mode log_only took all the time
}

var errNoTimeLeft = errors.New("not evaluated: other packages in mode log_only took the time of all")

// tryOut evaluates what the answer would be with each package in mode log_only. Together they have one deadline more. What goes wrong
// in one is told and concerns nothing else.
func (e *Engine) tryOut(g *generation, k kind, input ast.Value, at time.Time, u usage) []tried {
	trials := g.trials[k]
	if len(trials) == 0 {
		return nil
	}
	list := make([]tried, len(trials))
	end := time.Now().Add(e.deadline)
	for i, t := range trials {
		left := time.Until(end)
		if left <= 0 || e.lingering.Load() >= maxAbandoned {
			list[i] = tried{own: t.own, err: errNoTimeLeft, passed: true}
			continue
		}
		cancel := topdown.NewCancel()
		r := e.within(left, &e.lingering, func() result { return g.run(t.query, input, at, u.looking(), cancel) }, cancel.Cancel)
		list[i] = tried{own: t.own, value: r.value, size: r.size, err: r.err,
			fired: slices.DeleteFunc(r.fired, func(f firedRule) bool { return f.Package != t.own.name })}
		if r.err != nil && i > 0 && time.Now().After(end) {
			list[i].err, list[i].passed = errNoTimeLeft, true
		}
	}
	return list
}

// readTried decodes what was tried. whole tells that everything went well and that it is small, so that it can be remembered.
func (q question[D]) readTried(r *result) (whole bool) {
	whole = true
	for i := range r.tried {
		t := &r.tried[i]
		if t.err == nil {
			d, err := q.decode(t.value)
			t.answer, t.err = d, err
			if reasons := q.reasons(d); err == nil && failed(reasons) {
				t.err = errors.New(reasons[0].Policy) // a value of a wrong shape
			}
		}
		whole = whole && t.err == nil && t.size <= maxRemembered
		t.value = nil
	}
	return whole
}

// view is what counts of an answer when two are compared. A grant is allowed if any scope comes of it.
type view struct {
	allow   bool
	granted oauth.Scopes
}

func (v view) differs(other view) bool {
	return v.allow != other.allow || len(without(v.granted, other.granted)) > 0 || len(without(other.granted, v.granted)) > 0
}

// word is what a view says, for metrics and for people.
func (v view) word() string {
	if v.allow {
		return oauth.OutcomeAllowed
	}
	return oauth.OutcomeDenied
}

// noteTried compares what was tried with the answer given, and gives what is worth telling: flips and failures. see makes of a
// decoded answer what a caller would see. A package that fails would deny, if it were enforced.
func noteTried[D any](e *Engine, g *generation, q question[D], id string, answer *result, given view, see func(D) view) []oauth.Tried {
	var told []oauth.Tried
	for _, t := range answer.tried {
		var would view
		if t.err == nil {
			would = see(q.own(t.answer.(D)))
		}
		one := oauth.Tried{Package: t.own.String(), Flips: !t.passed && would.differs(given), Allow: would.allow, Granted: would.granted, Rules: t.fired.labels()}
		if t.err != nil {
			one.Error = t.err.Error()
			e.log.Warn("package in mode log_only failed", slog.String("package", one.Package), slog.String("decision", id),
				slog.String("revision", g.revision), slog.String("error", one.Error))
			e.flips.add(FlipCount{Mode: modeLogOnly, Kind: string(q.kind), Package: one.Package, WouldBe: wouldFail})
		} else if one.Flips {
			e.flips.add(FlipCount{Mode: modeLogOnly, Kind: string(q.kind), Package: one.Package, WouldBe: would.word()})
		}
		if one.Flips || t.err != nil {
			told = append(told, one)
			answer.kept = append(answer.kept, keptTrial{Package: one.Package, Flips: one.Flips, Allow: one.Allow, Granted: one.Granted, Error: one.Error, Fired: t.fired})
		}
	}
	return told
}

// labels are those of all rules, sorted.
func (f fired) labels() []string {
	var labels []string
	for _, r := range f {
		labels = append(labels, r.Rule)
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

// wouldFail is FlipCount.WouldBe where policies could not decide, which denies.
const wouldFail = "error"

// FlipCount counts the answers that would have been other ones.
type FlipCount struct {
	Mode    string // log_only or shadow
	Kind    string // clients, scopes, tools or access
	Package string // in mode log_only, such as policy.tools.payments
	WouldBe string // allowed, denied, or error: what is tried could not decide, whatever the answer was
	Count   uint64
}

// maxFlipCounts bounds how many different things are counted in the life of a process; the rest is counted as package "other".
const maxFlipCounts = 400

// flipCounters are safe for concurrent use.
type flipCounters struct {
	mu     sync.Mutex
	counts map[FlipCount]uint64 // Count is 0 in the key
}

func (c *flipCounters) add(what FlipCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[FlipCount]uint64{}
	}
	if _, known := c.counts[what]; !known && len(c.counts) >= maxFlipCounts {
		what.Package = "other"
	}
	c.counts[what]++
}

func (c *flipCounters) list() []FlipCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]FlipCount, 0, len(c.counts))
	for what, n := range c.counts {
		what.Count = n
		list = append(list, what)
	}
	return list
}

// Flips counts since the start of the process which answers packages in mode log_only would have changed. It is for metrics.
func (e *Engine) Flips() []FlipCount { return e.flips.list() }

// callView is what a caller sees of a decision on a call.
func callView(d oauth.Decision, v oauth.Evaluation) view {
	if v.Token == nil {
		return view{allow: d.Allow && len(d.Reasons) == 0}
	}
	clampDecision(&d, v)
	return view{allow: d.Allow}
}

// grantView is what comes of a scope decision.
func grantView(d oauth.ScopeDecision, r oauth.ScopeRequest) view {
	clampGrant(&d, r.Requested)
	granted := effective(grantOutcome(d, r), interactive(r.Stage), r.Consented)
	return view{len(granted) > 0, granted}
}

func clientView(d oauth.ClientDecision) view { return view{allow: d.Allow && len(d.Reasons) == 0} }
