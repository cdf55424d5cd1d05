package policies

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// callable is the list for alice's token with these scopes, in words.
func callable(t testing.TB, e *Engine, v oauth.Evaluation) string {
	t.Helper()
	names, err := e.CallableTools(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// listing is the evaluation of a tools/list call.
func listing(scopes ...string) oauth.Evaluation {
	v := call("get_weather", nil, scopes...)
	v.Tool, v.Args = nil, nil
	v.Action.Name, v.MCP.Method = "tools/list", "tools/list"
	v.Resource = oauth.AuthZENResource{Type: "mcp_server", ID: v.Caller.ID}
	return v
}

func TestCallableTools(t *testing.T) {
	demo, err := demoFilesAsMap()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"tools:weather.read", "tools:calendar.read", "tools:crm.write", "tools:payments.transfer"}
	for _, tc := range []struct {
		name, policy string
		scopes       []string
		want         string
	}{
		{"all scopes", "", all, "get_weather calendar_list crm_update transfer"},
		{"no scope", "", nil, ""},
		{"a scope for each of two", "", []string{"tools:weather.read", "tools:payments.transfer"}, "get_weather transfer"},
		{"a wildcard", "", []string{"tools:*"}, "get_weather calendar_list crm_update transfer"},
		{"a deny by name", `deny contains "no" if input.tool.name == "transfer"`, all, "get_weather calendar_list crm_update"},
		{"a deny of everybody", `deny contains "no"`, all, ""},
		{"a deny of others", `deny contains "no" if input.subject.username != "alice"`, all, "get_weather calendar_list crm_update transfer"},
		{"a deny by group", `deny contains "no" if not "treasury" in input.subject.groups`, all, ""},
		{"a deny by argument", `deny contains "no" if input.tool.arguments.amount > 5`, all, "get_weather calendar_list crm_update transfer"},
		{"a deny of missing arguments", `deny contains "no" if not input.tool.arguments.amount`, all, "get_weather calendar_list crm_update transfer"},
		{"a deny of all arguments, one way or the other", `deny contains "no" if input.tool.arguments.amount > 5

deny contains "no" if not input.tool.arguments.amount > 5`, all, "get_weather calendar_list crm_update transfer"},
		{"a deny that the arguments cannot help", `deny contains "no" if { not input.tool.annotations.readOnlyHint; not input.subject.groups == [] }`, all, "get_weather calendar_list"},
		{"arguments under a name", `deny contains "no" if { t := input.tool; not t.arguments.amount }`, all, "get_weather calendar_list crm_update transfer"},
		{"arguments in a search", `deny contains "no" if { not _found }

_found if { walk(input, [_, v]); v == "magic" }`, all, "get_weather calendar_list crm_update transfer"},
		{"a needed scope by name", `required_scopes contains "tools:extra" if startswith(input.tool.name, "c")`, all, "get_weather transfer"},
		{"a needed scope by argument", `required_scopes contains "tools:extra" if input.tool.arguments.x`, all, "get_weather calendar_list crm_update transfer"},
		{"a login that is there", `require_authn contains {"acr_values": ["pwd"]} if input.tool.name == "transfer"`, all, "get_weather calendar_list crm_update transfer"},
		{"a login that is missing", `require_authn contains {"acr_values": ["mfa"]} if input.tool.name == "transfer"`, all, "get_weather calendar_list crm_update"},
		{"a login that is too old", `require_authn contains {"max_age": 60} if input.tool.annotations.destructiveHint`, all, "get_weather calendar_list crm_update"},
		{"a login by argument", `require_authn contains {"acr_values": ["mfa"]} if input.tool.arguments.x`, all, "get_weather calendar_list crm_update transfer"},
		{"a closed hour", `deny contains "no" if { time.clock(time.now_ns())[0] != 3; input.tool.name == "transfer" }`, all, "get_weather calendar_list crm_update"},
		{"an open hour", `deny contains "no" if { time.clock(time.now_ns())[0] == 3; input.tool.name == "transfer" }`, all, "get_weather calendar_list crm_update transfer"},
		{"what the server says only with the call", `deny contains "no" if not input.context.properties.ticket`, all, "get_weather calendar_list crm_update transfer"},
		{"a policy that fails", `deny contains "no" if to_number("x") == 5`, all, "get_weather calendar_list crm_update transfer"},
		{"a value of a wrong shape", `ttl_seconds := 0 - 5`, all, ""},
		{"tests of names", "deny contains \"no\" if {\n\tstartswith(input.tool.name, \"crm_\")\n}\n\ndeny contains \"no\" if endswith(input.tool.name, \"_list\")\n\ndeny contains \"no\" if contains(input.resource.id, \"sfe\")", all, "get_weather"},
		{"tests of other texts with the name", "deny contains \"no\" if startswith(\"transfer money\", input.tool.name)\n\ndeny contains \"no\" if \"c\" in {input.tool.name, substring(input.tool.name, 0, 1)}", all, "get_weather"},
		{"names of the configuration", "deny contains \"no\" if input.tool.name in data.config.closed", all, "calendar_list crm_update"},
		{"a name in a constant set", "deny contains \"no\" if input.tool.name in _closed\n\n_closed := {\"transfer\", \"crm_update\"}", all, "get_weather calendar_list"},
		{"a name in a set under a mock", "deny contains \"no\" if _is with data.policy.tools.payments._closed as {\"get_weather\"}\n\n_is if input.tool.name in _closed\n\n_closed := {\"transfer\", \"crm_update\"}", all, "calendar_list crm_update transfer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{}
			if tc.policy != "" {
				files["a.rego"], files["config.yaml"] = payments+tc.policy+"\n", "closed: [transfer, get_weather]\n"
			} else {
				files = demo
			}
			e := engineWith(t, files)
			for range 2 {
				if got := callable(t, e, listing(tc.scopes...)); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			}
		})
	}
}

