package tests

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// claimsOf reads an access token's header and claims without checking them.
func claimsOf(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the access token is no JWT: %q", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func audienceOf(t testing.TB, token string) string {
	t.Helper()
	_, claims := claimsOf(t, token)
	return textOf(claims["aud"])
}

func TestTokenResponse(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	a := b.tokens(ask())
	for name, want := range map[string]string{"Cache-Control": "no-store", "Content-Type": "application/json"} {
		if got := a.header.Get(name); !strings.Contains(got, want) {
			t.Errorf("AS-40, C12: %s is %q", name, got)
		}
	}
	if a.text("token_type") != "Bearer" || a.text("expires_in") != "600" || withoutOffline(a.text("scope")) != scopeCalendar || a.text("refresh_token") == "" {
		t.Errorf("AS-48: %s", a.body)
	}
	header, claims := claimsOf(t, a.text("access_token"))
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" || !strings.Contains(b.get("/jwks.json").body, `"kid":"`+textOf(header["kid"])+`"`) {
		t.Errorf("AS-55: header %v", header)
	}
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope", "auth_time"} {
		if claims[name] == nil {
			t.Errorf("J11: the access token has no %s", name)
		}
	}
	if claims["iss"] != s.issuer || claims["aud"] != office || claims["client_id"] != "cli" || claims["sub"] == "alice" || claims["sub"] == "cli" {
		t.Errorf("J11: claims %v", claims)
	}
	if exp, iat := claims["exp"].(float64), claims["iat"].(float64); exp-iat != 600 {
		t.Errorf("AS-50: the token lives %v seconds", exp-iat)
	}
}

// What is wrong is told by status and code, and costs the code nothing: the right request still gets its tokens.
func TestBadRedemptionsLeaveTheCodeAlone(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	for name, c := range badRedemptions() {
		t.Run(name, func(t *testing.T) {
			b := s.browser(t)
			q := ask()
			code := b.code(q)
			form := q.redemption(code)
			for k, v := range c.change {
				form[k] = v
				if v == nil {
					delete(form, k)
				}
			}
			switch form.Get("code") {
			case "cut":
				form.Set("code", code[:len(code)-1])
			case "longer":
				form.Set("code", code+"A")
			}
			if form.Get("code_verifier") == "challenge" {
				form.Set("code_verifier", challengeOf(q.verifier))
			}
			a := b.post("/token", form, c.header...).wantError(c.status, c.code)
			if got := a.header.Get("WWW-Authenticate"); (c.status == 401 && len(c.header) > 0) != (got != "") {
				t.Errorf("AS-49: WWW-Authenticate is %q", got)
			}
			b.post("/token", q.redemption(code)).want(200)
		})
	}
}

// badRedemption is how a token request differs from a good one, and what it must get.
type badRedemption struct {
	change url.Values // no value = left out
	header []string
	status int
	code   string
}

