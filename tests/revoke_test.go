package tests

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// I1…I4: only the server that a token was issued for learns anything about it.
func TestIntrospectionIsForTheTokensAudienceOnly(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	tokens := b.tokens(ask())
	access := tokens.text("access_token")
	mine := b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic(officeKey, officeSecret)).want(200)
	for path, want := range map[string]string{"active": "true", "aud": office, "iss": s.issuer, "scope": scopeCalendar, "client_id": "cli", "username": "alice", "token_type": "Bearer"} {
		if got := mine.text(path); got != want && !(path == "scope" && withoutOffline(got) == want) {
			t.Errorf("AS-57: %s is %q, want %q", path, got, want)
		}
	}
	if mine.text("sub") == "" || mine.text("exp") == "" || mine.text("sub") == "alice" {
		t.Errorf("AS-57: %s", mine.body)
	}
	dead := map[string]*answer{
		"I2, C17 another resource asks": b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic("notes", notesSecret)),
		"I4 a refresh token":            b.post("/introspect", url.Values{"token": {tokens.text("refresh_token")}}, "Authorization", basic(officeKey, officeSecret)),
		"I3 garbage":                    b.post("/introspect", url.Values{"token": {"garbage"}}, "Authorization", basic(officeKey, officeSecret)),
		"I3 a long one":                 b.post("/introspect", url.Values{"token": {strings.Repeat("a.", 9000)}}, "Authorization", basic(officeKey, officeSecret)),
		"I3 changed signature":          b.post("/introspect", url.Values{"token": {flip(access, -5)}}, "Authorization", basic(officeKey, officeSecret)),
		"I3 changed claims":             b.post("/introspect", url.Values{"token": {flip(access, len(access)/2)}}, "Authorization", basic(officeKey, officeSecret)),
		"J13 a newline behind":          b.post("/introspect", url.Values{"token": {access + "\n"}}, "Authorization", basic(officeKey, officeSecret)),
		"J13 padding behind":            b.post("/introspect", url.Values{"token": {access + "="}}, "Authorization", basic(officeKey, officeSecret)),
		"J5 alg none":                   b.post("/introspect", url.Values{"token": {unsigned(access)}}, "Authorization", basic(officeKey, officeSecret)),
		"an unknown hint changes this":  b.post("/introspect", url.Values{"token": {"x"}, "token_type_hint": {"foo"}}, "Authorization", basic(officeKey, officeSecret)),
	}
	for name, a := range dead {
		if a.status != 200 || a.body != `{"active":false}` {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestIntrospectionIsForRegisteredServersOnly(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	access := b.tokens(ask()).text("access_token")
	refused := map[string]*answer{
		"I1 nobody":             b.post("/introspect", url.Values{"token": {access}}),
		"I1 wrong secret":       b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic(officeKey, "x")),
		"I1 empty secret":       b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic(officeKey, "")),
		"I1 another's secret":   b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic(officeKey, notesSecret)),
		"I1 unknown resource":   b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic("nobody", "x")),
		"I1 a public client":    b.post("/introspect", url.Values{"token": {access}, "client_id": {"cli"}}),
		"I1 a client":           b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic("web", webSecret)),
		"I1 the token itself":   b.post("/introspect", url.Values{"token": {access}}, "Authorization", "Bearer "+access),
		"I1 secret in the body": b.post("/introspect", url.Values{"token": {access}, "client_id": {officeKey}, "client_secret": {officeSecret}}),
	}
	for name, a := range refused {
		challenges := strings.Join(a.wantError(401, "invalid_client").header.Values("WWW-Authenticate"), ", ")
		if !strings.Contains(challenges, "Basic realm=") || !strings.Contains(challenges, "Bearer realm=") || strings.Contains(a.body, "active") {
			t.Errorf("%s: %s %s", name, challenges, a.body)
		}
	}
	b.post("/introspect", url.Values{"token": {access}}, "Authorization", "Bearer "+officeSecret).want(200)
	b.post("/introspect", url.Values{"token": {access}}, "Authorization", basic(url.QueryEscape(office), officeSecret)).want(200)
	b.post("/introspect", url.Values{"token": {access, access}}, "Authorization", basic(officeKey, officeSecret)).wantError(400, "invalid_request")
	b.post("/introspect", url.Values{}, "Authorization", basic(officeKey, officeSecret)).wantError(400, "invalid_request")
}

