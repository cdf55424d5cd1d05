package policies

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/oauth"
)

// hostile are policies that take time, memory or space, or answer what nobody can use. Every body makes its deny rule true or
// undefined only after work that no decision may cost.
func hostile() map[string]string {
	return map[string]string{
		"nested loops":             `count([1 | some i in numbers.range(1, 10000); some j in numbers.range(1, 10000); i == j]) > 0`,
		"three loops":              `some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); some k in numbers.range(1, 3000); i * j * k == -1`,
		"a long range":             `count(numbers.range(1, 100000000)) > 0`,
		"a long range with steps":  `count(numbers.range_step(1, 1000000000, 3)) > 0`,
		"a network to expand":      `count(net.cidr_expand("10.0.0.0/8")) > 0`,
		"networks against another": `n := [sprintf("10.%d.%d.0/24", [i, j]) | some i in numbers.range(0, 60); some j in numbers.range(0, 60)]; count(net.cidr_contains_matches(n, n)) == 1`,
		"a walk per number":        `count([x | some i in numbers.range(1, 100000); walk(input, x); i > 0]) > 0`,
		"walks in walks":           `walk(input, [p, v]); walk(input, [q, w]); walk(input, [r, u]); concat("/", [sprintf("%v", [p]), sprintf("%v", [q]), sprintf("%v", [r])]) == ""`,
		"text that doubles":        doubling(`concat("", [x%d, x%d])`, 24),
		"a list that doubles":      strings.ReplaceAll(doubling(`array.concat(x%d, x%d)`, 24), "x0 := _a.kib", "x0 := [1, 2, 3]"),
		"hex of hex":               growing(`hex.encode(x%d)`, 24),
		"base64 of base64":         growing(`base64.encode(x%d)`, 60),
		"replaced by the whole":    `count(replace(_a.long, "a", _a.long)) == 1`,
		"replaced at every place":  `count(replace(_a.long, "", _a.long)) == 1`,
		"many replaced":            `count(strings.replace_n({"a": _a.long}, _a.long)) == 1`,
		"replaced by a pattern":    `count(regex.replace(_a.long, "a", _a.long)) == 1`,
		"replaced by references":   `count(regex.replace(_a.long, "(a*)", "` + strings.Repeat("$1", 500) + `")) == 1`,
		"a wide number":            `count(sprintf("` + strings.Repeat("%[1]999999d", 300) + `", [1])) == 1`,
		"a width from a value":     `count(sprintf("` + strings.Repeat("%[1]*[1]d", 300) + `", [999999])) == 1`,
		"a long text many times":   `count(sprintf("` + strings.Repeat("%[1]s", 2000) + `", [_a.long])) == 1`,
		"one text a million times": `count(concat(",", [_a.long | some _ in numbers.range(1, 2000)])) == 1`,
		"an indent of 60 kB":       `count(json.marshal_with_options(numbers.range(1, 20000), {"pretty": true, "indent": _a.long})) == 1`,
		"a long list as text":      `count(json.marshal(numbers.range(1, 2000000))) == 1`,
		"patches":                  `count(json.patch([], [{"op": "add", "path": "/0", "value": i} | some i in numbers.range(1, 30000)])) == 1`,
		"lists in lists as text":   nested("x", 20) + `; count(json.marshal(x20)) == 1`,
		"lists in lists in a text": nested("x", 20) + `; count(sprintf("%v", [x20])) == 1`,
		"an object of long texts":  `count({sprintf("%d", [i]): _a.long | some i in numbers.range(1, 1000000)}) == 1`,
		"hashes":                   `count([crypto.sha256(_a.long) | some i in numbers.range(1, 100000)]) == 1`,
		"a dense graph":            `count(graph.reachable({x: numbers.range(1, 3000) | some x in numbers.range(1, 3000)}, [1])) == 1`,
		"a long sort":              `count(sort(numbers.range(1, 3000000))) == 1`,
		"globs in globs":           `glob.match(_a.globs, [], _a.subject)`,
		"yaml that laughs":         `count(yaml.unmarshal(_a.laughs)) == 1`,
		"a number out of range":    `to_number(_a.big) * to_number(_a.big) == 1`,
		"bits of such a number":    `bits.and(json.unmarshal(_a.big), 1) == 1`,
		"a range to such a number": `count(numbers.range(1, to_number(_a.big))) == 1`,
		"a function by itself":     `_deep(25) == 1`,
		"two answers":              `_both == 3`,
		"a large answer":           `some i in numbers.range(1, 100000); input.mcp.method == "tools/call"; i > 0`,
	}
}

// doubling gives every step the one before twice.
func doubling(form string, steps int) string {
	b := "x0 := _a.kib"
	for i := 1; i <= steps; i++ {
		b += fmt.Sprintf("; x%d := "+form, i, i-1, i-1)
	}
	return b + fmt.Sprintf("; count(x%d) == 1", steps)
}

