package policies

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"

	"portcullis/oauth"
)

// The schemas of a bank's tools, before and after.
const (
	amountSchema = `{"type": "object", "properties": {"amount": {"type": "number"}, "to": {"type": "string"}}, "additionalProperties": false}`
	sumSchema    = `{"type": "object", "properties": {"sum": {"type": "number"}, "to": {"type": "string"}}, "additionalProperties": false}`
	linesSchema  = `{"type": "object", "properties": {"lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}}}}`
	itemsSchema  = `{"type": "object", "properties": {"lines": {"type": "array", "items": {"type": "object", "properties": {"article": {"type": "string"}}}}}}`
	textSchema   = `{"type": "object", "properties": {"lines": {"type": "string"}}}`
)

// limitRego denies large transfers, from line 5 on.
const limitRego = `package policy.tools.limit

deny contains {"code": "limit", "message": "too much"} if {
	input.tool.name == "transfer"
	input.tool.arguments.amount > 100
}
`

const ibanRego = `package policy.tools.iban

deny contains "foreign" if {
	input.tool.name == "pay"
	not startswith(input.tool.arguments.to, "DE")
}
`

// bank is a server with these tools and their schemas.
func bank(t testing.TB, schemas map[string]string) []*oauth.Resource {
	r := &oauth.Resource{ID: "https://bank.example/mcp", Key: "bank", Name: "Bank"}
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		r.Tools = append(r.Tools, tool(t, name, schemas[name]))
	}
	return []*oauth.Resource{r}
}

// before are three tools whose schemas limitRego and ibanRego fit.
func before() map[string]string {
	return map[string]string{"transfer": amountSchema, "pay": amountSchema, "look": ""}
}

func but(schemas map[string]string, name, schema string) map[string]string {
	out := maps.Clone(schemas)
	out[name] = schema
	return out
}

// bankCall is a call of a tool of the only server.
func bankCall(t testing.TB, catalogue []*oauth.Resource, name string, args map[string]any) oauth.Evaluation {
	t.Helper()
	v := call("get_weather", args)
	v.Caller, v.Resource.ID, v.Tool = catalogue[0], name, nil
	for i := range catalogue[0].Tools {
		if found := &catalogue[0].Tools[i]; found.Name == name {
			v.Tool = found
		}
	}
	if v.Tool == nil {
		t.Fatalf("no tool %s", name)
	}
	return v
}

// answers are those for calls of some tools, such as "look:allow transfer:catalogue_stale".
func answers(t testing.TB, e *Engine, catalogue []*oauth.Resource) string {
	t.Helper()
	var out []string
	for i := range catalogue[0].Tools {
		name := catalogue[0].Tools[i].Name
		out = append(out, name+":"+word(decide(t, e, bankCall(t, catalogue, name, map[string]any{"to": "DE1"}))))
	}
	return strings.Join(out, " ")
}

// staleTools are those of the status, with the places of what no longer fits.
func staleTools(e *Engine) string {
	var out []string
	for _, s := range e.Status().StaleTools {
		places := make([]string, len(s.Rules))
		for i, rule := range s.Rules {
			if places[i] = rule; strings.Contains(rule, ".rego:") || strings.Contains(rule, ".yaml:") {
				places[i] = strings.Join(strings.SplitN(rule, ":", 3)[:2], ":")
			}
			if file, _, shipped := strings.Cut(rule, ":"); shipped && strings.HasPrefix(rule, shippedPrefix) {
				places[i] = file // its lines are no matter of these tests
			}
		}
		out = append(out, s.String()+"("+strings.Join(places, ",")+")")
	}
	return strings.Join(out, " ")
}

