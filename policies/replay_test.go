package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// eachOf goes through records that are in memory.
func eachOf(records []oauth.DecisionRecord) iter.Seq2[oauth.DecisionRecord, error] {
	return func(yield func(oauth.DecisionRecord, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// history is a server that records, and what it recorded.
type history struct {
	engine      *Engine
	defaults    bool
	generations map[string]oauth.PolicyGeneration
	records     []oauth.DecisionRecord
}

func newHistory(t *testing.T, mode RecordMode, files map[string]string, catalogue ...*oauth.Resource) *history {
	t.Helper()
	if catalogue == nil {
		catalogue = []*oauth.Resource{demoResource()}
	}
	return historyOf(t, mode, files, true, catalogue)
}

func historyOf(t *testing.T, mode RecordMode, files map[string]string, defaults bool, catalogue []*oauth.Resource) *history {
	t.Helper()
	h := &history{defaults: defaults, generations: map[string]oauth.PolicyGeneration{}}
	h.engine = engineFrom(t, Config{Dir: dirWith(t, files), Defaults: defaults, Catalogue: catalogue, Record: mode, RecordKey: recordKey(),
		Activate: func(_ context.Context, a Activation) error {
			h.generations[a.Revision] = oauth.PolicyGeneration{Revision: a.Revision, Document: a.Document}
			return nil
		}})
	return h
}

func (h *history) find(_ context.Context, revision string) (*oauth.PolicyGeneration, error) {
	g, ok := h.generations[revision]
	if !ok {
		return nil, oauth.ErrNotFound
	}
	return &g, nil
}

func (h *history) decide(t *testing.T, v oauth.Evaluation) oauth.Decision {
	t.Helper()
	v.ID = fmt.Sprintf("dec_%d", len(h.records))
	d := decide(t, h.engine, v)
	h.records = append(h.records, *d.Record)
	return d
}

func (h *history) grant(t *testing.T, r oauth.ScopeRequest) {
	t.Helper()
	r.ID = fmt.Sprintf("dec_%d", len(h.records))
	d, err := h.engine.GrantScopes(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	h.records = append(h.records, *d.Record)
}

// replay asks everything again of a candidate.
func (h *history) replay(t *testing.T, files map[string]string) *ReplayReport {
	t.Helper()
	told := int64(0) // without a lock: the race detector sees two calls at a time
	p, err := NewReplay(t.Context(), ReplayConfig{Dir: dirWith(t, files), Defaults: h.defaults, Catalogue: []*oauth.Resource{demoResource()}, RecordKey: recordKey(), Examples: 1 << 20, Generation: h.find,
		Progress: func(done int64) { told = done }})
	if err != nil {
		t.Fatal(err)
	}
	report, err := p.Run(t.Context(), eachOf(h.records))
	if err != nil {
		t.Fatal(err)
	}
	if int(told) != len(h.records) {
		t.Errorf("the last word about progress was %d of %d", told, len(h.records))
	}
	if int(report.Decisions) != len(h.records) || report.Same+report.Flipped+report.Unknown != report.Decisions {
		t.Fatalf("%d records, but %+v", len(h.records), report)
	}
	return report
}

// idsIn are the ids in the examples of a report's part.
func idsIn(groups []ReplayGroup) map[string]bool {
	ids := map[string]bool{}
	for _, g := range groups {
		for _, id := range g.Examples {
			ids[id] = true
		}
	}
	return ids
}

func unknownIn(r *ReplayReport) map[string]bool {
	ids := map[string]bool{}
	for _, u := range r.UnknownOver {
		for _, id := range u.Examples {
			ids[id] = true
		}
	}
	return ids
}

const limitOf = `package policy.tools.payments

# METADATA
# labels: {rule: payments.limit}
deny contains {"code": "payments.limit", "message": "too much"} if {
	input.tool.name == "transfer"
	input.tool.arguments.amount > %d
}
`

func transfer(amount string) oauth.Evaluation {
	return call("transfer", map[string]any{"amount": json.Number(amount), "to": "ACME"}, "tools:payments.transfer")
}

func TestReplayGroupsFlipsByRuleClientAndTool(t *testing.T) {
	h := newHistory(t, RecordValues, map[string]string{"a.rego": fmt.Sprintf(limitOf, 1000), "b.rego": "package policy.tools.b\n\nrequired_scopes contains \"tools:crm.write\" if input.tool.name == \"calendar_list\"\n"})
	for _, amount := range []string{"10", "600", "700", "5000"} {
		h.decide(t, transfer(amount))
	}
	h.decide(t, call("calendar_list", nil, "tools:calendar.read"))
	h.decide(t, call("get_weather", nil, "tools:weather.read"))
	r := h.replay(t, map[string]string{"a.rego": fmt.Sprintf(limitOf, 500)})
	want := ReplayGroup{Rule: "payments.limit (a.rego:5)", Client: "https://agent.example/client.json", Server: "demo", What: "transfer", Count: 2, Examples: []string{"dec_1", "dec_2"}}
	if r.Denied.Count != 2 || len(r.Denied.Groups) != 1 || fmt.Sprint(r.Denied.Groups[0]) != fmt.Sprint(want) {
		t.Errorf("allowed to denied: %+v", r.Denied)
	}
	want = ReplayGroup{Rule: "b.required_scopes (b.rego:3), default.tool_scopes (shipped/policy/tools/default.rego:31)", Client: want.Client, Server: "demo", What: "calendar_list", Count: 1, Examples: []string{"dec_4"}}
	if r.Allowed.Count != 1 || len(r.Allowed.Groups) != 1 || fmt.Sprint(r.Allowed.Groups[0]) != fmt.Sprint(want) {
		t.Errorf("denied to allowed: %+v", r.Allowed)
	}
	if r.Same != 3 || r.Flipped != 3 || r.Unknown != 0 {
		t.Errorf("%+v", r)
	}
	if same := h.replay(t, map[string]string{"a.rego": fmt.Sprintf(limitOf, 1000), "b.rego": "package policy.tools.b\n\nrequired_scopes contains \"tools:crm.write\" if input.tool.name == \"calendar_list\"\n"}); same.Same != 6 {
		t.Errorf("the same policies: %+v", same)
	}
}

func TestReplayOfGrantsTellsWhichScopesFlip(t *testing.T) {
	h := newHistory(t, RecordMasked, map[string]string{"a.rego": `package policy.scopes.a

deny_scope contains {"scope": "tools:crm.write", "code": "x", "message": "no"}
`})
	refresh := func(r *oauth.ScopeRequest) { r.Stage, r.Consented = oauth.StageRefresh, r.Requested }
	for _, change := range []func(*oauth.ScopeRequest){func(*oauth.ScopeRequest) {}, refresh} {
		r := scopeRequest(oauth.NewScopes("tools:crm.write", "tools:weather.read"))
		change(&r)
		h.grant(t, r)
	}
	r := h.replay(t, map[string]string{"a.rego": `package policy.scopes.a

require_authn contains {"max_age": 60} if input.stage == "refresh"

deny_scope contains {"scope": "tools:weather.read", "code": "y", "message": "no"}
`})
	if r.Flipped != 2 || r.Denied.Count != 2 || r.Allowed.Count != 1 {
		t.Fatalf("%+v", r)
	}
	found := map[string]string{}
	for _, g := range slices.Concat(r.Denied.Groups, r.Allowed.Groups) {
		found[g.What+" "+g.Scopes.String()] = g.Rule
	}
	if fmt.Sprint(found) != "map[authorize tools:crm.write:a.deny_scope (a.rego:3) authorize tools:weather.read:a.deny_scope (a.rego:5) refresh tools:weather.read:a.require_authn (a.rego:3)]" {
		t.Errorf("%v", found)
	}
}

// TestReplaySeesTheClockOfThen: the candidate reads the time, and the decisions were made at different times.
func TestReplaySeesTheClockOfThen(t *testing.T) {
	h := newHistory(t, RecordMasked, nil)
	for hour := range 24 {
		v := call("get_weather", nil, "tools:weather.read")
		v.Context.Time = time.Date(2026, 5, 4, hour, 30, 0, 7, time.UTC)
		v.Token.ExpiresAt = v.Context.Time.Add(time.Minute)
		h.decide(t, v)
	}
	r := h.replay(t, map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"closed\" if time.clock([time.now_ns(), \"UTC\"])[0] < 8\n\ndeny contains \"late\" if endswith(input.context.time, \"T23:30:00Z\")\n"})
	ids := idsIn(r.Denied.Groups)
	if r.Denied.Count != 9 || !ids["dec_0"] || !ids["dec_7"] || ids["dec_8"] || !ids["dec_23"] {
		t.Errorf("%+v", r.Denied)
	}
}

// TestReplayUsesTheCatalogueOfThen: a tool that has changed since flips nothing.
func TestReplayUsesTheCatalogueOfThen(t *testing.T) {
	old := demoResource()
	old.Name = "the name of then"
	h := newHistory(t, RecordMasked, nil, old)
	for range 3 {
		h.decide(t, call("get_weather", nil, "tools:weather.read"))
	}
	reading := map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"renamed\" if data.servers[input.resource.server].name != \"the name of then\"\n"}
	if r := h.replay(t, reading); r.Same != 3 || r.Elsewhere != 3 {
		t.Errorf("the catalogue of then: %+v", r)
	}
	clear(h.generations)
	if r := h.replay(t, reading); r.Unknown != 3 || !strings.Contains(r.UnknownOver[0].Why, "catalogue of then") {
		t.Errorf("the catalogue of then is gone: %+v", r)
	}
	if r := h.replay(t, map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"x\" if input.tool.name == \"get_weather\"\n"}); r.Denied.Count != 3 || r.Elsewhere != 0 {
		t.Errorf("the candidate does not look at the catalogue: %+v", r)
	}
}

// TestReplayHoldsFewCatalogues: of a history with many changes of the catalogue a handful is held at once, and each record still sees its own.
func TestReplayHoldsFewCatalogues(t *testing.T) {
	h := newHistory(t, RecordMasked, nil)
	for i := range 2 * maxThen {
		changed := demoResource()
		changed.Name = fmt.Sprint("name ", i)
		if _, err := h.engine.Reload(t.Context(), []*oauth.Resource{changed}); err != nil {
			t.Fatal(err)
		}
		v := call("get_weather", nil, "tools:weather.read")
		v.Caller = changed
		h.decide(t, v)
	}
	files := map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"odd\" if data.servers[input.resource.server].name in {\"name 1\", \"name 9\"}\n"}
	p, err := NewReplay(t.Context(), ReplayConfig{Dir: dirWith(t, files), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, RecordKey: recordKey(), Examples: 9, Generation: h.find})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(t.Context(), eachOf(append(slices.Clone(h.records), h.records...)))
	if err != nil || r.Denied.Count != 4 || r.Same != 4*maxThen-4 || r.Elsewhere != 4*maxThen {
		t.Errorf("%+v %v", r, err)
	}
	if p.then.Len() > maxThen {
		t.Errorf("%d catalogues are held", p.then.Len())
	}
}

