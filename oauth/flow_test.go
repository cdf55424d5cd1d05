package oauth_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"portcullis/oauth"
)

func TestCodeFlow(t *testing.T) {
	w := newWorld(t, "")
	q := w.consented("alice", authorizeParams("scope", "tools:weather.read tools:unknown.x"))
	if q.Get("iss") != issuerID || q.Get("state") != "s-1" || q.Get("code") == "" || q.Has("error") {
		t.Fatalf("redirect %v", q)
	}
	out, err := w.exchange(q.Get("code"), "resource", demoID+"/")
	must(t, err)
	if out.TokenType != "Bearer" || out.ExpiresIn != 600 || out.RefreshToken == "" {
		t.Errorf("%+v", out)
	}
	if out.Scope != "tools:weather.read" {
		t.Errorf("scope %q", out.Scope)
	}
	if !w.active(out.AccessToken) {
		t.Error("the fresh token is not active")
	}
}

func TestNothingIsSaidBeforeTheLogin(t *testing.T) {
	w := newWorld(t, "")
	for name, params := range map[string][]string{
		"R9 bad scope":             {"scope", "tools:unknown.x"},
		"R9 prompt=none":           {"prompt", "none"},
		"R12 response_type=token":  {"response_type", "token"},
		"R12 no response_type":     {"response_type", ""},
		"C1 no challenge":          {"code_challenge", ""},
		"C2 plain":                 {"code_challenge_method", "plain"},
		"C16 foreign resource":     {"resource", "https://evil.example/mcp"},
		"C16 resource with # sign": {"resource", demoID + "#x"},
		"request object":           {"request_uri", "https://evil.example/r"},
		"response_mode=fragment":   {"response_mode", "fragment"},
	} {
		t.Run(name, func(t *testing.T) {
			begun, err := w.auth.Begin(w.ctx, authorizeParams(params...), oauth.Browser{})
			must(t, err)
			step, err := w.auth.Resume(w.ctx, begun.InteractionID, oauth.Browser{ID: begun.BrowserID})
			must(t, err)
			if _, ok := step.(oauth.LoginStep); !ok {
				t.Errorf("step %#v", step)
			}
		})
	}
}

func TestErrorsByRedirectAfterTheLogin(t *testing.T) {
	w := newWorld(t, "")
	for name, c := range map[string]struct {
		params []string
		want   string
	}{
		"unknown scopes only":    {[]string{"scope", "tools:unknown.x"}, "invalid_scope"},
		"bad scope syntax":       {[]string{"scope", "a\"b"}, "invalid_scope"},
		"prompt=none":            {[]string{"prompt", "none"}, "consent_required"},
		"response_type=token":    {[]string{"response_type", "token"}, "unsupported_response_type"},
		"no response_type":       {[]string{"response_type", ""}, "invalid_request"},
		"C1 no challenge":        {[]string{"code_challenge", ""}, "invalid_request"},
		"C2 method omitted":      {[]string{"code_challenge_method", ""}, "invalid_request"},
		"C16 foreign resource":   {[]string{"resource", "https://evil.example/mcp"}, "invalid_target"},
		"C16 fragment":           {[]string{"resource", demoID + "#x"}, "invalid_target"},
		"response_mode=fragment": {[]string{"response_mode", "fragment"}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			id, b := w.loggedIn("alice", authorizeParams(c.params...))
			step, err := w.auth.Resume(w.ctx, id, b)
			must(t, err)
			q := w.redirected(step)
			if q.Get("error") != c.want || q.Get("state") != "s-1" || q.Get("iss") != issuerID || q.Has("code") {
				t.Errorf("redirect %v", q)
			}
		})
	}
}

func TestBadClientOrRedirectIsAPage(t *testing.T) {
	w := newWorld(t, "")
	for name, c := range map[string]struct {
		params []string
		want   string
	}{
		"unknown client":            {[]string{"client_id", "nobody"}, "invalid_client"},
		"no client":                 {[]string{"client_id", ""}, "invalid_request"},
		"R1 unregistered redirect":  {[]string{"redirect_uri", "https://evil.example/cb"}, "invalid_request"},
		"R1 subpath":                {[]string{"redirect_uri", "http://127.0.0.1:5555/cb/x"}, "invalid_request"},
		"two resources, none named": {[]string{"resource", ""}, "invalid_target"},
	} {
		_, err := w.auth.Begin(w.ctx, authorizeParams(c.params...), oauth.Browser{})
		t.Run(name, func(t *testing.T) { refused(t, err, c.want, "") })
	}
	twice := authorizeParams()
	twice["client_id"] = []string{publicID, publicID}
	_, err := w.auth.Begin(w.ctx, twice, oauth.Browser{})
	refused(t, err, "invalid_request", "")
}