// reloaded reloads and wants it to go well.
func reloaded(t *testing.T, e *Engine, catalogue []*oauth.Resource) Report {
	t.Helper()
	r, err := e.Reload(context.Background(), catalogue)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAToolThatNoLongerFitsARuleIsDenied: it alone, from one answer to the next, until the rule or the schema is mended.
func TestAToolThatNoLongerFitsARuleIsDenied(t *testing.T) {
	var seen []Activation
	dir := dirWith(t, map[string]string{"limit.rego": limitRego, "iban.rego": ibanRego})
	first := bank(t, before())
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: first, Activate: activations(&seen)})
	begun := e.Status().Revision
	if got := answers(t, e, first); got != "look:allow pay:allow transfer:allow" {
		t.Fatal(got)
	}
	next := bank(t, but(before(), "transfer", sumSchema))
	r := reloaded(t, e, next)
	if !r.Changed || !r.Changes.Catalogue || r.Changes.Shipped || len(r.Changes.Changed) > 0 || r.Revision == begun {
		t.Errorf("%+v", r)
	}
	if got := answers(t, e, next); got != "look:allow pay:allow transfer:catalogue_stale" {
		t.Error(got)
	}
	if got := word(decide(t, e, bankCall(t, next, "pay", map[string]any{"to": "FR1"}))); got != "denied" {
		t.Errorf("the other rule says %s", got)
	}
	status := e.Status()
	if got := staleTools(e); got != "bank/transfer(limit.rego:5)" || status.Stale || !strings.Contains(status.StaleTools[0].Rules[0], "transfer of bank has no such argument") {
		t.Errorf("%s %+v", got, status)
	}
	if last := seen[len(seen)-1]; len(last.Stale) != 1 || last.Stale[0].Tool != "transfer" || last.Revision != status.Revision {
		t.Errorf("%+v", last)
	}
	list := listing()
	list.Caller = next[0]
	if got := callable(t, e, list); got != "look pay" {
		t.Errorf("the list has %q", got)
	}
	if again := reloaded(t, e, next); again.Changed || len(seen) != 2 {
		t.Errorf("nothing has changed, and yet %+v", again)
	}
	write(t, dir, map[string]string{"look.rego": "package policy.tools.look\n\ndeny contains \"no\" if input.tool.name == \"look\"\n"})
	reloaded(t, e, next)
	if got := answers(t, e, next); got != "look:denied pay:allow transfer:catalogue_stale" {
		t.Errorf("another rule beside it: %s", got)
	}
	write(t, dir, map[string]string{"limit.rego": strings.ReplaceAll(limitRego, "arguments.amount", "arguments.sum")})
	reloaded(t, e, next)
	if got := answers(t, e, next); got != "look:denied pay:allow transfer:allow" || staleTools(e) != "" {
		t.Errorf("after mending: %s %s", got, staleTools(e))
	}
	if got := word(decide(t, e, bankCall(t, next, "transfer", map[string]any{"sum": number(101)}))); got != "limit" {
		t.Errorf("the mended rule says %s", got)
	}
}

// TestASchemaThatGoesBackServesTheToolAgain: with the same revision as before.
func TestASchemaThatGoesBackServesTheToolAgain(t *testing.T) {
	first := bank(t, before())
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"limit.rego": limitRego}), Defaults: true, Catalogue: first})
	begun := e.Status().Revision
	reloaded(t, e, bank(t, but(before(), "transfer", sumSchema)))
	if got := staleTools(e); got != "bank/transfer(limit.rego:5)" {
		t.Fatal(got)
	}
	reloaded(t, e, first)
	if got := answers(t, e, first); got != "look:allow pay:allow transfer:allow" || e.Status().Revision != begun {
		t.Errorf("%s, revision %s and then %s", got, begun, e.Status().Revision)
	}
}

