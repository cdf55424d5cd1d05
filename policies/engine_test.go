package policies

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// demoResource is the demo's server with its four tools.
func demoResource() *oauth.Resource {
	yes, no := true, false
	return &oauth.Resource{
		ID: "http://127.0.0.1:3001/mcp", Key: "demo", Name: "Demo",
		Scopes: []oauth.ScopeInfo{
			{Name: "tools:weather.read", Description: "Read the weather"},
			{Name: "tools:calendar.read", Description: "Read the calendar"},
			{Name: "tools:crm.write", Description: "Change customers"},
			{Name: "tools:payments.transfer", Description: "Move money"},
		},
		Tools: []oauth.Tool{
			{Name: "get_weather", Scopes: oauth.NewScopes("tools:weather.read"), Annotations: oauth.Annotations{ReadOnlyHint: &yes}},
			{Name: "calendar_list", Scopes: oauth.NewScopes("tools:calendar.read"), Annotations: oauth.Annotations{ReadOnlyHint: &yes}},
			{Name: "crm_update", Scopes: oauth.NewScopes("tools:crm.write"), Annotations: oauth.Annotations{DestructiveHint: &no}},
			{Name: "transfer", Scopes: oauth.NewScopes("tools:payments.transfer"), Annotations: oauth.Annotations{DestructiveHint: &yes}},
		},
	}
}