func badRedemptions() map[string]badRedemption {
	return map[string]badRedemption{
		"AS-40 no grant_type":               {change: url.Values{"grant_type": nil}, status: 400, code: "invalid_request"},
		"unknown grant_type":                {change: url.Values{"grant_type": {"password"}}, status: 400, code: "unsupported_grant_type"},
		"no code":                           {change: url.Values{"code": nil}, status: 400, code: "invalid_request"},
		"empty code":                        {change: url.Values{"code": {""}}, status: 400, code: "invalid_request"},
		"C13 truncated code":                {change: url.Values{"code": {"cut"}}, status: 400, code: "invalid_grant"},
		"C13 extended code":                 {change: url.Values{"code": {"longer"}}, status: 400, code: "invalid_grant"},
		"C11 guessed code":                  {change: url.Values{"code": {strings.Repeat("A", 26)}}, status: 400, code: "invalid_grant"},
		"C4 no code_verifier":               {change: url.Values{"code_verifier": nil}, status: 400, code: "invalid_grant"},
		"C4 empty code_verifier":            {change: url.Values{"code_verifier": {""}}, status: 400, code: "invalid_grant"},
		"C4 wrong code_verifier":            {change: url.Values{"code_verifier": {strings.Repeat("w", 43)}}, status: 400, code: "invalid_grant"},
		"C4 the challenge as code_verifier": {change: url.Values{"code_verifier": {"challenge"}}, status: 400, code: "invalid_grant"},
		"C8 another client":                 {change: url.Values{"client_id": {"cli-two"}}, status: 400, code: "invalid_grant"},
		"C8 a confidential client":          {change: url.Values{"client_id": {"web-post"}, "client_secret": {postSecret}}, status: 400, code: "invalid_grant"},
		"C9 another redirect_uri":           {change: url.Values{"redirect_uri": {"http://127.0.0.1:47812/callback"}}, status: 400, code: "invalid_grant"},
		"C16 unknown resource":              {change: url.Values{"resource": {"https://mcp.example/mcp"}}, status: 400, code: "invalid_target"},
		"C15 foreign resource":              {change: url.Values{"resource": {notes}}, status: 400, code: "invalid_target"},
		"C15 its own and a foreign one":     {change: url.Values{"resource": {office, notes}}, status: 400, code: "invalid_target"},
		"C16 resource with fragment":        {change: url.Values{"resource": {office + "#x"}}, status: 400, code: "invalid_target"},
		"J1 no client":                      {change: url.Values{"client_id": nil}, status: 401, code: "invalid_client"},
		"J1 unknown client":                 {change: url.Values{"client_id": {"nobody"}}, status: 401, code: "invalid_client"},
		"J1 unknown client, Basic":          {change: url.Values{"client_id": nil}, header: []string{"Authorization", basic("nobody", "x")}, status: 401, code: "invalid_client"},
		"J1 public client with a secret":    {change: url.Values{"client_secret": {"x"}}, status: 401, code: "invalid_client"},
		"J2 Basic and another client_id":    {header: []string{"Authorization", basic("web", webSecret)}, status: 400, code: "invalid_request"},
		"J3 Basic that is no base64":        {change: url.Values{"client_id": nil}, header: []string{"Authorization", "Basic !!!"}, status: 401, code: "invalid_client"},
		"J3 Basic without a colon":          {change: url.Values{"client_id": nil}, header: []string{"Authorization", "Basic Y2xp"}, status: 401, code: "invalid_client"},
		"D7 Bearer at the token endpoint":   {change: url.Values{"client_id": nil}, header: []string{"Authorization", "Bearer x"}, status: 401, code: "invalid_client"},
		"R7 grant_type twice":               {change: url.Values{"grant_type": {"authorization_code", "authorization_code"}}, status: 400, code: "invalid_request"},
		"R7 code_verifier twice":            {change: url.Values{"code_verifier": {"a", "b"}}, status: 400, code: "invalid_request"},
		"R7 client_id twice":                {change: url.Values{"client_id": {"cli", "cli"}}, status: 400, code: "invalid_request"},
		"R7 redirect_uri twice":             {change: url.Values{"redirect_uri": {callback, callback}}, status: 400, code: "invalid_request"},
		"R7 an unknown parameter twice":     {change: url.Values{"x": {"a", "b"}}, status: 400, code: "invalid_request"},
	}
}

func TestTokenEndpointTakesOnlyPostedForms(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	form := ask().redemption("x")
	const kind = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		a      *answer
		status int
	}{
		"AS-40 GET":                 {b.get("/token?" + form.Encode()), 405},
		"AS-40 JSON":                {b.raw("/token", `{"grant_type":"authorization_code"}`, "Content-Type", "application/json"), 415},
		"AS-40 no content type":     {b.raw("/token", form.Encode()), 415},
		"R7 parameters in the URL":  {b.post("/token?client_id=cli", form), 400},
		"R16 65 KiB":                {b.post("/token", url.Values{"x": {strings.Repeat("a", 70000)}}), 413},
		"R16 many parameters":       {b.raw("/token", strings.Repeat("a=&", 2000), "Content-Type", kind), 400},
		"bad escape":                {b.raw("/token", "a=%zz", "Content-Type", kind), 400},
		"two Authorization headers": {b.do(http.MethodPost, "/token", form.Encode(), http.Header{"Content-Type": {kind}, "Authorization": {basic("web", webSecret), basic("cli", "")}}), 400},
	} {
		t.Run(name, func(t *testing.T) { c.a.wantError(c.status, "invalid_request") })
	}
}

