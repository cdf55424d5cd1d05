package policies

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/oauth"
)

func reload(t *testing.T, e *Engine) (Report, error) {
	t.Helper()
	return e.Reload(context.Background(), []*oauth.Resource{demoResource()})
}

func TestReloadPutsChangesInForce(t *testing.T) {
	dir := demoDir(t)
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	transfer := call("transfer", map[string]any{"amount": json.Number("5000")}, "tools:payments.transfer")
	if got := word(decide(t, e, transfer)); got != "payments.limit" {
		t.Fatalf("before: %q", got)
	}
	before := e.Status()
	same, err := reload(t, e)
	if err != nil || same.Changed || same.Revision != before.Revision || !e.Status().ActivatedAt.Equal(before.ActivatedAt) {
		t.Errorf("nothing changed, but: %+v %v", same, err)
	}
	write(t, dir, map[string]string{"config.yaml": "transfer_limit: 5000\n"})
	after, err := reload(t, e)
	if err != nil || !after.Changed || after.Revision == before.Revision || after.Tests == 0 || after.Files != before.Files {
		t.Fatalf("after: %+v %v", after, err)
	}
	if got := word(decide(t, e, transfer)); got != "allow" {
		t.Errorf("after: %q", got)
	}
	write(t, dir, map[string]string{"config.yaml": "transfer_limit: 1000\n", "more.rego": "package policy.tools.more\n\ndeny contains \"closed\"\n"})
	if _, err := reload(t, e); err == nil {
		t.Error("the demo's own tests must fail when everything is denied")
	}
	if err := os.Remove(filepath.Join(dir, "more.rego")); err != nil {
		t.Fatal(err)
	}
	if _, err := reload(t, e); err != nil || e.Status().Stale {
		t.Errorf("mended, but %v %+v", err, e.Status())
	}
}

func TestReloadKeepsTheLastGood(t *testing.T) {
	for name, broken := range map[string]map[string]string{
		"syntax":          {"a.rego": "package policy.tools.payments\n\ndeny contains if\n"},
		"a reserved name": {"a.rego": "package mcp.authz.tools\n\nallow if true\n"},
		"a misspelling":   {"a.rego": payments + "denny contains \"no\"\n"},
		"an input field":  {"a.rego": payments + "deny contains \"no\" if input.tool.nme == \"x\"\n"},
		"a failing test":  {"a_test.rego": "package policy.tools.payments_test\n\ntest_x if false\n"},
		"data":            {"servers.json": "{}"},
		"configuration":   {"config.yaml": "a: 1\na: 2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := dirWith(t, map[string]string{"ok.rego": payments + "deny contains \"old\" if input.tool.name == \"transfer\"\n"})
			e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
			before := e.Status()
			write(t, dir, broken)
			for range 2 { // it stays broken
				report, err := reload(t, e)
				if err == nil || report.Changed || report.Revision != before.Revision {
					t.Fatalf("%+v %v", report, err)
				}
				s := e.Status()
				if !s.Stale || s.LastError == "" || s.Revision != before.Revision {
					t.Errorf("%+v", s)
				}
			}
			d := decide(t, e, call("transfer", nil))
			if word(d) != "denied" || d.Reasons[0].Message != "old" {
				t.Errorf("not the last good policy: %+v", d)
			}
		})
	}
}

// TestAMissingDirectoryIsNoEmptyOne: policies that vanish must not turn into the bare defaults.
func TestAMissingDirectoryIsNoEmptyOne(t *testing.T) {
	dir := dirWith(t, map[string]string{"ok.rego": payments + "deny contains \"old\"\n"})
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := reload(t, e); err == nil || !e.Status().Stale {
		t.Errorf("%v %+v", err, e.Status())
	}
	if got := word(decide(t, e, call("get_weather", nil, "tools:weather.read"))); got != "denied" {
		t.Errorf("got %q", got)
	}
}

