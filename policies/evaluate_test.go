package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

func TestBackstop(t *testing.T) {
	release := make(chan struct{})
	e := engineFrom(t, Config{Defaults: true, Deadline: 20 * time.Millisecond, Catalogue: []*oauth.Resource{demoResource()}})
	wait := func() result { return e.guard(func() result { <-release; return result{} }, func() {}) }
	for i := range maxAbandoned {
		begin := time.Now()
		if r := wait(); r.err == nil || !strings.Contains(r.err.Error(), "abandoned") {
			t.Fatalf("evaluation %d: %+v", i, r)
		}
		if took := time.Since(begin); took < 2*e.deadline {
			t.Errorf("abandoned after only %s", took)
		}
	}
	v := call("get_weather", nil, "tools:weather.read")
	d := decide(t, e, v)
	if word(d) != codePolicyError || !strings.Contains(d.Reasons[0].Policy, "refused") {
		t.Fatalf("with %d stuck evaluations: %+v", maxAbandoned, d)
	}
	if s := grant(t, e, oauth.NewScopes("tools:weather.read")); s.Allow || s.Revision == "" {
		t.Errorf("scopes with stuck evaluations: %+v", s)
	}
	close(release)
	if !comesBack(e) {
		t.Fatal("the evaluations never came back")
	}
	if got := word(decide(t, e, v)); got != "allow" {
		t.Errorf("after they have come back: %q", got)
	}
}

func TestPanicDenies(t *testing.T) {
	e := engineWith(t, nil)
	r := e.guard(func() result { panic("canary") }, func() {})
	if r.err == nil || strings.Contains(r.err.Error(), "canary") {
		t.Errorf("%+v", r)
	}
}

// TestACancelledCallerDoesNotChangeTheAnswer: the decision is recorded, whoever still waits for it.
func TestACancelledCallerDoesNotChangeTheAnswer(t *testing.T) {
	e := engineWith(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d, err := e.Decide(ctx, call("get_weather", nil, "tools:weather.read"))
	if err != nil || !d.Allow {
		t.Errorf("%+v %v", d, err)
	}
}

// TestClock: policies that read the clock see the time of the request.
func TestClock(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + `deny contains sprintf("%d %d %s", [time.now_ns(), input.context.unix_time, input.context.time])` + "\n"})
	d := decide(t, e, call("get_weather", nil))
	if want := "1900000000000000000 1900000000 2030-03-17T17:46:40Z"; d.Reasons[0].Message != want {
		t.Errorf("%q, want %q", d.Reasons[0].Message, want)
	}
}

func TestNumbersStayExact(t *testing.T) {
	e := engineWith(t, map[string]string{
		"config.yaml": "ids: {yaml: 9007199254740993}\n", "config.json": "{\"ids\": {\"json\": 9007199254740993, \"big\": 123456789012345678901234567890}}",
		"a.rego": payments + `deny contains "args" if input.tool.arguments.id == 9007199254740993

deny contains "yaml" if input.tool.arguments.id == data.config.ids.yaml

deny contains "json" if input.tool.arguments.id == data.config.ids.json

deny contains "big" if input.tool.arguments.big > data.config.ids.big

deny contains "fraction" if input.tool.arguments.fraction == 0.1
`,
	})
	messages := func(args map[string]any) string {
		var m []string
		for _, r := range decide(t, e, call("transfer", args, "tools:payments.transfer")).Reasons {
			m = append(m, r.Message)
		}
		return strings.Join(m, " ")
	}
	exact := map[string]any{"id": json.Number("9007199254740993"), "big": json.Number("123456789012345678901234567891"), "fraction": json.Number("0.1")}
	if got := messages(exact); got != "args big fraction json yaml" {
		t.Errorf("got %q", got)
	}
	near := map[string]any{"id": json.Number("9007199254740992"), "big": json.Number("123456789012345678901234567890"), "fraction": json.Number("0.10000000000000001")}
	if got := messages(near); got != "" {
		t.Errorf("numbers beside it: %q", got)
	}
}

