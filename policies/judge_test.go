package policies

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"portcullis/oauth"
)

// givenValues are values that a policy may give where the router wants something else, and some that are right.
func givenValues() []any {
	n := func(s string) any { return json.Number(s) }
	o := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	return []any{
		nil, true, false, "", "a", "a:c", "m:*", "two words", n("0"), n("1"), n("60"), n("5.0"), n("1.5"), n("-1"), n("315360000"), n("315360001"), n("1e30"), n("6e1"),
		[]any{}, []any{"a"}, []any{"a", ""}, []any{n("1")}, o(), o("code", "x", "message", "y"), o("code", "x"), o("code", "", "message", "y"), o("code", "x", "message", n("5")),
		o("code", "x", "message", "y", "more", "z"), o("code", "two words", "message", "y"),
		o("acr_values", []any{"mfa"}), o("acr_values", []any{}), o("acr_values", "mfa"), o("acr_values", []any{n("1")}), o("acr_values", nil), o("max_age", n("60")), o("max_age", n("60.0")), o("max_age", n("0")),
		o("max_age", "60"), o("max_age", nil), o("acr_values", []any{"mfa", "pwd"}, "max_age", n("3600")), o("acr_values", []any{"mfa"}, "more", n("1")),
		o("id", "i", "type", "t"), o("id", "i", "type", "t", "properties", o("a", n("1"))), o("id", "i", "type", "t", "properties", nil), o("id", "i", "type", ""), o("id", "i"), o("id", "i", "type", "t", "more", "z"),
	}
}

// shapelessPolicy gives whatever stands in the arguments, under conditions, and now and then fails.
func shapelessPolicy(r *rand.Rand, name string) string {
	with := r.IntN(8) == 0
	value := func() string { return fmt.Sprintf("input.tool.arguments.v%d", r.IntN(4)) }
	when := func() string {
		conditions := []string{"input.mcp.method == \"tools/call\"", "_on", "input.subject.username == \"a\"", "mcp.in_group(\"a\")", "not mcp.in_group(\"b\")", "mcp.has_scope(\"a:c\")",
			"shared.both(" + value() + ")", "input.tool.arguments.v0", "not input.tool.arguments.v1", "to_number(\"5\") > 1", "to_number(" + value() + ") > 1", "_pair == 1",
			"mcp.number_between(" + value() + ", 0, " + value() + ")", "not mcp.number_between(" + value() + ", 1, 60)", "mcp.in_group(" + value() + ")", "x := mcp.in_group(\"a\")\n\tx == false",
			"mcp.has_scope(" + value() + ")", "not mcp.has_scope(\"m:x\")", "mcp.read_only", "not mcp.destructive", "_title", "not _title", "_far", "not _far", "_wrong", "_both"}
		if with {
			conditions = append(conditions, "mcp.in_group(\"a\") with input.subject.groups as [\"a\"]", "_title with input.tool.title as \"a\"", "shared.both(1) with data.lib.shared.both as false")
		}
		return conditions[r.IntN(len(conditions))]
	}
	b := "package policy.tools." + name + "\n\nimport data.lib.mcp\nimport data.lib.shared\n\n_on if input.tool.schema_checked\n\n" +
		"_title if input.tool.title == \"a\"\n\n_far if input.tool.arguments.v0 == input.tool.arguments.v1\n\n_wrong := input.tool.arguments.v2 == 1\n\n" +
		"_both if {\n\tinput.mcp.method == \"tools/call\"\n\tinput.subject.username == \"b\"\n}\n\n" +
		"_pair := 1 if input.tool.title == \"a\"\n\n_pair := 2 if input.subject.username == \"b\"\n\n_uses if mcp.is_person\n\n_uses if shared.both(1)\n\n"
	forms := []string{"deny contains %s", "deny contains {\"code\": \"c.d\", \"message\": %s}", "deny contains \"constant\"", "allow := %s", "allow", "required_scopes contains %s", "required_scopes contains \"m:x\"",
		"require_authn contains %s", "require_authn contains {\"max_age\": %s}", "require_authn contains {\"acr_values\": [\"mfa\"]}", "obligations contains %s", "obligations contains {\"id\": \"i\", \"type\": %s}", "ttl_seconds := %s", "ttl_seconds := 60"}
	for _, i := range r.Perm(len(forms))[:1+r.IntN(6)] {
		head := forms[i]
		if strings.Contains(head, "%s") {
			head = fmt.Sprintf(head, value())
		}
		b += head + " if {\n\t" + when() + "\n\t" + when() + "\n}\n\n"
	}
	if r.IntN(6) == 0 {
		b += "default allow := false\n\n"
	}
	return b
}

