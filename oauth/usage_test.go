package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/oauth"
)

// quota is a policy folder with a quota for one tool, in calls an hour.
func quota(t *testing.T, calls int) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("package policy.tools.quota\n\ndeny contains {\"code\": \"quota\", \"message\": \"no more calls\"} if {\n"+
		"\tinput.tool.name == \"crm_update\"\n\tnot mcp.usage(3600) < %d\n}\n", calls)
	must(t, os.WriteFile(filepath.Join(dir, "quota.rego"), []byte(text), 0o600))
	return dir
}

// counted is how many calls of the tool the newest decision's grant has.
func (w *world) counted(tool string) int64 {
	w.Helper()
	rows, err := w.store.Audit().Tail(w.ctx, 1)
	must(w.T, err)
	n, err := w.store.Usage(w.ctx, rows[0].Event.GrantID, tool, time.Unix(0, 0))
	must(w.T, err)
	return n
}

func TestAQuotaCountsAllowedCallsOfOneGrantAndTool(t *testing.T) {
	w := newWorld(t, quota(t, 3))
	alice := w.tokens()
	for i, want := range []string{"allowed", "allowed", "allowed", "quota", "quota"} {
		if r := w.call(alice.AccessToken, "crm_update", nil); r.Context.Reason != want || r.Decision != (want == "allowed") {
			t.Errorf("call %d: %+v, want %s", i, r, want)
		}
	}
	if n := w.counted("crm_update"); n != 3 {
		t.Errorf("%d calls are counted: denied ones do not count", n)
	}
	if r := w.call(alice.AccessToken, "get_weather", map[string]any{"city": "Bern"}); !r.Decision || r.Context.TTLSeconds != 0 {
		t.Errorf("another tool: %+v", r)
	}
	fresh, err := w.refresh(alice.RefreshToken)
	must(t, err)
	if r := w.call(fresh.AccessToken, "crm_update", nil); r.Context.Reason != "quota" {
		t.Errorf("with a fresh token of the same grant: %+v", r)
	}
	bob, err := w.exchange(w.consented("bob", authorizeParams("scope", "tools:crm.write")).Get("code"))
	must(t, err)
	if r := w.call(bob.AccessToken, "crm_update", nil); !r.Decision {
		t.Errorf("another person: %+v", r)
	}
}

// TestPoliciesThatDoNotAskCountNothing: the rows are the price of a quota only.
func TestPoliciesThatDoNotAskCountNothing(t *testing.T) {
	w := newWorld(t, "")
	token := w.tokens().AccessToken
	for range 3 {
		if r := w.call(token, "crm_update", nil); !r.Decision {
			t.Fatalf("%+v", r)
		}
	}
	if n := w.counted("crm_update"); n != 0 {
		t.Errorf("%d calls are counted", n)
	}
}

func TestParallelCallsNeverExceedAQuota(t *testing.T) {
	w := newWorld(t, quota(t, 10))
	token := w.tokens().AccessToken
	var allowed, denied atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch r := w.call(token, "crm_update", nil); {
			case r.Decision:
				allowed.Add(1)
			case r.Context.Reason == "quota":
				denied.Add(1)
			}
		})
	}
	all.Wait()
	if allowed.Load() != 10 || denied.Load() != 40 || w.counted("crm_update") != 10 {
		t.Errorf("allowed %d, denied %d, counted %d", allowed.Load(), denied.Load(), w.counted("crm_update"))
	}
}

// decider is the world's with another ledger or reader of uses.
func (w *world) decider(ledger oauth.Ledger, usage oauth.UsageReader) *oauth.Decider {
	return w.deciderOf(w.engine, ledger, usage)
}

func (w *world) deciderOf(policy oauth.AccessPolicy, ledger oauth.Ledger, usage oauth.UsageReader) *oauth.Decider {
	return oauth.NewDecider(oauth.DeciderConfig{Issuer: issuerID, Catalogue: w.catalogue, Auth: oauth.NewClientAuthenticator(), Tokens: oauth.NewTokenChecker(w.issuer, w.store),
		Clients: storedClients{w.store}, Policy: policy, Tools: w.engine, Scopes: w.engine, Ledger: ledger, Usage: usage, ServerKey: make([]byte, 32)})
}

// rival is a second server on the same database: right before a use is committed, it has counted one itself.
type rival struct {
	oauth.Ledger
	faster int // how often
}

func (r *rival) Commit(ctx context.Context, changes ...oauth.Change) error {
	for _, c := range changes {
		if use, counts := c.(oauth.CountUse); counts && r.faster > 0 {
			r.faster--
			use.Seen = nil
			if err := r.Ledger.Commit(ctx, use); err != nil {
				return err
			}
		}
	}
	return r.Ledger.Commit(ctx, changes...)
}