// TestWhichToolsAreStale: those whose schemas type the rule that no longer fits, and no others.
func TestWhichToolsAreStale(t *testing.T) {
	const both = `package policy.tools.both

deny contains "no" if {
	input.tool.name in {"transfer", "pay"}
	input.tool.arguments.amount > 100
}
`
	for name, tc := range map[string]struct {
		files         map[string]string
		before, after map[string]string
		want          string
	}{
		"two rules, two tools": {map[string]string{"limit.rego": limitRego, "iban.rego": ibanRego}, before(),
			map[string]string{"transfer": sumSchema, "pay": `{"type": "object", "properties": {"iban": {"type": "string"}}}`, "look": ""}, "bank/pay(iban.rego:5) bank/transfer(limit.rego:5)"},
		"one rule, both tools": {map[string]string{"both.rego": both}, before(), map[string]string{"transfer": sumSchema, "pay": sumSchema, "look": ""},
			"bank/pay(both.rego:5) bank/transfer(both.rego:5)"},
		"one rule, one tool still fits": {map[string]string{"both.rego": both}, before(), but(before(), "transfer", sumSchema), ""},
		"one rule, the other tool never did": {map[string]string{"both.rego": both}, but(before(), "pay", sumSchema), map[string]string{"transfer": sumSchema, "pay": sumSchema, "look": ""},
			"bank/transfer(both.rego:5)"},
		"the tool that fitted is gone": {map[string]string{"both.rego": both}, but(before(), "pay", sumSchema), map[string]string{"pay": sumSchema, "look": ""},
			"bank/pay(both.rego:5)"},
		"the tool is gone":         {map[string]string{"limit.rego": limitRego}, before(), map[string]string{"pay": amountSchema, "look": ""}, ""},
		"the schema is gone":       {map[string]string{"limit.rego": limitRego}, before(), but(before(), "transfer", ""), ""},
		"a change beside the rule": {map[string]string{"limit.rego": limitRego}, before(), but(before(), "pay", sumSchema), ""},
		"a tool that is new":       {map[string]string{"limit.rego": limitRego}, map[string]string{"look": ""}, map[string]string{"look": "", "transfer": sumSchema}, "bank/transfer(limit.rego:5)"},
		"a type that only the compiler sees": {map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"order\"\n\tsome line in input.tool.arguments.lines\n\tline.sku == \"x\"\n}\n"},
			map[string]string{"order": linesSchema, "look": ""}, map[string]string{"order": itemsSchema, "look": ""}, "bank/order(a.rego:6)"},
		"a rule behind the rule": {map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"no\" if _lines[_].sku == \"x\"\n\n_lines := input.tool.arguments.lines if input.tool.name == \"order\"\n"},
			map[string]string{"order": linesSchema, "look": ""}, map[string]string{"order": itemsSchema, "look": ""}, "bank/order(a.rego:3)"},
		"a helper in a library": {map[string]string{"a.rego": "package policy.tools.a\n\nimport data.lib.amounts\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tamounts.large\n}\n",
			"lib/amounts.rego": "package lib.amounts\n\nlarge if input.tool.arguments.amount > 100\n"}, before(), but(before(), "transfer", sumSchema), "bank/transfer(lib/amounts.rego:3)"},
		"a value that can no longer be": {map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"wire\"\n\tinput.tool.arguments.currency == \"USD\"\n}\n"},
			map[string]string{"wire": `{"type": "object", "properties": {"currency": {"type": "string", "enum": ["EUR", "USD"]}}}`},
			map[string]string{"wire": `{"type": "object", "properties": {"currency": {"type": "string", "enum": ["EUR", "CHF"]}}}`}, "bank/wire(a.rego:5)"},
		"a number that is a text now": {map[string]string{"limit.rego": limitRego}, before(), but(before(), "transfer", `{"type": "object", "properties": {"amount": {"type": "string"}}}`), "bank/transfer(limit.rego:5)"},
		"two problems, one behind the other": {map[string]string{"limit.rego": limitRego, "a.rego": "package policy.tools.a\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"order\"\n\tsome line in input.tool.arguments.lines\n\tline.sku == \"x\"\n}\n"},
			map[string]string{"order": linesSchema, "transfer": amountSchema}, map[string]string{"order": itemsSchema, "transfer": sumSchema}, "bank/order(a.rego:6) bank/transfer(limit.rego:5)"},
		"an argument that is found by its name": {map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tsome name, value in input.tool.arguments\n\tname == \"amount\"\n\tvalue > 100\n}\n"},
			before(), but(before(), "transfer", sumSchema), "bank/transfer(a.rego:6)"},
		"an argument that a table names": {map[string]string{"iban.rego": ibanRego, "config.yaml": "most:\n  amount: 100\n", "a.rego": "package policy.tools.a\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tsome name, most in data.config.most\n\tinput.tool.arguments[name] > most\n}\n"},
			map[string]string{"transfer": amountSchema, "pay": amountSchema}, map[string]string{"transfer": sumSchema, "pay": sumSchema}, "bank/transfer(config.yaml:2)"},
		"a tool with almost the old name": {map[string]string{"limit.rego": limitRego, "a.rego": strings.ReplaceAll(ibanRego, "\"pay\"", "\"create_invoice\"")},
			map[string]string{"create_invoice": amountSchema, "transfer": amountSchema}, map[string]string{"createInvoice": amountSchema, "transfer": amountSchema}, "bank/createInvoice(a.rego:4)"},
		"the same without a schema": {map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"no\" if input.tool.name == \"create_invoice\"\n"},
			map[string]string{"create_invoice": ""}, map[string]string{"createInvoice": "", "look": ""}, "bank/createInvoice(a.rego:3)"},
		"the same in a table": {map[string]string{"config.yaml": "limits:\n  create_invoice: 5\n", "a.rego": "package policy.tools.a\n\ndeny contains \"no\" if input.tool.arguments.amount > data.config.limits[input.tool.name]\n"},
			map[string]string{"create_invoice": amountSchema}, map[string]string{"createInvoice": amountSchema, "look": ""}, "bank/createInvoice(config.yaml:2)"},
		"a tool that is gone, and another with almost its name": {map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"no\" if input.tool.name == \"account\"\n"},
			map[string]string{"account": "", "accounts": "", "look": ""}, map[string]string{"accounts": "", "look": ""}, "bank/accounts(a.rego:3)"},
		"a value that the router cannot take": {map[string]string{"limit.rego": limitRego, "a.rego": "package policy.tools.a\n\nallow := input.tool.arguments.flag if input.tool.name == \"open\"\n"},
			map[string]string{"open": `{"type": "object", "properties": {"flag": {"type": "boolean"}}}`, "transfer": amountSchema},
			map[string]string{"open": `{"type": "object", "properties": {"flag": {"type": "string"}}}`, "transfer": amountSchema}, "bank/open(shipped/mcp/authz/tools.rego)"},
		"a schema that refers to elsewhere": {map[string]string{"limit.rego": limitRego}, before(), but(before(), "look", `{"$ref": "https://evil.example/s.json"}`), "bank/look(the inputSchema of bank/look refers to \"https://evil.example/s.json\"; only references inside the schema (#/$defs/…) are followed)"},
	} {
		t.Run(name, func(t *testing.T) {
			first := bank(t, tc.before)
			e := engineFrom(t, Config{Dir: dirWith(t, tc.files), Defaults: true, Catalogue: first})
			next := bank(t, tc.after)
			reloaded(t, e, next)
			got := staleTools(e)
			for _, s := range e.Status().StaleTools { // every rule is told once
				if len(s.Rules) == 0 || len(slices.Compact(slices.Clone(s.Rules))) != len(s.Rules) {
					t.Errorf("%+v", s)
				}
			}
			if got != tc.want {
				t.Errorf("stale: %s\nwant:  %s\n%+v", got, tc.want, e.Status().StaleTools)
			}
			for i := range next[0].Tools {
				name := next[0].Tools[i].Name
				denied := word(decide(t, e, bankCall(t, next, name, nil))) == codeCatalogueStale
				if denied != strings.Contains(" "+got, " bank/"+name+"(") {
					t.Errorf("%s: denied is %v", name, denied)
				}
			}
		})
	}
}

