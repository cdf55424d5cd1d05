package policies

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"portcullis/oauth"
)

// oddRecords is what damaged records are asked of: policies of then that are opened once, and a candidate.
type oddRecords struct {
	past   *reenactment
	replay *Replay
	seeds  [][]byte
}

func newOddRecords(t testing.TB) oddRecords {
	policy := map[string]string{
		"tools/a.rego":   "package policy.tools.a\n\ndeny contains \"no\" if input.tool.arguments.amount > 5\n\nrequire_authn contains {\"max_age\": 60} if input.tool.name == \"transfer\"\n\ndeny contains \"late\" if time.clock(time.now_ns())[0] > 22\n\ndeny contains \"often\" if not mcp.usage(60) < 3\n",
		"scopes/a.rego":  "package policy.scopes.a\n\ndeny_scope contains {\"scope\": s, \"code\": \"c\", \"message\": \"m\"} if some s in input.requested.scopes\n",
		"clients/a.rego": "package policy.clients.a\n\ndeny contains \"no\" if not input.client.host == \"agent.example\"\n",
		"access/a.rego":  "package policy.access.a\n\nallow if input.resource.properties.x == 1\n",
	}
	dir, catalogue := dirWith(t, policy), []*oauth.Resource{demoResource()}
	s, problems, err := readSource(dir, true, catalogue)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	past, err := reenact(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	past.limit = time.Second
	replay, err := NewReplay(t.Context(), ReplayConfig{Dir: dir, Defaults: true, Catalogue: catalogue, RecordKey: recordKey(), Examples: 1,
		Generation: func(context.Context, string) (*oauth.PolicyGeneration, error) { return nil, oauth.ErrNotFound }})
	if err != nil {
		t.Fatal(err)
	}
	odd := oddRecords{past: past, replay: replay}
	for _, mode := range []RecordMode{RecordValues, RecordMasked} {
		odd.seeds = append(odd.seeds, recordedSeeds(t, policy, mode)...)
	}
	return odd
}

// hold asks a record, and wants answers that add up.
func (o oddRecords) hold(t *testing.T, document []byte) {
	d := oauth.DecisionRecord{ID: "dec_1", Document: document}
	v, err := o.replay.ask(t.Context(), &d)
	if err != nil {
		t.Fatal("a record is no fault of the storage:", err)
	}
	if v.unknown != "" && (v.lost || v.gained) {
		t.Errorf("%+v flips, and nobody can say", v)
	}
	for _, event := range []*oauth.Event{nil, {Type: oauth.EventDecision, Outcome: oauth.OutcomeDenied, Reason: "scope_not_available"}} {
		r, err := readRecord(document)
		if err != nil {
			return
		}
		x := &explaining{Explanation: &Explanation{ID: d.ID}, request: ExplainRequest{ID: d.ID, Record: &d, Event: event, Probe: &d, Trace: true}, r: r, past: o.past}
		if event != nil {
			x.readEvent(event)
		}
		x.recorded()
		if !x.Allowed && len(x.Changes)+len(x.Unknown) == 0 {
			t.Errorf("denied, and nothing is said:\n%s", document)
		}
		if _, err := json.Marshal(x.Explanation); err != nil {
			t.Error(err)
		}
	}
}

// FuzzRecordedDecision: a record of another program, or one that somebody has damaged, is refused or read; it never ends explain or replay, and what
// they say adds up.
func FuzzRecordedDecision(f *testing.F) {
	odd := newOddRecords(f)
	for _, document := range odd.seeds {
		f.Add(document)
	}
	f.Fuzz(odd.hold)
}

// TestOddRecordedDecisions puts odd values into the place of every value of real records, a few of them each, and leaves it out.
func TestOddRecordedDecisions(t *testing.T) {
	odd := newOddRecords(t)
	asked := 0
	for _, document := range odd.seeds {
		var root any
		if err := json.Unmarshal(document, &root); err != nil {
			t.Fatal(err)
		}
		eachOdd(root, asked, func() {
			text, err := json.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			asked++
			odd.hold(t, text)
		})
	}
	if asked < 700 {
		t.Errorf("only %d records were asked", asked)
	}
}

// eachOdd calls f with one value after the other replaced in place, or taken out. The odd ones take turns, beginning with that of a number.
func eachOdd(v any, turn int, f func()) {
	all := []any{nil, true, -1.5, 1e300, "", "x", []any{}, []any{nil, "x"}, map[string]any{}, map[string]any{"$masked": "string", "digest": "x"}, map[string]any{"x": map[string]any{"y": "z"}}}
	some := func() []any {
		turn++
		return []any{all[(2*turn)%len(all)], all[(2*turn+1)%len(all)]}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			old := v[key]
			for _, x := range some() {
				v[key] = x
				f()
			}
			delete(v, key)
			f()
			v[key] = old
			eachOdd(old, turn, f)
		}
	case []any:
		for i, old := range v {
			for _, x := range some() {
				v[i] = x
				f()
			}
			v[i] = old
			eachOdd(old, turn+i, f)
		}
	}
}

// recordedSeeds are records of all four questions.
func recordedSeeds(f testing.TB, policy map[string]string, mode RecordMode) (documents [][]byte) {
	f.Helper()
	e := engineFrom(f, Config{Dir: dirWith(f, policy), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, Record: mode, RecordKey: recordKey()})
	keep := func(r *oauth.DecisionRecord, err error) {
		if err != nil || r == nil {
			f.Fatal(r, err)
		}
		documents = append(documents, r.Document)
	}
	for _, v := range []oauth.Evaluation{call("transfer", map[string]any{"amount": json.Number("9"), "to": "x"}, "tools:payments.transfer"), call("get_weather", nil)} {
		d, err := e.Decide(f.Context(), v)
		keep(d.Record, err)
	}
	plain := call("get_weather", nil)
	plain.Token, plain.Tool = nil, nil
	d, err := e.Decide(f.Context(), plain)
	keep(d.Record, err)
	s, err := e.GrantScopes(f.Context(), scopeRequest(oauth.NewScopes("tools:weather.read", "tools:payments.transfer"), "staff"))
	keep(s.Record, err)
	c, err := e.Admit(f.Context(), oauth.ClientRequest{ID: "dec_1", Stage: oauth.ClientStageURL, Client: &oauth.Client{ID: "https://agent.example/c.json", Registration: oauth.RegistrationCIMD}})
	keep(c.Record, err)
	return documents
}