func TestACallWhoseCountChangedIsDecidedAgain(t *testing.T) {
	for _, tc := range []struct {
		name          string
		limit, faster int
		reason        string
		counted       int64
	}{
		{"once", 10, 1, "allowed", 2},
		{"once, and the quota is used up", 1, 1, "quota", 1},
		{"every time", 10, 9, "usage_overtaken", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, quota(t, tc.limit))
			w.decide = w.decider(&rival{w.store, tc.faster}, w.store)
			r := w.call(w.tokens().AccessToken, "crm_update", nil)
			if r.Context.Reason != tc.reason || r.Decision != (tc.reason == "allowed") {
				t.Errorf("%+v, want %s", r, tc.reason)
			}
			if n := w.counted("crm_update"); n != tc.counted {
				t.Errorf("%d calls are counted, want %d", n, tc.counted)
			}
			rows, err := w.store.Audit().Tail(w.ctx, 1)
			must(t, err)
			if e := rows[0].Event; e.Reason != tc.reason || e.DecisionID != r.Context.EvaluationID {
				t.Errorf("on record is %+v", e)
			}
		})
	}
}

// faulty is a storage that cannot be read.
type faulty struct{}

func (faulty) Usage(context.Context, string, string, time.Time) (int64, error) {
	return 0, fmt.Errorf("%w: the disk is gone", oauth.ErrUnavailable)
}

// TestACountThatCannotBeReadIsNoAnswer: neither a decision nor policy_error, but a fault of the storage, and nothing is recorded.
func TestACountThatCannotBeReadIsNoAnswer(t *testing.T) {
	w := newWorld(t, quota(t, 3))
	token := w.tokens().AccessToken
	before, err := w.store.Audit().Tail(w.ctx, 1)
	must(t, err)
	ask := func(d *oauth.Decider) (*oauth.EvaluationResponse, error) {
		return d.Evaluate(w.ctx, "Bearer "+demoSecret, oauth.EvaluationRequest{Action: &oauth.AuthZENAction{Name: "tools/call"},
			Resource: &oauth.AuthZENResource{Type: "tool", ID: "crm_update"}, Context: map[string]any{"access_token": token}})
	}
	_, err = ask(w.decider(w.store, faulty{}))
	refused(t, err, "temporarily_unavailable", "")
	if !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	after, err := w.store.Audit().Tail(w.ctx, 1)
	must(t, err)
	if before[0].Seq != after[0].Seq {
		t.Errorf("recorded: %+v", after[0])
	}
	r, err := ask(w.decider(w.store, nil))
	must(t, err)
	if r.Decision || r.Context.Reason != "policy_error" {
		t.Errorf("nobody counts: %+v", r)
	}
}

// onlooker asks how often the tool was called, as shadow policies do, before the answer is committed.
type onlooker struct {
	oauth.AccessPolicy
	mark func(context.Context) context.Context
}

func (o onlooker) Decide(ctx context.Context, e oauth.Evaluation) (oauth.Decision, error) {
	if e.Usage != nil {
		_, _ = e.Usage(o.mark(context.WithoutCancel(ctx)), time.Hour) // whatever it says
	}
	d, err := o.AccessPolicy.Decide(ctx, e)
	d.CountUse = true
	return d, err
}

// TestNoAnswerStandsOnWhatAnOnlookerSees: neither a count that changes nor one that cannot be read. Asked without the mark, both do matter.
func TestNoAnswerStandsOnWhatAnOnlookerSees(t *testing.T) {
	unmarked := func(ctx context.Context) context.Context { return ctx }
	for name, tc := range map[string]struct {
		mark   func(context.Context) context.Context
		reader bool
		want   string
	}{
		"a count that changes":                 {oauth.OnlyLooking, true, "allowed"},
		"a count that cannot be read":          {oauth.OnlyLooking, false, "allowed"},
		"the same without the mark":            {unmarked, true, "usage_overtaken"},
		"a fault of storage, without the mark": {unmarked, false, "error"},
	} {
		w := newWorld(t, "")
		var reader oauth.UsageReader = faulty{}
		if tc.reader {
			reader = w.store
		}
		d := w.deciderOf(onlooker{w.engine, tc.mark}, &rival{w.store, 9}, reader)
		r, err := d.Evaluate(w.ctx, "Bearer "+demoSecret, oauth.EvaluationRequest{Action: &oauth.AuthZENAction{Name: "tools/call"},
			Resource: &oauth.AuthZENResource{Type: "tool", ID: "crm_update"}, Context: map[string]any{"access_token": w.tokens().AccessToken}})
		got := "error"
		if err == nil {
			got = r.Context.Reason
		}
		if got != tc.want {
			t.Errorf("%s: %s %v, want %s", name, got, err, tc.want)
		}
	}
}

// TestAQuotaOnTrialDeniesNothing, also where its count cannot be read, or is another one at every commit.
func TestAQuotaOnTrialDeniesNothing(t *testing.T) {
	dir := quota(t, 3)
	file := filepath.Join(dir, "quota.rego")
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, append([]byte("# METADATA\n# custom:\n#   mode: log_only\n"), text...), 0o600))
	for name, reader := range map[string]func(*world) oauth.UsageReader{
		"a count that cannot be read": func(*world) oauth.UsageReader { return faulty{} },
		"a count that changes":        func(w *world) oauth.UsageReader { return w.store },
	} {
		w := newWorld(t, dir)
		w.decide = w.decider(&rival{w.store, 9}, reader(w))
		if r := w.call(w.tokens().AccessToken, "crm_update", nil); !r.Decision {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