// TestInputOutOfBounds: numbers that would take gigabytes to compare, and values that no decoder makes.
func TestInputOutOfBounds(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.arguments.v > 5\n"})
	deep := any("x")
	for range 40 {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"exponent": json.Number("1e999999999"), "negative exponent": json.Number("1e-999999999"), "long": json.Number(strings.Repeat("9", 500)),
		"no number": json.Number("0x10"), "empty": json.Number(""), "infinite": json.Number("Inf"), "deep": deep, "float": 1.5, "int": 1, "struct": struct{}{},
	} {
		for where, set := range map[string]func(*oauth.Evaluation){
			"arguments":           func(e *oauth.Evaluation) { e.Args = map[string]any{"v": v} },
			"context":             func(e *oauth.Evaluation) { e.Extra = map[string]any{"v": v} },
			"subject properties":  func(e *oauth.Evaluation) { e.Claimed.Properties = map[string]any{"v": v} },
			"action properties":   func(e *oauth.Evaluation) { e.Action.Properties = map[string]any{"v": v} },
			"resource properties": func(e *oauth.Evaluation) { e.Resource.Properties = map[string]any{"v": v} },
		} {
			c := call("transfer", nil, "tools:payments.transfer")
			set(&c)
			if got := word(decide(t, e, c)); got != codePolicyError {
				t.Errorf("%s in %s: %q", name, where, got)
			}
			c.Token = nil
			if got := word(decide(t, e, c)); where != "arguments" && got != codePolicyError {
				t.Errorf("%s in %s, without a token: %q", name, where, got)
			}
		}
	}
}

// TestInputsObeyTheirSchemas compares every member of the largest inputs with schemas/, both ways.
func TestInputsObeyTheirSchemas(t *testing.T) {
	files, err := shippedFiles(true)
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := schemaDocuments(files)
	if err != nil {
		t.Fatal(err)
	}
	w := newWords()
	c := call("transfer", map[string]any{}, "tools:payments.transfer")
	some := map[string]any{"x": "y"}
	c.Actors = []oauth.Actor{{Type: "agent", ID: "a"}}
	c.Claimed.Properties, c.Action.Properties, c.Extra = some, some, some
	c.Resource.Properties = map[string]any{"x": "y", "arguments": some}
	c.Token.Authn.AMR = []string{"pwd"}
	c.Tool.Title = "Transfer"
	c.MCP = oauth.MCPCall{Method: "m", ProtocolVersion: "v", SessionID: "s", URI: "u", Prompt: "p", TaskID: "t"}
	c.Context.UserAgent = "ua"
	r := scopeRequest(oauth.NewScopes("a:b"), "staff")
	r.Actors, r.RequestedACR, r.MaxAge, r.Authn, r.Context = c.Actors, []string{"mfa"}, time.Minute, c.Token.Authn, c.Context
	r.Client = &oauth.Client{ID: "https://a.example/c", Name: "A", Registration: oauth.RegistrationCIMD}
	admission := oauth.ClientRequest{ID: "d", Stage: oauth.ClientStageDocument, Context: c.Context, Client: &oauth.Client{
		ID: "https://a.example/c", Name: "A", Registration: oauth.RegistrationCIMD, ClientURI: "u", SoftwareID: "s", GrantTypes: []string{"g"}}}
	toolCall := documentOf(t, w, func(o *object) error { return o.toolCall(c) })
	for name, input := range map[string]ast.Value{
		"tool_call": toolCall, "access": documentOf(t, w, func(o *object) error { return o.access(c) }),
		"scope_grant":      documentOf(t, w, func(o *object) error { o.scopeGrant(r); return nil }),
		"client_admission": documentOf(t, w, func(o *object) error { o.clientAdmission(admission); return nil }),
	} {
		plain, err := ast.JSON(input)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name, schemas[name].(map[string]any), plain)
	}
	if strings.Contains(fmt.Sprint(toolCall), `"properties": {"arguments"`) {
		t.Error("the arguments stand in resource.properties, too")
	}
}

// documentOf is an input as an evaluation gets it.
func documentOf(t testing.TB, w *words, write func(*object) error) ast.Value {
	t.Helper()
	o := w.object(12)
	if err := write(&o); err != nil {
		t.Fatal(err)
	}
	return o.value()
}

// compare wants the members of a value and of its schema to be the same.
func compare(t *testing.T, at string, schema map[string]any, value any) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		properties, closed := schema["properties"].(map[string]any)
		if !closed {
			if schema["additionalProperties"] != true {
				t.Errorf("%s: an object where the schema has %v", at, schema["type"])
			}
			return
		}
		for key, member := range v {
			child, ok := properties[key].(map[string]any)
			if !ok {
				t.Errorf("%s.%s is not in the schema", at, key)
				continue
			}
			compare(t, at+"."+key, child, member)
		}
		for key := range properties {
			if _, ok := v[key]; !ok {
				t.Errorf("%s.%s is only in the schema", at, key)
			}
		}
	case []any:
		for _, element := range v {
			compare(t, at+"[]", schema["items"].(map[string]any), element)
		}
	default:
		want := map[string]string{"string": "string", "bool": "boolean", "json.Number": "integer"}[fmt.Sprintf("%T", value)]
		if schema["type"] != want {
			t.Errorf("%s: %T where the schema has %v", at, value, schema["type"])
		}
	}
}

