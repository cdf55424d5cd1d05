package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The names of cases begin with the row of the facts that they hold us to.

// What makes client or redirect doubtful is answered with a page, never with a redirect (RFC 6749 §4.1.2.1).
func TestDoubtfulAuthorizationRequestsGetAPage(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	type doubtful struct{ query, code string }
	cases := map[string]doubtful{
		"AS-24 no client_id":             {ask(with("client_id")).params().Encode(), "invalid_request"},
		"AS-24 empty client_id":          {ask(with("client_id", "")).params().Encode(), "invalid_request"},
		"AS-24 unknown client":           {ask(with("client_id", "nobody")).params().Encode(), "invalid_client"},
		"R7 client_id twice":             {ask(with("client_id", "cli", "cli")).params().Encode(), "invalid_request"},
		"R7 two clients":                 {ask(with("client_id", "cli", "web")).params().Encode(), "invalid_request"},
		"R7 redirect_uri twice":          {ask(with("redirect_uri", callback, callback)).params().Encode(), "invalid_request"},
		"R7 good and evil redirect_uri":  {ask(with("redirect_uri", callback, "https://evil.example/")).params().Encode(), "invalid_request"},
		"R6 several registered, none":    {ask(with("redirect_uri")).params().Encode(), "invalid_request"},
		"R6 several registered, empty":   {ask(with("redirect_uri", "")).params().Encode(), "invalid_request"},
		"AS-28 no resource, two servers": {ask(with("resource")).params().Encode(), "invalid_target"},
		"bad escape":                     {ask().params().Encode() + "&x=%zz", "invalid_request"},
		"semicolons":                     {ask().params().Encode() + ";client_id=web", "invalid_request"},
		"not UTF-8":                      {ask().params().Encode() + "&x=%ff%fe", "invalid_request"},
		"M12 a user's name as client":    {ask(with("client_id", "alice")).params().Encode(), "invalid_client"},
		"M1 http client id":              {ask(with("client_id", "http://client.example/client.json")).params().Encode(), "invalid_client"},
		"U12 script as client_id":        {ask(with("client_id", "<script>alert(1)</script>")).params().Encode(), "invalid_client"},
		"U12 script as redirect_uri":     {ask(with("redirect_uri", `"><script>alert(1)</script>`)).params().Encode(), "invalid_request"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := s.browser(t).get("/authorize?"+c.query).wantErrorPage(400, c.code)
			if strings.Contains(a.body, "<script>alert") {
				t.Error("the page repeats a script")
			}
		})
	}
	t.Run("R16 8 KiB of URL", func(t *testing.T) {
		q := ask(with("state", strings.Repeat("a", 9000)))
		s.browser(t).get("/authorize?"+q.params().Encode()).wantErrorPage(414, "invalid_request")
	})
	t.Run("R16 a long state fits into a form", func(t *testing.T) {
		q := ask(func(q *request) { q.state = strings.Repeat("s", 9000) })
		s.browser(t).post("/authorize", q.params()).want(http.StatusSeeOther)
	})
	t.Run("R16 a form of 65 KiB", func(t *testing.T) {
		q := ask(with("state", strings.Repeat("a", 66000)))
		s.browser(t).post("/authorize", q.params()).wantErrorPage(413, "invalid_request")
	})
	t.Run("R16 1001 parameters", func(t *testing.T) {
		s.browser(t).get("/authorize?"+ask().params().Encode()+strings.Repeat("&a=", 1001)).wantErrorPage(400, "invalid_request")
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
		"R12 CODE in capitals":                 {ask(with("response_type", "CODE")), "unsupported_response_type"},
		"R12 code twice in one value":          {ask(with("response_type", "code code")), "unsupported_response_type"},
		"R12 none":                             {ask(with("response_type", "none")), "unsupported_response_type"},
		"R12 unknown response_mode":            {ask(with("response_mode", "fragment")), "invalid_request"},
		"R12 form_post":                        {ask(with("response_mode", "form_post")), "invalid_request"},
		"R12 web_message":                      {ask(with("response_mode", "web_message")), "invalid_request"},
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

// R14, X11: nothing that a caller says of itself enters an address of ours.
func TestForgedHostsChangeNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	documents := map[string]string{}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/office", "/.well-known/authzen-configuration", "/jwks.json"} {
		documents[path] = b.get(path).want(200).body
	}
	for _, forged := range forgedHeaders() {
		for path, want := range documents {
			a := b.do(http.MethodGet, path, "", forged)
			if a.status != 200 || a.body != want {
				t.Errorf("%v changes %s: %d %s", forged, path, a.status, a.body)
			}
		}
		q := ask()
		a := s.browser(t).do(http.MethodGet, "/authorize?"+q.params().Encode(), "", forged)
		if loc := a.header.Get("Location"); a.status != 303 || !strings.HasPrefix(loc, "/ui/i/") && !strings.HasPrefix(loc, s.issuer+"/ui/i/") {
			t.Errorf("authorize with %v: %d %s", forged, a.status, loc)
		}
	}
	for _, host := range []string{"evil.example", "127.0.0.1:1", "localhost", "127.0.0.1.evil.example", "[::1]", strings.TrimPrefix(s.issuer, "http://") + ".", "evil.example@" + strings.TrimPrefix(s.issuer, "http://")} {
		a := b.do(http.MethodGet, "/.well-known/oauth-authorization-server", "", http.Header{"Host": {host}}).wantError(421, "invalid_request")
		if strings.Contains(a.body, "evil") {
			t.Errorf("Host %s: %s", host, a.body)
		}
	}
}

