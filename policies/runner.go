package policies

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"

	"portcullis/oauth"
)

// testTimeout bounds one test.
const testTimeout = 5 * time.Second

// TestOptions choose what Test runs.
type TestOptions struct {
	Run        string // a regular expression over package.name; "" = all
	Coverage   bool   // note what the tests reach
	Bench      bool   // measure each test that passes
	Shipped    bool   // run the shipped tests, too
	NoDefaults bool   // leave the shipped defaults out, as Config.Defaults = false does
	Catalogue  []*oauth.Resource
}

// TestReport is the outcome of a test run.
type TestReport struct {
	Tests    []TestResult  `json:"tests"` // by file and line
	Passed   int           `json:"passed"`
	Failed   int           `json:"failed"` // errors count, too
	Skipped  int           `json:"skipped"`
	Duration time.Duration `json:"duration_ns"`

	Coverage *Coverage     `json:"coverage,omitempty"`
	Bench    []BenchResult `json:"bench,omitempty"`
}

// TestResult is the outcome of one test, or of one case of a table test.
type TestResult struct {
	Package  string        `json:"package"` // such as policy.tools.payments_test
	Name     string        `json:"name"`
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Passed   bool          `json:"passed"`
	Skipped  bool          `json:"skipped,omitempty"`   // todo_test_…
	Error    string        `json:"error,omitempty"`     // it could not be evaluated
	FailedAt string        `json:"failed_at,omitempty"` // file:line: the expression that did not hold
	Output   string        `json:"output,omitempty"`    // of print
	Duration time.Duration `json:"duration_ns"`
}

// String is one line, with the failing expression and the output on lines of their own.
func (r TestResult) String() string {
	word := "FAIL"
	switch {
	case r.Passed:
		word = "PASS"
	case r.Skipped:
		word = "SKIP"
	}
	text := fmt.Sprintf("%s %s.%s (%s:%d, %s)", word, r.Package, r.Name, r.File, r.Line, r.Duration.Round(time.Microsecond))
	for _, more := range []string{r.Error, r.FailedAt, strings.TrimRight(r.Output, "\n")} {
		if more != "" {
			text += "\n\t" + strings.ReplaceAll(more, "\n", "\n\t")
		}
	}
	return text
}

// failure is the error for a report with failed tests.
func (r TestReport) failure() error {
	var problems []Problem
	for _, t := range r.Tests {
		if !t.Passed && !t.Skipped {
			problems = append(problems, Problem{File: t.File, Line: t.Line, Column: 1, Message: "the test " + t.Name + " fails", Detail: cmp.Or(t.Error, t.FailedAt)})
		}
	}
	return loadError(problems)
}

// Test runs the tests of a policy directory against the shipped policies and the directory's own, with the same
// built-ins and checks as a server. Failing tests are in the report; the error says why tests could not be run.
func Test(ctx context.Context, dir string, o TestOptions) (TestReport, error) {
	s, found, err := readSource(dir, !o.NoDefaults, o.Catalogue)
	if err != nil {
		return TestReport{}, err
	}
	s.shippedTests = o.Shipped
	p, problems, err := s.parse()
	if err != nil {
		return TestReport{}, err
	}
	if problems = append(found, problems...); len(problems) > 0 {
		return TestReport{}, loadError(withCarets(problems, s.author))
	}
	if _, problems := p.compile(false); len(problems) > 0 {
		return TestReport{}, loadError(withCarets(withCompiled(nil, problems), s.author))
	}
	names := p.author
	if o.Shipped {
		names = nil
		for name := range p.modules {
			names = append(names, name)
		}
	}
	report, err := p.test(ctx, o, names)
	if err != nil {
		return report, err
	}
	if o.Coverage {
		if report.Coverage, err = p.cover(ctx, o, names); err != nil {
			return report, err
		}
	}
	if o.Bench && report.Failed == 0 {
		report.Bench, err = p.bench(ctx, o, names)
	}
	return report, err
}

// transaction of a store; OPA's runner reads in one.
type transaction = storage.Transaction

// run starts OPA's runner over the tests of the named modules. done must be called when all results are read.
func (p *program) run(ctx context.Context, names []string, set func(*tester.Runner) *tester.Runner,
	start func(*tester.Runner, context.Context, transaction) (chan *tester.Result, error)) (results chan *tester.Result, done func(), err error) {
	store := p.store()
	txn, err := store.NewTransaction(ctx, storage.TransactionParams{})
	if err != nil {
		return nil, nil, fmt.Errorf("policies: %w", err)
	}
	done = func() { store.Abort(ctx, txn) }
	packages := p.testPackages(names)
	if len(packages) == 0 { // the runner would run everything
		results = make(chan *tester.Result)
		close(results)
		return results, done, nil
	}
	runner := tester.NewRunner().SetModules(p.chosen(true)).SetStore(store).RaiseBuiltinErrors(true).
		AddCustomBuiltins([]*tester.Builtin{{Decl: usageDeclaration(), Func: usageFunction()}}).SetPrefixMatchers(packages...)
	if results, err = start(set(runner), ctx, txn); err != nil {
		done()
		return nil, nil, loadError(problemsOf(err))
	}
	return results, done, nil
}

