package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The names of cases begin with the row of the facts that they hold us to.

func TestRedirectURIMustMatchByteForByte(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	good := map[string][]string{
		"web": {"https://app.example/cb", "https://app.example/cb?tenant=7"},
		"cli": {"http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback", "http://[::1]:8123/callback",
			"http://localhost:3118/callback", "http://localhost/callback"},
	}
	for client, uris := range good {
		for _, uri := range uris {
			t.Run("R4 "+client+" may use "+uri, func(t *testing.T) {
				s.browser(t).begin(ask(func(q *request) { q.client, q.redirect = client, uri }))
			})
		}
	}
	for client, uris := range foreignRedirects() {
		for _, uri := range uris {
			t.Run("R1 "+client+" may not use "+uri, func(t *testing.T) {
				q := ask(func(q *request) { q.client, q.redirect = client, uri })
				a := s.browser(t).get("/authorize?" + q.params().Encode()).wantPage(http.StatusBadRequest)
				if strings.Contains(a.body, `href="`+uri) {
					t.Error("the page links to the address that was refused")
				}
			})
		}
	}
}

// foreignRedirects are addresses that look like registered ones.
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

// What makes client or redirect doubtful is answered with a page, never with a redirect (RFC 6749 §4.1.2.1).
func TestDoubtfulAuthorizationRequestsGetAPage(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	cases := map[string]string{
		"AS-24 no client_id":             ask(with("client_id")).params().Encode(),
		"AS-24 empty client_id":          ask(with("client_id", "")).params().Encode(),
		"AS-24 unknown client":           ask(with("client_id", "nobody")).params().Encode(),
		"R7 client_id twice":             ask(with("client_id", "cli", "cli")).params().Encode(),
		"R7 two clients":                 ask(with("client_id", "cli", "web")).params().Encode(),
		"R7 redirect_uri twice":          ask(with("redirect_uri", callback, callback)).params().Encode(),
		"R7 good and evil redirect_uri":  ask(with("redirect_uri", callback, "https://evil.example/")).params().Encode(),
		"R6 several registered, none":    ask(with("redirect_uri")).params().Encode(),
		"R6 several registered, empty":   ask(with("redirect_uri", "")).params().Encode(),
		"AS-28 no resource, two servers": ask(with("resource")).params().Encode(),
		"bad escape":                     ask().params().Encode() + "&x=%zz",
		"semicolons":                     ask().params().Encode() + ";client_id=web",
		"not UTF-8":                      ask().params().Encode() + "&x=%ff%fe",
		"M12 a user's name as client":    ask(with("client_id", "alice")).params().Encode(),
		"M1 http client id":              ask(with("client_id", "http://client.example/client.json")).params().Encode(),
		"U12 script as client_id":        ask(with("client_id", "<script>alert(1)</script>")).params().Encode(),
		"U12 script as redirect_uri":     ask(with("redirect_uri", `"><script>alert(1)</script>`)).params().Encode(),
	}
	for name, query := range cases {
		t.Run(name, func(t *testing.T) {
			a := s.browser(t).get("/authorize?" + query).wantPage(http.StatusBadRequest)
			if strings.Contains(a.body, "<script>alert") {
				t.Error("the page repeats a script")
			}
		})
	}
	t.Run("R16 8 KiB of URL", func(t *testing.T) {
		q := ask(with("state", strings.Repeat("a", 9000)))
		s.browser(t).get("/authorize?" + q.params().Encode()).wantPage(http.StatusRequestURITooLong)
	})
	t.Run("R16 a long state fits into a form", func(t *testing.T) {
		q := ask(func(q *request) { q.state = strings.Repeat("s", 9000) })
		s.browser(t).post("/authorize", q.params()).want(http.StatusSeeOther)
	})
	t.Run("R16 a form of 65 KiB", func(t *testing.T) {
		q := ask(with("state", strings.Repeat("a", 66000)))
		s.browser(t).post("/authorize", q.params()).wantPage(http.StatusRequestEntityTooLarge)
	})
	t.Run("R16 1001 parameters", func(t *testing.T) {
		s.browser(t).get("/authorize?" + ask().params().Encode() + strings.Repeat("&a=", 1001)).wantPage(http.StatusBadRequest)
	})
	t.Run("R7 parameters in the query and the form", func(t *testing.T) {
		s.browser(t).post("/authorize?state=x", ask().params()).wantPage(http.StatusBadRequest)
	})
}

