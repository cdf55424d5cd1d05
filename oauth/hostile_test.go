package oauth_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portcullis/oauth"
)

func TestAPersonCannotUndoWhatTheOperatorDid(t *testing.T) {
	w := newWorld(t, "")
	hash, err := oauth.HashPassword("alice-password")
	must(t, err)
	for name, operator := range map[string]oauth.Change{
		"disabled":     oauth.DisableUser{ID: "usr_carol", Reason: "test"},
		"new password": oauth.SetPassword{UserID: "usr_carol", Hash: "operator"},
		"logged out":   oauth.EndSessions{UserID: "usr_carol"},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, w.store.Commit(w.ctx, oauth.SaveUser{User: oauth.User{ID: "usr_carol", Name: "carol", PasswordHash: hash, Source: oauth.SourceAPI}}))
			_, b := w.loggedIn("carol", authorizeParams())
			session := oauth.HashSecret(b.SessionID)
			must(t, w.store.Commit(w.ctx, operator))
			err := w.store.Commit(w.ctx, oauth.SetPassword{UserID: "usr_carol", Hash: "thief", OldHash: hash, Session: session})
			if !errors.Is(err, oauth.ErrConflict) {
				t.Fatalf("the person's change went through: %v", err)
			}
			carol, err := w.store.User(w.ctx, "usr_carol")
			must(t, err)
			if carol.PasswordHash == "thief" || name == "disabled" && !carol.Disabled {
				t.Errorf("%+v", carol)
			}
		})
	}
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t, "")
	hash, err := oauth.HashPassword("alice-password")
	must(t, err)
	must(t, w.store.Commit(w.ctx, oauth.SaveUser{User: oauth.User{ID: "usr_carol", Name: "carol", PasswordHash: hash, Source: oauth.SourceAPI}}))
	_, b := w.loggedIn("carol", authorizeParams())
	_, elsewhere := w.loggedIn("carol", authorizeParams())
	page, err := w.account.Show(w.ctx, b)
	must(t, err)
	refused(t, w.account.ChangePassword(w.ctx, b, page.FormToken, "wrong", "new-password-1", "new-password-1"), "access_denied", "wrong_password")
	refused(t, w.account.ChangePassword(w.ctx, b, page.FormToken, "alice-password", "new-password-1", "new-password-2"), "access_denied", "")
	refused(t, w.account.ChangePassword(w.ctx, b, page.FormToken, "alice-password", "short", "short"), "access_denied", "")
	must(t, w.account.ChangePassword(w.ctx, b, page.FormToken, "alice-password", "new-password-1", "new-password-1"))
	if _, err := w.account.Show(w.ctx, b); err != nil {
		t.Errorf("the person's own session ended: %v", err)
	}
	_, err = w.account.Show(w.ctx, elsewhere)
	refused(t, err, "login_required", "")
}

func TestConsentIsAnsweredByThePersonWhomThePageNames(t *testing.T) {
	w := newWorld(t, "")
	_, bob := w.loggedIn("bob", authorizeParams())
	begun, err := w.auth.Begin(w.ctx, authorizeParams(), bob)
	must(t, err)
	step, err := w.auth.Resume(w.ctx, begun.InteractionID, bob)
	must(t, err)
	ask := step.(oauth.ConsentStep)
	if ask.User != "bob" {
		t.Fatalf("the page names %q", ask.User)
	}
	_, alice := w.loggedIn("alice", authorizeParams())
	other := bob
	other.SessionID = alice.SessionID // another tab of the same browser
	_, err = w.auth.Answer(w.ctx, begun.InteractionID, other, oauth.Answer{FormToken: ask.FormToken, Allow: true, Scopes: []string{"tools:weather.read"}})
	refused(t, err, "forbidden", "form_token")
	_, err = w.auth.Answer(w.ctx, begun.InteractionID, bob, oauth.Answer{FormToken: ask.LoginToken, Allow: true, Scopes: []string{"tools:weather.read"}})
	refused(t, err, "forbidden", "form_token")
}

