package oauth_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// events are all audit rows so far.
func (w *world) events() []oauth.Event {
	w.Helper()
	var list []oauth.Event
	for row, err := range w.store.Audit().Since(w.ctx, 0) {
		must(w.T, err)
		list = append(list, row.Event)
	}
	return list
}

// recorded are all records of decisions so far, as "kind stage allow" or "kind tool allow".
func (w *world) recorded() []string {
	w.Helper()
	var list []string
	for r, err := range w.store.Decisions(w.ctx, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) {
		must(w.T, err)
		var document struct {
			ID    string
			Input struct {
				Stage string
				Tool  struct{ Name string }
			}
			Result struct{ Allow bool }
		}
		must(w.T, json.Unmarshal(r.Document, &document))
		if document.ID != r.ID {
			w.Errorf("the document of %s says %s", r.ID, document.ID)
		}
		outcome := "denied"
		if document.Result.Allow {
			outcome = "allowed"
		}
		list = append(list, strings.TrimSpace(r.Kind+" "+document.Input.Stage+document.Input.Tool.Name)+" "+outcome)
	}
	return list
}

func (w *world) wantRecorded(since int, want ...string) {
	w.Helper()
	if got := w.recorded()[since:]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.Errorf("recorded %q, want %q", got, want)
	}
}

func TestEveryAuditedPolicyDecisionIsRecorded(t *testing.T) {
	w := newWorld(t, "")
	first, err := w.exchange(w.consented("alice", authorizeParams("scope", "tools:weather.read offline_access")).Get("code"))
	must(t, err)
	w.wantRecorded(0, "scopes authorize allowed", "scopes token allowed")
	w.call(first.AccessToken, "get_weather", map[string]any{"city": "Oslo"})
	w.call(first.AccessToken, "crm_update", nil) // and whether the missing scope could be had
	w.wantRecorded(2, "tools get_weather allowed", "tools crm_update denied", "scopes probe allowed")
	w.call(first.AccessToken, "get_weather", map[string]any{"city": json.Number("7")}) // policy was not asked
	w.call("forged", "get_weather", nil)
	_, err = w.refresh(first.RefreshToken)
	must(t, err)
	w.wantRecorded(5, "scopes refresh allowed")

	audited := 0
	for _, e := range w.events() {
		if e.DecisionID == "" || e.Revision == "" {
			continue
		}
		audited++
		r, err := w.store.Decision(w.ctx, e.DecisionID)
		if err != nil || r.Revision != e.Revision || !r.Time.Equal(e.Time) {
			t.Errorf("the audit row %+v has the record %+v, %v", e, r, err)
		}
	}
	if audited != 5 {
		t.Errorf("%d audited decisions, want 5", audited)
	}
}

func TestDenialsOfGrantsAreRecorded(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "closed.rego")
	must(t, os.WriteFile(policy, []byte("package policy.scopes.closed\n\ndeny contains \"closed\" if input.subject.username == \"bob\"\n"), 0o600))
	w := newWorld(t, dir)
	id, b := w.loggedIn("bob", authorizeParams())
	_, err := w.auth.Resume(w.ctx, id, b)
	must(t, err)
	w.wantRecorded(0, "scopes authorize denied")

	code := w.consented("alice", authorizeParams()).Get("code")
	must(t, os.WriteFile(policy, []byte("package policy.scopes.closed\n\ndeny contains \"closed\" if input.stage == \"token\"\n"), 0o600))
	_, err = w.engine.Reload(w.ctx, w.catalogue.Resources())
	must(t, err)
	_, err = w.exchange(code)
	refused(t, err, "invalid_grant", "denied")
	w.wantRecorded(1, "scopes authorize allowed", "scopes token denied")
}

func TestNoTokenOrArgumentReachesTheDatabase(t *testing.T) {
	w := newWorld(t, "")
	token := w.tokens()
	out := w.call(token.AccessToken, "get_weather", map[string]any{"city": "Kirkenes"})
	r, err := w.store.Decision(w.ctx, out.Context.EvaluationID)
	must(t, err)
	for _, secret := range []string{token.AccessToken, token.AccessToken[len(token.AccessToken)-40:], token.RefreshToken, "Kirkenes", demoSecret} {
		if strings.Contains(string(r.Document), secret) {
			t.Errorf("%q is in the record %s", secret, r.Document)
		}
	}
	if !strings.Contains(string(r.Document), `"city":{"$masked":"string"`) {
		t.Errorf("record %s", r.Document)
	}
}