func TestCatalogueChangesMakeARevision(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + "deny contains \"unknown\" if not data.servers[input.resource.server].tools[input.tool.name]\n"})
	before := e.Status().Revision
	changed := demoResource()
	changed.Tools = changed.Tools[:3] // without transfer
	report, err := e.Reload(context.Background(), []*oauth.Resource{changed})
	if err != nil || !report.Changed || report.Revision == before {
		t.Fatalf("%+v %v", report, err)
	}
	if got := word(decide(t, e, call("transfer", nil, "tools:payments.transfer"))); got != "denied" {
		t.Errorf("the tool is gone from data.servers: %q", got)
	}
	if got := word(decide(t, e, call("get_weather", nil, "tools:weather.read"))); got != "allow" {
		t.Errorf("the others are there: %q", got)
	}
	changed.Disabled = true
	if r, err := e.Reload(context.Background(), []*oauth.Resource{changed}); err != nil || !r.Changed {
		t.Errorf("disabled: %+v %v", r, err)
	}
	if d := grant(t, e, oauth.NewScopes("tools:weather.read")); len(d.Granted) > 0 {
		t.Errorf("a disabled server's scopes are granted: %+v", d)
	}
}

// TestRevisionNamesTheBytes: any byte of any file counts, and so does a file's name.
func TestRevisionNamesTheBytes(t *testing.T) {
	revisions := map[string]string{}
	for name, c := range map[string]Config{
		"defaults":       {Defaults: true},
		"no defaults":    {},
		"a file":         {Defaults: true, Dir: dirWith(t, map[string]string{"a.rego": payments})},
		"another name":   {Defaults: true, Dir: dirWith(t, map[string]string{"b.rego": payments})},
		"one more byte":  {Defaults: true, Dir: dirWith(t, map[string]string{"a.rego": payments + "\n"})},
		"configuration":  {Defaults: true, Dir: dirWith(t, map[string]string{"a.rego": payments, "config.yaml": "a: 1\n"})},
		"a moved border": {Defaults: true, Dir: dirWith(t, map[string]string{"a.rego": payments, "config.yaml": "a: 1\n\n"})},
		"a catalogue":    {Defaults: true, Catalogue: []*oauth.Resource{demoResource()}},
	} {
		r := engineFrom(t, c).Status().Revision
		if len(r) != 16 {
			t.Errorf("%s: revision %q", name, r)
		}
		if other, twice := revisions[r]; twice {
			t.Errorf("%q and %q have the same revision", name, other)
		}
		revisions[r] = name
		if again := engineFrom(t, c).Status().Revision; again != r {
			t.Errorf("%s: %q, then %q", name, r, again)
		}
	}
}

// reloads is how many TestDecisionsDuringReloads does; tests/run asks for a thousand.
var reloads = flag.Int("reloads", 25, "reloads of TestDecisionsDuringReloads")

// TestDecisionsDuringReloads: every decision is made by exactly one generation, the one whose revision it names, while
// good and broken directories (one in five) follow one another; and generations that are past leave nothing behind.
func TestDecisionsDuringReloads(t *testing.T) {
	dir := dirWith(t, version(0))
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, Deadline: 10 * time.Second})
	type seen struct{ revision, message string }
	var mu sync.Mutex
	messages := map[string]string{e.Status().Revision: "v0"} // by revision
	all := map[seen]int{}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				d, err := e.Decide(context.Background(), call("transfer", nil, "tools:payments.transfer"))
				if err != nil || len(d.Reasons) != 2 || d.Reasons[0].Message != d.Reasons[1].Message {
					t.Errorf("a decision of two generations: %+v %v", d, err)
					return
				}
				mu.Lock()
				all[seen{d.Revision, d.Reasons[0].Message}]++
				mu.Unlock()
			}
		})
	}
	early := uint64(0)
	for i := 1; i <= *reloads; i++ {
		if i%5 == 0 {
			write(t, dir, map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains 1\n"})
			if _, err := reload(t, e); err == nil {
				t.Error("a broken directory was activated")
			}
			continue
		}
		write(t, dir, version(i))
		report, err := reload(t, e)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		messages[report.Revision] = fmt.Sprintf("v%d", i)
		mu.Unlock()
		if i == 21 {
			early = liveHeap()
		}
	}
	const room = 64 << 20 // for what is under way; 80 kB of each of 800 generations that are past would be more
	if late := liveHeap(); late > early+room {
		t.Errorf("the heap grew from %d to %d MB", early>>20, late>>20)
	}
	stop.Store(true)
	wg.Wait()
	total := 0
	for s, n := range all {
		if total += n; messages[s.revision] != s.message {
			t.Fatalf("revision %s said %s, want %s", s.revision, s.message, messages[s.revision])
		}
	}
	if total < *reloads {
		t.Errorf("only %d decisions", total)
	}
}