// TestWhatOnlyACallTellsIsNotTyped: nothing tells that the rule looks for a name that has gone, so the tool is served. The guide says so.
func TestWhatOnlyACallTellsIsNotTyped(t *testing.T) {
	const loop = "package policy.tools.loop\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"transfer\"\n\tsome name, value in input.tool.arguments\n\tlower(name) == \"amount\"\n\tvalue > 100\n}\n"
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"loop.rego": loop}), Defaults: true, Catalogue: bank(t, before())})
	next := bank(t, but(before(), "transfer", sumSchema))
	reloaded(t, e, next)
	if got := answers(t, e, next); got != "look:allow pay:allow transfer:allow" || staleTools(e) != "" {
		t.Errorf("%s %s", got, staleTools(e))
	}
}

// TestAnythingElseKeepsTheLastGoodWhole: a changed tool excuses nothing that is wrong for another reason.
func TestAnythingElseKeepsTheLastGoodWhole(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"a syntax error":             {"more.rego": "package policy.tools.more\n\ndeny contains if\n"},
		"a misspelled input":         {"more.rego": "package policy.tools.more\n\ndeny contains \"no\" if input.tool.nme == \"x\"\n"},
		"a misspelled rule":          {"more.rego": "package policy.tools.more\n\ndenny contains \"no\"\n"},
		"an argument of an old tool": {"more.rego": strings.ReplaceAll(strings.ReplaceAll(ibanRego, "iban", "more"), "arguments.to", "arguments.tto")},
		"a failing test":             {"more_test.rego": "package policy.tools.more_test\n\ntest_no if 1 == 2\n"},
		"data that is none":          {"config.yaml": "a: [\n"},
		"the reserved package":       {"more.rego": "package policy.tools.catalogue_stale\n\nallow if input.tool.name == \"x\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			first := bank(t, before())
			dir := dirWith(t, map[string]string{"limit.rego": limitRego})
			e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: first})
			begun := e.Status().Revision
			write(t, dir, files)
			_, err := e.Reload(t.Context(), bank(t, but(before(), "transfer", sumSchema)))
			if status := e.Status(); !IsLoadError(err) || status.Revision != begun || !status.Stale || len(status.StaleTools) > 0 {
				t.Errorf("%v %+v", err, status)
			}
			if strings.Count(fmt.Sprint(err), "limit.rego:5") > 1 {
				t.Errorf("a problem is told twice: %v", err)
			}
			if !strings.Contains(fmt.Sprint(err), "more") && !strings.Contains(fmt.Sprint(err), "config.yaml") {
				t.Errorf("the error does not tell what is wrong: %v", err)
			}
			if got := answers(t, e, first); got != "look:allow pay:allow transfer:allow" {
				t.Error(got)
			}
		})
	}
}