func TestAnInteractionBelongsToOneBrowser(t *testing.T) {
	w := newWorld(t, "")
	id, b := w.loggedIn("alice", authorizeParams())
	stranger := b
	stranger.ID = oauth.NewSecret()
	_, err := w.auth.Resume(w.ctx, id, stranger)
	refused(t, err, "forbidden", "other_browser")
	_, err = w.auth.Answer(w.ctx, id, stranger, oauth.Answer{Allow: true, Scopes: []string{"tools:weather.read"}})
	refused(t, err, "forbidden", "other_browser")
	_, err = w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: "wrong", Allow: true, Scopes: []string{"tools:weather.read"}})
	refused(t, err, "forbidden", "form_token")
	bobs, bob := w.loggedIn("bob", authorizeParams())
	_ = bobs
	mixed := b
	mixed.SessionID = bob.SessionID
	step, err := w.auth.Resume(w.ctx, id, mixed)
	must(t, err)
	if _, ok := step.(oauth.LoginStep); !ok {
		t.Errorf("another person's session continued the interaction: %#v", step)
	}
}

func TestConsentGrantsOnlyWhatWasTickedAndOffered(t *testing.T) {
	w := newWorld(t, "")
	id, b := w.loggedIn("alice", authorizeParams("scope", "tools:weather.read tools:crm.write"))
	step, err := w.auth.Resume(w.ctx, id, b)
	must(t, err)
	ask := step.(oauth.ConsentStep)
	_, err = w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: ask.FormToken, Allow: true})
	refused(t, err, "invalid_scope", "nothing_ticked")
	step, err = w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: ask.FormToken, Allow: true, Scopes: []string{"tools:weather.read", "tools:x.read", "*"}})
	must(t, err)
	first := w.redirected(step).Get("code")
	step, err = w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: ask.FormToken, Allow: true, Scopes: []string{"tools:weather.read", "tools:x.read", "*"}})
	must(t, err)
	if w.redirected(step).Get("code") != first {
		t.Error("a double click got another code")
	}
	out, err := w.exchange(first)
	must(t, err)
	if out.Scope != "tools:weather.read" {
		t.Errorf("scope %q", out.Scope)
	}
}

func TestDenyAlwaysRedirects(t *testing.T) {
	w := newWorld(t, "")
	id, b := w.loggedIn("alice", authorizeParams())
	step, err := w.auth.Resume(w.ctx, id, b)
	must(t, err)
	step, err = w.auth.Answer(w.ctx, id, b, oauth.Answer{FormToken: step.(oauth.ConsentStep).FormToken})
	must(t, err)
	if r := step.(oauth.RedirectStep); r.Confirm {
		t.Error("a denial asks for confirmation")
	}
	if q := w.redirected(step); q.Get("error") != "access_denied" || q.Get("iss") != issuerID || q.Get("state") != "s-1" {
		t.Errorf("%v", q)
	}
	_, err = w.auth.Resume(w.ctx, id, b)
	refused(t, err, "interaction_expired", "")
}

func TestCodeRefusals(t *testing.T) {
	w := newWorld(t, "")
	code := func() string { return w.consented("alice", authorizeParams()).Get("code") }
	for name, c := range map[string]struct {
		pairs        []string
		want, reason string
	}{
		"C4 no verifier":       {[]string{"code_verifier", ""}, "invalid_grant", "pkce_mismatch"},
		"C4 wrong verifier":    {[]string{"code_verifier", strings.Repeat("x", 43)}, "invalid_grant", "pkce_mismatch"},
		"C8 another client":    {[]string{"client_id", "cli2"}, "invalid_grant", "code_of_another_client"},
		"C9 another redirect":  {[]string{"redirect_uri", "http://127.0.0.1:5556/cb"}, "invalid_grant", "redirect_mismatch"},
		"C15 another resource": {[]string{"resource", otherID}, "invalid_target", ""},
		"C16 unknown resource": {[]string{"resource", "https://evil.example"}, "invalid_target", ""},
		"unknown client":       {[]string{"client_id", "nobody"}, "invalid_client", ""},
		"unknown grant type":   {[]string{"grant_type", "password"}, "unsupported_grant_type", ""},
		"no grant type":        {[]string{"grant_type", ""}, "invalid_request", ""},
		"C13 longer code":      {nil, "invalid_grant", "code_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			x := code()
			sent := x
			if strings.HasPrefix(name, "C13") {
				sent += "A"
			}
			_, err := w.exchange(sent, c.pairs...)
			refused(t, err, c.want, c.reason)
			if _, err := w.exchange(x); err != nil {
				t.Errorf("the refusal cost the owner the code: %v", err)
			}
		})
	}
	if _, err := w.exchange(code(), "redirect_uri", ""); err != nil {
		t.Errorf("redirect_uri may be left out (OAuth 2.1 §10.2): %v", err)
	}
}

