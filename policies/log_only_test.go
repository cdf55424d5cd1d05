package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"portcullis/oauth"
)

// inMode writes the METADATA of a mode above a package.
func inMode(mode, text string) string {
	return "# METADATA\n# custom:\n#   mode: " + mode + "\n" + text
}

// TestLogOnlyTellsOfBothWays: the answer is that of the other packages, and what it would be is told with the rules of the package.
func TestLogOnlyTellsOfBothWays(t *testing.T) {
	deny := inMode(modeLogOnly, "package policy.tools.trial\n\ndeny contains \"too much\" if input.tool.arguments.amount > 5\n")
	allow := inMode(modeLogOnly, "package policy.tools.trial\n\nallow if input.tool.arguments.amount > 5\n")
	needs := inMode(modeLogOnly, "package policy.tools.trial\n\nrequired_scopes contains \"tools:more\" if input.tool.arguments.amount > 5\n")
	login := inMode(modeLogOnly, "package policy.tools.trial\n\nrequire_authn contains {\"max_age\": 60} if input.tool.arguments.amount > 5\n")
	open := "package policy.tools.open\n\nallow if input.tool.name == \"transfer\"\n"
	for name, tc := range map[string]struct {
		trial, other, want string
		flips              bool
		wouldAllow         bool
		rules              []string
	}{
		"a deny":      {deny, open, "allow", true, false, []string{"trial.deny"}},
		"an allow":    {allow, "package policy.tools.open\n", "not_allowed", true, true, []string{"trial.allow"}},
		"a scope":     {needs, open, "allow", true, false, []string{"trial.required_scopes"}},
		"a login":     {login, open, "allow", true, false, []string{"trial.require_authn"}},
		"no change":   {deny, "package policy.tools.open\n", "not_allowed", false, false, nil},
		"no change 2": {allow, open, "allow", false, true, nil},
	} {
		e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"trial.rego": tc.trial, "open.rego": tc.other}), Catalogue: []*oauth.Resource{demoResource()}})
		for _, amount := range []int{1, 10, 1, 10} { // the last two are remembered
			d := decide(t, e, call("transfer", map[string]any{"amount": number(amount)}, "tools:payments.transfer"))
			if word(d) != tc.want {
				t.Errorf("%s: %q", name, word(d))
			}
			if slices.ContainsFunc(d.Rules, func(rule string) bool { return strings.HasPrefix(rule, "trial.") }) {
				t.Errorf("%s: %q took part", name, d.Rules)
			}
			var want []oauth.Tried
			if tc.flips && amount > 5 {
				want = []oauth.Tried{{Package: "policy.tools.trial", Flips: true, Allow: tc.wouldAllow, Rules: tc.rules}}
			}
			if !reflect.DeepEqual(d.Tried, want) {
				t.Errorf("%s, amount %d: %+v, want %+v", name, amount, d.Tried, want)
			}
		}
		if hits := e.CacheStats().Hits; hits != 2 {
			t.Errorf("%s: %d answers were remembered", name, hits)
		}
	}
}