// test runs the tests of the named modules.
func (p *program) test(ctx context.Context, o TestOptions, names []string) (TestReport, error) {
	if _, err := regexp.Compile(o.Run); err != nil {
		return TestReport{}, fmt.Errorf("policies: the choice of tests is no regular expression: %w", err)
	}
	if !slices.ContainsFunc(names, func(name string) bool { return p.tests[name] }) {
		return TestReport{}, nil
	}
	begin := time.Now()
	// The runner compiles by itself: it marks the cases of table tests, without which a failing case would be
	// no case at all.
	compiler := p.compiler(true)
	results, done, err := p.run(ctx, names, func(r *tester.Runner) *tester.Runner {
		return r.SetCompiler(compiler).CapturePrintOutput(true).EnableTracing(true).SetTimeout(testTimeout).Filter(o.Run)
	}, (*tester.Runner).RunTests)
	if err != nil {
		return TestReport{}, err
	}
	defer done()
	var report TestReport
	for r := range results {
		report.Tests = append(report.Tests, resultsOf(r)...)
	}
	if err := ctx.Err(); err != nil {
		return TestReport{}, fmt.Errorf("policies: the tests were interrupted: %w", err)
	}
	if problems := p.checkReferences(compiler); len(problems) > 0 {
		return TestReport{}, loadError(problems)
	}
	report.Duration = time.Since(begin)
	report.count()
	return report, nil
}

func (p *program) testPackages(names []string) []ast.Ref {
	var refs []ast.Ref
	for _, name := range names {
		if p.tests[name] {
			refs = append(refs, p.modules[name].Package.Path)
		}
	}
	return refs
}

func (r *TestReport) count() {
	slices.SortStableFunc(r.Tests, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name))
	})
	for _, t := range r.Tests {
		switch {
		case t.Skipped:
			r.Skipped++
		case t.Passed:
			r.Passed++
		default:
			r.Failed++
		}
	}
}

// resultsOf is one result per test, or per case of a table test.
func resultsOf(r *tester.Result) []TestResult {
	base := TestResult{
		Package:  strings.TrimPrefix(r.Package, "data."),
		Name:     r.Name,
		Passed:   r.Pass(),
		Skipped:  r.Skip,
		Output:   string(r.Output),
		Duration: r.Duration,
	}
	if r.Location != nil {
		base.File, base.Line = r.Location.File, r.Location.Row
	}
	if r.Error != nil {
		base.Error = r.Error.Error()
	}
	if r.Fail {
		base.FailedAt = failedAt(r.Trace)
	}
	if len(r.SubResults) == 0 {
		return []TestResult{base}
	}
	var cases []TestResult
	for name, sub := range r.SubResults {
		c := base
		c.Name, c.Passed, c.FailedAt = r.Name+"/"+name, !sub.Fail, ""
		if sub.Fail {
			c.FailedAt = failedAt(sub.Trace)
		}
		cases = append(cases, c)
	}
	return cases
}

// failedAt is the last expression that did not hold, with the values of its variables.
func failedAt(trace []*topdown.Event) string {
	for _, e := range slices.Backward(trace) {
		if e.Op != topdown.FailOp || e.Location == nil || e.QueryID == 0 {
			continue
		}
		if expr, ok := e.Node.(*ast.Expr); ok && expr.IsEvery() {
			continue // the expression inside that failed says more
		}
		var text bytes.Buffer
		fmt.Fprintf(&text, "%s:%d:\n", e.Location.File, e.Location.Row)
		if err := topdown.PrettyEvent(&text, e, topdown.PrettyEventOpts{PrettyVars: true}); err != nil {
			return err.Error()
		}
		return dedented(text.String())
	}
	return ""
}

// maxTestLine is how much of a line of values is shown.
const maxTestLine = 160

// dedented takes the blanks away that stand in front of all lines but the first, and the ends of very long lines.
func dedented(text string) string {
	lines := strings.Split(strings.TrimRight(text, " \n"), "\n")
	least := len(text)
	for _, line := range lines[1:] {
		if rest := strings.TrimLeft(line, " \t"); rest != "" {
			least = min(least, len(line)-len(rest))
		}
	}
	for i, line := range lines {
		if i > 0 {
			line = "  " + line[min(least, len(line)):]
		}
		if runes := []rune(line); len(runes) > maxTestLine {
			line = string(runes[:maxTestLine]) + "…"
		}
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}