func TestDenyAfterAllowGetsNoCode(t *testing.T) {
	w := newWorld(t, "")
	id, b := w.loggedIn("alice", authorizeParams())
	step, err := w.auth.Resume(w.ctx, id, b)
	must(t, err)
	answer := oauth.Answer{FormToken: step.(oauth.ConsentStep).FormToken, Allow: true, Scopes: []string{"tools:weather.read"}}
	_, err = w.auth.Answer(w.ctx, id, b, answer)
	must(t, err)
	answer.Allow = false
	_, err = w.auth.Answer(w.ctx, id, b, answer)
	refused(t, err, "interaction_expired", "")
}

func TestPolicyThatForbidsRefreshDoesNotSwitchOffRotation(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir)
	first := w.tokens()
	must(t, os.Mkdir(filepath.Join(dir, "scopes"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "scopes", "norefresh.rego"), []byte("package policy.scopes.norefresh\n\nrefresh := false\n"), 0o600))
	_, err := w.engine.Reload(w.ctx, w.catalogue.Resources())
	must(t, err)
	for range 2 {
		_, err := w.refresh(first.RefreshToken)
		refused(t, err, "invalid_grant", "refresh_denied")
	}
	out, err := w.exchange(w.consented("alice", authorizeParams()).Get("code"))
	must(t, err)
	if out.RefreshToken != "" {
		t.Error("a refresh token was issued although the policy forbids it")
	}
}

func TestAStrangerStoresLittle(t *testing.T) {
	w := newWorld(t, "")
	junk := authorizeParams("junk", strings.Repeat("J", 60000), "nonce", "n")
	begun, err := w.auth.Begin(w.ctx, junk, oauth.Browser{})
	must(t, err)
	i, err := w.store.Interaction(w.ctx, begun.InteractionID)
	must(t, err)
	if i.Params.Has("junk") || i.Params.Has("nonce") || !i.Params.Has("state") {
		t.Errorf("stored %v", keysOf(i.Params))
	}
	_, err = w.auth.Begin(w.ctx, authorizeParams("state", strings.Repeat("s", 17000)), oauth.Browser{})
	refused(t, err, "invalid_request", "request_too_long")
}

func keysOf(v url.Values) []string {
	var keys []string
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestWrongResourceSecretsDoNotShutOutTheRightOne(t *testing.T) {
	w := newWorld(t, "")
	ask := func(auth string) error {
		_, err := w.intro.Introspect(w.ctx, oauth.DirectRequest{Form: url.Values{"token": {"x"}}, Authorization: auth})
		return err
	}
	limited := 0
	for i := range 100 {
		spelling := "https://mcp.example/mcp"
		if i%2 == 1 {
			spelling = "HTTPS://MCP.example:443/mcp/"
		}
		var e *oauth.Error
		if err := ask(basic(url.QueryEscape(spelling), "wrong")); errors.As(err, &e) && e.Reason == "resource_auth_limited" {
			limited++
		}
	}
	if limited < 60 {
		t.Errorf("only %d of 100 wrong secrets were limited", limited)
	}
	must(t, ask(basic("demo", demoSecret)))
	must(t, ask("Bearer "+demoSecret))
}

func TestARefusalByPolicyIsRecordedOnce(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "scopes"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "scopes", "closed.rego"), []byte("package policy.scopes.closed\n\ndeny contains \"closed\"\n"), 0o600))
	w := newWorld(t, dir)
	id, b := w.loggedIn("alice", authorizeParams())
	step, err := w.auth.Resume(w.ctx, id, b)
	must(t, err)
	if q := w.redirected(step); q.Get("error") != "access_denied" {
		t.Errorf("%v", q)
	}
	_, err = w.auth.Resume(w.ctx, id, b)
	refused(t, err, "interaction_expired", "")
	rows, err := w.store.Audit().Tail(w.ctx, 100)
	must(t, err)
	denied := 0
	for _, r := range rows {
		if r.Event.Type == oauth.EventConsent && r.Event.Outcome == oauth.OutcomeDenied {
			denied++
		}
	}
	if denied != 1 {
		t.Errorf("%d rows of one refusal", denied)
	}
}

