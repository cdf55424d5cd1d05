package policies

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"
)

// Coverage says which lines of the author's policies the tests reach.
type Coverage struct {
	Percent float64        `json:"percent"` // of all lines, 100 if there are none
	Covered int            `json:"covered"`
	Lines   int            `json:"lines"` // that can be reached: heads of rules and conditions
	Files   []FileCoverage `json:"files"`
	Missed  []Missed       `json:"missed"` // by file and line
}

// FileCoverage is the same for one file.
type FileCoverage struct {
	File    string  `json:"file"`
	Percent float64 `json:"percent"`
	Covered int     `json:"covered"`
	Lines   int     `json:"lines"`
}

// Missed is a place that no test reaches.
type Missed struct {
	File string `json:"file"`
	Line int    `json:"line"`
	End  int    `json:"end"` // the last line of it
	Rule string `json:"rule"`
	Why  string `json:"why"`
}

// String is file:line-end: the rule and why no test reaches it.
func (m Missed) String() string {
	place := fmt.Sprintf("%s:%d", m.File, m.Line)
	if m.End > m.Line {
		place += fmt.Sprintf("-%d", m.End)
	}
	return fmt.Sprintf("%s: %s: %s", place, m.Rule, m.Why)
}

// cover runs the tests of the named modules once more and notes what they reach. OPA evaluates each test two more times, without
// the index over rules and without early exit, to tell why something was not reached.
func (p *program) cover(ctx context.Context, o TestOptions, names []string) (*Coverage, error) {
	tracer := cover.New()
	results, done, err := p.run(ctx, names, func(r *tester.Runner) *tester.Runner {
		return r.SetCompiler(p.compiler(true)).SetTimeout(testTimeout).Filter(o.Run).SetCoverageQueryTracer(tracer)
	}, (*tester.Runner).RunTests)
	if err != nil {
		return nil, err
	}
	for range results { // what they say is known already
	}
	done()
	modules := map[string]*ast.Module{}
	for _, name := range names {
		if !p.tests[name] {
			modules[name] = p.modules[name]
		}
	}
	report := tracer.Report(modules)
	c := Coverage{Files: []FileCoverage{}, Missed: []Missed{}}
	for name, m := range modules {
		f := report.Files[name]
		if f == nil || f.CoveredLines+f.NotCoveredLines == 0 {
			continue
		}
		one := FileCoverage{File: name, Covered: f.CoveredLines, Lines: f.CoveredLines + f.NotCoveredLines}
		one.Percent = percent(one.Covered, one.Lines)
		c.Files = append(c.Files, one)
		c.Covered, c.Lines = c.Covered+one.Covered, c.Lines+one.Lines
		c.Missed = append(c.Missed, missedIn(name, m, f)...)
	}
	c.Percent = percent(c.Covered, c.Lines)
	slices.SortFunc(c.Files, func(a, b FileCoverage) int { return strings.Compare(a.File, b.File) })
	slices.SortFunc(c.Missed, func(a, b Missed) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	return &c, nil
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 100
	}
	return 100 * float64(part) / float64(whole)
}

// missedIn lists what is not reached: a rule of which nothing is reached as a whole, else line by line.
func missedIn(name string, m *ast.Module, f *cover.FileReport) []Missed {
	var missed []Missed
	whole := map[*ast.Rule]bool{}
	for _, r := range f.NotCovered {
		rule := ruleAt(m, r.Start.Row)
		if rule == nil || whole[rule] {
			continue
		}
		one := Missed{File: name, Line: r.Start.Row, End: r.End.Row, Rule: ruleName(rule)}
		last := lastReached(rule, f, r.Start.Row)
		switch {
		case last == 0 && !reached(rule, f):
			whole[rule] = true
			one.Line, one.End = span(rule, f)
			one.Why = whyNot(kindsIn(m, f, rule))
		case last == 0:
			one.Why = whyNot(r.Kinds)
		case r.Start.Row == rule.Head.Location.Row && last >= r.Start.Row:
			one.Why = "its conditions never all hold"
		default:
			one.Why = fmt.Sprintf("nothing gets past line %d", last)
		}
		if n := len(missed); n > 0 && missed[n-1].Rule == one.Rule && missed[n-1].Why == one.Why && missed[n-1].End+1 >= one.Line {
			missed[n-1].End = max(missed[n-1].End, one.End)
			continue
		}
		missed = append(missed, one)
	}
	return missed
}

// kindsIn are OPA's reasons for all that is not reached in a rule.
func kindsIn(m *ast.Module, f *cover.FileReport, rule *ast.Rule) []cover.Kind {
	var kinds []cover.Kind
	for _, r := range f.NotCovered {
		if ruleAt(m, r.Start.Row) == rule {
			kinds = append(kinds, r.Kinds...)
		}
	}
	return kinds
}

// whyNot is the reason for something that no evaluation has come to.
func whyNot(kinds []cover.Kind) string {
	switch {
	case slices.Contains(kinds, cover.KindIndexExcluded):
		return "no test has the values that it asks for"
	case slices.Contains(kinds, cover.KindEarlyExit):
		return "another rule gave the answer first in every test"
	}
	return "no test asks for it"
}

// lastReached is the line of the last condition that is reached, before a line or, for the head of a rule, anywhere; 0 = none.
func lastReached(rule *ast.Rule, f *cover.FileReport, before int) int {
	last := 0
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		head := before == rule.Head.Location.Row
		if e.Location != nil && f.IsCovered(e.Location.Row) && (head || e.Location.Row < before) {
			last = max(last, e.Location.Row)
		}
		return false
	})
	return last
}

func reached(rule *ast.Rule, f *cover.FileReport) bool {
	return f.IsCovered(rule.Head.Location.Row) || lastReached(rule, f, rule.Head.Location.Row) > 0
}

// span is from the first to the last line of a rule that is not reached.
func span(rule *ast.Rule, f *cover.FileReport) (first, last int) {
	first, last = rule.Head.Location.Row, rule.Head.Location.Row
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if e.Location != nil && f.IsNotCovered(e.Location.Row) {
			last = max(last, e.Location.Row)
		}
		return false
	})
	return first, last
}
