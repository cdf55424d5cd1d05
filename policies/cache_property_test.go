package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"portcullis/oauth"
)

// knob is one input path and the settings that the property tests give it.
type knob struct {
	path string
	kind string // text, texts, flag or any
	set  []func(*oauth.Evaluation)
}

func argument(key string, values ...any) knob {
	k := knob{path: "tool.arguments." + key, kind: "any"}
	k.set = append(k.set, func(v *oauth.Evaluation) { delete(v.Args, key) })
	for _, value := range values {
		k.set = append(k.set, func(v *oauth.Evaluation) { v.Args[key] = value })
	}
	return k
}

func textKnob(path string, at func(*oauth.Evaluation) *string, values ...string) knob {
	k := knob{path: path, kind: "text"}
	for _, value := range values {
		k.set = append(k.set, func(v *oauth.Evaluation) { *at(v) = value })
	}
	return k
}

func freeKnob(path string, at func(*oauth.Evaluation) *map[string]any) knob {
	k := knob{path: path, kind: "object"}
	for _, value := range []any{nil, map[string]any{}, map[string]any{"deep": "a"}, map[string]any{"deep": nil}} {
		k.set = append(k.set, func(v *oauth.Evaluation) { *at(v), _ = value.(map[string]any) })
	}
	return k
}

// knobs are nested, listed, missing and null values, and values that only print differently.
func knobs() []knob {
	n := func(text string) json.Number { return json.Number(text) }
	deep := map[string]any{"deep": "a"}
	return []knob{
		argument("amount", nil, n("5"), n("5.0"), "5", n("-1"), true, deep),
		argument("to", "a", "b", deep, map[string]any{"deep": nil}, map[string]any{"deep": "b", "x": n("1")}),
		argument("list", []any{}, []any{"a"}, []any{"a", "b"}, []any{[]any{"a"}, "b"}, "a", nil),
		textKnob("subject.username", func(v *oauth.Evaluation) *string { return &v.Subject.Username }, "", "a", "b"),
		textKnob("tool.title", func(v *oauth.Evaluation) *string { return &v.Tool.Title }, "", "a", "b"),
		textKnob("mcp.session_id", func(v *oauth.Evaluation) *string { return &v.MCP.SessionID }, "", "a", "deep"),
		textKnob("token.acr", func(v *oauth.Evaluation) *string { return &v.Token.Authn.ACR }, "", "a", "to"),
		textKnob("client.name", func(v *oauth.Evaluation) *string { return &v.Client.Name }, "", "a", "b"),
		textKnob("context.ip", func(v *oauth.Evaluation) *string { return &v.Context.IP }, "", "a", "b"),
		{"subject.groups", "texts", []func(*oauth.Evaluation){
			func(v *oauth.Evaluation) { v.Subject.Groups = nil },
			func(v *oauth.Evaluation) { v.Subject.Groups = []string{"a"} },
			func(v *oauth.Evaluation) { v.Subject.Groups = []string{"a", "b"} },
		}},
		{"token.scopes", "texts", []func(*oauth.Evaluation){
			func(v *oauth.Evaluation) { v.Token.Scopes = oauth.Scopes{} },
			func(v *oauth.Evaluation) { v.Token.Scopes = oauth.NewScopes("a:b") },
			func(v *oauth.Evaluation) { v.Token.Scopes = oauth.NewScopes("a:b", "a:c") },
		}},
		{"actors", "actors", []func(*oauth.Evaluation){
			func(v *oauth.Evaluation) { v.Actors = nil },
			func(v *oauth.Evaluation) { v.Actors = []oauth.Actor{{Type: "agent", ID: "a"}} },
			func(v *oauth.Evaluation) {
				v.Actors = []oauth.Actor{{Type: "agent", ID: "a"}, {Type: "agent", ID: "b"}}
			},
		}},
		{"tool.annotations.readOnlyHint", "flag", []func(*oauth.Evaluation){
			func(v *oauth.Evaluation) { v.Tool.Annotations = oauth.Annotations{} },
			func(v *oauth.Evaluation) { yes := true; v.Tool.Annotations = oauth.Annotations{ReadOnlyHint: &yes} },
		}},
		{"tool.schema_checked", "flag", []func(*oauth.Evaluation){
			func(v *oauth.Evaluation) { v.Checked = false },
			func(v *oauth.Evaluation) { v.Checked = true },
		}},
		freeKnob("subject.properties", func(v *oauth.Evaluation) *map[string]any { return &v.Claimed.Properties }),
		freeKnob("action.properties", func(v *oauth.Evaluation) *map[string]any { return &v.Action.Properties }),
		freeKnob("context.properties", func(v *oauth.Evaluation) *map[string]any { return &v.Extra }),
	}
}