func TestAPasswordOfTheFileThatChangesEndsSessions(t *testing.T) {
	w := newWorld(t, "")
	_, b := w.loggedIn("alice", authorizeParams())
	hash, err := oauth.HashPassword("another-password")
	must(t, err)
	must(t, oauth.SyncConfigured(w.ctx, w.store, oauth.Configured{Clients: testClients(), Resources: testResources(),
		Users: []oauth.User{{Name: "alice", PasswordHash: hash, Groups: []string{"staff"}}, {Name: "bob", PasswordHash: hash}}}))
	_, err = w.account.Show(w.ctx, b)
	refused(t, err, "login_required", "")
}

func TestNothingIsWrittenWhenTheFileSaysTheSame(t *testing.T) {
	w := newWorld(t, "")
	before, err := w.store.Audit().Tail(w.ctx, 1)
	must(t, err)
	alice, err := w.store.UserByName(w.ctx, "alice")
	must(t, err)
	bob, err := w.store.UserByName(w.ctx, "bob")
	must(t, err)
	must(t, oauth.SyncConfigured(w.ctx, w.store, oauth.Configured{Clients: testClients(), Resources: testResources(), Users: []oauth.User{*alice, *bob}}))
	after, err := w.store.Audit().Tail(w.ctx, 1)
	must(t, err)
	if before[0].Seq != after[0].Seq {
		t.Errorf("%+v", after[0].Event)
	}
}

func TestDisconnectingTwiceIsNoError(t *testing.T) {
	w := newWorld(t, "")
	out := w.tokens()
	_, b := w.loggedIn("alice", authorizeParams())
	page, err := w.account.Show(w.ctx, b)
	must(t, err)
	id := page.Connections[0].GrantID
	must(t, w.account.Revoke(w.ctx, b, page.FormToken, id))
	rows, err := w.store.Audit().Tail(w.ctx, 1)
	must(t, err)
	must(t, w.account.Revoke(w.ctx, b, page.FormToken, id))
	again, err := w.store.Audit().Tail(w.ctx, 1)
	must(t, err)
	if rows[0].Seq != again[0].Seq || w.active(out.AccessToken) {
		t.Errorf("%+v", again[0].Event)
	}
	_, bob := w.loggedIn("bob", authorizeParams())
	bobs, err := w.account.Show(w.ctx, bob)
	must(t, err)
	refused(t, w.account.Revoke(w.ctx, bob, bobs.FormToken, id), "not_found", "")
}

// TestAClientThatChangesMeanwhileStartsAgain: what the person sees and answers is the client that began the request.
func TestAClientThatChangesMeanwhileStartsAgain(t *testing.T) {
	w := newWorld(t, "")
	id, b := w.loggedIn("alice", authorizeParams())
	step, err := w.auth.Resume(w.ctx, id, b)
	must(t, err)
	form := step.(oauth.ConsentStep).FormToken
	changed := testClients()[0]
	changed.Digest, changed.Name = "another", "Another name"
	must(t, w.store.Commit(w.ctx, oauth.SaveClient{Client: changed}))
	_, err = w.auth.Resume(w.ctx, id, b)
	refused(t, err, "interaction_expired", "client_changed")
	_, err = w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: form, Allow: true, Scopes: []string{"tools:weather.read"}})
	refused(t, err, "interaction_expired", "client_changed")
}

