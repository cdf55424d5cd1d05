package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	opabundle "github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/rego"

	"portcullis/oauth"
)

func served(t *testing.T, e *Engine) ServedBundle {
	t.Helper()
	b, err := e.ServedBundle()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readServed reads a bundle as stock OPA does.
func readServed(t *testing.T, b ServedBundle) *opabundle.Bundle {
	t.Helper()
	read, err := opabundle.NewReader(bytes.NewReader(b.Data)).WithProcessAnnotations(true).WithRegoVersion(ast.RegoV1).Read()
	if err != nil {
		t.Fatal(err)
	}
	return &read
}

// servedFiles are policies with everything that an export changes: a package that is only tried, a count of calls, tests, masks and data.
func servedFiles() map[string]string {
	return map[string]string{
		"config.yaml": "limit: 9007199254740993\nquota: 3\n",
		"trial.rego":  inMode(modeLogOnly, "package policy.tools.trial\n\ndeny contains \"no\" if input.tool.name == \"get_weather\"\n"),
		"limit.rego": "package policy.tools.limit\n\nallow if input.tool.name == \"transfer\"\n\n" +
			"deny contains {\"code\": \"limit\", \"message\": \"too much\"} if {\n\tinput.tool.name == \"transfer\"\n\tnot _small\n}\n\n_small if input.tool.arguments.amount <= data.config.limit\n",
		"quota.rego":      "package policy.tools.quota\n\ndeny contains \"used up\" if {\n\tinput.tool.name == \"crm_update\"\n\tmcp.usage(60) >= data.config.quota\n}\n",
		"limit_test.rego": "package policy.tools.limit_test\n\nimport data.policy.tools.limit\n\ntest_it if limit.allow with input as {\"tool\": {\"name\": \"transfer\"}}\n",
		"log.rego":        "package system.log\n\nmask contains \"/input/tool/arguments/note\"\n",
	}
}

// TestTheServedBundleDecidesAsTheServerDoes: stock OPA reads it, and its answer for the input of a call is ours.
func TestTheServedBundleDecidesAsTheServerDoes(t *testing.T) {
	e := engineFrom(t, Config{Dir: dirWith(t, servedFiles()), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	b := served(t, e)
	read := readServed(t, b)
	if read.Manifest.Revision != e.Status().Revision || b.Revision != read.Manifest.Revision || !strings.HasPrefix(b.Tag, b.Revision+"-") {
		t.Errorf("%+v, tag %s, in force %s", read.Manifest, b.Tag, e.Status().Revision)
	}
	if want := []string{"config", "lib", "mcp/authz", "policy", "servers", "system/log"}; !slices.Equal(*read.Manifest.Roots, want) {
		t.Errorf("roots %q, want %q", *read.Manifest.Roots, want)
	}
	for _, m := range read.Modules {
		if strings.HasSuffix(m.Path, "_test.rego") || strings.HasSuffix(m.Path, "testing.rego") {
			t.Errorf("%s is for tests", m.Path)
		}
	}
	query, err := rego.New(rego.ParsedBundle("served", read), rego.Query("data.mcp.authz.tools.decision"), rego.StrictBuiltinErrors(true)).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range servedCalls() {
		ours := decide(t, e, v)
		input := documentOf(t, newWords(), func(o *object) error { return o.toolCall(v) })
		results, err := query.Eval(context.Background(), rego.EvalParsedInput(input), rego.EvalTime(at(v.Context)))
		if err != nil || len(results) != 1 {
			t.Fatal(results, err)
		}
		theirs := results[0].Expressions[0].Value.(map[string]any)
		if theirs["allow"] != ours.Allow || len(theirs["reasons"].([]any)) != len(ours.Reasons) || len(theirs["missing_scopes"].([]any)) != len(ours.MissingScopes) {
			t.Errorf("%s %v: stock OPA says %v, the server %+v", v.Tool.Name, v.Args, theirs, ours)
		}
		seen[word(ours)]++
	}
	if seen["allow"] != 2 || seen["limit"] != 1 || seen["missing"] != 1 || seen["not_allowed"] != 0 {
		t.Errorf("the calls say too little: %v", seen)
	}
}

func servedCalls() []oauth.Evaluation {
	const pay = "tools:payments.transfer"
	return []oauth.Evaluation{
		call("get_weather", nil, "tools:weather.read"),
		call("transfer", map[string]any{"amount": json.Number("9007199254740993")}, pay),
		call("transfer", map[string]any{"amount": json.Number("9007199254740994")}, pay),
		call("transfer", map[string]any{"amount": number(1)}),
	}
}

// TestACountedToolIsDeniedByTheServedBundle: stock OPA counts no calls, and never allows what a quota may forbid.
func TestACountedToolIsDeniedByTheServedBundle(t *testing.T) {
	e := engineFrom(t, Config{Dir: dirWith(t, servedFiles()), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	read := readServed(t, served(t, e))
	input := documentOf(t, newWords(), func(o *object) error { return o.toolCall(call("crm_update", nil, "tools:crm.write")) })
	rs, err := rego.New(rego.ParsedBundle("served", read), rego.Query("data.mcp.authz.tools.decision.allow"), rego.ParsedInput(input)).Eval(t.Context())
	if err != nil || len(rs) != 1 || rs[0].Expressions[0].Value != false {
		t.Errorf("%v %v", rs, err)
	}
}

// TestTheSamePoliciesMakeTheSameBundle: byte for byte, in another process, too; it is made once, and other policies make another one.
func TestTheSamePoliciesMakeTheSameBundle(t *testing.T) {
	dir := dirWith(t, servedFiles())
	config := Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}}
	e, other := engineFrom(t, config), engineFrom(t, config)
	first, second := served(t, e), served(t, other)
	if first.Tag != second.Tag || !bytes.Equal(first.Data, second.Data) {
		t.Errorf("%s and %s differ", first.Tag, second.Tag)
	}
	if again := served(t, e); &again.Data[0] != &first.Data[0] {
		t.Error("it is made anew for one revision")
	}
	write(t, dir, map[string]string{"limit.rego": "package policy.tools.limit\n\nallow if input.tool.name == \"transfer\"\n"})
	if _, err := e.Reload(t.Context(), config.Catalogue); err != nil {
		t.Fatal(err)
	}
	changed := served(t, e)
	if changed.Tag == first.Tag || changed.Revision != e.Status().Revision || bytes.Contains(modulesOf(t, changed), []byte("_small if")) {
		t.Errorf("after a change it is still %s", changed.Tag)
	}
}

// modulesOf are all modules of a bundle as they are written in it.
func modulesOf(t *testing.T, b ServedBundle) (text []byte) {
	t.Helper()
	for _, m := range readServed(t, b).Modules {
		text = append(text, m.Raw...)
	}
	return text
}

// TestTheServedBundleKeepsSecretsToItself: of the catalogue it has what rules may read, which is no secret and no description of a tool.
func TestTheServedBundleKeepsSecretsToItself(t *testing.T) {
	resource := demoResource()
	resource.SecretHashes = [][]byte{oauth.HashSecret("resource-secret")}
	resource.Tools[0].Description = "described at length"
	e := engineFrom(t, Config{Dir: dirWith(t, servedFiles()), Defaults: true, Catalogue: []*oauth.Resource{resource}, RecordKey: recordKey(), Record: RecordMasked})
	read := readServed(t, served(t, e))
	data, err := json.Marshal(read.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"ecret", "described at length", "inputSchema"} {
		if strings.Contains(string(data), word) {
			t.Errorf("%q is in the bundle", word)
		}
	}
	if tops := read.Data; len(tops) != 2 || tops["config"] == nil || tops["servers"].(map[string]any)["demo"] == nil {
		t.Errorf("data: %s", data)
	}
}
