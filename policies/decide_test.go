package policies

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// TestTrapsOfRego are the measured ways in which a Rego policy lets something through, or seems to (facts, policy
// §1.5): what each answers here.
func TestTrapsOfRego(t *testing.T) {
	limited := payments + "allow if not _denied\n\n_denied if input.tool.arguments.amount > 1000\n"
	for _, tc := range []struct {
		name   string
		policy string
		args   map[string]any
		want   string
	}{
		{"not-denied form, amount missing: the author's own mistake, warned about", limited, nil, "allow"},
		{"not-denied form, amount a string", limited, map[string]any{"amount": "5000"}, "not_allowed"},
		{"to_number of what is no number is an error, not a failed condition", payments + "allow if not _denied\n\n_denied if to_number(input.tool.arguments.amount) > 1000\n", map[string]any{"amount": "5,000"}, codePolicyError},
		{"the same under negation", payments + "allow if not to_number(input.tool.arguments.amount) > 1000\n", map[string]any{"amount": "5,000"}, codePolicyError},
		{"positive form, amount missing", payments + "allow if input.tool.arguments.amount <= 1000\n", nil, "not_allowed"},
		{"positive form, amount a string", payments + "allow if input.tool.arguments.amount <= 1000\n", map[string]any{"amount": "1"}, "not_allowed"},
		{"future not denies what is missing", payments + "import future.keywords.not\n\nallow if true\n\ndeny contains \"no\" if not input.tool.arguments.to in {\"ACME\"}\n", nil, "denied"},
		{"two values for one rule", payments + "allow if true\n\n_limit := 1 if input.tool.name == \"transfer\"\n\n_limit := 2 if input.mcp.method == \"tools/call\"\n\ndeny contains \"no\" if _limit > 5\n", nil, codePolicyError},
		{"null is below every number: say is_number", payments + "allow if input.tool.arguments.amount <= 1000\n", map[string]any{"amount": nil}, "allow"},
		{"the house rule", payments + "import data.lib.mcp\n\nallow if mcp.number_between(input.tool.arguments.amount, 0, 1000)\n", map[string]any{"amount": nil}, "not_allowed"},
		{"allow that is computed as a text", payments + "allow := input.tool.arguments.answer\n", map[string]any{"answer": "yes"}, codePolicyError},
		{"allow that is computed as true", payments + "allow := input.tool.arguments.answer\n", map[string]any{"answer": true}, "allow"},
		{"allow that is computed as false", payments + "allow := input.tool.arguments.answer\n", map[string]any{"answer": false}, "not_allowed"},
		{"a deny beside an allow", payments + "allow if true\n\ndeny contains \"no\" if input.tool.name == \"transfer\"\n", nil, "denied"},
		{"division by zero", payments + "allow if 1 / input.tool.arguments.n > 0\n", map[string]any{"n": json.Number("0")}, codePolicyError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": tc.policy}), Catalogue: []*oauth.Resource{demoResource()}})
			d := decide(t, e, call("transfer", tc.args, "tools:payments.transfer"))
			if word(d) != tc.want {
				t.Errorf("got %q (%+v), want %q", word(d), d, tc.want)
			}
			if word(d) == codePolicyError && (d.Reasons[0].Message != messagePolicyError || d.Reasons[0].Policy == "") {
				t.Errorf("the message is for people and the detail for the audit: %+v", d.Reasons[0])
			}
		})
	}
}