// TestJudgeAnswersLikeTheRouter holds the judge, with what it gets of an input, against the router in Rego with all of it, over random
// packages, values of all shapes and policies that fail: the same document, rules that fired, or error.
func TestJudgeAnswersLikeTheRouter(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	seen := map[string]int{}
	values := givenValues()
	for range 30 {
		files := map[string]string{"lib/shared.rego": "package lib.shared\n\nboth(x) if x\n\nboth(x) if x == \"a:c\"\n"}
		for i := range 1 + r.IntN(4) {
			files[fmt.Sprintf("p%d.rego", i)] = shapelessPolicy(r, fmt.Sprintf("p%d", i))
		}
		if files["p3.rego"] != "" { // both leave it out
			files["p3.rego"] = inMode(modeLogOnly, files["p3.rego"])
		}
		if r.IntN(2) == 0 {
			files["r.rego"] = randomPolicy(r, knobs())
		}
		e := engineFrom(t, Config{Dir: dirWith(t, files), Defaults: r.IntN(2) == 0, Catalogue: []*oauth.Resource{demoResource()}})
		g := e.current.Load()
		for _, settings := range randomSettings(r, 100) {
			v := turned(settings)
			for i := range 4 {
				if r.IntN(3) > 0 {
					v.Args[fmt.Sprintf("v%d", i)] = values[r.IntN(len(values))]
				}
			}
			v.Token.Scopes = oauth.NewScopes([]string{"a:c", "m:*", "m:x", "tools:*", "tools:payments.transfer"}[r.IntN(5)])
			input := documentOf(t, e.words, func(o *object) error { return o.toolCall(v) })
			pruned := e.words.wanted(g.wants[kindTools])
			if err := pruned.toolCall(v); err != nil {
				t.Fatal(err)
			}
			want := g.run(g.queries[kindTools], input, v.Context.Time, nil, topdown.NewCancel())
			got := g.judge.run(g, pruned.value(), v.Context.Time, nil, topdown.NewCancel())
			if difference := differ(got, want); difference != "" {
				t.Fatalf("%s\ninput %v\npolicies:\n%s", difference, input, strings.Join(slices.Collect(maps.Values(files)), "\n"))
			}
			seen[summary(want)]++
		}
	}
	for _, word := range []string{"allowed", "denied", "error", "c.d", "constant", "not_allowed", "policy_error", "missing", "authn", "obligations"} {
		if seen[word] == 0 {
			t.Errorf("no answer was %q: %v", word, seen)
		}
	}
	t.Log(seen)
}

func differ(got, want result) string {
	switch {
	case fmt.Sprint(got.err) != fmt.Sprint(want.err):
		return fmt.Sprintf("error %v, want %v", got.err, want.err)
	case got.err != nil:
		return ""
	case got.value.Compare(want.value) != 0:
		return fmt.Sprintf("%v\nwant %v", got.value, want.value)
	case got.size != want.size:
		return fmt.Sprintf("size %d, want %d", got.size, want.size)
	}
	if !reflect.DeepEqual(got.fired, want.fired) {
		return fmt.Sprintf("fired %v, want %v", got.fired, want.fired)
	}
	return ""
}

// summary is an answer in one word.
func summary(r result) string {
	if r.err != nil {
		return "error"
	}
	o := r.value.(ast.Object)
	has := func(key string) bool { return valueOf(o, key).(ast.Set).Len() > 0 }
	text := valueOf(o, "reasons").String()
	for _, word := range []string{"policy_error", "c.d", "constant", "not_allowed"} {
		if strings.Contains(text, word) {
			return word
		}
	}
	switch {
	case has("reasons"):
		return "denied"
	case has("missing_scopes"):
		return "missing"
	case has("obligations"):
		return "obligations"
	case has("require_authn"):
		return "authn"
	case valueOf(o, "ttl_seconds").Compare(ast.Number("0")) != 0:
		return "ttl"
	}
	return "allowed"
}

// TestBoundsHoldForWhatNobodyReads: an input is refused for a value out of bounds, also where no rule looks.
func TestBoundsHoldForWhatNobodyReads(t *testing.T) {
	deep := map[string]any{}
	for range maxDepth + 2 {
		deep = map[string]any{"deeper": deep}
	}
	reading := map[string]string{"nothing": "", "a neighbour": "deny contains \"x\" if input.tool.arguments.other == 1\n", "the value": "deny contains \"x\" if input.tool.arguments.v == 1\n"}
	for what, rule := range reading {
		e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": payments + "allow if input.tool.name == \"transfer\"\n\n" + rule}), Cache: -1, Catalogue: []*oauth.Resource{demoResource()}})
		for value, want := range map[any]string{json.Number("5"): "allow", json.Number("1e9999"): codePolicyError, 5: codePolicyError} {
			if got := word(decide(t, e, call("transfer", map[string]any{"v": value}, "tools:payments.transfer"))); got != want {
				t.Errorf("rules that read %s, %v: %s, want %s", what, value, got, want)
			}
		}
		if got := word(decide(t, e, call("transfer", deep, "tools:payments.transfer"))); got != codePolicyError {
			t.Errorf("rules that read %s, nested values: %s", what, got)
		}
	}
}

// TestJudgeDeniesWhatItGotNoAnswerTo: one undefined rule leaves its whole query without an answer, and what the other rules
// of the query have against a call would be forgotten.
func TestJudgeDeniesWhatItGotNoAnswerTo(t *testing.T) {
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": payments + "allow if true\n\ndeny contains \"never\" if true\n"})})
	g := e.current.Load()
	var asks []asked
	for i, policy := range []string{"payments", "absent", "absent", "absent", "absent", "absent"} {
		asks = append(asks, asked{policy, "deny", ast.Var(fmt.Sprint("x", i))})
	}
	asks = append(asks, asked{"payments", "allow", "x6"})
	j := *g.judge
	j.asks, j.queries = asks, inquiries(asks)
	v := call("transfer", nil, "tools:payments.transfer")
	r := j.run(g, documentOf(t, e.words, func(o *object) error { return o.toolCall(v) }), v.Context.Time, nil, topdown.NewCancel())
	if r.err == nil {
		t.Errorf("%v", r.value)
	}
}