// turned is a call with each knob at the given setting.
func turned(settings []int) oauth.Evaluation {
	v := call("transfer", map[string]any{}, "tools:payments.transfer")
	tool := *v.Tool
	v.Tool = &tool
	for i, k := range knobs() {
		k.set[settings[i]](&v)
	}
	return v
}

// randomSettings are base settings, and the same with one or two knobs turned, so that every path is the only difference
// between some two inputs.
func randomSettings(r *rand.Rand, count int) [][]int {
	all := knobs()
	random := func() []int {
		s := make([]int, len(all))
		for i, k := range all {
			s[i] = r.IntN(len(k.set))
		}
		return s
	}
	var list [][]int
	for len(list) < count {
		base := random()
		list = append(list, base)
		for i, k := range all {
			for other := range k.set {
				turnedOnce := slices.Clone(base)
				turnedOnce[i] = other
				list = append(list, turnedOnce)
			}
		}
	}
	return list
}

// condition is a random Rego condition, or two, that read input paths.
func condition(r *rand.Rand, all []knob) string {
	pick := func(kinds string) string {
		for {
			if k := all[r.IntN(len(all))]; slices.Contains(strings.Fields(kinds), k.kind) {
				return "input." + k.path
			}
		}
	}
	forms := []func() string{
		func() string { return pick("text any") + ` == "a"` },
		func() string { return pick("text any") + ` != "a"` },
		func() string { return "not " + pick("text texts any flag actors object") },
		func() string { return pick("actors") + `[_].id == "b"` },
		func() string { return "not " + pick("text any") + ` == "b"` },
		func() string { return pick("flag") },
		func() string { return "not " + pick("flag") },
		func() string { return pick("texts any object") + `[_] == "a"` },
		func() string {
			return fmt.Sprintf(`some x%[2]d in %[1]s; x%[2]d == "b"`, pick("texts any"), r.IntN(1000))
		},
		func() string { return fmt.Sprintf(`count({x | some x in %s}) > 1`, pick("texts any")) },
		func() string { return fmt.Sprintf(`every x in %s { x == "a" }`, pick("texts")) },
		func() string { return fmt.Sprintf(`is_null(%s)`, pick("any")) },
		func() string { return fmt.Sprintf(`walk(%s, [_, v]); v == "a"`, pick("any object")) },
		func() string { return fmt.Sprintf(`%s in {"b", null, 5}`, pick("text any")) },
		func() string { return fmt.Sprintf(`%s.deep == "a"`, pick("any object")) },
		func() string { return fmt.Sprintf(`%s[%s] == "a"`, pick("any object"), pick("text")) },
		func() string { return fmt.Sprintf(`input.tool.arguments[%s].deep`, pick("text")) },
		func() string { return fmt.Sprintf(`_is(%s, %s)`, pick("text any"), pick("text any")) },
		func() string { return fmt.Sprintf(`_rule with input.tool.title as %s`, pick("text any")) },
		func() string { return fmt.Sprintf(`_rule with input.tool as {"arguments": {"list": %s}}`, pick("any")) },
		func() string { return `not _rule with input.subject.username as "a"` },
		func() string { return fmt.Sprintf(`sprintf("%%v", [%s]) in {"5", "[\"a\"]"}`, pick("any texts")) },
		func() string {
			return fmt.Sprintf(`{%s, %s} & {"a", "b"} != set()`, pick("text any"), pick("text any"))
		},
		func() string { return fmt.Sprintf(`{"k": %s} == {"k": %s}`, pick("text any"), pick("text any")) },
		func() string { // the path as a list, and what stands for an absent value
			path := strings.Split(strings.TrimPrefix(pick("text any texts flag"), "input."), ".")
			return fmt.Sprintf(`object.get(input, ["%s"], "a") == %s`, strings.Join(path, `", "`), []string{`"a"`, `"b"`, `true`}[r.IntN(3)])
		},
	}
	return forms[r.IntN(len(forms))]()
}