// TestWhatGoesWrongDeniesBesideAnAllow: an allow that is both true and false, or that fails, is an error, also where another package
// allows.
func TestWhatGoesWrongDeniesBesideAnAllow(t *testing.T) {
	for name, rule := range map[string]string{
		"a conflict":                    "default allow := false\n\nallow if input.tool.name == \"transfer\"\n\nallow := input.tool.annotations.idempotentHint if input.mcp.method == \"tools/call\"\n",
		"an error":                      "allow if {\n\tinput.tool.name == \"transfer\"\n\tto_number(input.tool.title) > 5\n}\n",
		"an error under a negation":     "allow if {\n\tinput.tool.name == \"transfer\"\n\tnot to_number(\"5,000\") > 5\n}\n",
		"a conflict of a private value": "allow if _x == 2\n\n_x := 1 if input.tool.name == \"transfer\"\n\n_x := 2 if input.tool.name == \"transfer\"\n",
	} {
		e := engineWith(t, map[string]string{"a.rego": payments + rule})
		v := call("transfer", nil, "tools:payments.transfer")
		v.Tool.Title = "Transfer"
		if got := word(decide(t, e, v)); got != codePolicyError {
			t.Errorf("%s: %q", name, got)
		}
		if got := word(decide(t, e, call("get_weather", nil, "tools:weather.read"))); got != "allow" {
			t.Errorf("%s does not concern this tool: %q", name, got)
		}
	}
}

// TestValuesNeverReachTheAudit: OPA's messages quote operands.
func TestValuesNeverReachTheAudit(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if to_number(input.tool.arguments.amount) > 1000\n"})
	d := decide(t, e, call("transfer", map[string]any{"amount": "canary-4711"}, "tools:payments.transfer"))
	if word(d) != codePolicyError || strings.Contains(d.Reasons[0].Policy, "canary") || !strings.Contains(d.Reasons[0].Policy, "a.rego:3") {
		t.Errorf("%+v", d.Reasons)
	}
}

// TestWrongShapes: what the loader cannot see is found by the router.
func TestWrongShapes(t *testing.T) {
	arg := "input.tool.arguments.v"
	object := func(pairs ...any) map[string]any {
		o := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			o[pairs[i].(string)] = pairs[i+1]
		}
		return o
	}
	n := func(s string) json.Number { return json.Number(s) }
	for rule, values := range map[string][]any{
		"deny contains " + arg: {n("5"), true, nil, "", []any{}, object(), object("code", "x"), object("message", "x"),
			object("code", "x", "message", n("5")), object("code", "", "message", "x"), object("code", "x", "message", "y", "more", "z"), object("code", "two words", "message", "x"),
			object("code", strings.Repeat("x", 65), "message", "x")},
		"allow := " + arg:                     {"yes", n("1"), nil, []any{}, object()},
		"required_scopes contains " + arg:     {n("5"), true, nil, "", []any{"a:b"}, object()},
		"require_authn contains " + arg:       {"mfa", object(), object("acr_values", "mfa"), object("acr_values", []any{}), object("acr_values", []any{n("5")}), object("max_age", "5"), object("max_age", n("0")), object("max_age", n("-5")), object("max_age", n("1.5")), object("max_age", n("5"), "other", true)},
		"obligations contains " + arg:         {"log", object(), object("id", "x"), object("id", "x", "type", n("5")), object("id", "x", "type", "y", "properties", "z"), object("id", "x", "type", "y", "more", "z")},
		"ttl_seconds := " + arg:               {"60", true, nil, n("-1"), n("1.5"), n("1e30")},
		"deny := {1} if false\n\ndeny := {1}": nil, // the loader's
	} {
		if values == nil {
			continue
		}
		e := engineWith(t, map[string]string{"a.rego": payments + rule + " if true\n"})
		for _, v := range values {
			d := decide(t, e, call("transfer", map[string]any{"v": v}, "tools:payments.transfer"))
			if word(d) != codePolicyError {
				t.Errorf("%s with %v: got %q (%+v)", rule, v, word(d), d)
			}
		}
	}
}