func TestFifthWrongVerifierBurnsTheCode(t *testing.T) {
	w := newWorld(t, "")
	code := w.consented("alice", authorizeParams()).Get("code")
	for range oauth.MaxCodeFailures {
		_, err := w.exchange(code, "code_verifier", strings.Repeat("x", 43))
		refused(t, err, "invalid_grant", "pkce_mismatch")
	}
	_, err := w.exchange(code)
	refused(t, err, "invalid_grant", "code_burnt")
}

func TestCodeReplay(t *testing.T) {
	w := newWorld(t, "")
	code := w.consented("alice", authorizeParams()).Get("code")
	out, err := w.exchange(code)
	must(t, err)
	_, err = w.exchange(code, "code_verifier", strings.Repeat("x", 43))
	refused(t, err, "invalid_grant", "pkce_mismatch")
	if !w.active(out.AccessToken) {
		t.Fatal("C6: a replay with a wrong verifier revoked the owner's token")
	}
	_, err = w.exchange(code)
	refused(t, err, "invalid_grant", "code_replayed")
	if w.active(out.AccessToken) {
		t.Error("C5: the token lives after a valid replay")
	}
	_, err = w.refresh(out.RefreshToken)
	refused(t, err, "invalid_grant", "family_ended")
}

func TestParallelRedemptionsHaveOneWinner(t *testing.T) {
	w := newWorld(t, "")
	code := w.consented("alice", authorizeParams()).Get("code")
	var mu sync.Mutex
	var won []*oauth.TokenResponse
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if out, err := w.exchange(code); err == nil {
				mu.Lock()
				won = append(won, out)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d winners", len(won))
	}
	if w.active(won[0].AccessToken) {
		t.Error("the losers of the race end the winner's family")
	}
}

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t, "")
	first := w.tokens()
	second, err := w.refresh(first.RefreshToken)
	must(t, err)
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Fatal("nothing was rotated")
	}
	for range 3 {
		again, err := w.refresh(first.RefreshToken)
		must(t, err)
		if again.RefreshToken != second.RefreshToken {
			t.Fatal("T2: a retry got another successor")
		}
	}
	if !w.active(second.AccessToken) {
		t.Error("a retry killed the winner's access token")
	}
	third, err := w.refresh(second.RefreshToken)
	must(t, err)
	_, err = w.refresh(first.RefreshToken)
	refused(t, err, "invalid_grant", "refresh_reused")
	if w.active(third.AccessToken) {
		t.Error("T3: the family lives after reuse of a grandparent")
	}
	_, err = w.refresh(third.RefreshToken)
	refused(t, err, "invalid_grant", "family_ended")
}

func TestParallelRefreshesGetOneSuccessor(t *testing.T) {
	w := newWorld(t, "")
	first := w.tokens()
	var mu sync.Mutex
	var got []string
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			out, err := w.refresh(first.RefreshToken)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			got = append(got, out.RefreshToken)
		})
	}
	wg.Wait()
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != 1 {
		t.Errorf("%d successors", len(got))
	}
}

func TestConfidentialClientsHaveNoReuseWindow(t *testing.T) {
	w := newWorld(t, "")
	q := w.consented("alice", authorizeParams("client_id", secretID, "redirect_uri", webRedirect))
	mine := []string{"client_id", secretID, "client_secret", clientSecret}
	first, err := w.exchange(q.Get("code"), append(mine, "redirect_uri", webRedirect)...)
	must(t, err)
	_, err = w.refresh(first.RefreshToken, mine...)
	must(t, err)
	_, err = w.refresh(first.RefreshToken, mine...)
	refused(t, err, "invalid_grant", "refresh_reused")
}

