package tests

import (
	"strings"
	"testing"
)

func TestDecisions(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	all := s.browser(t).tokens(ask(by("carol"), scopes(scopeCalendar, scopeCRM, scopeTransfer, scopePayroll))).text("access_token")
	little := b.tokens(ask()).text("access_token")
	foreign := b.tokens(ask(scopes("notes:pages.read"), func(q *request) { q.resource = notes })).text("access_token")
	for name, c := range decisions(all, little, foreign) {
		t.Run(name, func(t *testing.T) {
			b := s.program(t)
			a := b.decide(c.token, c.tool, c.arguments).wantDecision(c.allowed, c.reason)
			if a.text("context.evaluation_id") == "" || a.text("context.evaluated_at") == "" {
				t.Errorf("no evaluation id or time: %s", a.body)
			}
			status, challenge := a.text("context.challenge.status"), a.text("context.challenge.www_authenticate")
			switch c.reason {
			case "insufficient_scope":
				if status != "403" || !strings.HasPrefix(challenge, "Bearer ") || !strings.Contains(challenge, `error="insufficient_scope"`) ||
					!strings.Contains(challenge, `scope="`+scopeTransfer+`"`) || !strings.Contains(challenge, `resource_metadata="`+s.issuer) {
					t.Errorf("RS-05: challenge %s %s", status, challenge)
				}
			case "invalid_token":
				if status != "401" || !strings.HasPrefix(challenge, "Bearer ") || !strings.Contains(challenge, `error="invalid_token"`) {
					t.Errorf("RS-04: challenge %s %s", status, challenge)
				}
			default:
				if status != "" {
					t.Errorf("a challenge where nothing helps: %s", challenge)
				}
			}
			if strings.Contains(challenge, "offline_access") {
				t.Errorf("RS-10: %s", challenge)
			}
		})
	}
}

// decided is a tool call and the decision that it must get.
type decided struct {
	token, tool, arguments string
	allowed                bool
	reason                 string
}

func decisions(all, little, foreign string) map[string]decided {
	return map[string]decided{
		"a catalogued tool with its scope": {all, "calendar_list", `{"day":"monday"}`, true, "allowed"},
		"no arguments":                     {all, "calendar_list", `{}`, true, "allowed"},
		"null arguments":                   {all, "calendar_list", `null`, true, "allowed"},
		"below the limit":                  {all, "transfer", `{"amount":1000}`, true, "allowed"},
		"above the limit":                  {all, "transfer", `{"amount":1000.01}`, false, "limit_exceeded"},
		"exactly above the limit":          {all, "transfer", `{"amount":1000.0000000000000000001}`, false, "limit_exceeded"},
		"a negative amount":                {all, "transfer", `{"amount":-5}`, false, "limit_exceeded"},
		"a big amount":                     {all, "transfer", `{"amount":1e300}`, false, "limit_exceeded"},
		"an amount as text":                {all, "transfer", `{"amount":"5"}`, false, "arguments_invalid"},
		"null as amount":                   {all, "transfer", `{"amount":null}`, false, "arguments_invalid"},
		"true as amount":                   {all, "transfer", `{"amount":true}`, false, "arguments_invalid"},
		"a list as amount":                 {all, "transfer", `{"amount":[5]}`, false, "arguments_invalid"},
		"no amount":                        {all, "transfer", `{}`, false, "arguments_invalid"},
		"an unknown argument":              {all, "transfer", `{"amount":5,"limit":5000}`, false, "arguments_invalid"},
		"a list as arguments":              {all, "transfer", `[5]`, false, "arguments_invalid"},
		"text as arguments":                {all, "transfer", `"x"`, false, "arguments_invalid"},
		"a tool that is not catalogued":    {all, "shell", `{}`, false, "tool_unknown"},
		"a tool in another case":           {all, "Transfer", `{"amount":5}`, false, "tool_unknown"},
		"a tool of another server":         {all, "note_read", `{}`, false, "tool_unknown"},
		"policy denies before scope":       {little, "transfer", `{"amount":5000}`, false, "limit_exceeded"},
		"a scope that can be had":          {little, "transfer", `{"amount":5}`, false, "insufficient_scope"},
		"a scope that cannot be had":       {little, "salaries", `{}`, false, "scope_not_available"},
		"of two scopes one can be had":     {little, "bonus", `{}`, false, "scope_not_available"},
		"C17 a token for another server":   {foreign, "calendar_list", `{}`, false, "invalid_token"},
		"I3 garbage":                       {"garbage", "calendar_list", `{}`, false, "invalid_token"},
		"J5 alg none":                      {unsigned(all), "calendar_list", `{}`, false, "invalid_token"},
		"J10 a changed token":              {flip(all, len(all)/2), "calendar_list", `{}`, false, "invalid_token"},
	}
}