// TestLogOnlyHoldsForEveryKind asks all four questions.
func TestLogOnlyHoldsForEveryKind(t *testing.T) {
	files := map[string]string{}
	for _, k := range kinds() {
		files[string(k)+".rego"] = inMode(modeLogOnly, "package policy."+string(k)+".trial\n\ndeny contains \"no\" if input.context.ip == \"10.0.0.1\"\n")
	}
	files["access_open.rego"] = "package policy.access.open\n\nallow if input.action.name == \"read\"\n"
	e := recording(t, RecordValues, files)
	ctx := context.Background()
	rc := oauth.RequestContext{Time: time.Unix(1_900_000_000, 0), IP: "10.0.0.1"}
	v := call("get_weather", nil, "tools:weather.read")
	v.Context.IP = rc.IP
	tools := decide(t, e, v)
	access := decide(t, e, oauth.Evaluation{ID: "dec_4", Caller: demoResource(), Claimed: oauth.AuthZENSubject{Type: "user", ID: "u"}, Action: oauth.AuthZENAction{Name: "read"},
		Resource: oauth.AuthZENResource{Type: "x", ID: "y"}, Context: rc})
	r := scopeRequest(oauth.NewScopes("tools:weather.read"), "staff")
	r.Context = rc
	scopes, err := e.GrantScopes(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := e.Admit(ctx, oauth.ClientRequest{ID: "dec_5", Stage: oauth.ClientStageURL, Client: &oauth.Client{ID: "https://agent.example/client.json", Registration: oauth.RegistrationCIMD}, Context: rc})
	if err != nil {
		t.Fatal(err)
	}
	if !tools.Allow || !access.Allow || !scopes.Allow || len(scopes.Granted) != 1 || !clients.Allow {
		t.Errorf("a package in mode log_only took part: %v %v %v %v", tools, access, scopes, clients)
	}
	for k, got := range map[kind][]oauth.Tried{kindTools: tools.Tried, kindAccess: access.Tried, kindScopes: scopes.Tried, kindClients: clients.Tried} {
		want := []oauth.Tried{{Package: "policy." + string(k) + ".trial", Flips: true, Rules: []string{"trial.deny"}}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", k, got, want)
		}
	}
	for k, record := range map[kind]*oauth.DecisionRecord{kindTools: tools.Record, kindAccess: access.Record, kindScopes: scopes.Record, kindClients: clients.Record} {
		kept := recordOf(t, record).Tried
		if len(kept) != 1 || !kept[0].Flips || len(kept[0].Fired) != 1 || kept[0].Fired[0].File != string(k)+".rego" || kept[0].Fired[0].Line != 6 {
			t.Errorf("%s: the record has %+v", k, kept)
		}
	}
	want := map[FlipCount]bool{}
	for _, k := range kinds() {
		want[FlipCount{Mode: modeLogOnly, Kind: string(k), Package: "policy." + string(k) + ".trial", WouldBe: "denied", Count: 1}] = true
	}
	for _, f := range e.Flips() {
		if !want[f] {
			t.Errorf("counted: %+v", f)
		}
		delete(want, f)
	}
	if len(want) > 0 {
		t.Errorf("not counted: %v", want)
	}
}

func number(n int) any { return json.Number(fmt.Sprint(n)) }

// TestLogOnlyGrantsAreComparedByWhatComesOfThem: fewer scopes, or a consent that is missing at a refresh.
func TestLogOnlyGrantsAreComparedByWhatComesOfThem(t *testing.T) {
	withhold := "package policy.scopes.trial\n\ndeny_scope contains {\"scope\": \"tools:payments.transfer\", \"code\": \"no_money\", \"message\": \"no\"} if input.client.id == \"cli\"\n"
	consent := "package policy.scopes.trial\n\nrequire_consent contains \"tools:weather.read\" if input.client.id == \"cli\"\n"
	login := "package policy.scopes.trial\n\nrequire_authn contains {\"max_age\": 60} if input.client.id == \"cli\"\n"
	both := oauth.NewScopes("tools:payments.transfer", "tools:weather.read")
	for name, tc := range map[string]struct {
		text  string
		stage oauth.Stage
		want  []oauth.Tried
	}{
		"a scope less":                       {withhold, oauth.StageRefresh, []oauth.Tried{{Package: "policy.scopes.trial", Flips: true, Allow: true, Granted: oauth.NewScopes("tools:weather.read"), Rules: []string{"trial.deny_scope"}}}},
		"a consent, while a person is there": {consent, oauth.StageAuthorize, nil},
		"a consent, at a refresh":            {consent, oauth.StageRefresh, []oauth.Tried{{Package: "policy.scopes.trial", Flips: true, Allow: true, Granted: oauth.NewScopes("tools:payments.transfer"), Rules: []string{"trial.require_consent"}}}},
		"a login, at a refresh":              {login, oauth.StageRefresh, []oauth.Tried{{Package: "policy.scopes.trial", Flips: true, Rules: []string{"trial.require_authn"}}}},
	} {
		open := "package policy.scopes.open\n\ngrant contains scope if some scope in input.requested.scopes\n"
		e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"trial.rego": inMode(modeLogOnly, tc.text), "open.rego": open}), Catalogue: []*oauth.Resource{demoResource()}})
		r := scopeRequest(both, "staff")
		r.Stage = tc.stage
		d, err := e.GrantScopes(context.Background(), r)
		if err != nil || !d.Allow || !slices.Equal(d.Granted, both) {
			t.Fatalf("%s: %+v %v", name, d, err)
		}
		if !reflect.DeepEqual(d.Tried, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, d.Tried, tc.want)
		}
	}
}