// randomPolicy has every export of a tools package, with values from the input.
func randomPolicy(r *rand.Rand, all []knob) string {
	body := func() string {
		text := ""
		for range 1 + r.IntN(2) {
			text += "\t" + strings.ReplaceAll(condition(r, all), "; ", "\n\t") + "\n"
		}
		return "{\n" + text + "}\n\n"
	}
	mocked := func() string { // what _rule is, so it cannot refer to it
		for {
			if text := body(); !strings.Contains(text, "_rule") {
				return text
			}
		}
	}
	free := func() string { return "input." + all[r.IntN(3)].path }
	b := "package policy.tools.random\n\n_is(a, b) if a == b\n\n_is(a, _) if a.deep\n\n_rule if " + mocked() + "_rule if " + mocked()
	b += "allow if " + body() + "allow if " + body()
	for i := range 2 {
		b += fmt.Sprintf("deny contains {\"code\": \"d%d\", \"message\": sprintf(\"because of %%v\", [%s])} if %s", i, free(), body())
	}
	b += "required_scopes contains \"a:c\" if " + body()
	b += "require_authn contains {\"acr_values\": [\"to\"], \"max_age\": 60} if " + body()
	b += "ttl_seconds := 60 if " + body()
	b += "obligations contains {\"id\": \"o\", \"type\": \"t\", \"properties\": {\"v\": " + free() + "}} if " + body()
	return b
}

// withoutMemory is an engine with the same generation that remembers nothing, or with memories whose keys leave a path out.
func withoutMemory(e *Engine, leaveOut string) *Engine {
	g := *e.current.Load()
	g.memories = map[kind]*memory{}
	if leaveOut != "" {
		for _, c := range g.cacheability {
			if c.Kind == string(kindTools) {
				paths := slices.DeleteFunc(slices.Clone(c.paths), func(p inputPath) bool { return p.String() == leaveOut })
				g.memories[kindTools] = newMemory(paths, DefaultCache)
			}
		}
	}
	other := &Engine{deadline: e.deadline, log: e.log, words: e.words, slots: e.slots}
	other.current.Store(&g)
	return other
}

// TestRememberedAnswersAreTheSame holds answers from memory against evaluated ones, over random policies and inputs. Then
// it leaves every path out of the keys in turn, and wants to see wrong answers: so the keys hold nothing in vain, and
// this test would notice a path that the analysis missed.
func TestRememberedAnswersAreTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 12))
	answers, noticed := map[string]bool{}, map[string]bool{}
	var hits, asked uint64
	for range 64 {
		policy := randomPolicy(r, knobs())
		e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": policy}), Catalogue: []*oauth.Resource{demoResource()}})
		inputs := randomSettings(r, 120)
		truth := make([]oauth.Decision, len(inputs))
		plain := withoutMemory(e, "")
		for i, settings := range inputs {
			truth[i] = decide(t, plain, turned(settings))
			if word(truth[i]) != codePolicyError {
				answers[fmt.Sprintf("%+v", truth[i])] = true
			}
		}
		if i := firstDifference(t, e, inputs, truth); i >= 0 {
			t.Fatalf("from memory: input %v, want %+v, policy:\n%s", inputs[i], truth[i], policy)
		}
		stats := e.CacheStats()
		hits, asked = hits+stats.Hits, asked+stats.Hits+stats.Misses
		for _, path := range toolInputs(e) {
			if noticed[path] {
				continue
			}
			noticed[path] = firstDifference(t, withoutMemory(e, path), inputs, truth) >= 0
		}
	}
	if len(answers) < 20 || hits*100 < asked*30 {
		t.Errorf("%d distinct answers, %d hits among %d questions: this proves little", len(answers), hits, asked)
	}
	for path, seen := range noticed {
		if !seen {
			t.Errorf("%s can be left out of the keys, and nothing notices", path)
		}
	}
	t.Logf("%d distinct answers, %d hits among %d questions, %d paths left out in turn and noticed: %s",
		len(answers), hits, asked, len(noticed), strings.Join(slices.Sorted(maps.Keys(noticed)), " "))
}

func toolInputs(e *Engine) []string {
	for _, c := range e.Status().Cache {
		if c.Kind == string(kindTools) {
			return c.Inputs
		}
	}
	return nil
}

// firstDifference asks everything twice and compares; -1 = no difference.
func firstDifference(t *testing.T, e *Engine, inputs [][]int, truth []oauth.Decision) int {
	t.Helper()
	for range 2 {
		for i, settings := range inputs {
			if !reflect.DeepEqual(decide(t, e, turned(settings)), truth[i]) {
				return i
			}
		}
	}
	return -1
}