func growing(form string, steps int) string {
	b := "x0 := _a.kib"
	for i := 1; i <= steps; i++ {
		b += fmt.Sprintf("; x%d := "+form, i, i-1)
	}
	return b + fmt.Sprintf("; count(x%d) == 1", steps)
}

// nested is a list whose two elements are the same list, and so on: small in memory, large as a text.
func nested(name string, steps int) string {
	b := name + "0 := [1, 1]"
	for i := 1; i <= steps; i++ {
		b += fmt.Sprintf("; %s%d := [%s%d, %s%d]", name, i, name, i-1, name, i-1)
	}
	return b
}

// hostileArguments are what a caller sends along.
func hostileArguments() map[string]any {
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x]\n"
	for i := 1; i <= 9; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 8), ","))
	}
	return map[string]any{"kib": strings.Repeat("a", 1024), "long": strings.Repeat("a", 60000), "big": "1e999999999",
		"globs": strings.Repeat("{a,{c,*}}*{e,f}*", 3), "subject": strings.Repeat("ae", 1000), "laughs": laughs}
}

// hostilePolicy allows every call, unless the deny rule or its cost says otherwise.
func hostilePolicy(body string) string {
	return payments + "deny contains sprintf(\"%v\", [input.mcp.method]) if {\n\t" + strings.ReplaceAll(body, "; ", "\n\t") + "\n}\n\n_a := input.tool.arguments\n\n" +
		"_deep(n) := 1 if n == 0\n\n_deep(n) := 1 if {\n\tn > 0\n\tcount([1 | some _ in numbers.range(1, 4000); some _ in numbers.range(1, 4000)]) < n\n}\n\n" +
		"_both := 1 if input.mcp.method\n\n_both := 2 if input.mcp.method\n"
}

// TestHostilePoliciesDenyAndOthersGoOn: every one is denied, takes at most so much memory, leaves nothing running behind, and
// a neighbour with a sane policy is answered all the while. That the answer is there at twice the deadline at the latest is
// shown by TestAnEvaluationThatDoesNotEndIsAnsweredAtTwiceTheDeadline.
func TestHostilePoliciesDenyAndOthersGoOn(t *testing.T) {
	if len(hostile()) < 30 {
		t.Fatalf("only %d hostile policies", len(hostile()))
	}
	sane := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": payments}), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, Deadline: 10 * time.Second})
	const most = 1 << 30 // bytes that one decision may allocate in all, the collected ones included
	for name, body := range hostile() {
		t.Run(name, func(t *testing.T) {
			e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": hostilePolicy(body)}), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, Cache: -1, Deadline: DefaultDeadline})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answer := make(chan oauth.Decision)
			go func() { answer <- decide(t, e, call("get_weather", hostileArguments(), "tools:weather.read")) }()
			if d := decide(t, sane, call("get_weather", nil, "tools:weather.read")); !d.Allow {
				t.Errorf("a neighbour was denied: %+v", d)
			}
			if d := <-answer; d.Allow || len(d.Reasons) == 0 {
				t.Errorf("got %q (%+v)", word(d), d)
			}
			if !comesBack(e) {
				t.Error("is still running after 10 seconds")
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > most {
				t.Errorf("allocated %d MB", used>>20)
			}
		})
	}
}

// TestAnEvaluationThatDoesNotEndIsAnsweredAtTwiceTheDeadline, and after eight of them no more begin until one ends.
func TestAnEvaluationThatDoesNotEndIsAnsweredAtTwiceTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{deadline: DefaultDeadline, slots: make(chan struct{}, 2)}
		endless := make(chan struct{})
		asked := 0
		for range maxAbandoned {
			begin := time.Now()
			r := e.guard(func() result { <-endless; return result{} }, func() { asked++ })
			if took := time.Since(begin); r.err == nil || took != 2*DefaultDeadline {
				t.Fatalf("answered after %s with %v", took, r.err)
			}
		}
		if asked != maxAbandoned {
			t.Errorf("%d of %d evaluations were asked to stop", asked, maxAbandoned)
		}
		if r := e.guard(func() result { return result{} }, func() {}); r.err == nil || !strings.Contains(r.err.Error(), "refused") {
			t.Errorf("a ninth began: %v", r.err)
		}
		close(endless)
		synctest.Wait()
		if r := e.guard(func() result { return result{} }, func() {}); r.err != nil {
			t.Errorf("after they ended: %v", r.err)
		}
	})
}

// TestBuiltinsWithHostileOperandsEnd: built-ins that are offered, with arguments made to hurt. Whatever the answer is, nothing
// stays behind.
func TestBuiltinsWithHostileOperandsEnd(t *testing.T) {
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
		decide(t, e, v)
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