// TestWhatGoesWrongInLogOnlyDeniesNothing: errors, conflicts, wrong shapes and endless work are told, and are not remembered. Where the answer
// is allowed, such a package would deny.
func TestWhatGoesWrongInLogOnlyDeniesNothing(t *testing.T) {
	for name, tc := range map[string]struct{ rule, told string }{
		"an error":      {"deny contains \"x\" if to_number(input.tool.name) > 5\n", "eval_builtin_error at trial.rego:6"},
		"a conflict":    {"_x := 1 if input.tool.name == \"transfer\"\n\n_x := 2 if input.mcp.method == \"tools/call\"\n\ndeny contains \"x\" if _x > 5\n", "eval_conflict_error at trial.rego:8"},
		"a wrong shape": {"ttl_seconds := input.tool.name\n", "trial.ttl_seconds has a wrong shape"},
		"endless work":  {"deny contains \"x\" if {\n\tsome a in numbers.range(1, 3000)\n\tsome b in numbers.range(1, 3000)\n\tsome c in numbers.range(1, 3000)\n\ta + b + c == 0\n}\n", "the evaluation reached its deadline"},
	} {
		files := map[string]string{"trial.rego": inMode(modeLogOnly, "package policy.tools.trial\n\n"+tc.rule), "open.rego": "package policy.tools.open\n\nallow if input.tool.name == \"transfer\"\n"}
		e := engineFrom(t, Config{Dir: dirWith(t, files), Deadline: 200 * time.Millisecond, Catalogue: []*oauth.Resource{demoResource()}, Record: RecordMasked, RecordKey: recordKey()})
		for range 2 {
			d := decide(t, e, call("transfer", nil, "tools:payments.transfer"))
			if !d.Allow {
				t.Errorf("%s denied: %+v", name, d)
			}
			if len(d.Tried) != 1 || !d.Tried[0].Flips || d.Tried[0].Allow || d.Tried[0].Error != tc.told {
				t.Errorf("%s: told is %+v", name, d.Tried)
			}
			if kept := recordOf(t, d.Record).Tried; len(kept) != 1 || kept[0].Error != tc.told {
				t.Errorf("%s: the record has %+v", name, kept)
			}
		}
		if s := e.CacheStats(); s.Hits != 0 || s.Entries != 0 {
			t.Errorf("%s was remembered: %+v", name, s)
		}
		if f := e.Flips(); len(f) != 1 || f[0].WouldBe != wouldFail || f[0].Count != 2 {
			t.Errorf("%s: counted %+v", name, f)
		}
	}
}

// TestLogOnlyPackagesShareOneDeadline: behind one that takes all the time the next is told as not evaluated, and claims no flip.
func TestLogOnlyPackagesShareOneDeadline(t *testing.T) {
	endless := "deny contains \"x\" if {\n\tsome a in numbers.range(1, 3000)\n\tsome b in numbers.range(1, 3000)\n\tsome c in numbers.range(1, 3000)\n\ta + b + c == 0\n}\n"
	files := map[string]string{"open.rego": "package policy.tools.open\n\nallow if input.tool.name == \"transfer\"\n"}
	for _, name := range []string{"a", "b", "c"} {
		files[name+".rego"] = inMode(modeLogOnly, "package policy.tools."+name+"\n\n"+endless)
	}
	e := engineFrom(t, Config{Dir: dirWith(t, files), Deadline: 100 * time.Millisecond, Catalogue: []*oauth.Resource{demoResource()}})
	d := decide(t, e, call("transfer", nil, "tools:payments.transfer"))
	if !d.Allow || len(d.Tried) != 3 || !d.Tried[0].Flips {
		t.Fatalf("%+v", d)
	}
	for _, one := range d.Tried[1:] {
		if one.Flips || one.Error != errNoTimeLeft.Error() {
			t.Errorf("%+v", one)
		}
	}
}

