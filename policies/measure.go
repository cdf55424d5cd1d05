package policies

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/tester"
)

// benchTimeout bounds one test that is run again and again; it takes about a second.
const benchTimeout = 30 * time.Second

// BenchResult is how long one test takes, with the policies that it asks and its own expressions.
type BenchResult struct {
	Package string `json:"package"`
	Name    string `json:"name"`
	Rounds  int    `json:"rounds"`
	Nanos   int64  `json:"ns_per_op"`
	Bytes   int64  `json:"bytes_per_op"`
	Allocs  int64  `json:"allocs_per_op"`
	Error   string `json:"error,omitempty"`
}

// String is one line.
func (r BenchResult) String() string {
	name := r.Package + "." + r.Name
	if r.Error != "" {
		return fmt.Sprintf("FAIL %s: %s", name, r.Error)
	}
	return fmt.Sprintf("%-56s %9.1f µs/op %7d B/op %6d allocs/op", name, float64(r.Nanos)/1000, r.Bytes, r.Allocs)
}

// bench measures the tests of the named modules, one after the other.
func (p *program) bench(ctx context.Context, o TestOptions, names []string) ([]BenchResult, error) {
	results, done, err := p.run(ctx, names, func(r *tester.Runner) *tester.Runner {
		return r.SetCompiler(p.compiler(false)).SetTimeout(benchTimeout).Filter(o.Run).SetParallel(1)
	}, func(r *tester.Runner, ctx context.Context, txn transaction) (chan *tester.Result, error) {
		return r.RunBenchmarks(ctx, txn, tester.BenchmarkOptions{ReportAllocations: true})
	})
	if err != nil {
		return nil, err
	}
	defer done()
	var all []BenchResult
	for r := range results {
		one := BenchResult{Package: strings.TrimPrefix(r.Package, "data."), Name: r.Name}
		switch b := r.BenchmarkResult; {
		case r.Skip:
			continue
		case r.Error != nil:
			one.Error = r.Error.Error()
		case r.Fail || b == nil:
			one.Error = "the test fails"
		default:
			one.Rounds, one.Nanos, one.Bytes, one.Allocs = b.N, b.NsPerOp(), b.AllocedBytesPerOp(), b.AllocsPerOp()
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b BenchResult) int { return strings.Compare(a.Package+"."+a.Name, b.Package+"."+b.Name) })
	return all, nil
}