// demoFilesAsMap are the demo's files by name.
func demoFilesAsMap() (map[string]string, error) {
	root, err := DemoFiles()
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	found, _ := readTree(root)
	for _, f := range found {
		files[f.path] = string(f.data)
	}
	return files, nil
}

// What could not be asked in time is neither told as a list nor remembered as one.
func TestAListThatGetsNoTurnIsNone(t *testing.T) {
	e := engineWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.name == \"transfer\"\n"})
	l := e.current.Load().lister
	turn := <-l.idle // another evaluation is under way
	if names, err := e.CallableTools(context.Background(), listing("tools:weather.read", "tools:payments.transfer")); err == nil {
		t.Errorf("a list without a turn: %q", names)
	}
	l.idle <- turn
	if got := callable(t, e, listing("tools:weather.read", "tools:payments.transfer")); got != "get_weather" {
		t.Errorf("got %q", got)
	}
}

// TestListsFollowTheToken: nothing that is remembered for one token, revision or time is told to another.
func TestListsFollowTheToken(t *testing.T) {
	dir := dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if {\n\tinput.tool.name == \"get_weather\"\n\tinput.subject.username == \"bob\"\n}\n\nrequire_authn contains {\"max_age\": 7200} if input.tool.name == \"calendar_list\"\n"})
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: []*oauth.Resource{demoResource()}})
	alice := listing("tools:weather.read", "tools:calendar.read")
	bob := listing("tools:weather.read", "tools:calendar.read")
	bob.Subject.Username = "bob"
	for range 2 {
		if got := callable(t, e, alice); got != "get_weather calendar_list" {
			t.Errorf("alice: %q", got)
		}
		if got := callable(t, e, bob); got != "calendar_list" {
			t.Errorf("bob: %q", got)
		}
		if got := callable(t, e, listing("tools:calendar.read")); got != "calendar_list" {
			t.Errorf("less scopes: %q", got)
		}
	}
	alice.Context.Time = alice.Context.Time.Add(2 * time.Hour)
	if got := callable(t, e, alice); got != "get_weather" {
		t.Errorf("an old login: %q", got)
	}
	write(t, dir, map[string]string{"b.rego": "package policy.tools.b\n\ndeny contains \"no\" if input.tool.name == \"get_weather\"\n"})
	if _, err := e.Reload(context.Background(), []*oauth.Resource{demoResource()}); err != nil {
		t.Fatal(err)
	}
	if got := callable(t, e, alice); got != "" {
		t.Errorf("another revision: %q", got)
	}
	if _, err := e.CallableTools(context.Background(), oauth.Evaluation{}); err == nil {
		t.Error("a list without token and server")
	}
}

