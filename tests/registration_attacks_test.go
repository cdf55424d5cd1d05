package tests

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// registrationWith is a registration of one redirect URI.
func registrationWith(redirect string) string {
	uri, err := json.Marshal(redirect)
	if err != nil {
		panic(err) // a text always marshals
	}
	return `{"client_name":"x","token_endpoint_auth_method":"none","redirect_uris":[` + string(uri) + `]}`
}

// D1: a scheme that runs code, reads files or leaves the browser is refused in every spelling, also where a careless policy allows every redirect.
func TestDangerousSchemesAreNeverRegistered(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	folder := filepath.Join(s.dir, "policies/policy/clients")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	careless := "package policy.clients.careless\n\nallow_redirect contains uri if some uri in input.client.redirect_uris\n"
	if err := os.WriteFile(filepath.Join(folder, "careless.rego"), []byte(careless), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.program(t).register(registrationWith("anything:/cb")).want(201) // so careless is the policy
	for _, scheme := range []string{"javascript", "data", "vbscript", "blob", "file", "about", "filesystem", "livescript", "mocha", "intent", "content", "view-source", "jar", "resource", "chrome", "ws", "wss",
		"ftp", "mailto", "tel", "sms", "urn", "ldap", "ssh"} {
		mixed := strings.ToUpper(scheme[:1]) + scheme[1:len(scheme)-1] + strings.ToUpper(scheme[len(scheme)-1:])
		for _, uri := range []string{scheme + ":/alert(1)", mixed + "://x/%0aalert(1)", strings.ToUpper(scheme) + ":alert(1)", " " + scheme + ":/x", scheme[:1] + "\t" + scheme[1:] + ":/x", scheme + "\n:/x", scheme + ":"} {
			t.Run(fmt.Sprintf("D1 %q", uri), func(t *testing.T) {
				s.program(t).register(registrationWith(uri)).wantError(400, "invalid_redirect_uri")
			})
		}
	}
}

// D1: without a word of the policy only https and http on loopback are registered (DESIGN §9: private-use schemes need policy.clients).
func TestRedirectURIsThatAreNotRegistered(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	for _, uri := range []string{"http://app.example/cb", "http://10.0.0.1/cb", "http://127.0.0.1.evil.example/cb", "https://app.example/cb#", "https://app.example/cb#x", "https://good@evil.example/", "https://*.example/cb",
		"/cb", "cb", "", "https://", "https:", "https:///cb", "https:app.example/cb", "//app.example/cb", "HTTPS://app.example/cb", "http://127.0.0.1:99999/cb", "http://127.1/cb", "https://app.example:0/cb",
		"https://app.example/c b", "https://app.example/c\\b", "https://app.example/ü", "https://аpp.example/cb", "https://app.example/%zz?%zz", "https://-app.example/cb",
		"cursor://anysphere.cursor-mcp/oauth/callback", "vscode://x/cb", "com.example.app:/cb", "myapp:cb", "1app:/cb", "https://app.example/" + strings.Repeat("a", 2100)} {
		t.Run("D1 "+uri[:min(len(uri), 60)], func(t *testing.T) {
			s.program(t).register(registrationWith(uri)).wantError(400, "invalid_redirect_uri")
		})
	}
}

// D3, G8: what is no client metadata is refused for what it is.
func TestBadRegistrations(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	const good = `"redirect_uris":["https://a.example/"]`
	uris := func(n int) string { return strings.TrimSuffix(strings.Repeat(`"https://a.example/x",`, n), ",") }
	for name, c := range map[string]struct {
		body, code string
		status     int
	}{
		"no JSON":                     {`x`, "invalid_client_metadata", 400},
		"empty":                       {``, "invalid_client_metadata", 400},
		"a list":                      {`[]`, "invalid_client_metadata", 400},
		"text":                        {`"x"`, "invalid_client_metadata", 400},
		"cut off":                     {`{"redirect_uris":[`, "invalid_client_metadata", 400},
		"trailing data":               {`{` + good + `}{}`, "invalid_client_metadata", 400},
		"a repeated member":           {`{` + good + `,` + good + `}`, "invalid_client_metadata", 400},
		"a member in another case":    {`{` + good + `,"Redirect_URIs":["https://b.example/"]}`, "invalid_client_metadata", 400},
		"bad UTF-8":                   {"{" + good + ",\"client_name\":\"\xff\"}", "invalid_client_metadata", 400},
		"a NUL":                       {`{` + good + `,"client_name":"a\u0000b"}`, "invalid_client_metadata", 400},
		"a NUL in a redirect":         {`{"redirect_uris":["https://a.example/\u0000"]}`, "invalid_client_metadata", 400},
		"deep nesting":                {`{` + good + `,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, "invalid_client_metadata", 400},
		"a sparse list":               {`{"redirect_uris":["https://a.example/",,"https://b.example/"]}`, "invalid_client_metadata", 400},
		"text as list":                {`{"redirect_uris":"https://app.example/cb"}`, "invalid_client_metadata", 400},
		"an object as list":           {`{"redirect_uris":{"0":"https://app.example/cb"}}`, "invalid_client_metadata", 400},
		"numbers in the list":         {`{"redirect_uris":[1]}`, "invalid_client_metadata", 400},
		"a list in the list":          {`{"redirect_uris":[["https://a.example/"]]}`, "invalid_client_metadata", 400},
		"a number as name":            {`{` + good + `,"client_name":1}`, "invalid_client_metadata", 400},
		"a list as name":              {`{` + good + `,"client_name":["x"]}`, "invalid_client_metadata", 400},
		"text as grant types":         {`{` + good + `,"grant_types":"authorization_code"}`, "invalid_client_metadata", 400},
		"a list as scope":             {`{` + good + `,"scope":["a"]}`, "invalid_client_metadata", 400},
		"a scope with quotes":         {`{` + good + `,"scope":"a \"b\""}`, "invalid_client_metadata", 400},
		"a name of 201 bytes":         {`{` + good + `,"client_name":"` + strings.Repeat("x", 201) + `"}`, "invalid_client_metadata", 400},
		"a method we do not know":     {`{` + good + `,"token_endpoint_auth_method":"tls_client_auth"}`, "invalid_client_metadata", 400},
		"client_credentials only":     {`{` + good + `,"grant_types":["client_credentials"]}`, "invalid_client_metadata", 400},
		"implicit":                    {`{` + good + `,"response_types":["token"]}`, "invalid_client_metadata", 400},
		"null":                        {`null`, "invalid_redirect_uri", 400},
		"null in the list":            {`{"redirect_uris":[null]}`, "invalid_redirect_uri", 400},
		"null as list":                {`{"redirect_uris":null}`, "invalid_redirect_uri", 400},
		"no redirects":                {`{"client_name":"x"}`, "invalid_redirect_uri", 400},
		"no redirects in the list":    {`{"redirect_uris":[]}`, "invalid_redirect_uri", 400},
		"17 redirects":                {`{"redirect_uris":[` + uris(17) + `]}`, "invalid_redirect_uri", 400},
		"10,000 redirects":            {`{"redirect_uris":[` + uris(10000) + `]}`, "invalid_request", 413},
		"8 KiB and a byte":            {`{` + good + `,"x":"` + strings.Repeat("a", 8<<10+1-len(good)-9) + `"}`, "invalid_request", 413},
		"8 KiB, and a bad name in it": {`{` + good + `,"client_name":"` + strings.Repeat("a", 8<<10-len(good)-19) + `"}`, "invalid_client_metadata", 400},
	} {
		t.Run("D3 "+name, func(t *testing.T) { s.program(t).register(c.body).wantError(c.status, c.code) })
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=utf-16", ""} {
		t.Run("D3 content type "+kind, func(t *testing.T) {
			s.program(t).raw("/register", `{`+good+`}`, "Content-Type", kind).wantError(415, "invalid_request")
		})
	}
	s.program(t).register(`{"redirect_uris":[` + uris(16) + `]}`).want(201)
}

// D5: what real clients post is taken, told back as it was taken, and takes each of them through its whole life.
func TestRealClientsRegisterAndConnect(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	for name, c := range map[string]struct {
		body, redirect string
		members        map[string]string // of the answer
	}{
		"Claude Code": {`{"client_name":"Claude Code (office)","redirect_uris":["http://localhost:53211/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			"http://localhost:53300/callback", map[string]string{"token_endpoint_auth_method": "none", "redirect_uris": `["http://localhost:53211/callback"]`, "client_secret": ""}},
		"Claude on the web": {`{"client_name":"Claude","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"client_secret_post","scope":"claudeai"}`,
			"https://claude.ai/api/mcp/auth_callback", map[string]string{"token_endpoint_auth_method": "client_secret_post", "scope": "claudeai", "client_secret_expires_at": "0"}},
		"ChatGPT": {`{"client_name":"ChatGPT","redirect_uris":["https://chatgpt.com/connector_platform_oauth_redirect"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			"https://chatgpt.com/connector_platform_oauth_redirect", map[string]string{"token_endpoint_auth_method": "none", "client_secret": ""}},
		"Cursor": {cursor, "http://localhost:8787/callback", map[string]string{"token_endpoint_auth_method": "none",
			"redirect_uris": `["https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"]`}},
		"VS Code": {`{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com","grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","application_type":"native"}`,
			"http://127.0.0.1:40404/", map[string]string{"grant_types": `["authorization_code","refresh_token"]`, "application_type": "native", "client_uri": "https://code.visualstudio.com"}},
	} {
		t.Run("D5 "+name, func(t *testing.T) {
			a := s.program(t).register(c.body).want(201)
			for member, want := range c.members {
				if got := a.text(member); got != want {
					t.Errorf("%s is %q, want %q", member, got, want)
				}
			}
			client := registered{id: a.text("client_id"), redirect: c.redirect, secret: a.text("client_secret")}
			b := s.browser(t)
			q := ask(client.asks)
			tokens := client.redeem(b, q, b.code(q)).want(200)
			again := client.token(b, map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}}).want(200)
			if !b.active(again.text("access_token")) {
				t.Error("the refreshed token is not active")
			}
		})
	}
}

// D2: a flood of registrations from many addresses meets a common limit, and leaves no more rows than answers.
func TestAFloodOfRegistrations(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	begun, taken := time.Now(), 0
	for i := range 300 {
		a := s.program(t).register(strings.Replace(registrationWith("http://127.0.0.1/x"), `"x"`, fmt.Sprintf(`"x%d"`, i), 1))
		if a.status == 201 {
			taken++
			continue
		}
		if a.wantError(429, "temporarily_unavailable"); a.header.Get("Retry-After") == "" {
			t.Error("D2: 429 without Retry-After")
		}
	}
	if most := 200 + int(time.Since(begun).Seconds()) + 1; taken < 200 || taken > most {
		t.Errorf("D2: %d of 300 were taken, want 200 (%d on a slow machine)", taken, most)
	}
	if rows := s.auditTypes()["client.registered ok"]; rows != taken {
		t.Errorf("D2: %d rows for %d registrations", rows, taken)
	}
	s.browser(t).tokens(ask()) // the others are not disturbed
}

// D7: an Authorization header that makes no sense is no credential: never a fault of ours, and never let in.
func TestMalformedAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: token, token: initial-access-token-5521}"})
	encoded := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	headers := []string{"", "Bearer", "Bearer ", "Bearer  ", "bearer", "Bearer a b", "Bearer =", "Bearer \x80\xff", "Bearer null", "Bearer ,", "Bearer " + strings.Repeat("a", 9000), "Bearer" + strings.Repeat(" a", 1000),
		"Basic", "Basic ", "Basic !!!", "Basic QQ", "Basic QQ==", "Basic Og==", "Basic QTpC, Bearer x", encoded("\x00:\x00"), encoded("a"), encoded(strings.Repeat("a", 6000) + ":b"), encoded("ü:ü"), encoded("%zz:%zz"), "Basic " + strings.Repeat("A", 9001),
		"Digest username=\"x\"", "DPoP x", "Negotiate", "x", ",", ":", "=", "Bearer\tx", "Token x", "null", "undefined"}
	for path, c := range map[string]struct{ body, kind, code string }{
		"/token":                {"grant_type=authorization_code&code=x", "application/x-www-form-urlencoded", "invalid_client"},
		"/revoke":               {"token=x", "application/x-www-form-urlencoded", "invalid_client"},
		"/introspect":           {"token=x", "application/x-www-form-urlencoded", "invalid_client"},
		"/register":             {registrationWith("https://a.example/"), "application/json", "invalid_token"},
		"/access/v1/evaluation": {callWith("x"), "application/json", ""}, // AuthZEN: the body is a message
	} {
		t.Run("D7 "+path, func(t *testing.T) {
			for _, value := range headers {
				a := s.program(t).raw(path, c.body, "Content-Type", c.kind, "Authorization", value)
				if a.status == 429 && path == "/register" { // wrong tokens are counted; nothing else is
					a = s.program(t).raw(path, c.body, "Content-Type", c.kind, "Authorization", value)
				}
				if a.wantError(401, c.code); a.json("decision") != nil || a.header.Get("WWW-Authenticate") == "" && value != "" {
					t.Errorf("Authorization %.30q: %v %s", value, a.header, a.body)
				}
			}
			two := http.Header{"Authorization": {"Bearer a", "Bearer b"}, "Content-Type": {c.kind}}
			if a := s.program(t).do(http.MethodPost, path, c.body, two); a.status != 400 || c.code != "" && a.text("error") != "invalid_request" {
				t.Errorf("two headers: %d %s", a.status, a.body)
			}
		})
	}
	for path, status := range map[string]int{"/.well-known/oauth-authorization-server": 200, "/jwks.json": 200, "/ui/login": 200, "/authorize?client_id=nobody": 400, "/nothing": 404} {
		t.Run("D7 "+path, func(t *testing.T) {
			for _, value := range headers {
				s.program(t).do(http.MethodGet, path, "", http.Header{"Authorization": {value}}).want(status)
			}
		})
	}
}