// TestKeysHoldExactlyTheWantedPaths compares keys with the documents that an evaluation sees: two inputs have the same key
// iff their documents have the same values at the wanted paths. A pruned document has them, too.
func TestKeysHoldExactlyTheWantedPaths(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	inputs := randomSettings(r, 300)
	all := []inputPath{{"tool"}, {"tool", "arguments"}, {"tool", "arguments", "to", "deep"}, {"tool", "arguments", "amount"}, {"tool", "arguments", "list", "x"},
		{"tool", "annotations"}, {"tool", "annotations", "readOnlyHint"}, {"tool", "title", "x"}, {"subject"}, {"subject", "username"}, {"subject", "properties", "deep"},
		{"actor", "id"}, {"actor"}, {"actors"}, {"token"}, {"token", "acr"}, {"context", "ip"}, {"context", "properties"}, {"mcp"}, {"client"}, {"client", "host"},
		{"action"}, {"resource"}, {"nothing"}, {"id"}, {"context", "time"}}
	w := newWords()
	same, different := 0, 0
	for range rounds(60) {
		var paths []inputPath
		for _, p := range all {
			if r.IntN(4) == 0 && !slices.ContainsFunc(paths, p.begins) && !slices.ContainsFunc(paths, func(q inputPath) bool { return q.begins(p) }) {
				paths = append(paths, p)
			}
		}
		m := newMemory(paths, 1)
		texts := map[cacheKey]string{}
		keys := map[string]cacheKey{}
		for _, settings := range inputs {
			v := turned(settings)
			write := func(o *object) error { return o.toolCall(v) }
			key, ok := m.key(write)
			if !ok {
				t.Fatal("refused")
			}
			text := valuesAt(documentOf(t, w, write), paths)
			pruned := w.wanted(m.tree)
			if err := write(&pruned); err != nil {
				t.Fatal(err)
			}
			if kept := valuesAt(pruned.value(), paths); kept != text {
				t.Fatalf("%v: what is made for an evaluation has\n%swant\n%s", paths, kept, text)
			}
			if before, known := texts[key]; known && before != text {
				t.Fatalf("%v: one key for\n%s\n%s", paths, before, text)
			} else if known {
				same++
			}
			if before, known := keys[text]; known && before != key {
				t.Fatalf("%v: two keys for %s", paths, text)
			} else if !known {
				different++
			}
			texts[key], keys[text] = text, key
		}
	}
	if same < 1000 || different < 1000 {
		t.Errorf("%d equal and %d different documents prove little", same, different)
	}
}

// valuesAt prints what a document has at some paths.
func valuesAt(document ast.Value, paths []inputPath) string {
	text := ""
	for _, p := range paths {
		ref := ast.Ref{}
		for _, key := range p {
			ref = append(ref, ast.StringTerm(key))
		}
		if v, err := document.Find(ref); err == nil {
			text += fmt.Sprintf("%s=%v\n", p, v)
		}
	}
	return text
}

// TestDecisionDocumentAgrees: what stock OPA answers for data.mcp.authz.tools.decision is what the server decides, which
// asks for another document and compares the login itself.
func TestDecisionDocumentAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := map[string]int{}
	for range 8 {
		policy := strings.ReplaceAll(randomPolicy(r, knobs()), `"max_age": 60`, `"max_age": 3600`)
		dir := dirWith(t, map[string]string{"a.rego": policy, "b.rego": "package policy.tools.b\n\nallow if input.tool.schema_checked\n\nrequired_scopes contains \"a:c\" if input.token.acr\n"})
		e := engineFrom(t, Config{Dir: dir, Cache: -1, Catalogue: []*oauth.Resource{demoResource()}})
		s, _, err := readSource(dir, false, []*oauth.Resource{demoResource()})
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := s.parse()
		if err != nil {
			t.Fatal(err)
		}
		compiler, problems := p.compile(false)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		query, err := rego.New(rego.Query("data.mcp.authz.tools.decision"), rego.Compiler(compiler), rego.Store(p.store()), rego.StrictBuiltinErrors(true), usageFunction()).PrepareForEval(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, settings := range randomSettings(r, 120) {
			v := turned(settings)
			v.Token.Authn.Time = v.Context.Time.Add(-time.Hour - time.Duration(r.IntN(2))*time.Second)
			answer := (&generation{}).run(query, documentOf(t, e.words, func(o *object) error { return o.toolCall(v) }), v.Context.Time, nil, topdown.NewCancel())
			d := decide(t, e, v)
			if answer.err != nil {
				if word(d) != codePolicyError {
					t.Fatalf("%v, but the server says %+v", answer.err, d)
				}
				continue
			}
			want, err := decodeTools(answer.value)
			if err != nil {
				t.Fatal(err)
			}
			if want.Allow != d.Allow || word(want) != word(d) || !slices.Equal(want.MissingScopes, d.MissingScopes) || fmt.Sprint(want.RequireAuthn) != fmt.Sprint(d.RequireAuthn) {
				t.Fatalf("got %+v, want %+v", d, want)
			}
			words[word(d)]++
		}
	}
	for _, w := range []string{"allow", "missing", "authn", "not_allowed", "d0"} {
		if words[w] == 0 {
			t.Errorf("no decision was %q: %v", w, words)
		}
	}
}
