package tests

import (
	"html"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The names of cases begin with the row of the facts that they hold us to.

// R1…R4: whoever registered the client, and however, what is sent must equal what was registered byte for byte. Only the port of a loopback
// address is free.
func TestRedirectURIMustMatchByteForByte(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/web.json", "/cli.json")
	web := []string{"https://app.example/cb", "https://app.example/cb?tenant=7"}
	cli := []string{"http://127.0.0.1/callback", "http://localhost/callback", "http://[::1]/callback"}
	clients := map[string][]registered{
		"web": {{name: "static", id: "web"}, s.registerClient(t, "registered", "none", web...), d.publishClient("document", "/web.json", web...)},
		"cli": {{name: "static", id: "cli"}, s.registerClient(t, "registered", "none", cli...), d.publishClient("document", "/cli.json", cli...)},
	}
	good := map[string][]string{"web": web, "cli": {"http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback",
		"http://[::1]:8123/callback", "http://localhost:3118/callback", "http://localhost/callback"}}
	foreign := foreignRedirects()
	for kind, same := range clients {
		for _, c := range same {
			t.Run("R4 "+c.name+" "+kind, func(t *testing.T) {
				for _, uri := range good[kind] {
					s.browser(t).begin(ask(c.asks, func(q *request) { q.redirect = uri }))
				}
			})
			for _, uri := range foreign[kind] {
				t.Run("R1 "+c.name+" "+kind+" may not use "+uri, func(t *testing.T) {
					q := ask(c.asks, func(q *request) { q.redirect = uri })
					a := s.program(t).get("/authorize?"+q.params().Encode()).wantErrorPage(400, "invalid_request")
					if strings.Contains(a.body, `href="`+uri) {
						t.Error("the page links to the address that was refused")
					}
				})
			}
		}
	}
}

// foreignRedirects are addresses that look like registered ones: R2 is among them (cb# without a fragment, HTTPS), R3 (user information),
// R4 (other spellings of loopback addresses).
func foreignRedirects() map[string][]string {
	return map[string][]string{
		"web": {
			"https://app.example/", "https://app.example/c", "https://app.example/cb/", "https://app.example/cb/x", "https://app.example//cb",
			"https://app.example/cb?", "https://app.example/cb?x=1", "https://app.example/cb?tenant=8", "https://app.example/cb?tenant=7&x=1",
			"https://app.example/cb#", "https://app.example/cb#x", "https://app.example/CB", "https://APP.example/cb", "HTTPS://app.example/cb",
			"http://app.example/cb", "https://app.example:443/cb", "https://app.example:8443/cb", "https://app.example./cb", "https://app.example/%63b",
			"https://app.example/x/../cb", "https://app.example/%2e%2e/cb", "https://app.example/./cb", "https://app.example/cb%00", "https://app.example/cb%20",
			" https://app.example/cb", "https://app.example/cb ", "https://app.example/cb\n", "https://app.example\\@evil.example/cb",
			"https://app.example@evil.example/cb", "https://evil.example/https://app.example/cb", "https://user@app.example/cb", "https://user:pw@app.example/cb",
			"https://app.example.evil.example/cb", "https://evil.example/cb", "https://xn--app-8cd.example/cb", "https://аpp.example/cb", "//app.example/cb",
			"/cb", "cb", "https:app.example/cb", "https:/app.example/cb", "https:///app.example/cb", "javascript:alert(1)//https://app.example/cb",
			"data:text/html,https://app.example/cb", "http://127.0.0.1/callback", "https://127.0.0.1/cb", "https://app.example/cb;x", "https://app.example/cb&x=1",
		},
		"cli": {
			"http://127.0.0.1/", "http://127.0.0.1/callback/", "http://127.0.0.1/callback?x=1", "http://127.0.0.1/callback#x", "http://127.0.0.1/Callback",
			"https://127.0.0.1/callback", "http://127.0.0.1:0/callback", "http://127.0.0.1:99999/callback", "http://127.0.0.1:80a/callback", "http://127.0.0.1:-1/callback",
			"http://127.0.0.1:/callback", "http://127.0.0.1:080/callback", "http://127.0.0.1:8080:8080/callback", "http://127.1/callback", "http://127.0.0.2/callback",
			"http://0x7f000001/callback", "http://0x7f.0.0.1/callback", "http://2130706433/callback", "http://0177.0.0.1/callback", "http://127.0.0.1./callback",
			"http://[::ffff:127.0.0.1]/callback", "http://[0:0:0:0:0:0:0:1]:8123/callback", "http://[::1%25lo]:8123/callback", "http://0.0.0.0/callback",
			"http://127.0.0.1.evil.example/callback", "http://evil.example/callback", "http://user@127.0.0.1:8123/callback", "http://127.0.0.1@evil.example/callback",
			"http://127.0.0.1\\.evil.example/callback", "http://localhost.evil.example:3118/callback", "http://LOCALHOST:3118/callback", "http://localhost./callback",
			"HTTP://127.0.0.1/callback", "http://127.0.0.1:8123//callback", "http://127.0.0.1:8123/x/../callback", "http://127.0.0.1:8123/%63allback",
			"http://127.0.0.1:8123/callback%0d%0aX: y", "ftp://127.0.0.1/callback", "javascript:alert(1)", "cursor://anysphere.cursor-mcp/oauth/callback",
		},
	}
}

// R3, R5, R8: what could lead astray is refused when the client is registered, in every way to register.
func TestBadRedirectURIsAreNotRegistered(t *testing.T) {
	t.Parallel()
	rows := map[string]string{
		"R3 user information":         "https://good.example@evil.example/cb",
		"R3 user and password":        "https://u:p@evil.example/cb",
		"R5 http to another host":     "http://app.example/cb",
		"R5 http to a private host":   "http://10.0.0.1/cb",
		"R5 http that looks loopback": "http://127.0.0.1.evil.example/cb",
		"R4 another loopback address": "http://127.1/cb",
		"R8 code":                     "https://app.example/cb?code=1",
		"R8 state":                    "https://app.example/cb?x=1&state=",
		"R8 iss":                      "https://app.example/cb?iss=https://evil.example",
		"R8 error":                    "http://127.0.0.1/cb?error=x",
	}
	d := newDocuments(t)
	var paths []string
	for range rows {
		paths = append(paths, "/"+strings.Repeat("r", len(paths)+1)+".json")
	}
	s := startWithDocuments(t, d, paths...)
	for name, uri := range rows {
		path := paths[0]
		paths = paths[1:]
		t.Run(name, func(t *testing.T) {
			s.program(t).register(`{"client_name":"x","token_endpoint_auth_method":"none","redirect_uris":["`+uri+`"]}`).wantError(400, "invalid_redirect_uri")
			c := d.publishClient("document", path, uri)
			s.program(t).get("/authorize?"+ask(c.asks).params().Encode()).wantErrorPage(400, "invalid_client")
			refused := prepare(t, "main.yaml", nil)
			text, err := os.ReadFile(refused.config)
			if err != nil {
				t.Fatal(err)
			}
			bad := strings.Replace(string(text), `"https://post.example/cb"`, `"`+uri+`"`, 1)
			if err := os.WriteFile(refused.config, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, errs, code := refused.command("serve"); code != 78 || !strings.Contains(errs, "redirect_uris") {
				t.Errorf("in the configuration: exit %d\n%s", code, errs)
			}
		})
	}
}

// R8: the query of a registered address stays as it is, and what the answer adds stands there once.
func TestARegisteredQueryIsKept(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask(func(q *request) { q.client, q.redirect = "web", "https://app.example/cb?tenant=7" })
	page, path := b.consentPage(q)
	denied := b.answer(page, path, "deny").want(303).header.Get("Location")
	page, path = b.consentPage(q)
	allowed := b.answer(page, path, "allow", scopeCalendar).want(303).header.Get("Location")
	for location, names := range map[string][]string{denied: {"tenant", "error", "state", "iss"}, allowed: {"tenant", "code", "state", "iss"}} {
		u, err := url.Parse(location)
		if err != nil || !strings.HasPrefix(location, q.redirect+"&") {
			t.Fatalf("Location %q, %v", location, err)
		}
		for _, name := range names {
			if got := u.Query()[name]; len(got) != 1 {
				t.Errorf("R8: %s is there %d times in %s", name, len(got), location)
			}
		}
	}
}

// R9, R13: a stranger who registers a client must not be able to send people wherever it likes through this server. Before the login nothing goes
// to the client, and after it an error goes there only when the person follows the link (DESIGN §9). What goes there names the issuer.
func TestErrorsForClientsThatNobodyVouchesFor(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/agent.json")
	clients := []registered{d.publishClient("document", "/agent.json", callback), s.registerClient(t, "registered", "none", callback)}
	for _, c := range clients {
		loggedIn := s.browser(t)
		loggedIn.consentPage(ask(c.asks))
		for name, change := range map[string]func(*request){
			"invalid_scope":             scopes("claudeai"),
			"consent_required":          with("prompt", "none"),
			"invalid_request":           with("code_challenge"),
			"unsupported_response_type": with("response_type", "token"),
			"invalid_target":            with("resource", "https://evil.example/mcp"),
		} {
			t.Run("R9 "+c.name+" "+name, func(t *testing.T) {
				q := ask(c.asks, change)
				page, _ := s.browser(t).begin(q)
				if !hasInput(page, "password") || strings.Contains(page.body, `href="http`) {
					t.Errorf("before anybody has logged in: %s", tail(page.body, 1000))
				}
				b := &browser{t: t, s: s, client: loggedIn.client}
				page, _ = b.begin(q)
				link := regexp.MustCompile(`href="(` + callback + `\?[^"]+)"`).FindStringSubmatch(page.wantPage(200).body)
				if link == nil || !strings.Contains(page.body, "127.0.0.1:47811") {
					t.Fatalf("no link to the client, or its host is not shown: %s", tail(page.body, 1500))
				}
				u, err := url.Parse(html.UnescapeString(link[1]))
				if err != nil {
					t.Fatal(err)
				}
				wantRedirectError(t, s, u, q, name)
			})
		}
	}
}
