package policies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"portcullis/oauth"
)

// notebook keeps what a shadow writes.
type notebook struct {
	mu   sync.Mutex
	rows []ShadowFlip
}

func (n *notebook) write(_ context.Context, flips []ShadowFlip) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rows = append(n.rows, flips...)
	return nil
}

func (n *notebook) list() []ShadowFlip {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.rows)
}

// shadowed is an engine with these files and a shadow with others, which does not run.
func shadowed(t *testing.T, active, candidate map[string]string, deadline time.Duration) (*Shadow, *notebook) {
	t.Helper()
	c := Config{Dir: dirWith(t, active), Defaults: true, Deadline: deadline, Catalogue: []*oauth.Resource{demoResource()}, Log: silent()}
	e, err := New(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	n := &notebook{}
	return NewShadow(ShadowConfig{Active: e, Dir: dirWith(t, candidate), Config: c, Write: n.write}), n
}

// drain evaluates what waits in the queue.
func (s *Shadow) drain() {
	for {
		select {
		case j := <-s.jobs:
			s.evaluate(context.Background(), j)
		default:
			return
		}
	}
}

func limitAt(n int) map[string]string {
	return map[string]string{"limit.rego": fmt.Sprintf("package policy.tools.limit\n\ndeny contains {\"code\": \"limit\", \"message\": \"too much\"} if input.tool.arguments.amount > %d\n", n)}
}

// TestAShadowTellsOfFlips: answers are those of the active policies, and the other ones are told in both directions.
func TestAShadowTellsOfFlips(t *testing.T) {
	for name, tc := range map[string]struct {
		active, candidate int
		want              string
		flip              ShadowFlip
	}{
		"stricter": {100, 5, "allow", ShadowFlip{Given: "allowed", WouldBe: "denied"}},
		"laxer":    {5, 100, "limit", ShadowFlip{Given: "denied", WouldBe: "allowed"}},
	} {
		s, n := shadowed(t, limitAt(tc.active), limitAt(tc.candidate), 2*time.Second)
		s.load(context.Background())
		for range 3 {
			d, err := s.Decide(context.Background(), call("transfer", map[string]any{"amount": number(50)}, "tools:payments.transfer"))
			if err != nil || word(d) != tc.want || d.Revision != s.active.Status().Revision {
				t.Errorf("%s: %+v %v", name, d, err)
			}
		}
		if _, err := s.Decide(context.Background(), call("transfer", map[string]any{"amount": number(1)}, "tools:payments.transfer")); err != nil {
			t.Error(err)
		}
		s.drain()
		want := FlipCount{Mode: "shadow", Kind: "tools", WouldBe: tc.flip.WouldBe, Count: 3}
		if got := s.Flips(); !reflect.DeepEqual(got, []FlipCount{want}) {
			t.Errorf("%s: counted %+v", name, got)
		}
		s.writeRows(context.Background(), s.rows.due(time.Now()))
		f := tc.flip
		f.Kind, f.Client, f.Resource, f.Tool, f.Action, f.Rule, f.Example, f.Count = "tools", "https://agent.example/client.json", demoResource().ID, "transfer", "tools/call", "limit.deny", "dec_1", 3
		f.Revision, f.ShadowRevision = s.active.Status().Revision, s.Status().Revision
		if got := n.list(); !reflect.DeepEqual(got, []ShadowFlip{f}) {
			t.Errorf("%s: written %+v\nwant %+v", name, got, f)
		}
		if st := s.Status(); st.Evaluated != 4 || st.Dropped != 0 || st.Stale || st.Revision == "" || st.Revision == f.Revision {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// TestAShadowIsAskedEveryQuestion, with the scopes of a grant.
func TestAShadowIsAskedEveryQuestion(t *testing.T) {
	candidate := map[string]string{
		"s.rego": "package policy.scopes.s\n\ndeny_scope contains {\"scope\": \"tools:payments.transfer\", \"code\": \"no_money\", \"message\": \"no\"} if input.client.id == \"cli\"\n",
		"c.rego": "package policy.clients.c\n\ndeny contains \"no\" if input.client.id == \"https://agent.example/client.json\"\n",
		"a.rego": "package policy.access.a\n\nallow if input.action.name == \"read\"\n",
	}
	s, n := shadowed(t, nil, candidate, 2*time.Second)
	s.load(context.Background())
	ctx, rc := context.Background(), oauth.RequestContext{Time: time.Unix(1_900_000_000, 0)}
	if _, err := s.GrantScopes(ctx, scopeRequest(oauth.NewScopes("tools:payments.transfer", "tools:weather.read"), "staff")); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Admit(ctx, oauth.ClientRequest{ID: "dec_5", Stage: oauth.ClientStageURL, Client: &oauth.Client{ID: "https://agent.example/client.json", Registration: oauth.RegistrationCIMD}, Context: rc}); err != nil || !d.Allow {
		t.Fatal(d, err)
	}
	if d, err := s.Decide(ctx, oauth.Evaluation{ID: "dec_4", Caller: demoResource(), Claimed: oauth.AuthZENSubject{Type: "user", ID: "u"}, Action: oauth.AuthZENAction{Name: "read"},
		Resource: oauth.AuthZENResource{Type: "x", ID: "y"}, Context: rc}); err != nil || d.Allow {
		t.Fatal(d, err)
	}
	s.drain()
	s.writeRows(ctx, s.rows.due(time.Now()))
	got := map[string]string{}
	for _, f := range n.list() {
		got[f.Kind] = fmt.Sprint(f.Given, " ", f.WouldBe, " ", f.Rule, " ", f.Client, " ", f.WouldGrant)
	}
	want := map[string]string{"scopes": "allowed allowed s.deny_scope cli tools:weather.read", "clients": "allowed denied c.deny  ", "access": "denied allowed not_allowed  "}
	for k, text := range want {
		if got[k] != text {
			t.Errorf("%s: %q, want %q", k, got[k], text)
		}
	}
}

// TestAShadowSeesTheSameTime, to the nanosecond, also where the request has none.
func TestAShadowSeesTheSameTime(t *testing.T) {
	rule := map[string]string{"t.rego": "package policy.tools.t\n\ndeny contains {\"code\": sprintf(\"t%d\", [time.now_ns()]), \"message\": \"x\"} if input.tool.name == \"get_weather\"\n"}
	s, _ := shadowed(t, rule, rule, 2*time.Second)
	s.load(context.Background())
	v := call("get_weather", nil, "tools:weather.read")
	v.Context.Time = time.Time{}
	given, err := s.Decide(context.Background(), v)
	if err != nil || len(given.Reasons) != 1 || !strings.HasPrefix(given.Reasons[0].Code, "t1") {
		t.Fatal(given, err)
	}
	j := <-s.jobs
	if now := j.ask(s.engine.Load()); now.reason != given.Reasons[0].Code {
		t.Errorf("the answer saw %s, the shadow %s", given.Reasons[0].Code, now.reason)
	}
}

// TestNoAnswerWaitsForAShadow: while the candidate is in an evaluation that does not end, answers come, and what does not fit is dropped.
func TestNoAnswerWaitsForAShadow(t *testing.T) {
	s, n := shadowed(t, limitAt(100), map[string]string{"loop.rego": endlessTool}, time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	eventually(t, "the load", func() bool { return s.Status().Revision != "" })
	v := call("transfer", map[string]any{"amount": number(50)}, "tools:payments.transfer")
	const all = shadowQueue + shadowWorkers + 20
	for i := range all {
		if d, err := s.Decide(context.Background(), v); err != nil || !d.Allow {
			t.Fatalf("answer %d: %+v %v", i, d, err)
		}
	}
	// all have their answers, although the candidate has finished nothing
	if st := s.Status(); st.Evaluated != 0 || st.Dropped < 20 {
		t.Errorf("%+v", st)
	}
	cancel() // the deadline is an hour: only stopping the evaluation ends it
	<-done
	if rows := n.list(); len(rows) != 0 {
		t.Errorf("a stopped evaluation was taken for an answer: %+v", rows)
	}
}

const endlessTool = "package policy.tools.loop\n\ndeny contains \"x\" if {\n\tinput.tool.name == \"transfer\"\n\tsome a in numbers.range(1, 9000)\n\tsome b in numbers.range(1, 9000)\n\tsome c in numbers.range(1, 9000)\n\ta + b + c == 0\n}\n"

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not come", what)
}

// TestABrokenShadowStopsNothing: it is told, answers go on, and mending it is enough. A later fault leaves the last good candidate.
func TestABrokenShadowStopsNothing(t *testing.T) {
	s, _ := shadowed(t, limitAt(100), map[string]string{"limit.rego": "package policy.tools.limit\n\ndenny contains \"x\" if true\n"}, 2*time.Second)
	v := call("transfer", map[string]any{"amount": number(50)}, "tools:payments.transfer")
	ask := func() {
		t.Helper()
		if d, err := s.Decide(context.Background(), v); err != nil || !d.Allow {
			t.Errorf("%+v %v", d, err)
		}
		s.drain()
	}
	if st := s.Status(); !st.Stale || st.Error != "not loaded yet" {
		t.Errorf("before the load: %+v", st)
	}
	s.load(context.Background())
	ask()
	if st := s.Status(); !st.Stale || st.Revision != "" || !strings.Contains(st.Error, "limit.rego:3") || st.Unloaded != 1 || st.Evaluated != 0 {
		t.Errorf("broken: %+v", st)
	}
	write(t, s.config.Dir, limitAt(5))
	s.load(context.Background())
	ask()
	good := s.Status()
	if good.Stale || good.Revision == "" || good.Evaluated != 1 || len(s.Flips()) != 1 {
		t.Errorf("mended: %+v %+v", good, s.Flips())
	}
	write(t, s.config.Dir, map[string]string{"limit.rego": "package"})
	s.load(context.Background())
	ask()
	if st := s.Status(); !st.Stale || st.Revision != good.Revision || st.Evaluated != 2 {
		t.Errorf("broken again: %+v", st)
	}
	if err := os.RemoveAll(s.config.Dir); err != nil {
		t.Fatal(err)
	}
	s.load(context.Background())
	ask()
	if st := s.Status(); !st.Stale || st.Revision != good.Revision {
		t.Errorf("gone: %+v", st)
	}
}

// TestAFailingShadowIsCountedAsAnError, and is a flip where the answer is allowed.
func TestAFailingShadowIsCountedAsAnError(t *testing.T) {
	s, n := shadowed(t, limitAt(100), map[string]string{"x.rego": "package policy.tools.x\n\ndeny contains \"x\" if to_number(input.tool.name) > 5\n"}, 2*time.Second)
	s.load(context.Background())
	for _, amount := range []int{50, 500} {
		if _, err := s.Decide(context.Background(), call("transfer", map[string]any{"amount": number(amount)}, "tools:payments.transfer")); err != nil {
			t.Fatal(err)
		}
	}
	s.drain()
	s.writeRows(context.Background(), s.rows.due(time.Now()))
	if got := s.Flips(); len(got) != 1 || got[0].WouldBe != wouldFail || got[0].Count != 2 {
		t.Errorf("%+v", got)
	}
	if got := n.list(); len(got) != 1 || got[0].Rule != codePolicyError || got[0].Count != 1 {
		t.Errorf("%+v", got)
	}
}

// TestFlipsAreWrittenOnceAMinute for each kind of question, client, tool, rule and direction; the rest of the minute is a number in the next row,
// and the end writes what is left.
func TestFlipsAreWrittenOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notebook{}
		s := NewShadow(ShadowConfig{Config: Config{Dir: "nowhere", Log: silent()}, Dir: t.TempDir() + "/none", Write: n.write})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		counts := func() map[string][]int {
			m := map[string][]int{}
			for _, f := range n.list() {
				m[f.Tool] = append(m[f.Tool], f.Count)
			}
			return m
		}
		want := func(when string, w map[string][]int) {
			t.Helper()
			if got := counts(); !maps.EqualFunc(got, w, slices.Equal) {
				t.Errorf("%s: %v, want %v", when, got, w)
			}
		}
		s.rows.add(ShadowFlip{Tool: "a"})
		time.Sleep(1500 * time.Millisecond)
		want("at once", map[string][]int{"a": {1}})
		for range 5 {
			s.rows.add(ShadowFlip{Tool: "a"})
		}
		s.rows.add(ShadowFlip{Tool: "b"})
		time.Sleep(50 * time.Second)
		want("in the same minute", map[string][]int{"a": {1}, "b": {1}})
		time.Sleep(15 * time.Second)
		want("after it", map[string][]int{"a": {1, 5}, "b": {1}})
		time.Sleep(5 * time.Minute)
		want("and no more", map[string][]int{"a": {1, 5}, "b": {1}})
		s.rows.mu.Lock()
		if len(s.rows.rows) != 0 {
			t.Errorf("%d rows are remembered for nothing", len(s.rows.rows))
		}
		s.rows.mu.Unlock()
		for i := range 3 * maxFlipRows {
			s.rows.add(ShadowFlip{Tool: fmt.Sprint("many", i)})
		}
		time.Sleep(2 * time.Second)
		if got := len(n.list()); got != 3+maxFlipRows {
			t.Errorf("%d rows", got)
		}
		s.rows.add(ShadowFlip{Tool: "many0"})
		cancel()
		<-done
		if got := counts()["many0"]; !slices.Equal(got, []int{1, 1}) {
			t.Errorf("the end writes what is left: %v", got)
		}
	})
}

// TestRowsThatCannotBeWrittenStopNothing.
func TestRowsThatCannotBeWrittenStopNothing(t *testing.T) {
	s, _ := shadowed(t, limitAt(100), limitAt(5), 2*time.Second)
	s.write = func(context.Context, []ShadowFlip) error { return errors.New("full") }
	s.load(context.Background())
	for range 2 {
		d, err := s.Decide(context.Background(), call("transfer", map[string]any{"amount": number(50)}, "tools:payments.transfer"))
		if err != nil || !d.Allow {
			t.Errorf("%+v %v", d, err)
		}
		s.drain()
		s.writeRows(context.Background(), s.rows.all(time.Now()))
	}
	if got := s.Flips(); len(got) != 1 || got[0].Count != 2 {
		t.Errorf("%+v", got)
	}
}

// TestASlowShadowRests: after a quick evaluation the next one begins at once, after a slow one most of the time belongs to answers.
func TestASlowShadowRests(t *testing.T) {
	for took, want := range map[time.Duration]uint64{20 * time.Millisecond: shadowQueue, 100 * time.Millisecond: 1, 50 * time.Millisecond: 2} {
		synctest.Test(t, func(t *testing.T) {
			s := NewShadow(ShadowConfig{Config: Config{Log: silent(), Deadline: 100 * time.Millisecond}, Dir: t.TempDir() + "/none"})
			for range shadowQueue {
				s.jobs <- shadowJob{ask: func(*Engine) sight { time.Sleep(took); return sight{} }}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second-time.Millisecond)
			defer cancel()
			s.evaluateQueue(ctx)
			if n := s.evaluated.Load(); n != want && n != want-1 { // the last one may be stopped by the end
				t.Errorf("%d evaluations of %s in a second, want %d", n, took, want)
			}
		})
	}
}

// TestRowsOfFlipsAreShort: names that a caller makes up are cut as in the row of the decision, or one call would be a row of 250 KiB.
func TestRowsOfFlipsAreShort(t *testing.T) {
	allow := map[string]string{"access/all.rego": "package policy.access.all\n\nallow if input.subject.id != \"\"\n"}
	s, n := shadowed(t, allow, nil, 2*time.Second)
	s.load(context.Background())
	long := strings.Repeat("é", 100<<10)
	v := oauth.Evaluation{ID: "dec_1", Caller: demoResource(), Claimed: oauth.AuthZENSubject{Type: "identity", ID: "alice"},
		Action: oauth.AuthZENAction{Name: long}, Resource: oauth.AuthZENResource{Type: "file", ID: long}}
	if d, err := s.Decide(context.Background(), v); err != nil || !d.Allow {
		t.Fatalf("%+v %v", d, err)
	}
	s.drain()
	s.writeRows(context.Background(), s.rows.all(time.Now()))
	rows := n.list()
	if len(rows) != 1 || rows[0].WouldBe != "denied" {
		t.Fatalf("%d rows", len(rows))
	}
	for _, text := range []string{rows[0].Tool, rows[0].Action} {
		if len(text) > 110 || !utf8.ValidString(text) || !strings.HasPrefix(text, "éé") {
			t.Errorf("a name of %d bytes", len(text))
		}
	}
}
