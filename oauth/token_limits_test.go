package oauth_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"portcullis/oauth"
)

// rowsOf are the newest audit rows of a kind.
func (w *world) rowsOf(kind string) (rows []oauth.Event) {
	w.Helper()
	all, err := w.store.Audit().Tail(w.ctx, 10000)
	must(w.T, err)
	for _, r := range all {
		if r.Event.Type == kind {
			rows = append(rows, r.Event)
		}
	}
	return rows
}

// untilLimited repeats a request until it is refused for its frequency and tells how often it was answered otherwise.
func (w *world) untilLimited(atMost int, reason string, do func(i int) error) int {
	w.Helper()
	for i := range atMost {
		e := oauth.AsError(do(i))
		if e.Code != oauth.SlowDown {
			continue
		}
		if e.RetryAfter <= 0 || e.Reason != reason {
			w.Errorf("limited by %q with Retry-After %v, want %q", e.Reason, e.RetryAfter, reason)
		}
		return i
	}
	w.Errorf("%d in a row were all answered, want %s", atMost, reason)
	return atMost
}

// wantOneAlarm: a limit that was reached is one row, however long it is pushed against.
func (w *world) wantOneAlarm(reason, clientID string) {
	w.Helper()
	n := 0
	for _, ev := range w.rowsOf("token.limited") {
		if ev.Reason == reason && ev.ClientID == clientID && ev.Outcome == oauth.OutcomeDenied {
			n++
		}
	}
	if n != 1 {
		w.Errorf("%d rows of %s, want one: %+v", n, reason, w.rowsOf("token.limited"))
	}
}

// C11, AS-38: wrong secrets are counted per client, wherever they come from. The right one always passes: or whoever knows a client's
// id, or sits behind the same address, could shut it out.
func TestWrongSecretsNeverShutOutTheRightOne(t *testing.T) {
	w := newWorld(t, "")
	try := func(i int, secret string) error {
		ctx := oauth.WithRequest(w.ctx, oauth.RequestContext{IP: fmt.Sprintf("203.0.113.%d", i%250)})
		_, err := w.token.Token(ctx, oauth.DirectRequest{Form: url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, Authorization: basic(secretID, secret)})
		return err
	}
	w.untilLimited(100, "client_auth_limited", func(i int) error { return try(i, "guess") })
	for i := range 20 {
		if e := oauth.AsError(try(i, "guess")); e.Code != oauth.SlowDown {
			t.Errorf("a guess from another address: %v", e)
		}
		refused(t, try(i, clientSecret), "invalid_grant", "code_unknown")
	}
	w.wantOneAlarm("client_auth_limited", secretID)
	// Names that nobody registered are slowed down alike, and leave nothing behind.
	w.untilLimited(100, "client_auth_limited", func(i int) error {
		_, err := w.token.Token(w.ctx, oauth.DirectRequest{Form: url.Values{"grant_type": {"authorization_code"}}, Authorization: basic("nobody", "guess")})
		return err
	})
	w.wantOneAlarm("client_auth_limited", secretID)
	if rows := w.rowsOf("token.limited"); len(rows) != 1 {
		t.Errorf("%d rows: a stranger's name is in the audit", len(rows))
	}
}

// C11, C4: wrong codes and verifiers are counted per client. A public client names itself, so a stranger can use its count up:
// the right code passes all the same, and a forgotten refresh token always hears that it is one.
func TestWrongCodesNeverShutOutTheRightOne(t *testing.T) {
	w := newWorld(t, "")
	good := w.consented("alice", authorizeParams("scope", "tools:weather.read offline_access")).Get("code")
	w.untilLimited(300, "code_limited", func(i int) error { _, err := w.exchange(fmt.Sprint("guess", i)); return err })
	w.wantOneAlarm("code_limited", publicID)
	_, err := w.exchange("guess")
	refused(t, err, "temporarily_unavailable", "code_limited")
	_, err = w.exchange("guess", "client_id", "cli2")
	refused(t, err, "invalid_grant", "code_unknown")
	_, err = w.refresh("forgotten")
	refused(t, err, "invalid_grant", "refresh_unknown")
	out, err := w.exchange(good)
	must(t, err)
	_, err = w.refresh(out.RefreshToken)
	must(t, err)
	// Beyond the limit a wrong verifier still counts against its code, and the fifth still burns it.
	code := w.consented("bob", authorizeParams()).Get("code")
	for range oauth.MaxCodeFailures {
		_, err := w.exchange(code, "code_verifier", verifier+"x")
		refused(t, err, "temporarily_unavailable", "code_limited")
	}
	_, err = w.exchange(code)
	refused(t, err, "invalid_grant", "code_burnt")
}

// Agents that share one login refresh at once, and again when the tokens have run out. A client that has gone mad is stopped before it fills
// the audit, and nothing of its login is lost.
func TestRefreshesOfOneFamilyAreLimited(t *testing.T) {
	w := newWorld(t, "")
	out, other := w.tokens(), w.tokens()
	var wait sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 100 {
		wait.Go(func() {
			if _, err := w.refresh(out.RefreshToken); err != nil {
				failed.Store(&err)
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		t.Fatalf("a hundred agents at once: %v", *err)
	}
	w.untilLimited(1000, "refresh_limited", func(int) error {
		next, err := w.refresh(out.RefreshToken)
		if err == nil {
			out = next
		}
		return err
	})
	commits := w.store.Stats().Commits
	for range 20 {
		_, err := w.refresh(out.RefreshToken)
		refused(t, err, "temporarily_unavailable", "refresh_limited")
	}
	if more := w.store.Stats().Commits - commits; more != 0 {
		t.Errorf("%d commits beyond the limit", more)
	}
	w.wantOneAlarm("refresh_limited", publicID)
	if !w.active(out.AccessToken) {
		t.Error("a limited refresh ended the access token")
	}
	if _, err := w.refresh(other.RefreshToken); err != nil {
		t.Errorf("another login of the same client: %v", err)
	}
}

// A policy that refuses a token costs a row each time. What asks again and again hears that it must wait, and costs nothing.
func TestRefusalsByPolicyAreLimited(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "scopes"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "scopes", "closed.rego"),
		[]byte("package policy.scopes.closed\n\ndeny contains \"closed\" if input.stage in {\"token\", \"refresh\"}\n"), 0o600))
	w := newWorld(t, dir)
	code := w.consented("alice", authorizeParams()).Get("code")
	try := func(int) error { _, err := w.exchange(code); return err }
	refused(t, try(0), "invalid_grant", "denied")
	n := 1 + w.untilLimited(200, "refusals_limited", try)
	commits := w.store.Stats().Commits
	for i := range 20 {
		refused(t, try(i), "temporarily_unavailable", "refusals_limited")
	}
	if rows := len(w.rowsOf(oauth.EventTokenRefused)); rows != n || w.store.Stats().Commits != commits {
		t.Errorf("%d rows of %d refusals, %d commits beyond the limit", rows, n, w.store.Stats().Commits-commits)
	}
	w.wantOneAlarm("refusals_limited", publicID)
}
