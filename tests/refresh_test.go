package tests

import (
	"net/url"
	"testing"
	"time"
)

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	first := b.tokens(ask(scopes(scopeCalendar, scopeCRM)))
	one := first.text("refresh_token")
	second := b.refresh("cli", one).want(200)
	two := second.text("refresh_token")
	if two == "" || two == one || second.text("access_token") == first.text("access_token") {
		t.Errorf("AS-51: nothing was rotated: %s", second.body)
	}
	if second.text("scope") != first.text("scope") {
		t.Errorf("AS-52: scope %q became %q", first.text("scope"), second.text("scope"))
	}
	if got := audienceOf(t, second.text("access_token")); got != office {
		t.Errorf("interop 2: aud is %q after a refresh without resource", got)
	}
	if !b.active(first.text("access_token")) {
		t.Error("a refresh ended the earlier access token")
	}
	narrow := b.refresh("cli", two, "scope", scopeCalendar).want(200)
	if got := withoutOffline(narrow.text("scope")); got != scopeCalendar {
		t.Errorf("AS-52: narrowed scope is %q", got)
	}
	wide := b.refresh("cli", narrow.text("refresh_token")).want(200)
	if got := withoutOffline(wide.text("scope")); got != scopeCalendar+" "+scopeCRM {
		t.Errorf("narrowing one token narrowed the family: %q", got)
	}
}

// What is wrong with a refresh costs nothing: the token can still be used.
func TestBadRefreshesLeaveTheTokenAlone(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	token := b.tokens(ask()).text("refresh_token")
	cases := map[string]struct {
		change url.Values
		header []string
		status int
		code   string
	}{
		"no refresh_token":                   {change: url.Values{"refresh_token": nil}, status: 400, code: "invalid_request"},
		"C13 truncated":                      {change: url.Values{"refresh_token": {token[:len(token)-1]}}, status: 400, code: "invalid_grant"},
		"C13 extended":                       {change: url.Values{"refresh_token": {token + "A"}}, status: 400, code: "invalid_grant"},
		"T7 another public client":           {change: url.Values{"client_id": {"cli-two"}}, status: 400, code: "invalid_grant"},
		"T7 a confidential client":           {change: url.Values{"client_id": {"web"}}, header: []string{"Authorization", basic("web", webSecret)}, status: 400, code: "invalid_grant"},
		"T7 unknown client":                  {change: url.Values{"client_id": {"nobody"}}, status: 401, code: "invalid_client"},
		"T8 wider scope":                     {change: url.Values{"scope": {scopeCalendar + " " + scopeCRM}}, status: 400, code: "invalid_scope"},
		"T8 another scope":                   {change: url.Values{"scope": {scopeCRM}}, status: 400, code: "invalid_scope"},
		"T8 unknown scope":                   {change: url.Values{"scope": {"claudeai"}}, status: 400, code: "invalid_scope"},
		"T8 foreign resource":                {change: url.Values{"resource": {notes}}, status: 400, code: "invalid_target"},
		"T8 unknown resource":                {change: url.Values{"resource": {"https://mcp.example/mcp"}}, status: 400, code: "invalid_target"},
		"R7 refresh_token twice":             {change: url.Values{"refresh_token": {token, token}}, status: 400, code: "invalid_request"},
		"R7 scope twice":                     {change: url.Values{"scope": {scopeCalendar, scopeCalendar}}, status: 400, code: "invalid_request"},
		"an access token as a refresh token": {change: url.Values{"refresh_token": {"access"}}, status: 400, code: "invalid_grant"},
	}
	access := b.tokens(ask()).text("access_token")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"grant_type": {"refresh_token"}, "client_id": {"cli"}, "refresh_token": {token}}
			for k, v := range c.change {
				form[k] = v
				if v == nil {
					delete(form, k)
				}
			}
			if form.Get("refresh_token") == "access" {
				form.Set("refresh_token", access)
			}
			b := s.program(t)
			b.post("/token", form, c.header...).wantError(c.status, c.code)
		})
	}
	b.refresh("cli", token, "resource", office+"/").want(200)
}