// TestLingeringLogOnlyPackagesKeepNoAnswerBack: evaluations of log_only packages that never end are counted apart.
func TestLingeringLogOnlyPackagesKeepNoAnswerBack(t *testing.T) {
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"trial.rego": inMode(modeLogOnly, "package policy.tools.trial\n\ndeny contains \"no\"\n")}), Defaults: true,
		Deadline: 20 * time.Millisecond, Catalogue: []*oauth.Resource{demoResource()}})
	release := make(chan struct{})
	defer close(release)
	for range maxAbandoned {
		e.within(time.Millisecond, &e.lingering, func() result { <-release; return result{} }, func() {})
	}
	d := decide(t, e, call("get_weather", nil, "tools:weather.read"))
	if !d.Allow || len(d.Tried) != 1 || d.Tried[0].Flips || d.Tried[0].Error == "" {
		t.Errorf("%+v", d)
	}
}

// TestModesAreHeldToWhatThereIs: what would be ignored is an error.
func TestModesAreHeldToWhatThereIs(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"an unknown word": {map[string]string{"a.rego": inMode("logonly", "package policy.tools.a\n")}, "want one of: enforce, log_only"},
		"no word":         {map[string]string{"a.rego": inMode("[log_only]", "package policy.tools.a\n")}, "want one of: enforce, log_only"},
		"on a rule":       {map[string]string{"a.rego": "package policy.tools.a\n\n" + inMode("log_only", "deny contains \"x\" if input.tool.name == \"b\"\n")}, "above the package line"},
		"in a library":    {map[string]string{"a.rego": inMode("log_only", "package lib.a\n")}, "custom.mode is for the packages"},
		"in tests":        {map[string]string{"a_test.rego": inMode("log_only", "package policy.tools.a_test\n")}, "custom.mode is for the packages"},
		"another key":     {map[string]string{"a.rego": "# METADATA\n# custom:\n#   modus: log_only\npackage policy.tools.a\n"}, "did you mean custom.mode"},
		"two files": {map[string]string{"a.rego": inMode("log_only", "package policy.tools.a\n"), "b.rego": inMode("enforce", "package policy.tools.a\n")},
			"the files of a package have one mode"},
		"read by a package": {map[string]string{"a.rego": inMode("log_only", "package policy.tools.a\n\nallow if input.tool.name == \"b\"\n"),
			"b.rego": "package policy.tools.b\n\nimport data.policy.tools.a\n\nallow if a.allow\n"}, "which is log_only and takes no part in answers"},
		"read through a variable": {map[string]string{"a.rego": inMode("log_only", "package policy.tools.a\n\nallow if input.tool.name == \"b\"\n"),
			"b.rego": "package policy.scopes.b\n\ndeny contains \"x\" if data.policy.tools[_].allow\n"}, "which is log_only and takes no part in answers"},
		"read by a library": {map[string]string{"a.rego": inMode("log_only", "package policy.tools.a\n\nallow if input.tool.name == \"b\"\n"),
			"b.rego": "package lib.b\n\nx := data.policy.tools.a.allow\n"}, "which is log_only and takes no part in answers"},
	} {
		_, err := New(context.Background(), Config{Dir: dirWith(t, tc.files), Defaults: true, Log: silent()})
		if !IsLoadError(err) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	engineWith(t, map[string]string{"a.rego": inMode("enforce", "package policy.tools.a\n\nallow if input.tool.name == \"b\"\n"), "b.rego": "package policy.tools.b\n\nallow if data.policy.tools.a.allow\n"})
}

func TestCheckSaysWhatIsOnTrial(t *testing.T) {
	report, err := Check(dirWith(t, map[string]string{"a.rego": inMode(modeLogOnly, "package policy.tools.a\n\nallow if input.tool.name == \"b\"\n")}), CheckOptions{})
	if err != nil || len(report.Problems) > 0 || !slices.ContainsFunc(report.Trials, func(p Problem) bool {
		return p.File == "a.rego" && strings.Contains(p.Message, "package policy.tools.a is log_only")
	}) {
		t.Errorf("%+v %v", report, err)
	}
}