// TestASlipBesideAStaleToolIsRefused: who edits a rule about a stale tool and another one must not lose it for the other one.
func TestASlipBesideAStaleToolIsRefused(t *testing.T) {
	const both = "package policy.tools.both\n\ndeny contains \"no\" if {\n\tinput.tool.name in {\"transfer\", \"pay\"}\n\tobject.get(input.tool.arguments, \"amount\", input.tool.arguments.sum) > 100\n}\n"
	first := bank(t, but(before(), "transfer", `{"type": "object", "properties": {"amount": {"type": "number"}, "sum": {"type": "number"}}}`))
	dir := dirWith(t, map[string]string{"both.rego": both})
	var seen []Activation
	config := Config{Dir: dir, Defaults: true, Catalogue: first, Activate: activations(&seen)}
	e := engineFrom(t, config)
	next := bank(t, but(before(), "transfer", `{"type": "object", "properties": {"total": {"type": "number"}}}`))
	reloaded(t, e, next)
	if got := staleTools(e); got != "bank/transfer(both.rego:5)" {
		t.Fatal(got)
	}
	large := bankCall(t, next, "pay", map[string]any{"amount": number(101), "sum": number(0), "total": number(0)})
	for _, slip := range []string{"summ", "total"} {
		write(t, dir, map[string]string{"both.rego": strings.ReplaceAll(strings.ReplaceAll(both, "\"amount\"", "\"amuont\""), "arguments.sum", "arguments."+slip)})
		if _, err := e.Reload(t.Context(), next); !IsLoadError(err) || !strings.Contains(err.Error(), "amuont") {
			t.Errorf("%s: %v", slip, err)
		}
		if got := word(decide(t, e, large)); got != "denied" {
			t.Errorf("the other tool has lost its rule: %s", got)
		}
		config.Catalogue, config.Log = next, silent()
		config.Last = Stored{Revision: seen[len(seen)-1].Revision, Document: seen[len(seen)-1].Document}
		if _, err := New(t.Context(), config); !IsLoadError(err) {
			t.Errorf("%s at a restart: %v", slip, err)
		}
	}
	write(t, dir, map[string]string{"both.rego": strings.ReplaceAll(both, "{\"transfer\", \"pay\"}", "{\"pay\"}")})
	if _, err := e.Reload(t.Context(), next); !IsLoadError(err) { // pay never had a sum
		t.Errorf("a rule that does not fit its only tool: %v", err)
	}
	write(t, dir, map[string]string{"both.rego": strings.ReplaceAll(both, "arguments.sum", "arguments.total")})
	reloaded(t, e, next)
	if got := staleTools(e); got != "" || word(decide(t, e, large)) != "denied" {
		t.Errorf("mended: %s", got)
	}
}

// TestARuleThatNeverFittedIsRefused: only a tool that has changed excuses a rule, and at the first start nothing has.
func TestARuleThatNeverFittedIsRefused(t *testing.T) {
	config := Config{Dir: dirWith(t, map[string]string{"limit.rego": limitRego}), Defaults: true, Catalogue: bank(t, but(before(), "transfer", sumSchema)), Log: silent()}
	if _, err := New(t.Context(), config); !IsLoadError(err) {
		t.Errorf("the first start: %v", err)
	}
	dir := dirWith(t, map[string]string{"iban.rego": ibanRego})
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: config.Catalogue})
	write(t, dir, map[string]string{"limit.rego": limitRego})
	if _, err := e.Reload(t.Context(), config.Catalogue); !IsLoadError(err) || len(e.Status().StaleTools) > 0 {
		t.Errorf("a new rule about a tool as it was: %v", err)
	}
	if _, err := e.Activate(t.Context(), config.Catalogue, []AuthorFile{{Path: "limit.rego", Data: []byte(limitRego)}}, "by hand"); !IsLoadError(err) {
		t.Errorf("the same by hand: %v", err)
	}
}

