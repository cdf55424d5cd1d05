package tests

import (
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// C15, T8: whatever is asked for, ticked and asked for again, a token holds exactly what was asked for and offered and ticked, and a refresh at most that.
func TestATokenNeverHoldsMoreThanWasConsentedTo(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	seed := rand.Uint64()
	dice := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	known := []string{scopeCalendar, scopeCRM, scopeTransfer, scopePayroll}
	words := append([]string{"notes:pages.read", "claudeai", "office:*", "office:calendar.*"}, known...)
	some := func() (out []string) {
		for _, w := range words {
			if dice.IntN(2) == 0 {
				out = append(out, w)
			}
		}
		return out
	}
	people := map[string]*browser{"alice": s.browser(t), "carol": s.browser(t)}
	for range 40 {
		q := ask(scopes(some()...))
		offered := common(strings.Fields(q.scope), known)
		if q.user = "carol"; dice.IntN(2) == 0 { // only the finance group may see salaries
			q.user, offered = "alice", without(offered, scopePayroll)
		}
		ticked := some()
		consented := common(offered, ticked)
		if len(consented) == 0 {
			continue
		}
		b := people[q.user]
		page, path := b.consentPage(q)
		if got := slices.Sorted(slices.Values(page.boxes())); !slices.Equal(got, offered) {
			t.Fatalf("C15: asked for %q, %s is offered %q, want %q", q.scope, q.user, got, offered)
		}
		form := q.redemption(b.answer(page, path, "allow", ticked...).want(303).location().Query().Get("code"))
		form.Set("scope", strings.Join(some(), " ")) // no parameter of this request, so it changes nothing (RFC 6749 §4.1.3)
		tokens := b.post("/token", form).want(200)
		b.holds(tokens, consented)
		for range 4 {
			asked := some()
			a := b.refresh("cli", tokens.text("refresh_token"), "scope", strings.Join(asked, " "))
			switch {
			case len(asked) == 0:
				b.holds(a.want(200), consented)
			case len(without(asked, consented...)) == 0:
				b.holds(a.want(200), slices.Sorted(slices.Values(asked)))
			default:
				a.wantError(400, "invalid_scope")
				continue
			}
			tokens = a
		}
	}
}

// holds checks the scopes of a token in its response and at introspection.
func (b *browser) holds(a *answer, want []string) {
	b.t.Helper()
	seen := b.post("/introspect", url.Values{"token": {a.text("access_token")}}, "Authorization", basic(officeKey, officeSecret)).want(200)
	for what, text := range map[string]string{"response": a.text("scope"), "introspection": seen.text("scope")} {
		if got := without(strings.Fields(text), "offline_access"); !slices.Equal(got, want) {
			b.t.Errorf("T8: the %s says %q, want %q", what, got, want)
		}
	}
}

// common are the texts of both lists, sorted.
func common(a, b []string) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, x := range a {
			if slices.Contains(b, x) && !yield(x) {
				return
			}
		}
	})
}

// without are the texts of a list except some.
func without(list []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(x string) bool { return slices.Contains(some, x) })
}

// T9: everything that a refresh stands on is looked at again. What the operator took out of the file is out at the next refresh.
func TestARefreshLooksAtEverythingAgain(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	two := func(q *request) { q.client = "cli-two" }
	type refreshed struct {
		q      request
		status int
		want   string // the error, or the scope
	}
	rows := map[string]refreshed{
		"nothing changed":                         {ask(two), 200, scopeCalendar},
		"carol has left the finance group":        {ask(two, by("carol"), scopes(scopeCalendar, scopePayroll)), 200, scopeCalendar},
		"carol has nothing left":                  {ask(two, by("carol"), scopes(scopePayroll)), 400, "invalid_grant"},
		"dave is gone":                            {ask(two, by("dave")), 400, "invalid_grant"},
		"the redirect URI of the consent is gone": {ask(), 400, "invalid_grant"},
		"the resource is gone":                    {ask(two, scopes("notes:pages.read"), func(q *request) { q.resource = notes }), 400, "invalid_grant"},
		"the client is gone":                      {ask(func(q *request) { q.client, q.redirect = "web-post", "https://post.example/cb" }), 401, "invalid_client"},
	}
	held := map[string]string{}
	for name, c := range rows {
		b := s.browser(t)
		form := c.q.redemption(b.code(c.q))
		if c.q.client == "web-post" {
			form.Set("client_secret", postSecret)
		}
		held[name] = b.post("/token", form).want(200).text("refresh_token")
	}
	s.stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := string(text)
	for old, new := range map[string]string{
		"groups: [staff, finance]": "groups: [staff]",
		`{id: cli, name: Demo CLI, redirect_uris: ["http://127.0.0.1/callback", `:              `{id: cli, name: Demo CLI, redirect_uris: [`,
		lineWith(changed, "name: dave"):                                                        "",
		lineWith(changed, "id: web-post,"):                                                     "",
		changed[strings.Index(changed, "  - id: "+notes):strings.Index(changed, "clients:\n")]: "",
	} {
		if strings.Count(changed, old) != 1 {
			t.Fatalf("%q is not once in the configuration", old)
		}
		changed = strings.Replace(changed, old, new, 1)
	}
	if err := os.WriteFile(s.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run()
	for name, c := range rows {
		t.Run("T9 "+name, func(t *testing.T) {
			form := url.Values{}
			if c.q.client == "web-post" {
				form.Set("client_secret", postSecret)
			}
			maps.Copy(form, url.Values{"grant_type": {"refresh_token"}, "client_id": {c.q.client}, "refresh_token": {held[name]}})
			a := s.program(t).post("/token", form)
			if c.status != 200 {
				a.wantError(c.status, c.want)
			} else if got := withoutOffline(a.want(200).text("scope")); got != c.want {
				t.Errorf("scope %q, want %q", got, c.want)
			}
		})
	}
}

// lineWith is the line of a text that holds something.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}