// demoDir copies the embedded demo policies to disk.
func demoDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	files, err := DemoFiles()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write puts files into a directory, by name.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dirWith is a new directory with these files.
func dirWith(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return dir
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// engineWith is an engine with these author files beside the shipped defaults.
func engineWith(t testing.TB, files map[string]string) *Engine {
	t.Helper()
	return engineFrom(t, Config{Dir: dirWith(t, files), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
}

func engineFrom(t testing.TB, c Config) *Engine {
	t.Helper()
	c.Log = silent()
	if c.Deadline == 0 {
		c.Deadline = 2 * time.Second // a loaded machine must not change what a test sees
	}
	e, err := New(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// call is alice's verified call of a demo tool.
func call(tool string, args map[string]any, scopes ...string) oauth.Evaluation {
	r := demoResource()
	found, _ := r.Tool(tool)
	now := time.Unix(1_900_000_000, 0)
	return oauth.Evaluation{
		ID: "dec_1", Caller: r,
		Subject:  oauth.Subject{Kind: oauth.SubjectUser, ID: "usr_1", Username: "alice", Groups: []string{"staff"}},
		Claimed:  oauth.AuthZENSubject{Type: "identity", ID: "usr_1"},
		Client:   &oauth.Client{ID: "https://agent.example/client.json", Registration: oauth.RegistrationCIMD, Name: "Agent"},
		Token:    &oauth.TokenInfo{ID: "jti", Scopes: oauth.NewScopes(scopes...), IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(9 * time.Minute), Authn: oauth.Authentication{Time: now.Add(-time.Hour), ACR: "pwd"}, GrantType: "authorization_code"},
		Action:   oauth.AuthZENAction{Name: "tools/call"},
		Resource: oauth.AuthZENResource{Type: "tool", ID: tool, Properties: map[string]any{"arguments": args}},
		Tool:     found, Args: args, Checked: true,
		MCP:     oauth.MCPCall{Method: "tools/call"},
		Context: oauth.RequestContext{Time: now, IP: "127.0.0.1", RequestID: "req_1"},
	}
}

func decide(t testing.TB, e *Engine, v oauth.Evaluation) oauth.Decision {
	t.Helper()
	d, err := e.Decide(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// word is a decision in one word: allow, missing, authn, or the first reason's code.
func word(d oauth.Decision) string {
	switch {
	case d.Allow:
		return "allow"
	case len(d.Reasons) > 0:
		return d.Reasons[0].Code
	case len(d.MissingScopes) > 0:
		return "missing"
	case len(d.RequireAuthn) > 0:
		return "authn"
	}
	return "deny without a reason"
}

func TestDemoPoliciesDecideCalls(t *testing.T) {
	e := engineFrom(t, Config{Dir: demoDir(t), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	amount := func(n string) map[string]any { return map[string]any{"amount": json.Number(n), "to": "ACME"} }
	for _, tc := range []struct {
		name string
		call oauth.Evaluation
		want string
		rule string
	}{
		{"a read-only tool with its scope", call("get_weather", nil, "tools:weather.read"), "allow", "default.catalogued_tool"},
		{"a tool without its scope", call("crm_update", nil, "tools:weather.read"), "missing", "default.tool_scopes"},
		{"a transfer up to the limit", call("transfer", amount("1000"), "tools:payments.transfer"), "allow", "default.catalogued_tool"},
		{"a transfer above the limit", call("transfer", amount("5000"), "tools:payments.transfer"), "payments.limit", "payments.limit"},
		{"the denial comes before the missing scope", call("transfer", amount("5000"), "tools:weather.read"), "payments.limit", "payments.limit"},
		{"a tool that is not catalogued", call("rm", nil, "tools:weather.read"), "not_allowed", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := decide(t, e, tc.call)
			if word(d) != tc.want {
				t.Fatalf("got %q (%+v), want %q", word(d), d, tc.want)
			}
			if tc.rule != "" && !slices.Contains(d.Rules, tc.rule) {
				t.Errorf("rules %q do not name %q", d.Rules, tc.rule)
			}
			if d.Revision == "" || d.Revision != e.Status().Revision {
				t.Errorf("revision %q, engine has %q", d.Revision, e.Status().Revision)
			}
		})
	}
}

func TestDemoPoliciesGrantScopes(t *testing.T) {
	e := engineFrom(t, Config{Dir: demoDir(t), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	all := demoResource().ScopeNames()
	d := grant(t, e, all, "staff")
	if !d.Allow || !slices.Equal(d.Granted, all) {
		t.Fatalf("staff: %+v", d)
	}
	if want := oauth.NewScopes("tools:payments.transfer"); !slices.Equal(d.RequireConsent, want) {
		t.Errorf("consent %q, want %q", d.RequireConsent, want)
	}
	d = grant(t, e, all)
	if want := oauth.NewScopes("tools:weather.read", "tools:calendar.read"); !d.Allow || !slices.Equal(d.Granted, want) {
		t.Fatalf("bob: %+v", d)
	}
	if len(d.Denied) != 2 || d.Denied[0].Code != "staff_only" || d.Denied[0].Message == "" {
		t.Errorf("withheld: %+v", d.Denied)
	}
	if !slices.Contains(d.Rules, "staff.only") {
		t.Errorf("rules %q", d.Rules)
	}
}

func scopeRequest(requested oauth.Scopes, groups ...string) oauth.ScopeRequest {
	return oauth.ScopeRequest{
		ID: "dec_2", Stage: oauth.StageAuthorize, GrantType: "authorization_code",
		Subject:  oauth.Subject{Kind: oauth.SubjectUser, ID: "usr_1", Username: "alice", Groups: groups},
		Client:   &oauth.Client{ID: "cli", Registration: oauth.RegistrationStatic},
		Resource: demoResource(), Requested: requested,
		Context: oauth.RequestContext{Time: time.Unix(1_900_000_000, 0)},
	}
}

func grant(t testing.TB, e *Engine, requested oauth.Scopes, groups ...string) oauth.ScopeDecision {
	t.Helper()
	d, err := e.GrantScopes(context.Background(), scopeRequest(requested, groups...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestEveryShippedFileHasATestBesideIt: policies without a test, and tests of nothing.
func TestEveryShippedFileHasATestBesideIt(t *testing.T) {
	files, err := shippedFiles(true)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range files {
		there[f.path] = true
	}
	for name := range there {
		stem, isRego := strings.CutSuffix(name, ".rego")
		if isRego && !strings.HasSuffix(stem, "_test") && path.Base(stem) != "schema" && !there[stem+"_test.rego"] {
			t.Errorf("%s has no test", name)
		}
	}
}

// TestShippedRego runs the tests of the shipped policies and of the demo's, and holds their format.
func TestShippedRego(t *testing.T) {
	for dir, least := range map[string]int{"": 80, demoDir(t): 15} {
		report, err := Test(context.Background(), dir, TestOptions{Shipped: dir == ""})
		if err != nil {
			t.Fatal(err)
		}
		if report.Passed < least || report.Skipped > 0 {
			t.Errorf("only %d tests ran, %d skipped", report.Passed, report.Skipped)
		}
		for _, r := range report.Tests {
			if !r.Passed {
				t.Error(r)
			}
		}
	}
	found, err := Unformatted(embedded)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("not in the format of opa fmt: %s", f.Diff())
	}
}

// BenchmarkRecord is what recording adds to a decision.
func BenchmarkRecord(b *testing.B) {
	args := map[string]any{"amount": json.Number("900"), "to": "ACME", "memo": "July", "reference": map[string]any{"order": json.Number("17")}}
	v := call("transfer", args, "tools:payments.transfer", "tools:weather.read")
	for _, mode := range []RecordMode{RecordOff, RecordMasked, RecordValues} {
		e := engineFrom(b, Config{Dir: demoDir(b), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, Record: mode, RecordKey: make([]byte, 32)})
		b.Run("decide/"+string(mode), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide(b, e, v)
			}
		})
		b.Run("alone/"+string(mode), func(b *testing.B) {
			g := e.current.Load()
			write := func(o *object) error { return o.toolCall(v) }
			d, answer, err := ask(e, g, toolsQuestion(), v.Context.Time, nil, write)
			if err != nil {
				b.Fatal(err)
			}
			bytes := 0
			b.ReportAllocs()
			for b.Loop() {
				if r := e.keep(g, kindTools, v.ID, v.Context.Time, write, answer, callOutcome(d)); r != nil {
					bytes = len(r.Document)
				}
			}
			b.ReportMetric(float64(bytes), "document-bytes")
		})
	}
}

func BenchmarkGrantScopes(b *testing.B) {
	e := engineFrom(b, Config{Dir: demoDir(b), Defaults: true, Cache: -1, Catalogue: []*oauth.Resource{demoResource()}})
	all := demoResource().ScopeNames()
	b.ReportAllocs()
	for b.Loop() {
		if d := grant(b, e, all, "staff"); len(d.Granted) != len(all) {
			b.Fatal(d)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(context.Background(), Config{Defaults: true, Log: silent()}); err != nil {
			b.Fatal(err)
		}
	}
}