// TestDefaultsCanBeLogOnly: an author's default in mode log_only takes the place of the shipped one, and then nothing is allowed by default.
func TestDefaultsCanBeLogOnly(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": inMode(modeLogOnly, "package policy.tools.default\n\nallow if input.tool.name == \"get_weather\"\n")})
	d := decide(t, e, call("get_weather", nil, "tools:weather.read"))
	if word(d) != "not_allowed" || len(d.Tried) != 1 || !d.Tried[0].Allow || d.Tried[0].Package != "policy.tools.default" {
		t.Errorf("%+v", d)
	}
}

// TestTestsSeeTheModes: what a test asks of the router leaves log_only packages out, and their own rules can be tested.
func TestTestsSeeTheModes(t *testing.T) {
	in := `{"tool": {"name": "transfer"}, "token": {"scopes": []}, "context": {"unix_time": 5}}`
	dir := dirWith(t, map[string]string{
		"trial.rego": inMode(modeLogOnly, "package policy.tools.trial\n\ndeny contains \"no\" if input.tool.name == \"transfer\"\n"),
		"open.rego":  "package policy.tools.open\n\nallow if input.tool.name == \"transfer\"\n",
		"open_test.rego": "package policy.tools.open_test\n\ntest_answer if data.mcp.authz.tools.decision.allow with input as " + in +
			"\n\ntest_trial if data.policy.tools.trial.deny == {\"no\"} with input as " + in + "\n",
	})
	report, err := Test(context.Background(), dir, TestOptions{NoDefaults: true})
	if err != nil || report.Passed != 2 || report.Failed != 0 {
		t.Errorf("%+v %v", report, err)
	}
}

// TestBothFormsLeaveLogOnlyOut holds judge and router to the answer without the package, and the trial to the answer with it enforced, over
// random packages: the brute-force way is an engine of its own for each.
func TestBothFormsLeaveLogOnlyOut(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	values := givenValues()
	seen := map[string]int{}
	for range 24 {
		files := map[string]string{"lib/shared.rego": "package lib.shared\n\nboth(x) if x\n\nboth(x) if x == \"a:c\"\n"}
		for i := range r.IntN(3) {
			files[fmt.Sprintf("p%d.rego", i)] = shapelessPolicy(r, fmt.Sprintf("p%d", i))
		}
		if r.IntN(2) == 0 {
			files["open.rego"] = "package policy.tools.open\n\nallow if input.mcp.method\n"
		}
		text := shapelessPolicy(r, "trial")
		with := func(mode string) *Engine {
			all := maps.Clone(files)
			if mode != "" {
				all["trial.rego"] = inMode(mode, text)
			}
			return engineFrom(t, Config{Dir: dirWith(t, all), Catalogue: []*oauth.Resource{demoResource()}})
		}
		e, without, enforced := with(modeLogOnly), with("").current.Load(), with(modeEnforce).current.Load()
		g := e.current.Load()
		for _, settings := range randomSettings(r, 50) {
			v := turned(settings)
			for i := range 4 {
				if r.IntN(4) == 0 {
					v.Args[fmt.Sprintf("v%d", i)] = values[r.IntN(len(values))]
				}
			}
			v.Token.Scopes = oauth.NewScopes([]string{"a:c", "m:*", "m:x"}[r.IntN(3)])
			input := documentOf(t, e.words, func(o *object) error { return o.toolCall(v) })
			run := func(g *generation) result {
				return g.run(g.queries[kindTools], input, v.Context.Time, nil, topdown.NewCancel())
			}
			want := run(without)
			router, judged := run(g), g.judge.run(g, input, v.Context.Time, nil, topdown.NewCancel())
			for form, got := range map[string]result{"router": router, "judge": judged} {
				if difference := differ(withoutPlaces(got), withoutPlaces(want)); difference != "" {
					t.Fatalf("%s: %s\n%s", form, difference, text)
				}
			}
			trial, full := e.tryOut(g, kindTools, input, v.Context.Time, nil)[0], run(enforced)
			if fmt.Sprint(trial.err) != fmt.Sprint(full.err) || trial.err == nil && trial.value.Compare(full.value) != 0 {
				t.Fatalf("the trial says %v %v, want %v %v\n%s", trial.value, trial.err, full.value, full.err, text)
			}
			seen[summary(want)+"→"+summary(full)]++
		}
	}
	for _, change := range []string{"allowed→constant", "not_allowed→allowed", "allowed→error", "allowed→missing", "allowed→policy_error"} {
		if seen[change] == 0 {
			t.Errorf("no trial was %s: %v", change, seen)
		}
	}
	t.Log(seen)
}