// TestARestartWithAChangedTool: the database has the last generation, and the catalogue is the new one.
func TestARestartWithAChangedTool(t *testing.T) {
	var seen []Activation
	dir := dirWith(t, map[string]string{"limit.rego": limitRego})
	config := Config{Dir: dir, Defaults: true, Catalogue: bank(t, before()), Activate: activations(&seen)}
	engineFrom(t, config)
	restart := func(name, want string) {
		t.Helper()
		last := seen[len(seen)-1]
		config.Last, config.Origin = Stored{Revision: last.Revision, Document: last.Document}, last.Origin
		e := engineFrom(t, config)
		if got := answers(t, e, config.Catalogue); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	config.Catalogue = bank(t, but(before(), "transfer", sumSchema))
	restart("with another schema", "look:allow pay:allow transfer:catalogue_stale")
	stale := seen[len(seen)-1]
	restart("once more", "look:allow pay:allow transfer:catalogue_stale")
	if again := seen[len(seen)-1]; again.Revision != stale.Revision || again.Changes.String() != "nothing" || len(again.Stale) != 1 {
		t.Errorf("the same is another revision: %+v", again)
	}
	config.Last.Document = append([]byte{0}, config.Last.Document...)
	config.Log = silent()
	if _, err := New(t.Context(), config); !IsLoadError(err) {
		t.Errorf("with a damaged last generation: %v", err)
	}
	config.Catalogue = bank(t, map[string]string{"pay": sumSchema, "look": ""})
	restart("without the tool", "look:allow pay:allow")
	config.Catalogue = bank(t, before())
	restart("with the old schema", "look:allow pay:allow transfer:allow")

	// What was put in force by hand is held to the same.
	e := engineFrom(t, config)
	if _, err := e.Activate(t.Context(), config.Catalogue, []AuthorFile{{Path: "limit.rego", Data: []byte(limitRego + "\n# by hand\n")}}, "activated from x"); err != nil {
		t.Fatal(err)
	}
	config.Catalogue = bank(t, but(before(), "transfer", sumSchema))
	restart("by hand", "look:allow pay:allow transfer:catalogue_stale")
	if last := seen[len(seen)-1]; last.Origin != "activated from x" {
		t.Errorf("%+v", last)
	}
}

// TestABundleBesideAStaleTool: the same rules under another revision of the bundle are another activation, and the tool stays denied.
func TestABundleBesideAStaleTool(t *testing.T) {
	var seen []Activation
	b := &Bundle{Files: []AuthorFile{{Path: "limit.rego", Data: []byte(limitRego)}}, Revision: BundleRevision{Name: "1", Number: 1}}
	config := Config{Defaults: true, Catalogue: bank(t, before()), Activate: activations(&seen), Bundle: func(context.Context) (*Bundle, error) { return b, nil }}
	engineFrom(t, config)
	config.Last = Stored{Revision: seen[0].Revision, Document: seen[0].Document}
	config.Catalogue = bank(t, but(before(), "transfer", sumSchema))
	e := engineFrom(t, config)
	b = &Bundle{Files: b.Files, Revision: BundleRevision{Name: "2", Number: 2}}
	r := reloaded(t, e, config.Catalogue)
	if last := seen[len(seen)-1]; !r.Changed || len(seen) != 3 || last.Bundle.Name != "2" || len(last.Stale) != 1 || last.Revision != seen[1].Revision || e.Status().Bundle.Name != "2" {
		t.Errorf("%+v, %d activations, the last one %+v", r, len(seen), last)
	}
	if got := answers(t, e, config.Catalogue); got != "look:allow pay:allow transfer:catalogue_stale" {
		t.Error(got)
	}
	if s, err := openStored(seen[2].Revision, seen[2].Document); err != nil || len(s.stale) != 1 {
		t.Errorf("%+v %v", s.stale, err)
	}
}

// TestARollbackToRulesThatNoLongerFitATool: the tool has changed since, so it is denied, and the rest is as it was.
func TestARollbackToRulesThatNoLongerFitATool(t *testing.T) {
	var seen []Activation
	dir := dirWith(t, map[string]string{"limit.rego": limitRego})
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: bank(t, before()), Activate: activations(&seen)})
	write(t, dir, map[string]string{"limit.rego": ibanRego})
	next := bank(t, but(before(), "transfer", sumSchema))
	reloaded(t, e, next)
	if staleTools(e) != "" {
		t.Fatal(staleTools(e))
	}
	if _, err := e.Restore(t.Context(), next, Stored{Revision: seen[0].Revision, Document: seen[0].Document}, "rolled back"); err != nil {
		t.Fatal(err)
	}
	if got := answers(t, e, next); got != "look:allow pay:allow transfer:catalogue_stale" {
		t.Error(got)
	}
	if again := reloaded(t, e, next); again.Changed {
		t.Errorf("%+v", again)
	}
}