// TestAbsentFactsAreAbsent: neither null nor "".
func TestAbsentFactsAreAbsent(t *testing.T) {
	input := documentOf(t, newWords(), func(o *object) error { return o.toolCall(oauth.Evaluation{Token: &oauth.TokenInfo{}}) })
	plain, err := ast.JSON(input)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(text), `{"subject":{"groups":[]},"token":{"scopes":[]},"version":"1"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestSpecialisedRoutersAnswerAsTheShippedOnes compares the rewritten routers with the shipped text.
func TestSpecialisedRoutersAnswerAsTheShippedOnes(t *testing.T) {
	dirs := []map[string]string{
		{},
		{"a.rego": payments + "allow if input.tool.name == \"transfer\"\n\ndeny contains \"no\" if input.tool.arguments.v\n\nrequire_authn contains {\"max_age\": 60}\n"},
		{"a.rego": payments + "ttl_seconds := input.tool.arguments.v\n", "b.rego": "package policy.tools.b\n\nobligations contains input.tool.arguments.v\n\nttl_seconds := 5\n\nrequired_scopes contains input.tool.arguments.v\n"},
		{"a.rego": "package policy.scopes.a\n\ngrant contains \"tools:*\"\n\nrefresh := false\n", "b.rego": "package policy.scopes.b\n\ndeny_scope contains {\"scope\": \"tools:crm.*\", \"code\": \"no\", \"message\": \"no\"}\n\ntoken_ttl_seconds := 60\n"},
		{"a.rego": "package policy.clients.a\n\nscope_ceiling := [\"a:b\"]\n\nttl := 5\n", "b.rego": "package policy.clients.b\n\ndeny contains \"no\" if input.client.registration == \"dcr\"\n\nscope_ceiling := [\"a:*\"]\n"},
		{"a.rego": "package policy.access.a\n\nallow if input.subject.id\n"},
	}
	for _, files := range dirs {
		for _, defaults := range []bool{true, false} {
			special, shipped := bothRouters(t, files, defaults)
			for _, v := range []any{nil, true, "x:y", json.Number("5"), "", map[string]any{"id": "o", "type": "t"}} {
				for _, tool := range []string{"transfer", "get_weather", "none"} {
					c := call(tool, map[string]any{"v": v}, "tools:weather.read")
					same(t, special, shipped, func(e *Engine) (any, error) { return e.Decide(context.Background(), c) })
					c.Token = nil
					same(t, special, shipped, func(e *Engine) (any, error) { return e.Decide(context.Background(), c) })
				}
			}
			same(t, special, shipped, func(e *Engine) (any, error) {
				return e.GrantScopes(context.Background(), scopeRequest(demoResource().ScopeNames()))
			})
			for _, kind := range []oauth.Registration{oauth.RegistrationDCR, oauth.RegistrationStatic} {
				same(t, special, shipped, func(e *Engine) (any, error) {
					return e.Admit(context.Background(), oauth.ClientRequest{Client: &oauth.Client{ID: "x", Registration: kind}})
				})
			}
		}
	}
}

func same(t *testing.T, a, b *Engine, ask func(*Engine) (any, error)) {
	t.Helper()
	x, errx := ask(a)
	y, erry := ask(b)
	if errx != nil || erry != nil {
		t.Fatal(errx, erry)
	}
	if !reflect.DeepEqual(x, y) {
		t.Errorf("special %+v\nshipped %+v", x, y)
	}
}

// bothRouters makes two engines over the same files, the second with the routers as they are shipped.
func bothRouters(t *testing.T, files map[string]string, defaults bool) (special, shipped *Engine) {
	t.Helper()
	c := Config{Dir: dirWith(t, files), Defaults: defaults, Catalogue: []*oauth.Resource{demoResource()}}
	special, shipped = engineFrom(t, c), engineFrom(t, c)
	s, _, err := readSource(c.Dir, c.Defaults, c.Catalogue)
	if err != nil {
		t.Fatal(err)
	}
	p, problems, err := s.parse()
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	for _, f := range s.shipped {
		if strings.HasPrefix(f.path, "mcp/authz/") {
			if p.modules[f.name()], err = parseModule(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	compiler, problems := p.compile(false)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	g := *shipped.current.Load()
	if g.queries, err = p.prepare(context.Background(), compiler); err != nil {
		t.Fatal(err)
	}
	shipped.current.Store(&g)
	return special, shipped
}

func TestManyAtOnce(t *testing.T) {
	e := engineFrom(t, Config{Dir: demoDir(t), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				amount := json.Number(fmt.Sprint(900 + 100*((i+j)%3)))
				want := map[json.Number]string{"900": "allow", "1000": "allow", "1100": "payments.limit"}[amount]
				d, err := e.Decide(context.Background(), call("transfer", map[string]any{"amount": amount}, "tools:payments.transfer"))
				if err != nil || word(d) != want {
					t.Errorf("%s: %+v %v", amount, d, err)
				}
			}
		})
	}
	wg.Wait()
}