func TestRefreshRefusals(t *testing.T) {
	w := newWorld(t, "")
	first := w.tokens()
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"T7 another client":   {[]string{"client_id", "cli2"}, "invalid_grant"},
		"T8 wider scope":      {[]string{"scope", "tools:weather.read tools:x.read"}, "invalid_scope"},
		"T8 another resource": {[]string{"resource", otherID}, "invalid_target"},
		"no client":           {[]string{"client_id", ""}, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.refresh(first.RefreshToken, c.pairs...)
			refused(t, err, c.want, "")
		})
	}
	narrow, err := w.refresh(first.RefreshToken, "scope", "tools:weather.read", "resource", demoID)
	must(t, err)
	if narrow.Scope != "offline_access tools:weather.read" {
		t.Errorf("narrowed to %q", narrow.Scope)
	}
	wide, err := w.refresh(narrow.RefreshToken)
	must(t, err)
	if !strings.Contains(wide.Scope, "tools:crm.write") {
		t.Errorf("narrowing must affect one token only; the next has %q", wide.Scope)
	}
}

func TestRevocationIsSeenByTheNextRequest(t *testing.T) {
	w := newWorld(t, "")
	revoke := func(client, token string) {
		must(t, w.revoke.Revoke(w.ctx, oauth.DirectRequest{Form: map[string][]string{"client_id": {client}, "token": {token}}}))
	}
	out := w.tokens()
	revoke("cli2", out.AccessToken)
	revoke("cli2", out.RefreshToken)
	revoke(publicID, "nonsense")
	if !w.active(out.AccessToken) {
		t.Fatal("I6: a foreign client revoked the token")
	}
	revoke(publicID, out.AccessToken)
	if w.active(out.AccessToken) {
		t.Error("the revoked access token is active")
	}
	if r := w.call(out.AccessToken, "get_weather", map[string]any{"city": "Bern"}); r.Decision || r.Context.Reason != "invalid_token" {
		t.Errorf("decision with a revoked token: %+v", r)
	}
	again, err := w.refresh(out.RefreshToken)
	must(t, err)
	revoke(publicID, again.RefreshToken)
	if w.active(again.AccessToken) {
		t.Error("revoking the refresh token left the access token alive")
	}
	_, err = w.refresh(again.RefreshToken)
	refused(t, err, "invalid_grant", "family_ended")
}

func TestIntrospectionIsForTheAudienceOnly(t *testing.T) {
	w := newWorld(t, "")
	out := w.tokens()
	ask := func(auth, token string) *oauth.Introspection {
		r, err := w.intro.Introspect(w.ctx, oauth.DirectRequest{Form: map[string][]string{"token": {token}}, Authorization: auth})
		must(t, err)
		return r
	}
	if r := ask(basic("other", otherSecret), out.AccessToken); r.Active || r.Sub != "" {
		t.Errorf("I2: %+v", r)
	}
	if r := ask(basic("demo", demoSecret), out.RefreshToken); r.Active {
		t.Errorf("I4: %+v", r)
	}
	r := ask(basic("demo", demoSecret), out.AccessToken)
	if !r.Active || r.Aud != demoID || r.Username != "alice" || r.ClientID != publicID || r.Sub == "alice" {
		t.Errorf("%+v", r)
	}
	_, err := w.intro.Introspect(w.ctx, oauth.DirectRequest{Form: map[string][]string{"token": {out.AccessToken}}, Authorization: basic("demo", "wrong")})
	refused(t, err, "invalid_client", "")
	_, err = w.intro.Introspect(w.ctx, oauth.DirectRequest{Form: map[string][]string{"token": {out.AccessToken}}})
	refused(t, err, "invalid_client", "")
}

func TestDisabledUserLosesEveryRoad(t *testing.T) {
	w := newWorld(t, "")
	out := w.tokens()
	code := w.consented("alice", authorizeParams()).Get("code")
	alice, err := w.store.UserByName(w.ctx, "alice")
	must(t, err)
	must(t, w.store.Commit(w.ctx, oauth.DisableUser{ID: alice.ID, Reason: "test", At: alice.CreatedAt}))
	if w.active(out.AccessToken) {
		t.Error("the access token is active")
	}
	if _, err := w.refresh(out.RefreshToken); err == nil {
		t.Error("refresh works")
	}
	if _, err := w.exchange(code); err == nil {
		t.Error("the code works")
	}
}