// Every other fault waits until the person has logged in, then goes to a client that the operator registered.
func TestBadAuthorizationRequestsAreToldToTheClientAfterLogin(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	for name, c := range badAuthorizationRequests() {
		t.Run(name, func(t *testing.T) {
			b := s.browser(t)
			page, path := b.begin(c.q) // R9: it leads to our login page, not to the client
			if !hasInput(page, "password") {
				t.Fatalf("before anybody has logged in: %s", tail(page.body, 1000))
			}
			u := b.login(page, path, "alice").want(303).location()
			if name == "R7 state twice" {
				c.q.state = u.Query().Get("state") // which of the two comes back is nobody's promise
			}
			if !strings.HasPrefix(u.String(), c.q.redirectPrefix()) {
				t.Fatalf("the error goes to %s", u)
			}
			wantRedirectError(t, s, u, c.q, c.want)
		})
	}
}

// refusal is an authorization request and the error that it must get.
type refusal struct {
	q    request
	want string
}

func badAuthorizationRequests() map[string]refusal {
	good43 := challengeOf("x")
	return map[string]refusal{
		"R12 no response_type":                 {ask(with("response_type")), "invalid_request"},
		"R12 token":                            {ask(with("response_type", "token")), "unsupported_response_type"},
		"R12 code id_token":                    {ask(with("response_type", "code id_token")), "unsupported_response_type"},
		"R12 unknown response_mode":            {ask(with("response_mode", "fragment")), "invalid_request"},
		"request object":                       {ask(with("request", "eyJhbGciOiJub25lIn0.e30.")), "invalid_request"},
		"request_uri":                          {ask(with("request_uri", "https://evil.example/r")), "invalid_request"},
		"C1 no code_challenge":                 {ask(with("code_challenge")), "invalid_request"},
		"C1 no code_challenge, confidential":   {ask(web, with("code_challenge")), "invalid_request"},
		"C2 plain":                             {ask(with("code_challenge_method", "plain")), "invalid_request"},
		"C2 no method means plain":             {ask(with("code_challenge_method")), "invalid_request"},
		"C2 empty method":                      {ask(with("code_challenge_method", "")), "invalid_request"},
		"C2 s256 in lower case":                {ask(with("code_challenge_method", "s256")), "invalid_request"},
		"C3 empty challenge":                   {ask(with("code_challenge", "")), "invalid_request"},
		"C3 challenge of 42":                   {ask(with("code_challenge", good43[:42])), "invalid_request"},
		"C3 challenge of 44":                   {ask(with("code_challenge", good43+"A")), "invalid_request"},
		"C3 challenge with padding":            {ask(with("code_challenge", good43[:42]+"=")), "invalid_request"},
		"C3 challenge of standard base64":      {ask(with("code_challenge", good43[:42]+"+")), "invalid_request"},
		"C3 challenge of 129":                  {ask(with("code_challenge", strings.Repeat("a", 129))), "invalid_request"},
		"R7 state twice":                       {ask(with("state", "one", "two")), "invalid_request"},
		"R7 scope twice":                       {ask(with("scope", scopeCalendar, scopeCRM)), "invalid_request"},
		"R7 an unknown parameter twice":        {ask(with("x", "1", "2")), "invalid_request"},
		"R7 code_challenge twice":              {ask(with("code_challenge", good43, good43)), "invalid_request"},
		"C16 unknown resource":                 {ask(with("resource", "https://mcp.example/mcp")), "invalid_target"},
		"C16 relative resource":                {ask(with("resource", "/mcp")), "invalid_target"},
		"C16 resource with fragment":           {ask(with("resource", office+"#x")), "invalid_target"},
		"C16 resource with empty fragment":     {ask(with("resource", office+"#")), "invalid_target"},
		"C16 resource with user info":          {ask(with("resource", "http://u@127.0.0.1:3001/mcp")), "invalid_target"},
		"C16 resource with a longer path":      {ask(with("resource", office+"/x")), "invalid_target"},
		"C16 resource with a query":            {ask(with("resource", office+"?x=1")), "invalid_target"},
		"C16 two different resources":          {ask(with("resource", office, notes)), "invalid_target"},
		"only unknown scopes":                  {ask(with("scope", "claudeai")), "invalid_scope"},
		"only scopes of another server":        {ask(with("scope", "notes:pages.read")), "invalid_scope"},
		"scope with forbidden characters":      {ask(with("scope", `office:calendar.read "x"`)), "invalid_scope"},
		"only a scope that policy withholds":   {ask(scopes(scopePayroll)), "invalid_scope"},
		"AS-37 prompt=none asks nobody":        {ask(with("prompt", "none")), "consent_required"},
		"R8 a registered query stays as it is": {ask(web, with("redirect_uri", "https://app.example/cb?tenant=7"), with("response_type", "token")), "unsupported_response_type"},
	}
}

