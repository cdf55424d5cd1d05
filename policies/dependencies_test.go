package policies

import (
	"slices"
	"strings"
	"testing"

	"portcullis/oauth"
)

// readsOf is what the tool router can read with these author files and nothing else.
func readsOf(t testing.TB, files map[string]string) Cacheability {
	t.Helper()
	e := engineFrom(t, Config{Dir: dirWith(t, files), Catalogue: []*oauth.Resource{demoResource()}})
	for _, c := range e.Status().Cache {
		if c.Kind == string(kindTools) {
			return c
		}
	}
	t.Fatal("nothing is said about calls")
	return Cacheability{}
}

// TestInputsThatRulesRead: exactly these, or what they lie below.
func TestInputsThatRulesRead(t *testing.T) {
	for _, tc := range []struct {
		name, policy string
		want         string
	}{
		{"nothing", "allow if true", ""},
		{"plain references", `deny contains "no" if input.tool.name == input.tool.arguments.name`, "tool.arguments.name tool.name"},
		{"a part and the whole", `deny contains "no" if { input.tool.arguments.a == 1; count(input.tool.arguments) == 1 }`, "tool.arguments"},
		{"under negation", `deny contains "no" if not input.subject.username`, "subject.username"},
		{"a variable", `deny contains "no" if input.tool.arguments[_] == 1`, "tool.arguments"},
		{"a variable in the middle", `deny contains "no" if input.tool.arguments.list[_].x == 1`, "tool.arguments.list"},
		{"a number in the path", `deny contains "no" if input.token.scopes[0] == "a:b"`, "token.scopes"},
		{"some in", `deny contains "no" if { some g in input.subject.groups; g == "x" }`, "subject.groups"},
		{"every", `deny contains "no" if { every g in input.subject.groups { g == input.tool.title } }`, "subject.groups tool.title"},
		{"a reference inside a reference", `deny contains "no" if data.config[input.tool.arguments.key] == input.tool.arguments[input.mcp.method]`, "mcp.method tool.arguments"},
		{"an object under a name", `deny contains "no" if { t := input.tool.annotations; t.readOnlyHint }`, "tool.annotations"},
		{"an object for a built-in", `deny contains "no" if object.get(input.tool.arguments, "x", 1) == 1`, "tool.arguments"},
		{"a member of the input for a built-in", `deny contains "no" if count(object.get(input, "actors", [])) > 1`, "actors"},
		{"a member deep in the input", `deny contains "no" if object.get(input, ["tool", "arguments", "x"], 1) == 1`, "tool.arguments.x"},
		{"a member that a variable chooses", `deny contains "no" if object.get(input, ["tool", input.mcp.uri], 1) == 1`, "mcp.uri tool"},
		{"an object for a function", "deny contains \"no\" if _f(input.tool.arguments)\n\n_f(a) if a.x == 1", "tool.arguments"},
		{"a function that reads", "deny contains \"no\" if _f(1)\n\n_f(x) if input.tool.arguments.x == x", "tool.arguments.x"},
		{"a set comprehension", `deny contains "no" if count({x | x := input.tool.arguments.a[_]}) == 1`, "tool.arguments.a"},
		{"an object comprehension", `deny contains "no" if count({y: input.tool.title | some y in input.tool.arguments.b}) == 1`, "tool.arguments.b tool.title"},
		{"an array comprehension", `deny contains "no" if count([1 | input.tool.arguments.c]) == 1`, "tool.arguments.c"},
		{"an else", "deny contains \"no\" if _x == 1\n\n_x := 1 if {\n\tinput.tool.name == \"a\"\n} else := 2 if {\n\tinput.tool.title == \"b\"\n}", "tool.name tool.title"},
		{"a value in the head", `deny contains sprintf("%v", [input.tool.arguments.x])`, "tool.arguments.x"},
		{"a key in the head", "deny contains \"no\" if _x.a\n\n_x[input.tool.name] := input.tool.title", "tool.name tool.title"},
		{"a rule behind a variable", "deny contains \"no\" if _x[input.tool.name]\n\n_x.a if input.tool.title\n\n_x.b if input.mcp.uri", "mcp.uri tool.name tool.title"},
		{"an interpolated text", `deny contains $"no {input.tool.title}"`, "tool.title"},
		{"with on the input", "deny contains \"no\" if _x with input.tool.title as input.mcp.uri\n\n_x if input.tool.title == input.tool.name", "mcp.uri tool.name tool.title"},
		{"with on everything", "deny contains \"no\" if _x with input as {\"tool\": {\"name\": input.mcp.uri}}\n\n_x if input.tool.name", "mcp.uri tool.name"},
		{"with on a function", "deny contains \"no\" if _f(1) with _f as _g\n\n_f(x) if x == 1\n\n_g(x) if input.tool.arguments.x == x", "tool.arguments.x"},
		{"with on a built-in", "deny contains \"no\" if count([1]) == 2 with count as _g\n\n_g(x) := input.tool.arguments.n if x", "tool.arguments.n"},
		{"behind false", `deny contains "no" if { false; input.tool.name == "x" }`, ""},
		{"before false", `deny contains "no" if { input.tool.name == "x"; false }`, "tool.name"},
		{"false for somebody else", "deny contains \"no\" if { not false; input.tool.name == \"x\" }", "tool.name"},
		{"helpers", "import data.lib.mcp\n\ndeny contains \"no\" if { mcp.has_scope(\"a:b\"); mcp.in_group(\"x\"); not mcp.read_only }", "subject.groups token.scopes tool.annotations.readOnlyHint"},
		{"a needed scope", `required_scopes contains "a:b"`, "token.scopes"},
		{"a needed login: its age is compared elsewhere", `require_authn contains {"max_age": 60, "acr_values": ["mfa"]}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := readsOf(t, map[string]string{"a.rego": payments + tc.policy + "\n", "config.yaml": "a: b\n"})
			want := []string{"input.token.scopes"} // the router compares them with the needed ones
			for path := range strings.FieldsSeq(tc.want) {
				want = append(want, "input."+path)
			}
			slices.Sort(want)
			want = slices.Compact(want)
			if !slices.Equal(c.Inputs, want) || len(c.Obstacles) > 0 {
				t.Errorf("got %q %v, want %q", c.Inputs, c.Obstacles, want)
			}
		})
	}
}

// TestObstacles: what makes answers differ from call to call is named with its place.
func TestObstacles(t *testing.T) {
	for _, tc := range []struct{ name, policy, want string }{
		{"a member of the input that a mock sees", "deny contains \"no\" if _n > 1 with object.get as _f\n\n_n := count(object.get(input, \"actors\", []))\n\n_f(x, _, _) := x", "it hands on or searches input as a whole"},
		{"a member that only the call chooses", `deny contains "no" if object.get(input, input.mcp.uri, 1) == 1`, "it hands on or searches input as a whole"},
		{"the clock", `deny contains "no" if time.now_ns() < 5`, "a.rego:3:23: policy not cacheable because it calls time.now_ns, whose answer changes with time"},
		{"the clock behind a helper", "deny contains \"no\" if _late\n\n_late if time.now_ns() > 5", "a.rego:5:10: policy not cacheable because it calls time.now_ns"},
		{"the clock as a replacement", "deny contains \"no\" if _f(\"x\", {\"secret\": \"s\"})[0] with _f as io.jwt.decode_verify\n\n_f(_, _) := [true]", "io.jwt.decode_verify"},
		{"a token's expiry", `deny contains "no" if not io.jwt.decode_verify(input.tool.arguments.t, {"secret": "s"})[0]`, "io.jwt.decode_verify"},
		{"a certificate's expiry", `deny contains "no" if not crypto.x509.parse_and_verify_certificates(input.tool.arguments.c)[0]`, "crypto.x509.parse_and_verify_certificates"},
		{"the time of the request", `deny contains "no" if input.context.unix_time < 5`, "it reads input.context.unix_time, which is the time of the request"},
		{"the time of the request in words", `deny contains "no" if startswith(input.context.time, "2030")`, "it reads input.context.time"},
		{"the decision's id", `deny contains input.id`, "it reads input.id"},
		{"the request's id", `deny contains input.context.request_id`, "it reads input.context.request_id"},
		{"the whole context", `deny contains "no" if count(input.context) == 1`, "it hands on or searches input.context as a whole, and in it input.context."},
		{"the whole input", `deny contains "no" if count(input) == 1`, "it hands on or searches input as a whole"},
		{"the whole input under a name", `deny contains "no" if { i := input; i.tool.name == "x" }`, "it hands on or searches input as a whole"},
		{"a walk", `deny contains "no" if { walk(input, [_, v]); v == 1 }`, "it hands on or searches input as a whole"},
		{"a variable at the top", `deny contains "no" if input[_].name == "x"`, "it hands on or searches input as a whole"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := readsOf(t, map[string]string{"a.rego": payments + tc.policy + "\n"})
			if len(c.Obstacles) == 0 {
				t.Fatalf("cacheable, reads %q", c.Inputs)
			}
			if got := c.Obstacles[0].String(); !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOrdinaryPoliciesAreCacheable: the demo's and the shipped ones, for every question.
func TestOrdinaryPoliciesAreCacheable(t *testing.T) {
	dir := demoDir(t)
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	report, err := Check(dir, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, list := range [][]Cacheability{e.Status().Cache, report.Cache} {
		if len(list) != len(kinds()) {
			t.Errorf("%d: %+v", i, list)
		}
		for _, c := range list {
			if len(c.Obstacles) > 0 {
				t.Errorf("%d: %s: %v", i, c.Kind, c.Obstacles)
			}
		}
	}
	want := "input.mcp.method input.subject.groups input.token.scopes input.tool.arguments.amount input.tool.name input.tool.scopes"
	for _, c := range e.Status().Cache {
		if got := strings.Join(c.Inputs, " "); c.Kind == string(kindTools) && got != want {
			t.Errorf("calls are decided by %s, want %s", got, want)
		}
	}
}
