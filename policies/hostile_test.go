package policies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// TestSlowPoliciesDeny: what is offered stops at the deadline, or is abandoned at the backstop. Either way there is an
// answer, and it denies.
func TestSlowPoliciesDeny(t *testing.T) {
	const deadline = 100 * time.Millisecond
	for name, body := range map[string]string{
		"nested loops":        "count([1 | some i in numbers.range(1, 10000); some j in numbers.range(1, 10000); i == j]) > 0",
		"a long range":        "count(numbers.range(1, 100000000)) > 0",
		"a network to expand": "count(net.cidr_expand(\"10.0.0.0/8\")) > 0",
		"growing text":        "replace(replace(replace(concat(\"\", [sprintf(\"%d\", [i]) | some i in numbers.range(1, 200000)]), \"1\", \"1111111111\"), \"1\", \"1111111111\"), \"1\", \"1111111111\") == \"\"",
		"walking":             "count([x | some i in numbers.range(1, 100000); walk(input, x); i > 0]) > 0",
	} {
		t.Run(name, func(t *testing.T) {
			e := engineFrom(t, Config{
				Dir: dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if " + body + "\n"}), Defaults: true,
				Deadline: deadline, Catalogue: []*oauth.Resource{demoResource()},
			})
			begin := time.Now()
			d := decide(t, e, call("get_weather", nil, "tools:weather.read"))
			if word(d) != codePolicyError {
				t.Errorf("got %q (%+v)", word(d), d)
			}
			if took := time.Since(begin); took > 20*deadline {
				t.Errorf("the answer took %s", took)
			}
		})
	}
}

// TestHostileCorpus: built-ins that are offered, with arguments made to hurt. Each is answered in time, whatever the
// answer is, and nothing stays behind.
func TestHostileCorpus(t *testing.T) {
	const deadline = 100 * time.Millisecond
	args := map[string]any{
		"number": "1e999999999", "long": strings.Repeat("a", 60000), "pattern": strings.Repeat("(a*)*", 1000) + "b{0,900}",
		"globs": strings.Repeat("a*", 300), "query": strings.Repeat("{a", 20000), "nested": strings.Repeat("[", 30000), "yaml": strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"laughs": "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n",
	}
	var rules strings.Builder
	rules.WriteString(payments)
	var names []string
	for i, body := range []string{
		"to_number(_a.number) > 5", "floor(to_number(_a.number)) > 5", "json.unmarshal(_a.number) + 1 > 5", "units.parse(_a.number) > 5", "units.parse_bytes(_a.number) > 5",
		"format_int(json.unmarshal(_a.number), 10) == \"5\"", "numbers.range(1, json.unmarshal(_a.number)) == []", "yaml.unmarshal(_a.number) > 5",
		"regex.match(_a.pattern, _a.long)", "regex.globs_match(_a.globs, _a.globs)", "regex.template_match(_a.pattern, _a.long, \"{\", \"}\")", "glob.match(_a.globs, [], _a.long)",
		"replace(_a.long, \"a\", _a.long) == \"\"", "strings.replace_n({\"a\": _a.long}, _a.long) == \"\"", "count(split(_a.long, \"\")) > 1", "indexof_n(_a.long, \"a\") == []",
		"graphql.is_valid(_a.query, \"type Query { a: Query }\")", "graphql.parse_query(_a.query) == {}", "json.unmarshal(_a.nested) == []", "yaml.unmarshal(_a.yaml) == []", "yaml.unmarshal(_a.laughs) == {}",
		"count(net.cidr_merge(net.cidr_expand(\"10.0.0.0/16\"))) > 0", "graph.reachable({x: numbers.range(1, 3000) | some x in numbers.range(1, 3000)}, [1]) == set()",
		"sprintf(\"%999999999d %-999999d\", [1, 2]) == \"\"", "count(sort(numbers.range(1, 3000000))) == 1", "concat(\",\", [_a.long | some _ in numbers.range(1, 2000)]) == \"\"",
		"json.marshal(numbers.range(1, 2000000)) == \"\"", "object.union_n([{sprintf(\"%d\", [x]): 1} | some x in numbers.range(1, 20000)]) == {}", "semver.compare(_a.long, \"1.0.0\") == 1", "time.parse_duration_ns(_a.long) == 1",
	} {
		names = append(names, body)
		fmt.Fprintf(&rules, "deny contains \"no\" if {\n\tinput.mcp.session_id == \"%d\"\n\t%s\n}\n\n", i, body)
	}
	rules.WriteString("_a := input.tool.arguments\n")
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": rules.String()}), Defaults: true, Deadline: deadline, Catalogue: []*oauth.Resource{demoResource()}})
	for i, name := range names {
		v := call("get_weather", args, "tools:weather.read")
		v.MCP.SessionID = fmt.Sprint(i)
		begin := time.Now()
		d := decide(t, e, v)
		if took := time.Since(begin); took > 20*deadline {
			t.Errorf("%s: the answer %q took %s", name, word(d), took)
		}
		if n := e.abandoned.Load(); n > 0 && !comesBack(e) {
			t.Errorf("%s: is still running", name)
		}
	}
}

// comesBack waits until no abandoned evaluation is left.
func comesBack(e *Engine) bool {
	for begin := time.Now(); e.abandoned.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			return false
		}
	}
	return true
}