// I2, I3: every kind of token that is dead, or nobody's, or another's gets the same answer to the last byte and header.
func TestDeadTokensLookTheSame(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	ask1, ask2 := ask(), ask(scopes("notes:pages.read"), func(q *request) { q.resource = notes })
	mine, foreign, confidential := b.tokens(ask1), b.tokens(ask2), s.browser(t).tokens(ask(web))
	revoked, replayed, disconnected := b.tokens(ask1), b.code(ask1), s.browser(t)
	b.post("/revoke", url.Values{"client_id": {"cli"}, "token": {revoked.text("access_token")}}).want(200)
	spent := b.post("/token", ask1.redemption(replayed)).want(200)
	b.post("/token", ask1.redemption(replayed)).wantError(400, "invalid_grant")
	gone := disconnected.tokens(ask(by("bob")))
	account := disconnected.get("/ui/account").want(200)
	disconnected.post(revokePath.FindStringSubmatch(account.body)[1], url.Values{"form_token": {account.field("form_token")}}).want(303)
	type look struct{ key, secret, token string }
	want := ""
	for name, l := range map[string]look{
		"I3 garbage":                   {officeKey, officeSecret, "garbage"},
		"I3 revoked":                   {officeKey, officeSecret, revoked.text("access_token")},
		"I3 of a code that was reused": {officeKey, officeSecret, spent.text("access_token")},
		"I3 of an ended grant":         {officeKey, officeSecret, gone.text("access_token")},
		"I4 a refresh token":           {officeKey, officeSecret, mine.text("refresh_token")},
		"I2 office asks for notes'":    {officeKey, officeSecret, foreign.text("access_token")},
		"I2 notes asks for office's":   {"notes", notesSecret, mine.text("access_token")},
		"I2 notes for a confidential":  {"notes", notesSecret, confidential.text("access_token")},
		"I3 an authorization code":     {officeKey, officeSecret, b.code(ask1)},
		"I3 its own secret":            {officeKey, officeSecret, officeSecret},
	} {
		a := b.post("/introspect", url.Values{"token": {l.token}}, "Authorization", basic(l.key, l.secret))
		a.header.Del("Date")
		a.header.Del("X-Request-Id")
		got := fmt.Sprint(a.status, a.header, a.body)
		if want == "" {
			want = got
		}
		if got != want || a.status != 200 || a.body != `{"active":false}` {
			t.Errorf("%s:\n%s\nanother one:\n%s", name, got, want)
		}
	}
	for _, l := range []look{{officeKey, officeSecret, mine.text("access_token")}, {"notes", notesSecret, foreign.text("access_token")}, {officeKey, officeSecret, confidential.text("access_token")}} {
		if a := b.post("/introspect", url.Values{"token": {l.token}}, "Authorization", basic(l.key, l.secret)).want(200); a.text("active") != "true" {
			t.Errorf("the control: %s", a.body)
		}
	}
}

// flip changes one character of a token; a negative place counts from its end.
func flip(token string, at int) string {
	if at < 0 {
		at += len(token)
	}
	c := byte('A')
	if token[at] == c {
		c = 'B'
	}
	return token[:at] + string(c) + token[at+1:]
}

// unsigned is the token with "alg":"none" and no signature.
func unsigned(token string) string {
	parts := strings.Split(token, ".")
	return "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + "."
}