// redirectPrefix is where answers to the client must go.
func (q request) redirectPrefix() string {
	uri := q.redirect
	if changed := q.change["redirect_uri"]; len(changed) == 1 {
		uri = changed[0]
	}
	if strings.Contains(uri, "?") {
		return uri + "&"
	}
	return uri + "?"
}

// What real clients send and must get through with.
func TestUsualAuthorizationRequestsAreTaken(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	cases := map[string]struct {
		q    request
		want string // scope of the token
	}{
		"AS-20 unknown parameters":               {ask(with("audience", "x"), with("foo", "bar")), scopeCalendar},
		"AS-20 empty parameters are omitted":     {ask(with("prompt", ""), with("max_age", ""), with("login_hint", ""), with("response_mode", "")), scopeCalendar},
		"AS-20 an empty repeated parameter":      {ask(with("scope", "", scopeCalendar)), scopeCalendar},
		"AS-28 resource twice the same":          {ask(with("resource", office, office)), scopeCalendar},
		"AS-28 trailing slash":                   {ask(with("resource", office+"/")), scopeCalendar},
		"AS-28 upper-case scheme":                {ask(with("resource", "HTTP://127.0.0.1:3001/mcp")), scopeCalendar},
		"AS-37 prompt=consent":                   {ask(with("prompt", "consent")), scopeCalendar},
		"AS-37 unknown prompt":                   {ask(with("prompt", "something")), scopeCalendar},
		"AS-37 login_hint":                       {ask(with("login_hint", "alice@example.com")), scopeCalendar},
		"AS-29 unknown scopes are dropped":       {ask(scopes(scopeCalendar, "claudeai", "notes:pages.read")), scopeCalendar},
		"AS-29 a withheld scope is left out":     {ask(scopes(scopeCalendar, scopePayroll)), scopeCalendar},
		"no scope means the baseline":            {ask(with("scope")), scopeCalendar},
		"only offline_access means the baseline": {ask(scopes("offline_access")), scopeCalendar},
		"an unticked scope is left out":          {ask(scopes(scopeCalendar, scopeCRM), func(q *request) { q.untick = []string{scopeCRM} }), scopeCalendar},
		"several scopes, sorted":                 {ask(scopes(scopeCRM, scopeCalendar)), scopeCalendar + " " + scopeCRM},
		"response_mode=query":                    {ask(with("response_mode", "query")), scopeCalendar},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := s.browser(t)
			a := b.tokens(c.q)
			if got := withoutOffline(a.text("scope")); got != c.want {
				t.Errorf("scope %q, want %q", got, c.want)
			}
			if got := audienceOf(t, a.text("access_token")); got != office {
				t.Errorf("aud is %q, want the one canonical id %q", got, office)
			}
		})
	}
	t.Run("AS-20 POST", func(t *testing.T) {
		b := s.browser(t)
		b.get(b.post("/authorize", ask().params()).want(303).location().Path).want(200)
	})
}