// AS-41, AS-43: every way in which a client may say who it is, and the ways in which it may not.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	for name, c := range clientAuthentications() {
		t.Run(name, func(t *testing.T) {
			b := s.browser(t)
			code := b.code(c.q)
			form := c.q.redemption(code)
			for k, v := range c.change {
				form[k] = v
				if v == nil {
					delete(form, k)
				}
			}
			var header []string
			if c.auth != "" {
				header = []string{"Authorization", c.auth}
			}
			a := b.post("/token", form, header...)
			if c.status == 200 {
				a.want(200)
				return
			}
			a.wantError(c.status, c.code)
			// A failed authentication never touches the code.
			good := c.q.redemption(code)
			if c.q.client == "web-post" {
				good.Set("client_secret", postSecret)
			}
			b.post("/token", good, c.q.credentials()...).want(200)
		})
	}
	t.Run("J1 unknown and wrong look the same", func(t *testing.T) {
		b := s.program(t)
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "code_verifier": {strings.Repeat("a", 43)}}
		one := b.post("/token", form, "Authorization", basic("web", "x"))
		two := b.post("/token", form, "Authorization", basic("nobody-here", "x"))
		if one.status != two.status || one.body != two.body {
			t.Errorf("wrong secret: %d %s\nunknown client: %d %s", one.status, one.body, two.status, two.body)
		}
	})
}

// authentication is a token request with credentials, and what it must get.
type authentication struct {
	q      request
	change url.Values
	auth   string
	status int
	code   string
}

func clientAuthentications() map[string]authentication {
	post := ask(func(q *request) { q.client, q.redirect = "web-post", "https://post.example/cb" })
	return map[string]authentication{
		"AS-41 public": {q: ask(), status: 200},
		"AS-42 public, Basic with an empty secret": {q: ask(), change: url.Values{"client_id": nil}, auth: basic("cli", ""), status: 200},
		"AS-42 the same with client_id too":        {q: ask(), auth: basic("cli", ""), status: 200},
		"AS-41 Basic":                              {q: ask(web), change: url.Values{"client_id": nil}, auth: basic("web", webSecret), status: 200},
		"AS-41 Basic and the same client_id":       {q: ask(web), auth: basic("web", webSecret), status: 200},
		"AS-41 scheme in lower case":               {q: ask(web), auth: strings.Replace(basic("web", webSecret), "Basic", "basic", 1), status: 200},
		"AS-41 post":                               {q: post, change: url.Values{"client_secret": {postSecret}}, status: 200},
		"J4 confidential without secret":           {q: ask(web), status: 401, code: "invalid_client"},
		"J4 confidential with an empty secret":     {q: ask(web), auth: basic("web", ""), status: 401, code: "invalid_client"},
		"J4 posting client without secret":         {q: post, status: 401, code: "invalid_client"},
		"J4 posting client, empty secret":          {q: post, change: url.Values{"client_secret": {""}}, status: 401, code: "invalid_client"},
		"J1 wrong secret, Basic":                   {q: ask(web), auth: basic("web", webSecret+"x"), status: 401, code: "invalid_client"},
		"J1 wrong secret, post":                    {q: post, change: url.Values{"client_secret": {"x"}}, status: 401, code: "invalid_client"},
		"J1 another client's secret":               {q: ask(web), auth: basic("web", postSecret), status: 401, code: "invalid_client"},
		"J2 two methods":                           {q: ask(web), change: url.Values{"client_secret": {webSecret}}, auth: basic("web", webSecret), status: 400, code: "invalid_request"},
		"J2 Basic against client_id":               {q: ask(web), change: url.Values{"client_id": {"cli"}}, auth: basic("web", webSecret), status: 400, code: "invalid_request"},
	}
}

// C4: wrong verifiers cost the code nothing until the fifth burns it (DESIGN §9).
func TestTheFifthWrongVerifierBurnsTheCode(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask()
	for _, tries := range []int{4, 5} {
		code := b.code(q)
		form := q.redemption(code)
		form.Set("code_verifier", strings.Repeat("w", 43))
		for range tries {
			b.post("/token", form).wantError(400, "invalid_grant")
		}
		a := b.post("/token", q.redemption(code))
		if tries == 4 {
			a.want(200)
		} else {
			a.wantError(400, "invalid_grant")
		}
	}
}