func TestDecisionsOfOtherMethods(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	sub := b.post("/introspect", map[string][]string{"token": {token}}, "Authorization", basic(officeKey, officeSecret)).text("sub")
	cases := map[string]struct {
		body    string
		allowed bool
		reason  string
	}{
		"tools/list":                         {`{"action":{"name":"tools/list"},"resource":{"type":"server","id":"office"},"context":{"access_token":"TOKEN"}}`, true, "allowed"},
		"G9 an unknown method":               {`{"action":{"name":"admin/shutdown"},"resource":{"type":"server","id":"office"},"context":{"access_token":"TOKEN"}}`, false, "not_allowed"},
		"G9 a method in another case":        {`{"action":{"name":"Tools/Call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"access_token":"TOKEN"}}`, false, "not_allowed"},
		"a tool call of no tool":             {`{"action":{"name":"tools/call"},"resource":{"type":"resource","id":"calendar_list"},"context":{"access_token":"TOKEN"}}`, false, "tool_unknown"},
		"the right subject":                  {`{"subject":{"type":"identity","id":"SUB"},"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"access_token":"TOKEN"}}`, true, "allowed"},
		"another subject than the token's":   {`{"subject":{"type":"identity","id":"somebody"},"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"access_token":"TOKEN"}}`, false, "subject_mismatch"},
		"no token: access policies only":     {`{"subject":{"type":"identity","id":"SUB"},"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"}}`, false, "not_allowed"},
		"claims in the context are no proof": {`{"subject":{"type":"identity","id":"SUB","properties":{"scope":"office:calendar.read","groups":["finance"]}},"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"token":{"scopes":["office:calendar.read"]}}}`, false, "not_allowed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			body := strings.NewReplacer("TOKEN", token, "SUB", sub).Replace(c.body)
			s.program(t).evaluate(body).wantDecision(c.allowed, c.reason)
		})
	}
}

// AuthZEN 1.0: a malformed request is 400, a caller that is nobody 401; neither is a decision.
func TestBadEvaluations(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	good := callWith(token)
	b.evaluate(good).wantDecision(true, "allowed")
	for name, body := range malformedEvaluations(good, token) {
		t.Run(name, func(t *testing.T) {
			a := s.program(t).evaluate(body)
			message, isText := a.json("").(string) // AuthZEN 1.0: the body of an error is a message
			if a.status != 400 || !isText || message == "" || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s, want 400 and a message", a.status, a.body)
			}
		})
	}
}

// callWith is an evaluation that is allowed with the token.
func callWith(token string) string {
	return `{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"access_token":"` + token + `"}}`
}