// forgedHeaders are sets of headers with which a caller or a careless proxy may try to name another host.
func forgedHeaders() (sets []http.Header) {
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Server", "X-Original-URL",
		"X-Rewrite-URL", "X-Host", "X-Original-Host", "X-HTTP-Host-Override", "Origin", "Referer", "X-Real-IP", "True-Client-IP", "X-ProxyUser-Ip"} {
		sets = append(sets, http.Header{name: {"evil.example"}})
	}
	return append(sets,
		http.Header{"Forwarded": {"for=1.2.3.4;host=evil.example;proto=https"}},
		http.Header{"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"}},
		http.Header{"X-Forwarded-Host": {"evil.example, 127.0.0.1"}, "X-Forwarded-For": {"127.0.0.1"}},
		http.Header{"X-Forwarded-Host": {"evil.example", "other.example"}},
		http.Header{"X-Forwarded-Prefix": {"//evil.example/"}, "X-Script-Name": {"//evil.example"}},
		http.Header{"X-Forwarded-Scheme": {"https"}, "Front-End-Https": {"on"}, "X-Url-Scheme": {"https"}},
	)
}

// R11: no address is taken from a parameter, and no path of ours that looks like another host's leads there.
func TestNoPathOfOursLeadsElsewhere(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	for path, status := range map[string]int{
		"//evil.example": 404, "//evil.example/..": 404, `/\evil.example`: 404, "/%2f%2fevil.example": 404, "/%5cevil.example": 404, "/ui//evil.example": 404, "/ui/static//evil.example": 404,
		"/token/": 404, "/authorize/": 404, "/ui/": 404, "/ui": 404, "/.well-known/oauth-authorization-server/": 404, "/authorize/../../evil.example": 404,
		"/ui/login?next=https://evil.example": 200, "/ui/login?return_to=//evil.example": 200, "/ui/login?redirect_uri=javascript:alert(1)": 200,
		"/ui/account?next=//evil.example": 303, `/ui/account?return_to=/\evil.example`: 303, "/?next=//evil.example": 303, "/ui/logged-out?next=//evil.example": 200,
	} {
		t.Run("R11 "+path, func(t *testing.T) {
			r, err := url.Parse(s.issuer)
			if err != nil {
				t.Fatal(err)
			}
			r.Opaque = "//" + r.Host + path // as it is, uncleaned
			a := b.do(http.MethodGet, r.String(), "", nil)
			if to := a.header.Get("Location"); a.status != status || to != "" && !strings.HasPrefix(to, "/ui/") && !strings.HasPrefix(to, s.issuer+"/ui/") || strings.Contains(a.body+to, "evil.example") {
				t.Errorf("status %d, want %d; Location %q\n%s", a.status, status, to, tail(a.body, 500))
			}
		})
	}
	for _, name := range []string{"next", "return_to", "redirect", "redirect_uri", "url", "RelayState", "continue"} {
		t.Run("R11 "+name+" in a login form", func(t *testing.T) {
			b := s.browser(t)
			page := b.get("/ui/login?" + name + "=//evil.example").want(200)
			form := url.Values{"username": {"alice"}, "password": {password}, "form_token": {page.field("form_token")}, name: {"//evil.example"}}
			if to := b.post("/ui/login", form).want(303).header.Get("Location"); to != "/ui/account" && to != s.issuer+"/ui/account" {
				t.Errorf("the login leads to %q", to)
			}
		})
	}
}