// liveHeap is what is in use after a collection, in bytes.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// version is a directory of two packages that say the same number.
func version(n int) map[string]string {
	return map[string]string{
		"a.rego":        fmt.Sprintf("package policy.tools.a\n\ndeny contains \"v%d\" if input.tool.name == \"transfer\"\n", n),
		"b.rego":        "package policy.tools.b\n\ndeny contains data.config.version if input.tool.name == \"transfer\"\n",
		"config.yaml":   fmt.Sprintf("version: v%d\n", n),
		"a_test.rego":   "package policy.tools.a_test\n\ntest_denies if count(data.policy.tools.a.deny) == 1 with input as {\"tool\": {\"name\": \"transfer\"}}\n",
		"irrelevant.md": "",
	}
}

func TestStatusCountsFilesAndTests(t *testing.T) {
	e := engineFrom(t, Config{Dir: demoDir(t), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	s := e.Status()
	if s.Files != 7 || s.Tests != 16 || s.Stale || s.LastError != "" || time.Since(s.ActivatedAt) > time.Minute {
		t.Errorf("%+v", s)
	}
}

func TestRunner(t *testing.T) {
	dir := dirWith(t, map[string]string{
		"a.rego": payments + "deny contains \"no\" if input.tool.name == \"x\"\n",
		"a_test.rego": `package policy.tools.payments_test

import data.policy.tools.payments

test_denies if {
	print("input is", {"tool": 1})
	count(payments.deny) == 1 with input as {"tool": {"name": "x"}}
}

test_fails if {
	name := "y"
	count(payments.deny) == 1 with input as {"tool": {"name": name}}
}

todo_test_later if false

test_cases[note] if {
	some note, name in {"x": "x", "other": "z"}
	count(payments.deny) == 1 with input as {"tool": {"name": name}}
}
`,
	})
	report, err := Test(context.Background(), dir, TestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Passed != 2 || report.Failed != 2 || report.Skipped != 1 || len(report.Tests) != 5 {
		t.Fatalf("%+v", report)
	}
	texts := make([]string, len(report.Tests))
	for i, r := range report.Tests {
		texts[i] = r.String()
	}
	whole := strings.Join(texts, "\n")
	for _, want := range []string{
		"PASS policy.tools.payments_test.test_denies (a_test.rego:5", `input is {"tool": 1}`,
		"FAIL policy.tools.payments_test.test_fails (a_test.rego:10", "a_test.rego:12:\n", `"y"`,
		"SKIP policy.tools.payments_test.todo_test_later", "FAIL policy.tools.payments_test.test_cases/other", "PASS policy.tools.payments_test.test_cases/x",
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("%q is not in:\n%s", want, whole)
		}
	}
	some, err := Test(context.Background(), dir, TestOptions{Run: "denies"})
	if err != nil || len(some.Tests) != 1 {
		t.Errorf("%+v %v", some, err)
	}
	if _, err := Test(context.Background(), dir, TestOptions{Run: "("}); err == nil {
		t.Error("a broken expression was taken")
	}
	write(t, dir, map[string]string{"b.rego": "package policy.tools.b\n\ndenny contains 1\n"})
	if _, err := Test(context.Background(), dir, TestOptions{}); !IsLoadError(err) {
		t.Errorf("tests of a broken directory: %v", err)
	}
}