func TestASlowPolicyMakesNoList(t *testing.T) {
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if count([1 | some i in numbers.range(1, 10000); some j in numbers.range(1, 10000); i == j]) > 0\n"}),
		Defaults: true, Deadline: 50 * time.Millisecond, Catalogue: []*oauth.Resource{demoResource()}})
	if names, err := e.CallableTools(context.Background(), listing()); err == nil || names != nil {
		t.Errorf("%q %v", names, err)
	}
}

// TestALongListIsGivenUp: thousands of tools that all look different have one deadline together. What was found is remembered, so that
// somebody who asks again gets the list.
func TestALongListIsGivenUp(t *testing.T) {
	server := demoResource()
	server.Tools = nil
	for i := range 3000 {
		server.Tools = append(server.Tools, oauth.Tool{Name: fmt.Sprintf("tool_%04d", i)})
	}
	e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": payments + "deny contains \"no\" if substring(input.tool.name, 8, 1) == \"7\"\n"}),
		Defaults: true, Deadline: 10 * time.Millisecond, Catalogue: []*oauth.Resource{server}})
	v := listing()
	v.Caller = server
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if names, err := e.CallableTools(gone, v); err == nil || names != nil {
		t.Errorf("somebody who has gone gets %d tools, %v", len(names), err)
	}
	givenUp := 0
	for range 1000 {
		names, err := e.CallableTools(context.Background(), v)
		if err == nil {
			if len(names) != 2700 || givenUp == 0 {
				t.Errorf("%d tools, given up %d times", len(names), givenUp)
			}
			return
		}
		if names != nil {
			t.Fatal("half a list:", len(names))
		}
		if strings.Contains(err.Error(), "of 3000 tools") {
			givenUp++
		}
	}
	t.Error("the list never comes")
}

// unknownKnobs are those that a server turns only with the call.
func unknownKnobs() []knob {
	return slices.DeleteFunc(knobs(), func(k knob) bool {
		return !strings.HasPrefix(k.path, "tool.arguments.") && !strings.HasSuffix(k.path, ".properties") && k.path != "mcp.session_id" && k.path != "tool.schema_checked"
	})
}

// shapes is a server with tools of all looks.
func shapes() *oauth.Resource {
	r := demoResource()
	r.Tools = nil
	yes := true
	for i, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		tool := oauth.Tool{Name: name, Title: []string{"", "a", "b"}[i%3]}
		if i%2 == 0 {
			tool.Annotations.ReadOnlyHint = &yes
		}
		r.Tools = append(r.Tools, tool)
	}
	return r
}

// TestListsMissNothing holds lists against brute force: whatever can be called with any of many arguments is in the list. Then
// it lets the evaluation take absent arguments for a fact, and wants to see that tools are missed.
func TestListsMissNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	server := shapes()
	names := knob{path: "tool.name", kind: "text"}
	policyKnobs := append(knobs(), names, names, names)
	listed, open, missed := 0, 0, 0
	for range rounds(25) {
		policy := randomPolicy(r, policyKnobs)
		e := engineFrom(t, Config{Dir: dirWith(t, map[string]string{"a.rego": policy}), Catalogue: []*oauth.Resource{server}})
		deaf := withoutMemory(e, "")
		l := *deaf.current.Load().lister
		l.unknowns, l.remember = []*ast.Term{inputPath{"nothing"}.term()}, false
		deaf.current.Load().lister = &l
		for _, settings := range randomSettings(r, 1)[:3] {
			base := turned(settings)
			base.Caller = server
			truth := bruteForce(t, r, e, base)
			names := strings.Fields(callable(t, e, base))
			for name := range truth {
				if !slices.Contains(names, name) {
					t.Fatalf("%s can be called with %v and is not in %q, policy:\n%s", name, truth[name], names, policy)
				}
			}
			listed, open = listed+len(names), open+len(truth)
			short := strings.Fields(callable(t, deaf, base))
			for name := range truth {
				if !slices.Contains(short, name) {
					missed++
				}
			}
		}
	}
	t.Logf("%d tools listed, %d of them opened by the arguments that were tried; %d missed by an evaluation without unknowns", listed, open, missed)
	if open < 50 || listed > 4*open || missed == 0 {
		t.Error("this proves little")
	}
}