// I6, AS-56: a client ends its own tokens and no others; the effect is there at the next request.
func TestRevocation(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	tokens := b.tokens(ask())
	access, refresh := tokens.text("access_token"), tokens.text("refresh_token")
	revoke := func(form url.Values, header ...string) *answer { return b.post("/revoke", form, header...) }

	post := []string{"Authorization", basic("web", webSecret)}
	for name, a := range map[string]*answer{
		"unknown token":                   revoke(url.Values{"client_id": {"cli"}, "token": {"garbage"}}),
		"I6 another client's access":      revoke(url.Values{"client_id": {"cli-two"}, "token": {access}}),
		"I6 another client's refresh":     revoke(url.Values{"client_id": {"cli-two"}, "token": {refresh}}),
		"I6 with the hint":                revoke(url.Values{"client_id": {"cli-two"}, "token": {refresh}, "token_type_hint": {"refresh_token"}}),
		"I6 with the wrong hint":          revoke(url.Values{"client_id": {"cli-two"}, "token": {access}, "token_type_hint": {"refresh_token"}}),
		"I6 a confidential other client":  revoke(url.Values{"token": {refresh}}, post...),
		"I6 a confidential other, access": revoke(url.Values{"token": {access}}, post...),
		"I6 a posting client":             revoke(url.Values{"token": {refresh}, "client_id": {"web-post"}, "client_secret": {postSecret}}),
		"a changed token":                 revoke(url.Values{"client_id": {"cli"}, "token": {flip(refresh, 3)}}),
	} {
		if a.status != 200 || a.body != "" {
			t.Errorf("%s: %d %q, want 200 with nothing", name, a.status, a.body)
		}
	}
	revoke(url.Values{"token": {access}}, "Authorization", basic(officeKey, officeSecret)).wantError(401, "invalid_client") // I6: nor the resource server
	revoke(url.Values{"client_id": {"web"}, "token": {refresh}}).wantError(401, "invalid_client")
	revoke(url.Values{"token": {refresh}}).wantError(401, "invalid_client")
	revoke(url.Values{"token": {refresh}}, "Authorization", basic("web", "wrong")).wantError(401, "invalid_client")
	revoke(url.Values{"client_id": {"cli"}}).wantError(400, "invalid_request")
	revoke(url.Values{"client_id": {"cli"}, "token": {refresh, refresh}}).wantError(400, "invalid_request")
	if !b.active(access) {
		t.Fatal("a revocation that was refused or meant another client ended the token")
	}
}

// I8: the effect is there at the next request.
func TestWhatARevocationEnds(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	tokens := b.tokens(ask())
	access, refresh := tokens.text("access_token"), tokens.text("refresh_token")
	revoke := func(form url.Values) *answer { return b.post("/revoke", form) }
	t.Run("of an access token ends that one", func(t *testing.T) {
		other := b.tokens(ask())
		revoke(url.Values{"client_id": {"cli"}, "token": {other.text("access_token")}, "token_type_hint": {"access_token"}}).want(200)
		if b.active(other.text("access_token")) {
			t.Error("the token lives")
		}
		b.decide(other.text("access_token"), "calendar_list", `{}`).wantDecision(false, "invalid_token")
		if !b.active(access) {
			t.Error("another login's token died")
		}
		b.refresh("cli", other.text("refresh_token")).want(200)
	})
	t.Run("of a refresh token ends its family", func(t *testing.T) {
		second := b.refresh("cli", refresh).want(200)
		b.decide(access, "calendar_list", `{}`).wantDecision(true, "allowed")
		revoke(url.Values{"client_id": {"cli"}, "token": {second.text("refresh_token")}, "token_type_hint": {"wrong_hint"}}).want(200)
		for _, token := range []string{access, second.text("access_token")} {
			if b.active(token) {
				t.Error("an access token of the family lives")
			}
			b.decide(token, "calendar_list", `{}`).wantDecision(false, "invalid_token")
		}
		b.refresh("cli", second.text("refresh_token")).wantError(400, "invalid_grant")
		b.refresh("cli", refresh).wantError(400, "invalid_grant") // T4: its window is still open
	})
}

// U17, T9: a disabled person is out everywhere at once.
func TestADisabledUserIsOutAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	if _, errs, code := s.commandWith(password+"\n", "user", "add", "erin", "--group", "staff"); code != 0 {
		t.Fatalf("user add: %s", errs)
	}
	b := s.browser(t)
	q := ask(by("erin"))
	tokens := b.tokens(q)
	unspent := b.code(q)
	page, path := b.consentPage(q)
	if _, errs, code := s.command("user", "disable", "erin"); code != 0 {
		t.Fatalf("user disable: %s", errs)
	}
	s.wantOut(b, q, tokens, unspent, page, path)
}