// staleScene is an engine in which transfer is stale, with these files, and the catalogue.
func staleScene(t *testing.T, files map[string]string, c Config) (*Engine, []*oauth.Resource) {
	t.Helper()
	c.Dir, c.Defaults, c.Catalogue = dirWith(t, files), true, bank(t, before())
	e := engineFrom(t, c)
	next := bank(t, but(before(), "transfer", sumSchema))
	reloaded(t, e, next)
	if got := staleTools(e); !strings.HasPrefix(got, "bank/transfer(") {
		t.Fatal(got)
	}
	return e, next
}

// TestNothingAllowsAStaleTool: no package, no mode, and no test of the author stands in the way of the denial.
func TestNothingAllowsAStaleTool(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"an allow":             {"limit.rego": limitRego, "open.rego": "package policy.tools.open\n\nallow := true\n"},
		"a package on trial":   {"limit.rego": limitRego, "open.rego": inMode(modeLogOnly, "package policy.tools.open\n\nallow := true\n")},
		"the rule on trial":    {"limit.rego": inMode(modeLogOnly, limitRego)},
		"the author's default": {"limit.rego": limitRego, "default.rego": "package policy.tools.default\n\nallow := true\n"},
		"a test of the router": {"limit.rego": limitRego, "limit_test.rego": "package policy.tools.limit_test\n\ntest_allowed if data.mcp.authz.tools.decision.allow with input as " +
			"{\"resource\": {\"server\": \"bank\"}, \"mcp\": {\"method\": \"tools/call\"}, \"tool\": {\"name\": \"transfer\", \"scopes\": []}, \"token\": {\"scopes\": []}, \"context\": {\"unix_time\": 5}}\n"},
	} {
		e, catalogue := staleScene(t, files, Config{})
		for range 2 { // the second one is remembered
			if got := answers(t, e, catalogue); got != "look:allow pay:allow transfer:catalogue_stale" {
				t.Errorf("%s: %s", name, got)
			}
		}
		d := decide(t, e, bankCall(t, catalogue, "transfer", nil))
		if !slices.Equal(d.Rules, []string{"catalogue_stale.bank/transfer"}) || strings.Contains(d.Reasons[0].Message, ".rego") {
			t.Errorf("%s: %+v", name, d)
		}
		for _, tried := range d.Tried {
			if tried.Allow {
				t.Errorf("%s: %+v would allow it", name, tried)
			}
		}
	}
}

// TestAToolOfAnotherServerIsNotStale: tools are told apart by server, and a name may be any text.
func TestAToolOfAnotherServerIsNotStale(t *testing.T) {
	const odd = "tr\"ans\\fer\n<é>"
	both := func(schema string) []*oauth.Resource {
		one := bank(t, map[string]string{odd: schema})
		two := bank(t, map[string]string{odd: amountSchema})
		two[0].ID, two[0].Key = "https://other.example/mcp", "other"
		return append(one, two...)
	}
	rule := fmt.Sprintf("package policy.tools.limit\n\ndeny contains \"no\" if {\n\tinput.tool.name == %q\n\tinput.resource.server == \"bank\"\n\tinput.tool.arguments.amount > 5\n}\n", odd)
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": rule}), Defaults: true, Catalogue: both(amountSchema)})
	next := both(sumSchema)
	reloaded(t, e, next)
	for i, want := range []string{codeCatalogueStale, "allow"} {
		if got := word(decide(t, e, bankCall(t, next[i:], odd, nil))); got != want {
			t.Errorf("on %s: %s", next[i].Key, got)
		}
	}
}

// TestANameThatNeedsEscapes: neither the labels of the denying rules, which are YAML, nor Rego take these as they are.
func TestANameThatNeedsEscapes(t *testing.T) {
	for name, written := range map[string]string{"a\x7fb": `a\u007fb`, "a\u009fb": `a\u009fb`, "\ufeffa": `\ufeffa`, "a\ufffe": `a\ufffe`, "\U0001f600": "\U0001f600"} {
		rule := "package policy.tools.limit\n\ndeny contains \"no\" if {\n\tinput.tool.name == \"" + written + "\"\n\tinput.tool.arguments.amount > 5\n}\n"
		e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": rule}), Defaults: true, Catalogue: bank(t, map[string]string{name: amountSchema})})
		next := bank(t, map[string]string{name: sumSchema})
		reloaded(t, e, next)
		d := decide(t, e, bankCall(t, next, name, nil))
		if word(d) != codeCatalogueStale || !slices.Equal(d.Rules, []string{stalePackage + ".bank/" + name}) {
			t.Errorf("%q: %s by %q", name, word(d), d.Rules)
		}
	}
}