// bruteForce calls every tool with many arguments and gives those that were allowed, with the settings.
func bruteForce(t *testing.T, r *rand.Rand, e *Engine, base oauth.Evaluation) map[string][]int {
	t.Helper()
	found := map[string][]int{}
	all := unknownKnobs()
	for i := range base.Caller.Tools {
		tool := base.Caller.Tools[i]
		for range 60 {
			v := imagined(base, &tool)
			v.Args = map[string]any{}
			settings := make([]int, len(all))
			for j, k := range all {
				settings[j] = r.IntN(len(k.set))
				k.set[settings[j]](&v)
			}
			if decide(t, e, v).Allow {
				found[tool.Name] = settings
				break
			}
		}
	}
	return found
}

// hundredTools is a server with a hundred tools: the demo's, and others with ten scopes and all kinds of annotations.
func hundredTools() *oauth.Resource {
	r := demoResource()
	yes, no := true, false
	for i := range 96 {
		tool := oauth.Tool{Name: fmt.Sprintf("tool_%02d", i), Scopes: oauth.NewScopes(fmt.Sprintf("tools:area%d.read", i%10))}
		if i%2 == 0 {
			tool.Annotations.ReadOnlyHint = &yes
		}
		if i%3 == 0 {
			tool.Annotations.DestructiveHint = &no
		}
		r.Tools = append(r.Tools, tool)
	}
	return r
}

// BenchmarkListing lists a hundred tools by the shipped defaults with the demo's policies, with each example, and with rules that look
// tools up by their names. It reports the time on the processor, which other work on the machine does not change: for a token that
// was never seen before, for one that was, and for the first question to new policies, whose rules are compiled for it.
func BenchmarkListing(b *testing.B) {
	for _, bc := range listingPolicies(b) {
		config := Config{Dir: bc.dir, Defaults: true, Catalogue: []*oauth.Resource{hundredTools()}}
		v := listing("tools:weather.read", "tools:area1.read", "tools:area2.read", "tools:payments.transfer")
		v.Caller = config.Catalogue[0]
		n := 0
		ask := func(b *testing.B, e *Engine) {
			if _, err := e.CallableTools(context.Background(), v); err != nil {
				b.Fatal(err)
			}
		}
		stranger := func() {
			n++
			v.Subject.Groups, v.Client = []string{fmt.Sprint("group", n)}, &oauth.Client{ID: fmt.Sprint("client", n)}
		}
		e := engineFrom(b, config)
		measure := func(name string, before func(), lists func(b *testing.B)) {
			b.Run(bc.name+"/"+name, func(b *testing.B) {
				var spent time.Duration
				rounds := 0
				for b.Loop() {
					before()
					begin := processorTime(b)
					lists(b)
					spent += processorTime(b) - begin
					rounds++
				}
				b.ReportMetric(float64(spent)/float64(time.Millisecond)/float64(rounds), "cpu-ms/list")
			})
		}
		measure("new token", stranger, func(b *testing.B) { ask(b, e) })
		measure("same token", func() {}, func(b *testing.B) { ask(b, e) })
		measure("new policies", func() { stranger(); e = engineFrom(b, config) }, func(b *testing.B) { ask(b, e) })
	}
}

type listingPolicy struct{ name, dir string }

func listingPolicies(b *testing.B) []listingPolicy {
	b.Helper()
	all := []listingPolicy{{"defaults", ""}, {"demo", demoDir(b)}}
	examples, err := filepath.Glob("examples/*/config*")
	if err != nil {
		b.Fatal(err)
	}
	more, err := filepath.Glob("examples/*/tools")
	if err != nil {
		b.Fatal(err)
	}
	seen := map[string]bool{}
	for _, dir := range append(examples, more...) {
		if dir = filepath.Dir(dir); !seen[dir] {
			seen[dir] = true
			all = append(all, listingPolicy{filepath.Base(dir), dir})
		}
	}
	for name, rule := range map[string]string{
		"pattern": "deny contains \"no\" if {\n\tstartswith(input.tool.name, \"tool_9\")\n\tnot input.tool.annotations.readOnlyHint\n}",
		"table":   "deny contains \"no\" if not input.tool.arguments.amount <= data.config.limits[input.tool.name]",
	} {
		files := map[string]string{"a.rego": payments + rule + "\n", "config.yaml": "limits: {transfer: 5, crm_update: 6}\n"}
		all = append(all, listingPolicy{name, dirWith(b, files)})
	}
	slices.SortFunc(all, func(x, y listingPolicy) int { return strings.Compare(x.name, y.name) })
	return all
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