func TestReplayDoesNotGuessWhatTheRecordKeepsBack(t *testing.T) {
	mask := "package system.log\n\nmask contains \"/input/client/name\"\n"
	h := newHistory(t, RecordMasked, map[string]string{"log.rego": mask})
	h.decide(t, transfer("10"))
	h.decide(t, call("get_weather", map[string]any{"city": "Paris", "flag": true, "none": nil, "obj": map[string]any{}}, "tools:weather.read"))
	h.decide(t, call("transfer", map[string]any{"amount": json.Number("1e999999")})) // no policies can be asked about it
	for _, tc := range []struct {
		name, rule      string
		denied, unknown string // ids
		why             string
	}{
		{"a number", `input.tool.arguments.amount > 5`, "", "dec_0", "input.tool.arguments.amount (masked)"},
		{"an argument that only one call has", `input.tool.arguments.city`, "", "dec_1", "input.tool.arguments.city (masked)"},
		{"a place that rules do not read", `input.tool.name == "transfer"`, "dec_0", "", ""},
		{"a text that is in the policy", `input.tool.arguments.city == "Paris"`, "dec_1", "", ""},
		{"a text that is not", `input.tool.arguments.city == "Rome"`, "", "", ""},
		{"another text than one of these", `not input.tool.arguments.city in {"Rome", "Oslo"}`, "dec_1", "", ""},
		{"the beginning of a text", `startswith(input.tool.arguments.city, "P")`, "", "dec_1", "input.tool.arguments.city (masked)"},
		{"a text that is printed, too", `input.tool.arguments.city == "Rome"; _print_it(input.tool.arguments.city)`, "", "dec_1", "input.tool.arguments.city (masked)"},
		{"a boolean", `input.tool.arguments.flag == true`, "dec_1", "", ""},
		{"null", `is_null(input.tool.arguments.none)`, "dec_1", "", ""},
		{"an object", `input.tool.arguments.obj == {}`, "", "dec_1", "input.tool.arguments.obj (masked)"},
		{"all arguments", `count(input.tool.arguments) > 1`, "", "dec_0 dec_1", "input.tool.arguments.amount (masked)"},
		{"what the author removed", `input.client.name == "Agent"`, "", "dec_0 dec_1", "input.client.name (removed)"},
		{"a number that only counts for other tools", "input.tool.name == \"get_weather\"; input.tool.arguments.amount > 5", "", "", ""},
		{"a number in a rule that the index of rules leaves out", "to_number(input.tool.arguments.amount) > 5; input.tool.name == \"get_weather\"", "", "", ""},
		{"a number that may fail before the rule ends", "to_number(input.tool.arguments.amount) > 5; count(input.tool.name) == 11", "", "dec_0", "input.tool.arguments.amount (masked)"},
		{"a number of a rule that denies anyway", "input.tool.arguments.amount > 5\n}\n\nrequired_scopes contains \"tools:crm.write\" if {\n\tinput.tool.name == \"transfer\"", "dec_0", "", ""},
		{"what stands beside it", `input.client.trusted`, "", "", ""},
		{"the whole client", `count(input.client) > 3`, "", "dec_0 dec_1", "input.client.name (removed)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := h.replay(t, map[string]string{"a.rego": "package policy.tools.a\n\n_print_it(x) if sprintf(\"%v\", [x]) != \"\"\n\ndeny contains \"x\" if {\n\t" +
				strings.ReplaceAll(tc.rule, "; ", "\n\t") + "\n}\n"})
			join := func(ids map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(ids)), " ") }
			if got := join(idsIn(r.Denied.Groups)); got != tc.denied {
				t.Errorf("denied %q, want %q", got, tc.denied)
			}
			if got := join(unknownIn(r)); got != tc.unknown {
				t.Errorf("unknown %q, want %q", got, tc.unknown)
			}
			if tc.why != "" && !slices.ContainsFunc(r.UnknownOver, func(u ReplayUnknown) bool { return strings.Contains(u.Why, tc.why) }) {
				t.Errorf("%+v", r.UnknownOver)
			}
		})
	}
}