func withoutOffline(scope string) string {
	var out []string
	for _, s := range strings.Fields(scope) {
		if s != "offline_access" {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

// A server that protects one resource needs no resource parameter: clients of the first revision send none.
func TestASoleResourceIsTheDefault(t *testing.T) {
	t.Parallel()
	s := start(t, "sole.yaml", nil)
	b := s.browser(t)
	q := ask(with("resource"))
	form := q.redemption(b.code(q))
	form.Del("resource")
	a := b.post("/token", form).want(200)
	if got := audienceOf(t, a.text("access_token")); got != office {
		t.Errorf("aud is %q, want %q", got, office)
	}
}

// R14: nothing that a caller says of itself enters an address of ours.
func TestForgedHostsChangeNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	const path = "/.well-known/oauth-authorization-server"
	want := b.get(path).want(200).body
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Forwarded-Port", "Forwarded", "X-Original-URL",
		"X-Rewrite-URL", "X-Host", "X-Original-Host", "X-HTTP-Host-Override", "Origin", "Referer", "X-Real-IP", "True-Client-IP", "X-ProxyUser-Ip"} {
		a := b.do(http.MethodGet, path, "", http.Header{name: {"evil.example"}})
		if a.status != 200 || a.body != want {
			t.Errorf("%s changes the metadata: %d %s", name, a.status, a.body)
		}
	}
	for _, host := range []string{"evil.example", "127.0.0.1:1", "localhost", "127.0.0.1.evil.example", "[::1]"} {
		a := b.do(http.MethodGet, path, "", http.Header{"Host": {host}})
		if a.status != http.StatusMisdirectedRequest || strings.Contains(a.body, "evil") {
			t.Errorf("Host %s: %d %s, want 421", host, a.status, a.body)
		}
	}
	q := ask()
	a := s.browser(t).do(http.MethodGet, "/authorize?"+q.params().Encode(), "", http.Header{"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"https"}})
	if loc := a.header.Get("Location"); a.status != 303 || strings.Contains(loc, "evil") {
		t.Errorf("authorize: %d %s", a.status, loc)
	}
}

// What remains of an open redirect: paths of ours that look like another host's.
func TestNoPathOfOursLeadsElsewhere(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	for _, path := range []string{"//evil.example", "//evil.example/..", `/\evil.example`, "/%2f%2fevil.example", "/ui/login?next=https://evil.example", "/ui/login?return_to=//evil.example",
		"/ui/account?next=//evil.example", "/ui//evil.example", "/token/", "/authorize/", "/ui/", "/ui", "/.well-known/oauth-authorization-server/"} {
		t.Run("R11 "+path, func(t *testing.T) {
			r, err := url.Parse(s.issuer)
			if err != nil {
				t.Fatal(err)
			}
			r.Opaque = "//" + r.Host + path // as it is, uncleaned
			a := b.do(http.MethodGet, r.String(), "", nil)
			to := a.location()
			if to.Host != "" && "http://"+to.Host != s.issuer || strings.HasPrefix(to.Path, "//") || strings.Contains(to.String(), "evil") {
				t.Errorf("status %d, Location %q", a.status, a.header.Get("Location"))
			}
			if a.status >= 500 {
				t.Errorf("status %d", a.status)
			}
		})
	}
}