// TestADenialOfAStaleToolIsExplainedAndReplayed: it names the rules, and what is printed makes the call be allowed.
func TestADenialOfAStaleToolIsExplainedAndReplayed(t *testing.T) {
	kept := map[string]*oauth.PolicyGeneration{}
	e, catalogue := staleScene(t, map[string]string{"limit.rego": limitRego}, Config{Record: RecordValues, RecordKey: recordKey(), Activate: func(_ context.Context, a Activation) error {
		kept[a.Revision] = &oauth.PolicyGeneration{Revision: a.Revision, Document: a.Document}
		return nil
	}})
	record := decide(t, e, bankCall(t, catalogue, "transfer", map[string]any{"sum": number(5)})).Record
	for name, policies := range map[string]*oauth.PolicyGeneration{"kept": kept[e.Status().Revision], "gone": nil} {
		x, err := Explain(t.Context(), ExplainRequest{ID: record.ID, Record: record, Policies: policies})
		if err != nil || len(x.Changes) != 1 || x.Changes[0].Kind != ChangeFit || x.Allowed || x.Reason != codeCatalogueStale {
			t.Fatalf("%s: %+v %v", name, x, err)
		}
		text := x.Changes[0].Text
		if !strings.Contains(text, "the inputSchema of bank/transfer in the catalogue changed") || (name == "kept") != strings.Contains(text, "limit.rego:5:") {
			t.Errorf("%s: %s", name, text)
		}
	}
	mended := map[string]string{"limit.rego": strings.ReplaceAll(limitRego, "amount", "sum")}
	p, err := NewReplay(t.Context(), ReplayConfig{Dir: dirWith(t, mended), Defaults: true, Catalogue: catalogue, RecordKey: recordKey(),
		Generation: func(_ context.Context, revision string) (*oauth.PolicyGeneration, error) { return kept[revision], nil }})
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.ask(t.Context(), record)
	if err != nil || !v.gained || v.lost || v.unknown != "" || !strings.HasPrefix(v.gaining, "catalogue_stale.bank/transfer (shipped/") {
		t.Errorf("replay of the mended rules: %+v %v", v, err)
	}
	if _, err := NewReplay(t.Context(), ReplayConfig{Dir: dirWith(t, map[string]string{"limit.rego": limitRego}), Defaults: true, Catalogue: catalogue, RecordKey: recordKey()}); !IsLoadError(err) {
		t.Errorf("a candidate that does not fit: %v", err)
	}
}

// TestTheServedBundleDeniesAStaleTool: stock OPA says what we say.
func TestTheServedBundleDeniesAStaleTool(t *testing.T) {
	e, catalogue := staleScene(t, map[string]string{"limit.rego": limitRego}, Config{})
	query, err := rego.New(rego.ParsedBundle("served", readServed(t, served(t, e))), rego.Query("data.mcp.authz.tools.decision")).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"transfer": codeCatalogueStale, "pay": "", "look": ""} {
		v := bankCall(t, catalogue, name, nil)
		input := documentOf(t, newWords(), func(o *object) error { return o.toolCall(v) })
		results, err := query.Eval(t.Context(), rego.EvalParsedInput(input))
		if err != nil || len(results) != 1 {
			t.Fatal(results, err)
		}
		d := results[0].Expressions[0].Value.(map[string]any)
		if d["allow"] != (want == "") || want != "" && !strings.Contains(fmt.Sprint(d["reasons"]), want) {
			t.Errorf("%s: %v", name, d)
		}
	}
}

// TestAShadowThatDoesNotFitIsNotLoaded: nobody is denied by it, and its status says why.
func TestAShadowThatDoesNotFitIsNotLoaded(t *testing.T) {
	e, catalogue := staleScene(t, map[string]string{"limit.rego": limitRego}, Config{})
	s := NewShadow(ShadowConfig{Active: e, Dir: dirWith(t, map[string]string{"limit.rego": limitRego}), Config: Config{Defaults: true, Catalogue: catalogue, Log: silent()}})
	s.load(t.Context())
	if status := s.Status(); !status.Stale || status.Revision != "" || !strings.Contains(status.Error, "limit.rego:5") {
		t.Errorf("%+v", status)
	}
	write(t, s.config.Dir, map[string]string{"limit.rego": strings.ReplaceAll(limitRego, "amount", "sum")})
	s.load(t.Context())
	if status := s.Status(); status.Stale || status.Revision == "" {
		t.Errorf("%+v", status)
	}
}