func malformedEvaluations(good, token string) map[string]string {
	return map[string]string{
		"empty":                         ``,
		"no JSON":                       `subject=alice`,
		"null":                          `null`,
		"a list":                        `[` + good + `]`,
		"text":                          `"x"`,
		"no subject, no token":          `{"action":{"name":"x"},"resource":{"type":"tool","id":"y"}}`,
		"subject without id":            `{"subject":{"type":"identity"},"action":{"name":"x"},"resource":{"type":"tool","id":"y"}}`,
		"subject without type":          `{"subject":{"id":"a"},"action":{"name":"x"},"resource":{"type":"tool","id":"y"}}`,
		"no action":                     strings.Replace(good, `"action":{"name":"tools/call"},`, ``, 1),
		"action without name":           strings.Replace(good, `"name":"tools/call"`, ``, 1),
		"no resource":                   `{"action":{"name":"x"},"context":{"access_token":"` + token + `"}}`,
		"resource without id":           strings.Replace(good, `,"id":"calendar_list"`, ``, 1),
		"a number as token":             `{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"access_token":5}}`,
		"an empty token":                `{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"access_token":""}}`,
		"null as token":                 `{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"calendar_list"},"context":{"access_token":null}}`,
		"G8 a repeated member":          strings.Replace(good, `"id":"calendar_list"`, `"id":"calendar_list","id":"transfer"`, 1),
		"G8 a repeated argument":        strings.Replace(good, `"id":"calendar_list"`, `"id":"transfer","properties":{"arguments":{"amount":5,"amount":5000}}`, 1),
		"G8 a repeated object":          strings.Replace(good, `"resource":`, `"resource":{"type":"tool","id":"transfer"},"resource":`, 1),
		"G8 a member in another case":   strings.Replace(good, `"resource":`, `"Resource":{"type":"tool","id":"transfer"},"resource":`, 1),
		"G8 only another case":          strings.Replace(good, `"resource":`, `"RESOURCE":`, 1),
		"G8 an inner one in other case": strings.Replace(good, `"id":"calendar_list"`, `"id":"calendar_list","ID":"transfer"`, 1),
		"G8 an argument in two cases":   strings.Replace(good, `"id":"calendar_list"`, `"id":"transfer","properties":{"arguments":{"amount":5,"AMOUNT":5000}}`, 1),
		"G8 a number out of range":      strings.Replace(good, `"id":"calendar_list"`, `"id":"transfer","properties":{"arguments":{"amount":1e400}}`, 1),
		"G8 bytes behind":               good + `{}`,
		"G8 a NUL behind":               good + "\x00",
		"G8 a byte order mark":          "\ufeff" + good,
		"G8 bad UTF-8":                  strings.Replace(good, "calendar_list", "calendar\xff_list", 1),
		"G8 a lone surrogate":           strings.Replace(good, "calendar_list", `\ud800calendar_list`, 1),
		"G8 a comment":                  "/* x */" + good,
		"G8 a trailing comma":           strings.TrimSuffix(good, "}") + ",}",
		"G8 single quotes":              strings.ReplaceAll(good, `"`, `'`),
		"G8 deep nesting":               strings.Replace(good, `"id":"calendar_list"`, `"id":"calendar_list","properties":{"arguments":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`}`, 1),
	}
}

// Whoever is not a registered server gets no decision.
func TestEvaluationsOfStrangers(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	token := s.browser(t).tokens(ask()).text("access_token")
	good := callWith(token)
	callers := map[string][]string{
		"nobody":               nil,
		"wrong secret":         {"Authorization", basic(officeKey, "x")},
		"empty secret":         {"Authorization", basic(officeKey, "")},
		"unknown key":          {"Authorization", basic("nobody", officeSecret)},
		"another's secret":     {"Authorization", basic(officeKey, notesSecret)},
		"a client":             {"Authorization", basic("web", webSecret)},
		"the user's token":     {"Authorization", "Bearer " + token},
		"an unknown scheme":    {"Authorization", "Digest x"},
		"an empty Bearer":      {"Authorization", "Bearer "},
		"Basic that is no b64": {"Authorization", "Basic %%%"},
	}
	for name, header := range callers {
		t.Run("401 "+name, func(t *testing.T) {
			a := s.program(t).raw("/access/v1/evaluation", good, append([]string{"Content-Type", "application/json"}, header...)...)
			if message, isText := a.json("").(string); a.status != 401 || a.header.Get("WWW-Authenticate") == "" || !isText || message == "" {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("R16 nothing is decoded for a stranger", func(t *testing.T) {
		wide := strings.Replace(good, `"context":{`, `"context":{"a":[`+strings.Repeat(`{},`, 80<<10)+`{}],`, 1) // 240 KiB, several MiB once decoded
		before := s.allocated()
		for range 20 {
			a := s.program(t).raw("/access/v1/evaluation", wide, "Content-Type", "application/json", "Authorization", basic(officeKey, "x"))
			if a.status != 401 && a.status != 429 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		if each := (s.allocated() - before) / 20; each > 1<<20 {
			t.Errorf("each refusal allocates %d KiB", each>>10)
		}
		if a := s.program(t).raw("/access/v1/evaluation", `{`, "Content-Type", "application/json"); a.status != 401 && a.status != 429 {
			t.Errorf("a stranger's faulty text was read: %d %s", a.status, a.body)
		}
	})
	t.Run("another content type", func(t *testing.T) {
		a := s.program(t).raw("/access/v1/evaluation", good, "Content-Type", "text/plain", "Authorization", basic(officeKey, officeSecret))
		if a.status != 400 || a.json("decision") != nil {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("R16 more than fits", func(t *testing.T) {
		big := strings.Replace(good, `"id":"calendar_list"`, `"id":"calendar_list","properties":{"arguments":{"day":"`+strings.Repeat("a", 300<<10)+`"}}`, 1)
		if a := s.program(t).evaluate(big); a.status != 413 || a.json("decision") != nil {
			t.Errorf("%d %s", a.status, tail(a.body, 300))
		}
	})
	t.Run("the request id comes back", func(t *testing.T) {
		a := s.program(t).raw("/access/v1/evaluation", good, "Content-Type", "application/json", "Authorization", basic(officeKey, officeSecret), "X-Request-ID", "id-of-the-caller-1")
		if got := a.header.Get("X-Request-ID"); got != "id-of-the-caller-1" {
			t.Errorf("X-Request-ID is %q", got)
		}
	})
	t.Run("Bearer with the secret, and the id as user name", func(t *testing.T) {
		b := s.program(t)
		b.raw("/access/v1/evaluation", good, "Content-Type", "application/json", "Authorization", "Bearer "+officeSecret).wantDecision(true, "allowed")
		b.raw("/access/v1/evaluation", good, "Content-Type", "application/json; charset=utf-8", "Authorization", basic("http%3A%2F%2F127.0.0.1%3A3001%2Fmcp", officeSecret)).wantDecision(true, "allowed")
	})
}