// withoutPlaces leaves the labels of fired rules: their lines and order differ between directories.
func withoutPlaces(r result) result {
	var list fired
	for _, f := range r.fired {
		list = append(list, firedRule{Export: f.Export, Package: f.Package, Rule: f.Rule})
	}
	slices.SortFunc(list, func(a, b firedRule) int { return strings.Compare(a.Rule, b.Rule) })
	r.fired = list
	return r
}

// TestExportsLeaveLogOnlyOut: what stock OPA evaluates is what the server answers.
func TestExportsLeaveLogOnlyOut(t *testing.T) {
	dir := dirWith(t, map[string]string{
		"trial.rego": inMode(modeLogOnly, "package policy.tools.trial\n\ndeny contains \"no\" if input.tool.name == \"transfer\"\n"),
		"open.rego":  "package policy.tools.open\n\nallow if input.tool.name == \"transfer\"\n",
	})
	out := filepath.Join(t.TempDir(), "out")
	names, err := Export(out, ExportOptions{From: dir, NoDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	options := []func(*rego.Rego){rego.Query("data.mcp.authz.tools.decision.allow"), rego.Input(map[string]any{
		"tool": map[string]any{"name": "transfer"}, "token": map[string]any{"scopes": []any{}}, "context": map[string]any{"unix_time": 5}})}
	for _, name := range names {
		if strings.HasSuffix(name, ".rego") {
			text, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			options = append(options, rego.Module(name, string(text)))
		}
	}
	rs, err := rego.New(options...).Eval(context.Background())
	if err != nil || len(rs) != 1 || rs[0].Expressions[0].Value != true {
		t.Errorf("%v %v", rs, err)
	}
	text, err := os.ReadFile(filepath.Join(out, "shipped/mcp/authz/scopes.rego"))
	if err != nil || !strings.Contains(string(text), "data.policy.scopes[policy].deny") {
		t.Errorf("the other routers stay as they are: %v", err)
	}
}

// TestReplayAndExplainLeaveLogOnlyOut: neither the record's answer nor a candidate's has them, and explain tells of the trial.
func TestReplayAndExplainLeaveLogOnlyOut(t *testing.T) {
	v := call("transfer", map[string]any{"amount": number(10)}, "tools:payments.transfer")
	trial := inMode(modeLogOnly, "package policy.tools.trial\n\ndeny contains \"too much\" if input.tool.arguments.amount > 5\n")
	s := &scene{files: map[string]string{"trial.rego": trial, "open.rego": "package policy.tools.open\n\nallow if input.tool.name == \"transfer\"\n"}, call: &v}
	allowed, record := s.decide(t)
	if !allowed {
		t.Fatal("denied")
	}
	x := s.explain(t, record)
	if len(x.Tried) != 1 || x.Tried[0].Package != "policy.tools.trial" || x.Tried[0].WouldBe != "denied" || len(x.Tried[0].Rules) != 1 || x.Tried[0].Rules[0].File != "trial.rego" {
		t.Errorf("%+v", x.Tried)
	}
	for _, rule := range x.Rules {
		if strings.HasPrefix(rule.Package, "policy.tools.trial") {
			t.Errorf("%+v took part", rule)
		}
	}
	if len(x.Unknown) > 1 { // the audit row is not there
		t.Errorf("%q", x.Unknown)
	}
	for mode, flips := range map[string]int64{modeLogOnly: 0, modeEnforce: 1} {
		candidate := maps.Clone(s.files)
		candidate["trial.rego"] = strings.Replace(trial, modeLogOnly, mode, 1)
		p, err := NewReplay(context.Background(), ReplayConfig{Dir: dirWith(t, candidate), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, RecordKey: recordKey()})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.ask(context.Background(), record)
		if err != nil || got.unknown != "" || got.lost != (flips == 1) || got.gained {
			t.Errorf("%s: %+v %v", mode, got, err)
		}
	}
}