// C4: what hashes to the challenge is still no verifier unless it has 43 to 128 letters of the alphabet (RFC 7636 §4.1).
func TestAVerifierThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	for verifier, good := range map[string]bool{
		strings.Repeat("v", 42): false, strings.Repeat("v", 43): true, strings.Repeat("v", 128): true, strings.Repeat("v", 129): false, "v": false,
		strings.Repeat("v", 42) + "+": false, strings.Repeat("v", 42) + "=": false, strings.Repeat("v", 42) + " ": false, strings.Repeat("v", 42) + "/": false, strings.Repeat("ü", 30): false,
		"-._~" + strings.Repeat("9", 40): true,
	} {
		t.Run("C4 "+verifier, func(t *testing.T) {
			b := &browser{t: t, s: s, client: b.client}
			q := ask(func(q *request) { q.verifier = verifier })
			a := b.post("/token", q.redemption(b.code(q)))
			if good {
				a.want(200)
			} else {
				a.wantError(400, "invalid_grant")
			}
		})
	}
}

// C5, C6: a second valid redemption ends what the first one made; an invalid one must not, or anybody who saw a used
// code could log the owner out.
func TestCodeReplay(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	t.Run("C6 with a wrong verifier, as another client, without its secret", func(t *testing.T) {
		b := s.browser(t)
		q := ask(web)
		code := b.code(q)
		token := b.post("/token", q.redemption(code), q.credentials()...).want(200)
		wrong := q.redemption(code)
		wrong.Set("code_verifier", strings.Repeat("w", 43))
		for range 6 {
			b.post("/token", wrong, q.credentials()...).wantError(400, "invalid_grant")
		}
		b.post("/token", q.redemption(code)).wantError(401, "invalid_client")
		other := q.redemption(code)
		other.Set("client_id", "cli")
		b.post("/token", other).wantError(400, "invalid_grant")
		if !b.active(token.text("access_token")) {
			t.Error("a replay that proves nothing ended the tokens")
		}
	})
	t.Run("C5 with everything right", func(t *testing.T) {
		b := s.browser(t)
		q := ask()
		code := b.code(q)
		token := b.post("/token", q.redemption(code)).want(200)
		b.post("/token", q.redemption(code)).wantError(400, "invalid_grant")
		if b.active(token.text("access_token")) {
			t.Error("the first redemption's access token lives on")
		}
		b.refresh("cli", token.text("refresh_token")).wantError(400, "invalid_grant")
		b.decide(token.text("access_token"), "calendar_list", `{}`).wantDecision(false, "invalid_token")
	})
	t.Run("C5 spares another login of the same client", func(t *testing.T) {
		b := s.browser(t)
		q := ask()
		laptop := b.tokens(q)
		code := b.code(q)
		b.post("/token", q.redemption(code)).want(200)
		b.post("/token", q.redemption(code)).wantError(400, "invalid_grant")
		if !b.active(laptop.text("access_token")) {
			t.Error("the other login's token died")
		}
	})
}

// C7: of many redemptions at once one wins at most, and since the others are valid second ones, its tokens end.
func TestParallelRedemptions(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	for range 5 {
		q := ask()
		code := b.code(q)
		answers := parallel(20, func() *answer { return b.post("/token", q.redemption(code)) })
		won := 0
		for _, a := range answers {
			if a.status == 200 {
				won++
				if b.active(a.text("access_token")) {
					t.Error("the winner's token lives although the code was used again")
				}
				continue
			}
			a.wantError(400, "invalid_grant")
		}
		if won != 1 {
			t.Errorf("%d of 20 redemptions of one code won", won)
		}
	}
}

// parallel does the same n times at once.
func parallel(n int, do func() *answer) []*answer {
	out := make([]*answer, n)
	var wait sync.WaitGroup
	for i := range out {
		wait.Go(func() { out[i] = do() })
	}
	wait.Wait()
	return out
}