// T2: clients race and lose answers. Inside the window every retry of the direct parent gets the same successor.
func TestRetriesGetTheSameSuccessor(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	one := b.tokens(ask()).text("refresh_token")
	answers := parallel(20, func() *answer { return b.refresh("cli", one) })
	successors, access := map[string]bool{}, map[string]bool{}
	for _, a := range answers {
		a.want(200)
		successors[a.text("refresh_token")] = true
		access[a.text("access_token")] = true
		if !b.active(a.text("access_token")) {
			t.Error("a retry killed another one's access token")
		}
	}
	if len(successors) != 1 || len(access) != 20 {
		t.Errorf("20 racing refreshes gave %d refresh tokens and %d access tokens, want 1 and 20", len(successors), len(access))
	}
	two := answers[0].text("refresh_token")
	b.refresh("cli", one).want(200) // later, and still inside the window
	three := b.refresh("cli", two).want(200)
	if three.text("refresh_token") == two {
		t.Error("the successor was not rotated")
	}
	// T3: the successor was used, so the parent's retry is reuse now, though the window is still open.
	b.refresh("cli", one).wantError(400, "invalid_grant")
	if b.active(three.text("access_token")) {
		t.Error("T1: reuse left the family's access token alive")
	}
	b.refresh("cli", three.text("refresh_token")).wantError(400, "invalid_grant")
	b.refresh("cli", two).wantError(400, "invalid_grant") // T4: no window revives an ended family
	// T11: a thief who replays inside the window looks like a retry, so every retry is on record, and the reuse is an alarm.
	rows := s.auditTypes()
	for row, n := range map[string]int{"token.issued ok": 1, "token.refreshed ok": 2, "token.retried ok": 20, "refresh.reused denied": 1} {
		if rows[row] != n {
			t.Errorf("T11: %d rows %q, want %d; all: %v", rows[row], row, n, rows)
		}
	}
}

// T3: two generations back is reuse at once.
func TestAGrandparentIsReuse(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	laptop := b.tokens(ask())
	one := b.tokens(ask()).text("refresh_token")
	two := b.refresh("cli", one).want(200).text("refresh_token")
	three := b.refresh("cli", two).want(200)
	b.refresh("cli", one).wantError(400, "invalid_grant")
	b.refresh("cli", three.text("refresh_token")).wantError(400, "invalid_grant")
	if b.active(three.text("access_token")) {
		t.Error("reuse left the family alive")
	}
	if !b.active(laptop.text("access_token")) {
		t.Error("reuse in one family ended another login of the same client")
	}
	b.refresh("cli", laptop.text("refresh_token")).want(200)
}

// T1: when the window has ended a retry is reuse, though nobody used the successor.
func TestARetryAfterTheWindowIsReuse(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "tokens: {reuse_grace: 2s}"})
	b := s.browser(t)
	one := b.tokens(ask()).text("refresh_token")
	two := b.refresh("cli", one).want(200)
	time.Sleep(2100 * time.Millisecond)
	b.refresh("cli", one).wantError(400, "invalid_grant")
	b.refresh("cli", two.text("refresh_token")).wantError(400, "invalid_grant")
	if b.active(two.text("access_token")) {
		t.Error("reuse left the access token alive")
	}
}

// A client that can prove who it is has no window (DESIGN §9).
func TestConfidentialClientsHaveNoWindow(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask(web)
	one := b.tokens(q).text("refresh_token")
	use := func(token string) *answer {
		return b.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, q.credentials()...)
	}
	two := use(one).want(200)
	use(one).wantError(400, "invalid_grant")
	use(two.text("refresh_token")).wantError(400, "invalid_grant")
	if b.active(two.text("access_token")) {
		t.Error("reuse left the access token alive")
	}
}

// T6: what was rotated stays rotated when the program is killed, and so does everything else that was answered.
func TestNothingAnsweredIsLostWhenTheProgramIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask()
	code := b.code(q)
	one := b.post("/token", q.redemption(code)).want(200)
	two := b.refresh("cli", one.text("refresh_token")).want(200)
	three := b.refresh("cli", two.text("refresh_token")).want(200)
	gone := b.tokens(ask())
	b.post("/revoke", url.Values{"client_id": {"cli"}, "token": {gone.text("refresh_token")}}).want(200)
	s.kill()
	s.run()
	if b.active(gone.text("access_token")) {
		t.Error("a revocation was forgotten")
	}
	if !b.active(three.text("access_token")) {
		t.Error("a token that was handed out is dead after the restart")
	}
	again := b.refresh("cli", two.text("refresh_token")).want(200)
	if again.text("refresh_token") != three.text("refresh_token") {
		t.Error("the retry after the restart got another successor")
	}
	b.refresh("cli", three.text("refresh_token")).want(200)
	b.refresh("cli", two.text("refresh_token")).wantError(400, "invalid_grant")
	b.post("/token", q.redemption(code)).wantError(400, "invalid_grant")
	s.stop()
	if out, errs, code := s.command("audit", "verify"); code != 0 {
		t.Errorf("audit verify: exit %d\n%s%s", code, out, errs)
	}
}