func TestReplayRefusesWhatWasNotRecorded(t *testing.T) {
	h := newHistory(t, RecordMasked, map[string]string{"log.rego": "package system.log\n\nmask contains \"/input\" if input.input.tool.name == \"transfer\"\n"})
	h.decide(t, transfer("10"))
	h.decide(t, call("get_weather", nil, "tools:weather.read"))
	if r := h.replay(t, nil); r.Unknown != 1 || r.Same != 1 || !strings.Contains(r.UnknownOver[0].Why, "keeps the whole input back") {
		t.Errorf("%+v", r)
	}
	certificate := map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"x\" if crypto.x509.parse_and_verify_certificates(input.client.name)[0] == false\n"}
	if r := h.replay(t, certificate); r.Unknown != 2 || !slices.ContainsFunc(r.UnknownOver, func(u ReplayUnknown) bool {
		return strings.Contains(u.Why, "crypto.x509.parse_and_verify_certificates")
	}) {
		t.Errorf("a built-in with a clock of its own: %+v", r)
	}
	h.records = append(h.records, oauth.DecisionRecord{ID: "dec_x", Document: []byte(`{"v":9}`)}, oauth.DecisionRecord{ID: "dec_y", Document: []byte(`{`)})
	if r := h.replay(t, nil); r.Unknown != 3 {
		t.Errorf("records that cannot be read: %+v", r)
	}
}