// TestRightShapes is the control of the table above: the same rules with good values.
func TestRightShapes(t *testing.T) {
	for rule, want := range map[string]string{
		"deny contains \"no\"": "denied",
		"deny contains {\"code\": \"x.y\", \"message\": \"no\"}": "x.y",
		"allow := true": "allow",
		"required_scopes contains \"tools:weather.read\"":                       "missing",
		"require_authn contains {\"acr_values\": [\"mfa\"]}":                    "authn",
		"require_authn contains {\"acr_values\": [\"mfa\", \"pwd\"]}":           "allow",
		"require_authn contains {\"max_age\": 3600}":                            "allow",
		"require_authn contains {\"max_age\": 3599}":                            "authn",
		"require_authn contains {\"acr_values\": {\"pwd\"}, \"max_age\": 4000}": "allow",
		"obligations contains {\"id\": \"o\", \"type\": \"notification\"}":      "allow",
		"ttl_seconds := 60": "allow",
	} {
		e := engineWith(t, map[string]string{"a.rego": payments + rule + " if true\n"})
		if got := word(decide(t, e, call("transfer", nil, "tools:payments.transfer"))); got != want {
			t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	}
}

func TestShippedDefaultsForMethods(t *testing.T) {
	e := engineFrom(t, Config{Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	for method, want := range map[string]string{
		"initialize": "allow", "server/discover": "allow", "tools/list": "allow", "resources/list": "allow", "prompts/list": "allow",
		"logging/setLevel": "allow", "tasks/list": "allow", "ping": "allow", "notifications/initialized": "allow",
		"completion/complete": "allow", "subscriptions/listen": "allow", "resources/read": "allow", "resources/subscribe": "allow",
		"resources/unsubscribe": "allow", "prompts/get": "allow", "tasks/get": "allow", "tasks/result": "allow", "tasks/cancel": "allow",
		"tools/call": "not_allowed", // no catalogued tool
		"tools/Call": "not_allowed", "sampling/createMessage": "not_allowed", "notifications": "not_allowed", "": "not_allowed",
	} {
		v := call("get_weather", nil)
		v.Tool, v.Args, v.MCP.Method = nil, nil, method
		if got := word(decide(t, e, v)); got != want {
			t.Errorf("%q: got %q, want %q", method, got, want)
		}
	}
}

func TestNothingLoadedDeniesEverything(t *testing.T) {
	e := engineFrom(t, Config{Catalogue: []*oauth.Resource{demoResource()}})
	if d := decide(t, e, call("get_weather", nil, "tools:weather.read")); word(d) != "not_allowed" {
		t.Errorf("call: %+v", d)
	}
	if d := grant(t, e, demoResource().ScopeNames(), "staff"); len(d.Granted) > 0 || len(d.Denied) != 4 {
		t.Errorf("scopes: %+v", d)
	}
	if d := admit(t, e, oauth.RegistrationStatic); d.Allow || len(d.Reasons) != 1 {
		t.Errorf("client: %+v", d)
	}
	v := call("get_weather", nil)
	v.Token = nil
	if d := decide(t, e, v); word(d) != "not_allowed" {
		t.Errorf("access: %+v", d)
	}
}

func TestAuthorReplacesADefault(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": "package policy.tools.default\n\nallow if input.tool.name == \"transfer\"\n"})
	if got := word(decide(t, e, call("transfer", nil))); got != "allow" {
		t.Errorf("the author's default: %q", got)
	}
	if got := word(decide(t, e, call("get_weather", nil, "tools:weather.read"))); got != "not_allowed" {
		t.Errorf("the shipped default is still there: %q", got)
	}
	if d := grant(t, e, oauth.NewScopes("tools:weather.read")); len(d.Granted) != 1 {
		t.Errorf("the defaults of other kinds are gone: %+v", d)
	}
}

// TestWithoutATokenOnlyAccessPoliciesRun: a server cannot claim a user to the tool policies.
func TestWithoutATokenOnlyAccessPoliciesRun(t *testing.T) {
	e := engineWith(t, map[string]string{
		"a.rego": payments + "allow if true\n",
		"b.rego": "package policy.access.x\n\nallow if {\n\tinput.subject.id == \"usr_1\"\n\tinput.resource.server == \"demo\"\n\tinput.context.properties.purpose == \"audit\"\n}\n\ndeny contains \"no\" if input.action.name == \"drop\"\n",
	})
	v := call("get_weather", nil, "tools:weather.read")
	v.Token = nil
	if got := word(decide(t, e, v)); got != "not_allowed" {
		t.Errorf("without the purpose: %q", got)
	}
	v.Extra = map[string]any{"purpose": "audit"}
	d := decide(t, e, v)
	if word(d) != "allow" || !slices.Equal(d.Rules, []string{"x.allow"}) {
		t.Errorf("with the purpose: %+v", d)
	}
	v.Action.Name = "drop"
	if got := word(decide(t, e, v)); got != "denied" {
		t.Errorf("denied action: %q", got)
	}
}

func admit(t testing.TB, e *Engine, kind oauth.Registration, redirects ...string) oauth.ClientDecision {
	t.Helper()
	d, err := e.Admit(context.Background(), oauth.ClientRequest{
		ID: "dec_3", Stage: oauth.ClientStageDocument,
		Client: &oauth.Client{ID: "https://agent.example/client.json", Registration: kind, RedirectURIs: redirects, AuthMethods: []string{"none"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAdmission(t *testing.T) {
	e := engineWith(t, map[string]string{"clients/cursor.rego": "package policy.clients.cursor\n\nallow_redirect contains \"cursor://anysphere.cursor-retrieval/oauth/callback\"\n\n" +
		"scope_ceiling := [\"tools:*\"] if input.client.registration == \"dcr\"\n\nttl := 600\n", "clients/b.rego": "package policy.clients.b\n\nscope_ceiling := {\"tools:weather.read\", \"mcp:x\"} if input.client.registration == \"dcr\"\n\nttl := 60\n"})
	cursor := "cursor://anysphere.cursor-retrieval/oauth/callback"
	for _, tc := range []struct {
		name      string
		kind      oauth.Registration
		redirects []string
		want      bool
	}{
		{"static, any redirect", oauth.RegistrationStatic, []string{"custom://x"}, true},
		{"cimd, https", oauth.RegistrationCIMD, []string{"https://agent.example/cb"}, true},
		{"cimd, loopback", oauth.RegistrationCIMD, []string{"http://127.0.0.1/callback", "http://localhost:3000/cb", "http://[::1]/cb"}, true},
		{"dcr, several redirects like Cursor's", oauth.RegistrationDCR, []string{"http://localhost:1/cb", cursor}, true},
		{"dcr, another private scheme", oauth.RegistrationDCR, []string{"http://localhost:1/cb", cursor + "/x"}, false},
		{"cimd, http elsewhere", oauth.RegistrationCIMD, []string{"http://agent.example/cb"}, false},
		{"cimd, javascript", oauth.RegistrationCIMD, []string{"javascript:alert(1)"}, false},
		{"unknown registration", "other", []string{"https://agent.example/cb"}, false},
	} {
		d := admit(t, e, tc.kind, tc.redirects...)
		if d.Allow != tc.want {
			t.Errorf("%s: %+v", tc.name, d)
		}
		if !tc.want && (len(d.Reasons) == 0 || d.AllowRedirects != nil) {
			t.Errorf("%s: %+v", tc.name, d)
		}
	}
	d := admit(t, e, oauth.RegistrationDCR, cursor)
	if !slices.Equal(d.AllowRedirects, []string{cursor}) || d.TTL != time.Minute || !slices.Equal(d.Ceiling, oauth.Scopes{"tools:weather.read"}) {
		t.Errorf("%+v", d)
	}
	if d := admit(t, e, oauth.RegistrationCIMD, "https://agent.example/cb"); d.Ceiling != nil {
		t.Errorf("a ceiling that no package gave: %q", d.Ceiling)
	}
	before, err := e.Admit(context.Background(), oauth.ClientRequest{Stage: oauth.ClientStageURL, Client: &oauth.Client{ID: "https://agent.example/c", Registration: oauth.RegistrationCIMD}})
	if err != nil || !before.Allow {
		t.Errorf("before the fetch: %+v %v", before, err)
	}
	if none, err := e.Admit(context.Background(), oauth.ClientRequest{}); err != nil || none.Allow || none.Reasons[0].Code != codePolicyError {
		t.Errorf("no client: %+v %v", none, err)
	}
}

// TestAnAdmissionThatFailsIsNone: what goes wrong in one package admits nobody, although another one allows.
func TestAnAdmissionThatFailsIsNone(t *testing.T) {
	for name, rule := range map[string]string{
		"an error":       "deny contains \"no\" if to_number(input.client.registration) > 5\n",
		"a conflict":     "deny contains \"no\" if _x == 5\n\n_x := 1 if input.client.registration\n\n_x := 2 if input.client.redirect_uris\n",
		"a wrong shape":  "ttl := input.client.registration\n",
		"a wrong shape ": "scope_ceiling := input.client.registration\n",
	} {
		e := engineWith(t, map[string]string{"clients/a.rego": "package policy.clients.a\n\n" + rule})
		d := admit(t, e, oauth.RegistrationCIMD, "https://agent.example/cb")
		if d.Allow || len(d.Reasons) == 0 || d.Reasons[0].Code != codePolicyError {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestCeilingsThatMeetInNothing are a ceiling, not none.
func TestCeilingsThatMeetInNothing(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": "package policy.clients.a\n\nscope_ceiling := [\"a:b\"]\n", "b.rego": "package policy.clients.b\n\nscope_ceiling := [\"c:d\"]\n"})
	if d := admit(t, e, oauth.RegistrationCIMD, "https://agent.example/cb"); d.Ceiling == nil || len(d.Ceiling) > 0 {
		t.Errorf("%#v", d.Ceiling)
	}
}

func TestScopeDecisions(t *testing.T) {
	resource := demoResource()
	resource.Scopes = append(resource.Scopes, oauth.ScopeInfo{Name: "mcp:exec:functions.*", Description: "All functions"}, oauth.ScopeInfo{Name: "mcp:risky", Description: "x", Risk: "high"})
	resource.Tools = append(resource.Tools, oauth.Tool{Name: "f", Scopes: oauth.NewScopes("mcp:exec:functions.f")})
	pkg := "package policy.scopes.x\n\n"
	for _, tc := range []struct {
		name, policy     string
		service          bool
		requested        string
		granted, consent string
		denied           []string
		reason           string
	}{
		{name: "what is advertised", requested: "tools:weather.read", granted: "tools:weather.read"},
		{name: "what is not", requested: "tools:weather.read tools:other", granted: "tools:weather.read", denied: []string{"tools:other not_granted"}},
		{name: "high risk needs consent", requested: "mcp:risky", granted: "mcp:risky", consent: "mcp:risky"},
		{name: "high risk needs a person", service: true, requested: "mcp:risky tools:weather.read", granted: "tools:weather.read", denied: []string{"mcp:risky person_required"}},
		{name: "destructive needs a person", service: true, requested: "tools:payments.transfer", denied: []string{"tools:payments.transfer person_required"}},
		{name: "a wildcard over a destructive tool", requested: "mcp:exec:functions.*", granted: "mcp:exec:functions.*", consent: "mcp:exec:functions.*"},
		{name: "below a wildcard over a destructive tool", service: true, requested: "mcp:exec:functions.f", denied: []string{"mcp:exec:functions.f person_required"}},
		{name: "deny denies everything", policy: pkg + "deny contains {\"code\": \"closed\", \"message\": \"not today\"}\n", requested: "tools:weather.read", reason: "closed"},
		{name: "deny_scope below a wildcard withholds the wildcard", policy: pkg + "deny_scope contains {\"scope\": \"mcp:exec:functions.f\", \"code\": \"no\", \"message\": \"no\"}\n",
			requested: "mcp:exec:functions.* tools:weather.read", granted: "tools:weather.read", denied: []string{"mcp:exec:functions.* no"}},
		{name: "deny_scope with a wildcard", policy: pkg + "deny_scope contains {\"scope\": \"tools:*\", \"code\": \"no\", \"message\": \"no\"}\n",
			requested: "tools:weather.read mcp:risky", granted: "mcp:risky", consent: "mcp:risky", denied: []string{"tools:weather.read no"}},
		{name: "a wildcard grant covers what is asked", policy: pkg + "grant contains \"own:*\"\n", requested: "own:a", granted: "own:a"},
		{name: "of a wildcard that is asked only what is granted", policy: pkg + "grant contains \"own:a\"\n", requested: "own:*", granted: "own:a"},
		{name: "consent for a wildcard", policy: pkg + "require_consent contains \"tools:*\"\n", requested: "tools:weather.read", granted: "tools:weather.read", consent: "tools:weather.read"},
		{name: "a grant of a wrong shape", policy: pkg + "grant contains to_number(\"5\")\n", requested: "tools:weather.read", reason: codePolicyError},
		{name: "a withheld scope of a wrong shape", policy: pkg + "deny_scope contains {\"scope\": input.stage}\n", requested: "tools:weather.read", reason: codePolicyError},
		{name: "a lifetime of zero", policy: pkg + "token_ttl_seconds := 1 - 1\n", requested: "tools:weather.read", reason: codePolicyError},
		{name: "a conflict", policy: pkg + "refresh := true\n\nrefresh := false if input.stage == \"authorize\"\n", requested: "tools:weather.read", reason: codePolicyError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{}
			if tc.policy != "" {
				files["a.rego"] = tc.policy
			}
			e := engineFrom(t, Config{Dir: dirWith(t, files), Defaults: true, Catalogue: []*oauth.Resource{resource}})
			r := scopeRequest(oauth.NewScopes(strings.Fields(tc.requested)...))
			if tc.service {
				r.Subject = oauth.Subject{Kind: oauth.SubjectService, ID: "svc"}
			}
			d, err := e.GrantScopes(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			var denied []string
			for _, x := range d.Denied {
				denied = append(denied, x.Scope+" "+x.Code)
			}
			reason := ""
			if len(d.Reasons) > 0 {
				reason = d.Reasons[0].Code
			}
			if d.Allow != (tc.reason == "") || reason != tc.reason {
				t.Fatalf("allow %v, reason %q: %+v", d.Allow, reason, d)
			}
			if tc.reason == "" && (d.Granted.String() != tc.granted || d.RequireConsent.String() != tc.consent || !slices.Equal(denied, tc.denied)) {
				t.Errorf("granted %q, consent %q, denied %q", d.Granted, d.RequireConsent, denied)
			}
			if tc.reason != "" && len(d.Granted) > 0 {
				t.Errorf("granted %q although denied", d.Granted)
			}
		})
	}
}

func TestEndGrantDeniesByItself(t *testing.T) {
	e := engineWith(t, map[string]string{"b.rego": "package policy.scopes.b\n\nend_grant if input.subject.type == \"user\"\n"})
	d := grant(t, e, oauth.NewScopes("tools:weather.read"))
	if d.Allow || !d.EndGrant || len(d.Reasons) != 1 || d.Reasons[0].Code != "grant_ended" || len(d.Granted) > 0 {
		t.Errorf("%+v", d)
	}
}

func TestScopeTerms(t *testing.T) {
	e := engineWith(t, map[string]string{
		"a.rego": "package policy.scopes.a\n\ntoken_ttl_seconds := 300\n\nrefresh := false\n\nrequire_authn contains {\"max_age\": 60}\n",
		"b.rego": "package policy.scopes.b\n\ntoken_ttl_seconds := 120\n\nrefresh := true\n",
	})
	d := grant(t, e, oauth.NewScopes("tools:weather.read"))
	if !d.Allow || d.TokenTTL != 2*time.Minute || d.Refresh == nil || *d.Refresh || d.EndGrant {
		t.Errorf("%+v", d)
	}
	if !reflect.DeepEqual(d.RequireAuthn, []oauth.AuthnRequirement{{MaxAge: time.Minute}}) {
		t.Errorf("%+v", d.RequireAuthn)
	}
	plain := grant(t, engineWith(t, nil), oauth.NewScopes("tools:weather.read"))
	if plain.Refresh != nil || plain.TokenTTL != 0 || plain.EndGrant || plain.RequireAuthn != nil {
		t.Errorf("%+v", plain)
	}
}

func TestDecisionLifetime(t *testing.T) {
	e := engineWith(t, map[string]string{
		"a.rego": payments + "ttl_seconds := 3600\n",
		"b.rego": "package policy.tools.b\n\nttl_seconds := 900 if input.tool.name != \"calendar_list\"\n\nobligations contains {\"id\": \"o1\", \"type\": \"custom\", \"properties\": {\"n\": 9007199254740993}}\n",
	})
	if d := decide(t, e, call("get_weather", nil, "tools:weather.read")); d.TTL != 9*time.Minute {
		t.Errorf("longer than the token lives: %s", d.TTL)
	}
	if d := decide(t, e, call("transfer", nil, "tools:payments.transfer")); !d.Allow || d.TTL != 0 {
		t.Errorf("a destructive tool: %s", d.TTL)
	}
	d := decide(t, e, call("get_weather", nil))
	if d.TTL != 0 || d.Obligations != nil {
		t.Errorf("a denial: %+v", d)
	}
	d = decide(t, e, call("get_weather", nil, "tools:weather.read"))
	if want := []oauth.Obligation{{ID: "o1", Type: "custom", Properties: map[string]any{"n": json.Number("9007199254740993")}}}; !reflect.DeepEqual(d.Obligations, want) {
		t.Errorf("%+v", d.Obligations)
	}
}

func TestRuleLabels(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + `# METADATA
# labels:
#   rule: payments.limit
#   owner: finance
deny contains "too much" if input.tool.arguments.amount > 10

deny contains "never" if input.tool.arguments.amount > 100

deny contains "other" if input.tool.name == "other"
`})
	for amount, want := range map[string][]string{
		"1": {"default.catalogued_tool", "default.tool_scopes"}, "11": {"payments.limit"}, "101": {"payments.deny", "payments.limit"},
	} {
		d := decide(t, e, call("transfer", map[string]any{"amount": json.Number(amount)}, "tools:payments.transfer"))
		if !slices.Equal(d.Rules, want) {
			t.Errorf("amount %s: %q, want %q", amount, d.Rules, want)
		}
	}
}

func TestReasonsNameTheirPackage(t *testing.T) {
	e := engineWith(t, map[string]string{
		"a.rego": payments + "deny contains {\"code\": \"a.x\", \"message\": \"first\"}\n",
		"b.rego": "package policy.tools.b\n\ndeny contains \"second\"\n\nttl_seconds := input.tool.arguments.v\n",
	})
	d := decide(t, e, call("transfer", nil))
	want := []oauth.Reason{{Code: "a.x", Message: "first", Policy: "payments"}, {Code: "denied", Message: "second", Policy: "b"}}
	if !reflect.DeepEqual(d.Reasons, want) {
		t.Errorf("%+v", d.Reasons)
	}
	d = decide(t, e, call("transfer", map[string]any{"v": "x"}))
	if len(d.Reasons) != 3 || d.Reasons[0] != (oauth.Reason{Code: codePolicyError, Message: messagePolicyError, Policy: "b.ttl_seconds has a wrong shape"}) {
		t.Errorf("a policy error comes first: %+v", d.Reasons)
	}
}
