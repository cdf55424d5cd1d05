package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"portcullis/oauth"
)

func recordKey() []byte { return bytes.Repeat([]byte("k"), 32) }

// recording is an engine that records, with these author files beside the shipped defaults.
func recording(t testing.TB, mode RecordMode, files map[string]string) *Engine {
	t.Helper()
	return engineFrom(t, Config{Dir: dirWith(t, files), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, Record: mode, RecordKey: recordKey()})
}

// recordOf reads the document of a decision.
func recordOf(t testing.TB, r *oauth.DecisionRecord) record {
	t.Helper()
	if r == nil {
		t.Fatal("the decision has no record")
	}
	var out record
	if err := json.Unmarshal(r.Document, &out); err != nil {
		t.Fatalf("%v in %s", err, r.Document)
	}
	return out
}

// at reads one place of a recorded input; nil if there is nothing.
func (r *record) at(t testing.TB, path string) any {
	t.Helper()
	if r.Input == nil {
		return nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(r.Input))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

func TestRecordsSayWhatWasDecidedAndWhy(t *testing.T) {
	e := recording(t, RecordMasked, map[string]string{"tools/payments.rego": paymentsRego})
	v := call("transfer", map[string]any{"amount": json.Number("5000")}, "tools:weather.read")
	d := decide(t, e, v)
	got := recordOf(t, d.Record)
	if d.Record.ID != v.ID || d.Record.Kind != "tools" || d.Record.Revision != d.Revision || !d.Record.Time.Equal(v.Context.Time) {
		t.Errorf("record %+v", d.Record)
	}
	if got.ID != v.ID || got.At != v.Context.Time.UnixNano() || got.Revision != d.Revision || got.Kind != kindTools || got.Catalogue == "" {
		t.Errorf("document %+v", got)
	}
	if got.Result.Allow || len(got.Result.Reasons) != 1 || got.Result.Reasons[0] != (outcomeReason{"payments.limit", "payments"}) {
		t.Errorf("result %+v", got.Result)
	}
	if want := oauth.NewScopes("tools:payments.transfer"); !slices.Equal(got.Result.Missing, want) || !slices.Equal(got.Result.Required, want) {
		t.Errorf("result %+v", got.Result)
	}
	want := firedRule{Export: "deny", Package: "payments", Rule: "payments.deny", File: "tools/payments.rego", Line: 3}
	if !slices.Contains(got.Fired, want) {
		t.Errorf("fired %+v, want %+v among them", got.Fired, want)
	}
	if strings.Contains(string(d.Record.Document), "is above") || strings.Contains(string(d.Record.Document), "5000") {
		t.Errorf("the policy's own text, which may quote values, is in the record: %s", d.Record.Document)
	}
}

const paymentsRego = `package policy.tools.payments

deny contains {"code": "payments.limit", "message": sprintf("%v is above the limit", [input.tool.arguments.amount])} if {
	input.tool.name == "transfer"
	input.tool.arguments.amount > 1000
}
`

// X5: the query, the fragment and the user information of an address are values of a caller: a token may stand there. Such an address is kept back as
// a whole, so that a replay says that it lacks it; another one is kept, because policies decide by it.
func TestRecordsHoldNoQueriesOfAddresses(t *testing.T) {
	for address, kept := range map[string]bool{"file:///public/a.txt": true, "https://files.example/a/b": true, "notes://today": true, "get_weather": true, "what?": true,
		"https://files.example/a?sig=SECRET": false, "https://files.example/a#SECRET": false, "https://joe:SECRET@files.example/a": false, "data:text/plain,SECRET": false,
		"HTTPS://files.example/a?SECRET": false} {
		v := call("transfer", nil, "tools:payments.transfer")
		v.Action.Name, v.Tool, v.MCP = "resources/read", nil, oauth.MCPCall{Method: "resources/read", URI: address}
		v.Resource = oauth.AuthZENResource{Type: "resource", ID: address}
		plain := v
		plain.Token = nil
		masked := recording(t, RecordMasked, nil)
		for name, e := range map[string]oauth.Evaluation{"tools": v, "access": plain} {
			r := recordOf(t, decide(t, masked, e).Record)
			if strings.Contains(string(r.Input), "SECRET") {
				t.Errorf("%s: a value is in the record: %s", name, r.Input)
			}
			if got := r.at(t, "resource.id") == any(address); got != kept {
				t.Errorf("%s: %s is %v", name, address, r.at(t, "resource.id"))
			}
			if got := r.at(t, "mcp.uri") == any(address); name == "tools" && got != kept {
				t.Errorf("%s: %s is %v", name, address, r.at(t, "mcp.uri"))
			}
		}
		if r := recordOf(t, decide(t, recording(t, RecordValues, nil), v).Record); r.at(t, "mcp.uri") != address {
			t.Errorf("values: %s is %v", address, r.at(t, "mcp.uri"))
		}
	}
}

func TestRecordsHoldNoValuesUnlessTheOperatorWantsThem(t *testing.T) {
	v := call("transfer", map[string]any{"memo": "SECRET1", "list": []any{"SECRET2"}, "nested": map[string]any{"SECRET3": "SECRET4"}}, "tools:payments.transfer")
	v.Claimed.Properties = map[string]any{"department": "SECRET5"}
	v.Action.Properties = map[string]any{"note": "SECRET6"}
	v.Resource.Properties["owner"] = "SECRET7"
	v.Extra = map[string]any{"ticket": "SECRET8"}
	v.MCP.SessionID = "SECRET9"
	plain := v
	plain.Token = nil // policy.access sees the properties themselves

	masked := recording(t, RecordMasked, nil)
	for name, e := range map[string]oauth.Evaluation{"tools": v, "access": plain} {
		document := string(decide(t, masked, e).Record.Document)
		if strings.Contains(document, "SECRET") {
			t.Errorf("%s: a value is in the record: %s", name, document)
		}
	}
	r := recordOf(t, decide(t, masked, v).Record)
	for path, kind := range map[string]string{"tool.arguments.memo": "string", "tool.arguments.list": "array", "tool.arguments.nested": "object",
		"subject.properties.department": "string", "context.properties.ticket": "string", "mcp.session_id": "string"} {
		marker, _ := r.at(t, path).(map[string]any)
		if digest, _ := marker["digest"].(string); marker["$masked"] != kind || len(digest) != 22 {
			t.Errorf("%s is %v", path, r.at(t, path))
		}
	}
	if r.at(t, "subject.username") != "alice" || r.at(t, "tool.name") != "transfer" {
		t.Errorf("what is no value of a caller is masked: %s", r.Input)
	}

	open := recordOf(t, decide(t, recording(t, RecordValues, nil), v).Record)
	if open.at(t, "tool.arguments.memo") != "SECRET1" || open.at(t, "tool.arguments.nested.SECRET3") != "SECRET4" {
		t.Errorf("values: %s", open.Input)
	}
	if strings.Contains(string(open.Input), "SECRET9") {
		t.Errorf("the session id is in the record: %s", open.Input)
	}
	if d := decide(t, recording(t, RecordOff, nil), v); d.Record != nil {
		t.Errorf("off: %s", d.Record.Document)
	}
}

func TestTheSameValueHasTheSameDigest(t *testing.T) {
	e := recording(t, RecordMasked, nil)
	digest := func(e *Engine, value any) string {
		r := recordOf(t, decide(t, e, call("transfer", map[string]any{"x": value})).Record)
		marker, _ := r.at(t, "tool.arguments.x").(map[string]any)
		text, _ := marker["digest"].(string)
		return text
	}
	number := func(n string) any { return json.Number(n) }
	for _, tc := range []struct {
		name string
		a, b any
		same bool
	}{
		{"equal texts", "a", "a", true},
		{"different texts", "a", "b", false},
		{"a number and its text", number("1"), "1", false},
		{"two spellings of one number", number("1"), number("1.0"), true},
		{"with an exponent", number("1200"), number("1.2e3"), true},
		{"a small one", number("0.00012"), number("12E-5"), true},
		{"a large one", number("1e300"), number("10e299"), true},
		{"zeros", number("0"), number("-0.0e5"), true},
		{"different numbers", number("1"), number("10"), false},
		{"different signs", number("1.5"), number("-1.5"), false},
		{"beyond what a float holds", number("9007199254740993"), number("9007199254740992"), false},
		{"objects in any order", map[string]any{"a": number("1"), "b": "x"}, map[string]any{"b": "x", "a": number("1.0")}, true},
		{"different objects", map[string]any{"a": number("1")}, map[string]any{"a": number("1"), "b": nil}, false},
		{"nested differently", []any{[]any{"a"}, "b"}, []any{[]any{"a", "b"}}, false},
		{"null and false", nil, false, false},
	} {
		if a, b := digest(e, tc.a), digest(e, tc.b); a == "" || (a == b) != tc.same {
			t.Errorf("%s: %s and %s, want them equal: %v", tc.name, a, b, tc.same)
		}
	}
	other := engineFrom(t, Config{Defaults: true, Record: RecordMasked, RecordKey: bytes.Repeat([]byte("z"), 32)})
	if digest(e, "a") == digest(other, "a") {
		t.Error("the digest does not depend on the key: anybody could try values out")
	}
}

func TestEveryQuestionIsRecorded(t *testing.T) {
	e := recording(t, RecordMasked, nil)
	granted := grant(t, e, oauth.NewScopes("tools:weather.read", "tools:nonsense.read"))
	g := recordOf(t, granted.Record)
	if g.Kind != kindScopes || !g.Result.Allow || !slices.Equal(g.Result.Granted, oauth.NewScopes("tools:weather.read")) ||
		!slices.Contains(g.Result.Denied, outcomeRefusal{"tools:nonsense.read", "not_granted"}) {
		t.Errorf("%+v", g)
	}
	admitted, err := e.Admit(context.Background(), oauth.ClientRequest{ID: "dec_3", Stage: oauth.ClientStageRegister,
		Client: &oauth.Client{ID: "c", Registration: oauth.RegistrationDCR, RedirectURIs: []string{"myapp://cb"}}, Context: oauth.RequestContext{Time: time.Unix(1, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	if a := recordOf(t, admitted.Record); a.Kind != kindClients || a.Result.Allow || a.Result.Reasons[0].Code != "redirect_uri_not_allowed" {
		t.Errorf("%+v", a)
	}
	bad := call("transfer", map[string]any{"amount": json.Number("1e999999")})
	if r := recordOf(t, decide(t, e, bad).Record); r.Input != nil || r.Withheld == "" || r.Result.Reasons[0].Code != codePolicyError {
		t.Errorf("a request that cannot be decided on: %+v", r)
	}
}

func TestRecordsHoldTheUnmetLoginsOfAGrant(t *testing.T) {
	e := recording(t, RecordMasked, map[string]string{"scopes/fresh.rego": `package policy.scopes.fresh

require_authn contains {"max_age": 60} if input.stage == "refresh"

require_authn contains {"acr_values": ["pwd"]} if input.stage == "refresh"
`})
	r := scopeRequest(oauth.NewScopes("tools:weather.read"))
	r.Stage, r.Authn = oauth.StageRefresh, oauth.Authentication{Time: r.Context.Time.Add(-time.Hour), ACR: "pwd"}
	d, err := e.GrantScopes(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got := recordOf(t, d.Record).Result.Authn; len(got) != 1 || got[0].MaxAge != 60 {
		t.Errorf("%+v", got)
	}
}

func TestRecordsHoldTheClockOfThePolicies(t *testing.T) {
	e := recording(t, RecordMasked, map[string]string{"tools/hours.rego": `package policy.tools.hours

deny contains "closed" if time.clock([time.now_ns(), "UTC"])[0] < 8
`})
	v := call("get_weather", nil, "tools:weather.read")
	v.Context.Time = time.Unix(1_900_000_000, 123_456_789)
	r := recordOf(t, decide(t, e, v).Record)
	if r.At != v.Context.Time.UnixNano() {
		t.Errorf("time %d", r.At)
	}
	text, err := json.Marshal(r.ND)
	if err != nil || !strings.Contains(string(text), "time.now_ns") || !strings.Contains(string(text), "1900000000123456789") {
		t.Errorf("non-deterministic values %s, %v", text, err)
	}
	if plain := recordOf(t, decide(t, recording(t, RecordMasked, nil), v).Record); plain.ND != nil {
		t.Errorf("policies without a clock: %v", plain.ND)
	}
}

// TestRecordsHoldTheInputThatWasEvaluated compares what input.go writes for an evaluation with what it writes for a record.
func TestRecordsHoldTheInputThatWasEvaluated(t *testing.T) {
	e := recording(t, RecordValues, nil)
	check := func(t *testing.T, write func(*object) error) {
		t.Helper()
		p := page{digests: newDigests(recordKey())}
		o := p.document(&maskNode{})
		if err := write(&o); err != nil {
			t.Fatal(err)
		}
		p.out = append(p.out, '}')
		got, err := ast.ValueFromReader(bytes.NewReader(p.out))
		if err != nil {
			t.Fatalf("%v in %s", err, p.out)
		}
		if want := documentOf(t, e.words, write); got.Compare(want) != 0 {
			t.Fatalf("recorded  %s\nevaluated %s", got, want)
		}
	}
	for _, settings := range randomSettings(rand.New(rand.NewPCG(1, 2)), 300) {
		v := turned(settings)
		check(t, func(o *object) error { return o.toolCall(v) })
		check(t, func(o *object) error { return o.access(v) })
	}
	odd := call("transfer", map[string]any{"": "", "quote\"\n\u2028": []any{map[string]any{}, []any{}, nil, true, json.Number("-0.50e+3")}}, "a:b")
	odd.Actors = []oauth.Actor{{Type: "agent", ID: "a1"}, {ID: "a2"}}
	odd.Extra = map[string]any{}
	check(t, func(o *object) error { return o.toolCall(odd) })
	r := scopeRequest(oauth.NewScopes("a:b", "c:d"), "staff")
	r.MaxAge, r.RequestedACR, r.Offline, r.Authn = time.Minute, []string{"x"}, true, oauth.Authentication{Time: time.Unix(5, 0), AMR: []string{"pwd"}}
	check(t, func(o *object) error { o.scopeGrant(r); return nil })
	check(t, func(o *object) error { o.scopeGrant(oauth.ScopeRequest{}); return nil })
	c := oauth.ClientRequest{ID: "dec_4", Stage: oauth.ClientStageDocument, Client: &oauth.Client{ID: "https://c.example/c", Registration: oauth.RegistrationCIMD, RedirectURIs: []string{"https://c.example/cb"}}}
	check(t, func(o *object) error { o.clientAdmission(c); return nil })
}

func TestARememberedAnswerIsRecordedLikeANewOne(t *testing.T) {
	e := recording(t, RecordMasked, map[string]string{"tools/payments.rego": paymentsRego})
	first := call("transfer", map[string]any{"amount": json.Number("5000")}, "tools:payments.transfer")
	second := first
	second.ID, second.Context.Time = "dec_2", first.Context.Time.Add(time.Nanosecond)
	a, b := decide(t, e, first).Record, decide(t, e, second).Record
	if e.CacheStats().Hits != 1 {
		t.Fatalf("%+v", e.CacheStats())
	}
	x, y := recordOf(t, a), recordOf(t, b)
	if y.ID != "dec_2" || y.At != x.At+1 || y.at(t, "id") != "dec_2" {
		t.Errorf("%s", b.Document)
	}
	x.ID, x.At, x.Input, y.ID, y.At, y.Input = "", 0, nil, "", 0, nil
	if !reflect.DeepEqual(x, y) || len(x.Fired) == 0 {
		t.Errorf("a miss %+v\na hit  %+v", x, y)
	}
}

// The head is written by hand, and is what encoding/json makes of the record.
func TestTheHeadOfARecordIsThatOfEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	texts := []string{"", "plain", `"<b>&\\`, "é\u2028\xff", "a/b:c"}
	text := func() string { return texts[r.IntN(len(texts))] }
	list := func() []string { return [][]string{nil, {}, {text()}, {text(), text()}}[r.IntN(4)] }
	for range 3000 {
		one := record{Version: r.IntN(3), Kind: kind(text()), ID: text(), At: r.Int64() - r.Int64(), Revision: text(), Catalogue: text(), Mode: RecordMode(text()), Withheld: text(),
			Removed: list(), Replaced: list(), Result: outcome{Allow: r.IntN(2) == 0, Required: list(), Missing: list(), Granted: list(), Consent: list()}}
		for range r.IntN(3) {
			one.Result.Reasons = append(one.Result.Reasons, outcomeReason{text(), text()})
			one.Result.Authn = append(one.Result.Authn, outcomeAuthn{list(), r.Int64N(2)})
			one.Result.Denied = append(one.Result.Denied, outcomeRefusal{text(), text()})
			one.Fired = append(one.Fired, firedRule{text(), text(), text(), text(), r.IntN(100)})
			one.Tried = append(one.Tried, keptTrial{Package: text(), Granted: list(), Fired: one.Fired})
		}
		if r.IntN(4) == 0 {
			one.ND = builtins.NDBCache{}
			one.ND.Put("time.now_ns", ast.NewArray(), ast.Number("12"))
		}
		want, err := json.Marshal(&one)
		if err != nil {
			t.Fatal(err)
		}
		got, err := one.appendHead([]byte("before"))
		if err != nil || string(got) != "before"+string(want) {
			t.Fatalf("%v\n%s, want\n%s", err, got, want)
		}
	}
	for what, members := range map[reflect.Type]int{reflect.TypeFor[record](): 15, reflect.TypeFor[outcome](): 8, reflect.TypeFor[outcomeReason](): 2, reflect.TypeFor[firedRule](): 5} {
		if n := what.NumField(); n != members {
			t.Errorf("%s has %d members; appendHead and this test know %d", what, n, members)
		}
	}
}