// A page that said "access ends in ten minutes" was no consent to stay connected for months, whatever the policy says by the time of the click.
func TestConsentToRefreshIsTheOneThatWasShown(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir)
	rule := filepath.Join(dir, "scopes", "norefresh.rego")
	policy := func(refreshes bool) {
		t.Helper()
		if refreshes {
			must(t, os.RemoveAll(filepath.Dir(rule)))
		} else {
			must(t, os.MkdirAll(filepath.Dir(rule), 0o700))
			must(t, os.WriteFile(rule, []byte("package policy.scopes.norefresh\n\nrefresh := false\n"), 0o600))
		}
		_, err := w.engine.Reload(w.ctx, w.catalogue.Resources())
		must(t, err)
	}
	for _, tt := range []struct{ shown, then, want bool }{{true, true, true}, {true, false, false}, {false, true, false}, {false, false, false}} {
		policy(tt.shown)
		id, b := w.loggedIn("alice", authorizeParams())
		step, err := w.auth.Resume(w.ctx, id, b)
		must(t, err)
		page := step.(oauth.ConsentStep)
		policy(tt.then)
		answered, err := w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: page.FormToken, Allow: true, Scopes: []string{"tools:weather.read"}})
		must(t, err)
		policy(true) // whatever holds at the token endpoint
		out, err := w.exchange(w.redirected(answered).Get("code"))
		must(t, err)
		if got := out.RefreshToken != ""; page.Offline != tt.shown || got != tt.want {
			t.Errorf("shown %v, then %v: a refresh token %v, want %v", page.Offline, tt.then, got, tt.want)
		}
	}
}

// What has ended ends no second time: or one token or one code would be enough to fill the audit and to keep its writer busy.
func TestWhatHasEndedCostsNothingAgain(t *testing.T) {
	w := newWorld(t, "")
	rows := func(kind string) (n int) {
		all, err := w.store.Audit().Tail(w.ctx, 1000)
		must(t, err)
		for _, r := range all {
			if r.Event.Type == kind {
				n++
			}
		}
		return n
	}
	code := w.consented("alice", authorizeParams()).Get("code")
	out, err := w.exchange(code)
	must(t, err)
	for range 3 {
		must(t, w.revoke.Revoke(w.ctx, oauth.DirectRequest{Form: url.Values{"client_id": {publicID}, "token": {out.AccessToken}}}))
	}
	if n := rows(oauth.EventTokenRevoked); n != 1 || w.active(out.AccessToken) {
		t.Errorf("one token was revoked %d times", n)
	}
	commits := w.store.Stats().Commits
	for range 3 {
		_, err := w.exchange(code)
		refused(t, err, "invalid_grant", "code_replayed")
	}
	if n, more := rows(oauth.EventCodeReplayed), w.store.Stats().Commits-commits; n != 1 || more != 1 {
		t.Errorf("%d rows and %d commits for one code that was replayed", n, more)
	}
	must(t, w.revoke.Revoke(w.ctx, oauth.DirectRequest{Form: url.Values{"client_id": {publicID}, "token": {out.AccessToken}}}))
	must(t, w.revoke.Revoke(w.ctx, oauth.DirectRequest{Form: url.Values{"client_id": {publicID}, "token": {out.RefreshToken}}}))
	if n := rows(oauth.EventTokenRevoked); n != 1 {
		t.Errorf("tokens of an ended family were revoked: %d rows", n)
	}
}

// M8: what was obtained through a redirect URI ends with it, whatever the person has consented to since.
func TestEachLoginNeedsItsOwnRedirectURI(t *testing.T) {
	w := newWorld(t, "")
	const old, new = "https://old.example/cb", "https://new.example/cb"
	client := oauth.Client{ID: "moving", Name: "Moving", Registration: oauth.RegistrationStatic, Source: oauth.SourceAPI, AuthMethods: []string{"none"}, GrantTypes: []string{"authorization_code", "refresh_token"}}
	save := func(uris ...string) {
		t.Helper()
		client.RedirectURIs = uris
		must(t, w.store.Commit(w.ctx, oauth.SaveClient{Client: client}))
	}
	login := func(uri string) string {
		t.Helper()
		out, err := w.exchange(w.consented("alice", authorizeParams("client_id", "moving", "redirect_uri", uri)).Get("code"), "client_id", "moving", "redirect_uri", uri)
		must(t, err)
		return out.RefreshToken
	}
	save(old, new)
	thief, owner := login(old), login(new)
	save(new)
	_, err := w.refresh(thief, "client_id", "moving")
	refused(t, err, "invalid_grant", "redirect_gone")
	_, err = w.refresh(owner, "client_id", "moving")
	must(t, err)
	save(old)
	thief = login(old)
	save(old, new)
	if _, err = w.refresh(thief, "client_id", "moving"); err != nil {
		t.Errorf("the URI is still there: %v", err)
	}
}
