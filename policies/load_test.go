package policies

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"portcullis/oauth"
)

const payments = "package policy.tools.payments\n\n"

// TestRefusedDirectories: whatever Rego itself would ignore, or let reach outside, is an error with its place.
func TestRefusedDirectories(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"an allow that is false", map[string]string{"a.rego": "package policy.tools.a\n\nallow := false if input.tool.name == \"transfer\"\n"}, []string{"a.rego:3:1", "denies nothing"}},
		// packages
		{"a package in the routers' place", map[string]string{"a.rego": "package mcp.authz.tools\n\nallow if true\n"}, []string{"a.rego:1:1", "package mcp.authz.tools is reserved"}},
		{"a package below the routers", map[string]string{"a.rego": "package mcp.authz.tools.mine\n\nallow if true\n"}, []string{"reserved"}},
		{"the shipped helpers", map[string]string{"a.rego": "package lib.mcp\n\nhas_scope(_) if true\n"}, []string{"package lib.mcp is reserved"}},
		{"below the shipped helpers", map[string]string{"a.rego": "package lib.mcp.more\n\nx := 1\n"}, []string{"reserved"}},
		{"beside the shipped helpers", map[string]string{"a.rego": "package lib.mcp_more\n\nx := 1\n"}, []string{"reserved"}},
		{"a package one level too deep", map[string]string{"a.rego": "package policy.tools.a.b\n\nallow if true\n"}, []string{"would never be asked"}},
		{"the kind itself", map[string]string{"a.rego": "package policy.tools\n\nallow if true\n"}, []string{"would never be asked"}},
		{"a misspelled kind", map[string]string{"a.rego": "package policy.tols.x\n\nallow if true\n"}, []string{"did you mean policy.tools?"}},
		{"a misspelled root", map[string]string{"a.rego": "package polcy.tools.x\n\nallow if true\n"}, []string{"did you mean policy?"}},
		{"the data root", map[string]string{"a.rego": "package data\n\nallow if true\n"}, []string{"would never be asked"}},
		{"a package with a capital letter", map[string]string{"a.rego": "package policy.tools.Payments\n\nallow if true\n"}, []string{"lower-case"}},
		{"a package with a blank", map[string]string{"a.rego": "package policy.tools[\"a b\"]\n\nallow if true\n"}, []string{"lower-case"}},
		{"an empty file", map[string]string{"a.rego": "\n"}, []string{"a.rego"}},
		// names and forms of rules
		{"denny", map[string]string{"a.rego": payments + "denny contains \"no\" if true\n"}, []string{"a.rego:3:1", "did you mean deny?", "want one of: allow, deny, obligations"}},
		{"alow", map[string]string{"a.rego": payments + "alow if true\n"}, []string{"did you mean allow?"}},
		{"required_scope", map[string]string{"a.rego": payments + "required_scope contains \"a:b\"\n"}, []string{"did you mean required_scopes?"}},
		{"a rule of another kind", map[string]string{"a.rego": payments + "grant contains \"a:b\"\n"}, []string{"rule grant would be ignored"}},
		{"a helper without underscore", map[string]string{"a.rego": payments + "limit := 5\n"}, []string{"rule limit would be ignored", "or begin the name with _"}},
		{"deny as boolean", map[string]string{"a.rego": payments + "deny := true\n"}, []string{"rule deny is a single value; it must be a set: deny contains VALUE"}},
		{"deny as text", map[string]string{"a.rego": payments + "deny := \"text\"\n"}, []string{"rule deny is a single value"}},
		{"deny if", map[string]string{"a.rego": payments + "deny if true\n"}, []string{"rule deny is a single value"}},
		{"deny as object", map[string]string{"a.rego": payments + "deny[\"x\"] := \"y\"\n"}, []string{"rule deny has keys"}},
		{"deny as function", map[string]string{"a.rego": payments + "deny(_) if true\n"}, []string{"rule deny is a function"}},
		{"deny with a number", map[string]string{"a.rego": payments + "deny contains 5\n"}, []string{"something else than strings or {code, message}"}},
		{"allow as set", map[string]string{"a.rego": payments + "allow contains \"x\"\n"}, []string{"rule allow is a set; it must be a boolean"}},
		{"allow as text", map[string]string{"a.rego": payments + "allow := \"yes\"\n"}, []string{"rule allow is no boolean"}},
		{"allow as text in an else", map[string]string{"a.rego": payments + "allow if {\n\tinput.tool.name == \"x\"\n} else := \"yes\"\n"}, []string{"rule allow is no boolean"}},
		{"ttl as text", map[string]string{"a.rego": payments + "ttl_seconds := \"60\"\n"}, []string{"rule ttl_seconds is no number"}},
		{"a scope ceiling as text", map[string]string{"a.rego": "package policy.clients.x\n\nscope_ceiling := \"a:b\"\n"}, []string{"rule scope_ceiling is no list"}},
		{"a denied scope as text", map[string]string{"a.rego": "package policy.scopes.x\n\ndeny_scope contains \"a:b\"\n"}, []string{"rule deny_scope holds something else than objects"}},
		{"a text where the router wants a boolean", map[string]string{"a.rego": "package policy.scopes.x\n\nrefresh := input.stage\n"}, []string{"match error", "some package of yours"}},
		// tests
		{"a test in a policy package", map[string]string{"a.rego": payments + "test_x if true\n"}, []string{"move test_x into package policy.tools.payments_test"}},
		{"a rule that is no test", map[string]string{"a_test.rego": "package policy.tools.payments_test\n\nallow if true\n"}, []string{"rule allow in a test package is no test"}},
		{"a test package in another file", map[string]string{"a.rego": "package policy.tools.payments_test\n\ntest_x if true\n"}, []string{"tests lie in files NAME_test.rego"}},
		{"a policy package in a test file", map[string]string{"a_test.rego": payments + "deny contains \"no\"\n"}, []string{"tests lie in files NAME_test.rego"}},
		{"a failing test", map[string]string{"a_test.rego": "package policy.tools.payments_test\n\ntest_x if 1 == 2\n"}, []string{"a_test.rego:3:1: the test test_x fails"}},
		{"a failing case", map[string]string{"a_test.rego": "package policy.tools.payments_test\n\ntest_x[note] if {\n\tsome note, n in {\"one\": 1, \"two\": 2}\n\tn == 1\n}\n"}, []string{"the test test_x/two fails"}},
		{"a test with a built-in error", map[string]string{"a_test.rego": "package policy.tools.payments_test\n\ntest_x if not to_number(\"5,000\")\n"}, []string{"the test test_x fails", "to_number"}},
		// what the compiler knows
		{"a misspelled input field", map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.nme == \"x\"\n"}, []string{"a.rego:3:23", "undefined ref: input.tool.nme", "want (one of)", "name"}},
		{"a misspelled annotation", map[string]string{"a.rego": payments + "deny contains \"no\" if input.tool.annotations.readonlyHint\n"}, []string{"undefined ref", "readOnlyHint"}},
		{"a misspelled field in a scope policy", map[string]string{"a.rego": "package policy.scopes.x\n\ngrant contains s if some s in input.requested.scope\n"}, []string{"undefined ref", "scopes"}},
		{"a misspelled field in a client policy", map[string]string{"a.rego": "package policy.clients.x\n\nallow if input.client.hsot == \"x\"\n"}, []string{"undefined ref", "host"}},
		{"a misspelled field in a library", map[string]string{"a.rego": "package lib.own\n\nx if input.tool.nme == \"x\"\n"}, []string{"a.rego:3", "undefined ref: input.tool.nme", "want (one of)"}},
		{"a misspelled field in an access policy", map[string]string{"a.rego": "package policy.access.x\n\nallow if input.subjct.id == \"x\"\n"}, []string{"undefined ref", "subject"}},
		{"a field of another kind", map[string]string{"a.rego": "package policy.access.x\n\nallow if input.token.id == \"x\"\n"}, []string{"undefined ref: input.token"}},
		{"a group compared with a number", map[string]string{"a.rego": payments + "deny contains \"no\" if {\n\tsome g in input.subject.groups\n\tg == 3\n}\n"}, []string{"match error"}},
		{"METADATA schemas", map[string]string{"a.rego": "# METADATA\n# scope: package\n# schemas:\n#   - input: schema.access\npackage policy.tools.payments\n\ndeny contains \"no\" if input.tool.name == \"x\"\n"}, []string{"METADATA schemas are not for policy directories"}},
		{"a foreign reference in METADATA", map[string]string{"a.rego": "# METADATA\n# scope: package\n# schemas:\n#   - input: {\"$ref\": \"file:///etc/passwd\"}\npackage policy.tools.payments\n\ndeny contains \"no\" if input.tool.name == \"x\"\n"}, []string{"METADATA schemas are not for policy directories"}},
		{"an unused import", map[string]string{"a.rego": payments + "import data.lib.mcp\n\ndeny contains \"no\" if input.tool.name == \"x\"\n"}, []string{"import data.lib.mcp unused"}},
		{"shadowing input", map[string]string{"a.rego": payments + "deny contains \"no\" if {\n\tinput := 1\n\tinput == 1\n}\n"}, []string{"must not shadow input"}},
		{"a policy that reads the decision", map[string]string{"a.rego": payments + "allow if not data.mcp.authz.tools.decision.allow\n"}, []string{"recursive"}},
		{"rules that conflict in kind", map[string]string{"a.rego": payments + "_x := 1\n", "b.rego": payments + "_x contains 1\n"}, []string{"conflicting rules"}},
		{"a syntax error", map[string]string{"a.rego": payments + "deny contains if\n"}, []string{"a.rego:3"}},
		// references that Rego calls undefined
		{"a misspelled configuration key", map[string]string{"config.yaml": "transfer_limit: 5\n", "a.rego": payments + "deny contains \"no\" if input.tool.arguments.amount > data.config.transfer_limt\n"}, []string{"data.config.transfer_limt is not in the configuration files; want one of: transfer_limit"}},
		{"a nested configuration key", map[string]string{"config/limits.yaml": "eur: 5\n", "a.rego": payments + "deny contains \"no\" if input.tool.arguments.amount > data.config.limits.usd\n"}, []string{"data.config.limits.usd is not", "want one of: eur"}},
		{"configuration without files", map[string]string{"a.rego": payments + "deny contains \"no\" if data.config.x\n"}, []string{"there is no config.yaml"}},
		{"another data document", map[string]string{"a.rego": payments + "deny contains \"no\" if data.settings.x\n"}, []string{"data.settings.x leads nowhere; want one of: data.config"}},
		{"a misspelled rule", map[string]string{"a.rego": payments + "_x := 1\n\ndeny contains \"no\" if data.policy.tools.payments._y == 1\n"}, []string{"leads nowhere"}},
		{"a misspelled helper rule", map[string]string{"a.rego": payments + "import data.lib.mcp\n\ndeny contains \"no\" if not mcp.readonly\n"}, []string{"data.lib.mcp.readonly leads nowhere"}},
		{"a misspelled helper function", map[string]string{"a.rego": payments + "import data.lib.mcp\n\ndeny contains \"no\" if not mcp.has_scop(\"a:b\")\n"}, []string{"undefined function data.lib.mcp.has_scop"}},
		// globs
		{"a glob with braces in braces", map[string]string{"a.rego": payments + "deny contains \"no\" if glob.match(\"{a,{c,*}}*{e,f}*\", [], input.tool.name)\n"}, []string{"braces inside braces"}},
		{"a named glob with braces in braces", map[string]string{"a.rego": payments + "_p := \"{a,{c,*}}\"\n\ndeny contains \"no\" if glob.match(_p, [], input.tool.name)\n"}, []string{"braces inside braces"}},
		// data
		{"data outside config", map[string]string{"users.json": "{}"}, []string{"users.json: data belongs into config.yaml"}},
		{"data that would be the catalogue", map[string]string{"servers.yaml": "demo: {}\n"}, []string{"servers.yaml: data belongs"}},
		{"a repeated JSON member", map[string]string{"config.json": "{\"a\": 1, \"a\": 2}"}, []string{"config.json", "duplicate"}},
		{"a repeated YAML key", map[string]string{"config.yaml": "a: 1\na: 2\n"}, []string{"config.yaml", "line 2", "\"a\" already defined at line 1"}},
		{"a YAML key that is repeated further down", map[string]string{"config.yaml": "a:\n  - b: 1\n    c: 2\n    b: 3\n"}, []string{"config.yaml", "\"b\" already"}},
		{"a YAML key that is repeated in one line", map[string]string{"config.yaml": "a: {b: 1, b: 2}\n"}, []string{"config.yaml", "\"b\" already"}},
		{"a second YAML document", map[string]string{"config.yaml": "a: 1\n---\nb: 2\n"}, []string{"config.yaml", "second document"}},
		{"text after the JSON value", map[string]string{"config.json": "{} {}"}, []string{"config.json"}},
		{"configuration that is a list", map[string]string{"config.yaml": "- 1\n"}, []string{"must hold an object"}},
		{"the name of a shipped file", map[string]string{"shipped/policy/tools/default.rego": payments + "deny contains \"no\" if input.tool.name == \"x\"\n"}, []string{"shipped/policy/tools/default.rego", "another folder"}},
		{"a folder of that name", map[string]string{"shipped/a.rego": payments + "deny contains \"no\" if input.tool.name == \"x\"\n"}, []string{"shipped/a.rego", "another folder"}},
		{"a key in two files", map[string]string{"config.yaml": "limits: {eur: 1}\n", "config/limits.yaml": "eur: 2\n"}, []string{"config.yaml", "config/limits.yaml", "data.config.limits.eur is set by another file, too"}},
		{"a key twice in YAML", map[string]string{"config.yaml": "most: 1\nlist: [1]\nmost: 2\n"}, []string{"config.yaml:3:1: ", "mapping key \"most\" already defined at line 1\n\tmost: 2\n\t^"}},
		{"a comma too many in JSON", map[string]string{"config.json": "{\n  \"a\": 1,\n}\n"}, []string{"config.json:3:1: invalid character '}'"}},
		{"an ending in capitals", map[string]string{"a.REGO": payments}, []string{"in lower case"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(context.Background(), Config{Dir: dirWith(t, tc.files), Defaults: true, Log: silent()})
			if err == nil {
				t.Fatal("the directory was activated")
			}
			if !IsLoadError(err) {
				t.Errorf("not the author's to mend: %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
		})
	}
}

func TestRemovedBuiltinsAreRefusedWithTheReason(t *testing.T) {
	calls := map[string]string{
		"http.send":               `http.send({"method": "get", "url": "http://127.0.0.1"}).status_code == 200`,
		"net.lookup_ip_addr":      `count(net.lookup_ip_addr("localhost")) > 0`,
		"opa.runtime":             `opa.runtime().env.HOME == "x"`,
		"json.match_schema":       `json.match_schema({}, {"$ref": "file:///etc/passwd"})[0]`,
		"json.verify_schema":      `json.verify_schema({"$ref": "http://127.0.0.1"})[0]`,
		"strings.render_template": `strings.render_template("x", {}) == "x"`,
		"graph.reachable_paths":   `count(graph.reachable_paths({"a": []}, ["a"])) > 0`,
		"bits.lsh":                `bits.lsh(1, 100000000) > 0`,
		"bits.rsh":                `bits.rsh(1, 1) > 0`,
		"rand.intn":               `rand.intn("x", 2) == 1`,
		"uuid.rfc4122":            `uuid.rfc4122("x") == "y"`,
		"io.jwt.encode_sign":      `io.jwt.encode_sign({}, {}, {}) == "x"`,
		"io.jwt.encode_sign_raw":  `io.jwt.encode_sign_raw("", "", "") == "x"`,
		"providers.aws.sign_req":  `providers.aws.sign_req({}, {}, 1) == {}`,
		"rego.parse_module":       `rego.parse_module("a.rego", "package a") == {}`,
		"trace":                   `trace("x")`,
	}
	for name := range removedBuiltins() {
		body, ok := calls[name]
		if !ok {
			t.Errorf("%s has no row", name)
			continue
		}
		for file, text := range map[string]string{
			"a.rego":      payments + "deny contains \"no\" if " + body + "\n",
			"a_test.rego": "package policy.tools.payments_test\n\ntest_x if " + body + "\n",
			"lib.rego":    "package lib.own\n\nx if " + body + "\n",
		} {
			_, err := New(context.Background(), Config{Dir: dirWith(t, map[string]string{file: text}), Log: silent()})
			if err == nil || !strings.Contains(err.Error(), "the built-in "+name+" is not offered: ") {
				t.Errorf("%s in %s: %v", name, file, err)
			}
		}
	}
}

// TestEveryBuiltinWasLookedThrough fails when a new OPA brings built-ins that nobody has decided about.
func TestEveryBuiltinWasLookedThrough(t *testing.T) {
	const offered = 190 + 1 // and mcp.usage
	if got := len(capabilities().Builtins); got != offered {
		t.Errorf("%d built-ins are offered, %d were looked through; decide about the new ones in capabilities.go", got, offered)
	}
	if hosts := capabilities().AllowNet; hosts == nil || len(hosts) > 0 {
		t.Errorf("hosts %v; nil would mean any", hosts)
	}
}

func TestAllProblemsAtOnceInOrder(t *testing.T) {
	dir := dirWith(t, map[string]string{
		"b.rego":     payments + "denny contains \"no\"\n\nalow if true\n",
		"a.rego":     "package policy.tools.a\n\ndeny := true\n",
		"notes.json": "{}",
	})
	_, err := New(context.Background(), Config{Dir: dir, Log: silent()})
	var load *LoadError
	if !errors.As(err, &load) {
		t.Fatal(err)
	}
	var places []string
	for _, p := range load.Problems {
		place, _, _ := strings.Cut(p.String(), ": ")
		places = append(places, place)
	}
	if got, want := strings.Join(places, " "), "a.rego:3:1 b.rego:3:1 b.rego:5:1 notes.json"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestProblemsDoNotHideOthers: the compiler ends at its first stage that fails, and a file that does not parse is missing.
func TestProblemsDoNotHideOthers(t *testing.T) {
	report, err := Check(dirWith(t, map[string]string{
		"a.rego": payments + "import data.lib.own\n\nimport data.lib.mcp\n\ndeny contains \"no\" if http.send({}).x\n\ndeny contains \"a\" if input.tol\n\ndeny contains \"b\" if {\n\tx > 1\n}\n\n" +
			"deny contains \"c\" if own.small(1)\n\ndeny contains _text if data.servers.x.y\n\n_text := \"t\" if input.subject.groups[0] == 3\n",
		"b.rego": "package lib.own\n\nsmall(x) if {\n",
		"c.rego": "package polcy.tools.x\n\nallow if true\n",
		"d.rego": "package policy.scopes.x\n\ngrant contains \"a:b\" if input.stge == \"x\"\n\ngrant contains \"a:b\" if input.subject.id.x\n",
	}), CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := problemTexts(report.Problems)
	for _, want := range []string{
		"a.rego:5:1: import data.lib.mcp unused", "the built-in http.send is not offered", "undefined ref: input.tol", "var x is unsafe", "data.servers.x.y leads nowhere", "match error",
		"b.rego:4:0: unexpected eof token", "c.rego:1:1: package polcy.tools.x would never be asked", "undefined ref: input.stge", "undefined ref: input.subject.id.x",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%d times %q", strings.Count(got, want), want)
		}
	}
	if len(report.Problems) != 10 {
		t.Errorf("%d problems:\n%s", len(report.Problems), got)
	}
}

func TestAcceptedDirectories(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"nothing":                 {},
		"other files":             {"README.md": "#", ".hidden/a.rego": "nonsense", ".config.json": "{", "a.rego~": "nonsense"},
		"a private rule":          {"a.rego": payments + "_limit := 5\n\ndeny contains \"no\" if input.tool.arguments.amount > _limit\n"},
		"a library":               {"lib/own.rego": "package lib.own\n\ndouble(x) := x * 2\n\nlimit := double(2)\n", "a.rego": payments + "import data.lib.own\n\ndeny contains \"no\" if input.tool.arguments.amount > own.limit\n"},
		"a library for all kinds": {"lib/own.rego": "package lib.own\n\nx if input.tool.name == \"x\"\n\ny if input.requested.offline\n\nz if input.client.software_id == \"z\"\n\nfree if input.subject.properties.anything.at.all\n\nctx if input.context.properties.anything\n"},
		"a library's test":        {"own.rego": "package lib.own\n\ndouble(x) := x * 2\n", "own_test.rego": "package lib.own_test\n\nimport data.lib.own\n\ntest_double if own.double(2) == 4\n"},
		"two files, a package":    {"a.rego": payments + "deny contains \"a\" if input.tool.name == \"a\"\n", "b.rego": payments + "deny contains \"b\" if input.tool.name == \"b\"\n"},
		"a mocked document":       {"a_test.rego": "package policy.tools.payments_test\n\ntest_x if data.mcp.authz.tools.decision.allow == false with input as {} with data.config.x as 1\n"},
		"configuration":           {"config.yaml": "a: {b: 1}\n", "config.json": "{\"a\": {\"c\": 1}}", "config/a/d.yml": "e: 1\n", "a.rego": payments + "deny contains \"no\" if data.config.a.b + data.config.a.c == data.config.a.d.e\n"},
		"data as bundles have it": {"config/data.yaml": "a: 1\n", "config/b/data.json": "{\"c\": 2}", "a.rego": payments + "deny contains \"no\" if data.config.a + data.config.b.c == 3\n"},
		"every kind of YAML":      {"config.yaml": "---\n# a comment\na: &x {b: 1}\n\nc:\n  - *x\n  - d: |\n      text: with a colon\n\n      text: twice\n    e: 'it''s'\nf: >-\n  a # b\n", "a.rego": payments + "deny contains data.config.c[1].d if data.config.a.b\n"},
		"an empty file":           {"config.yaml": "", "config/a.yaml": "# nothing yet\n"},
		"future.keywords.not":     {"a.rego": payments + "import future.keywords.not\n\ndeny contains \"no\" if not input.tool.arguments.amount <= 5\n"},
		"a default":               {"a.rego": payments + "default allow := false\n\nallow if input.tool.name == \"x\"\n"},
		"a to-do test":            {"a_test.rego": "package policy.tools.payments_test\n\ntodo_test_x if 1 == 2\n"},
		"every export of a kind": {"a.rego": "package policy.clients.x\n\nallow if input.client.id == \"x\"\n\ndeny contains \"no\" if input.client.id == \"y\"\n\nallow_redirect contains \"cursor://x\"\n\n" +
			"scope_ceiling := {\"a:b\"} if input.client.registration == \"dcr\"\n\nttl := 60\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := dirWith(t, files)
			if _, err := New(context.Background(), Config{Dir: dir, Defaults: true, Log: silent()}); err != nil {
				t.Fatal(err)
			}
			report, err := Check(dir, CheckOptions{})
			if err != nil || len(report.Problems) > 0 {
				t.Fatal(report.Problems, err)
			}
		})
	}
}

func TestDirectoriesThatCannotBeRead(t *testing.T) {
	dir := dirWith(t, map[string]string{"real/a.rego": payments, "file": ""})
	if err := os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ dir, want string }{
		{filepath.Join(dir, "none"), "cannot read the policy directory"},
		{filepath.Join(dir, "file"), "is not a directory"},
		{dir, "symbolic link to a directory"},
	} {
		_, err := New(context.Background(), Config{Dir: tc.dir, Log: silent()})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.dir, err)
		}
	}
}

func TestLinkedFilesAreRead(t *testing.T) {
	outside := dirWith(t, map[string]string{"a.rego": payments + "deny contains \"linked\"\n"})
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(outside, "a.rego"), filepath.Join(dir, "a.rego")); err != nil {
		t.Fatal(err)
	}
	e := engineFrom(t, Config{Dir: dir, Defaults: true})
	if got := word(decide(t, e, call("get_weather", nil, "tools:weather.read"))); got != "denied" {
		t.Errorf("got %q", got)
	}
}

func TestWarnings(t *testing.T) {
	report, err := Check(dirWith(t, map[string]string{
		"a.rego": payments + "allow if not _blocked\n\n_blocked if input.tool.name == \"x\"\n",
		"b.rego": "package policy.access.x\n\ndefault allow := true\n",
		"c.rego": "package policy.tools.c\n\nimport future.keywords.not\n\nallow if not _blocked(input.tool.name)\n\n_blocked(name) if name == \"x\"\n",
	}), CheckOptions{})
	if err != nil || len(report.Problems) > 0 {
		t.Fatal(report.Problems, err)
	}
	if len(report.Warnings) != 3 || !strings.Contains(report.Warnings[0].String(), "not inside allow") || !strings.Contains(report.Warnings[1].String(), "default allow := true") ||
		!strings.Contains(report.Warnings[2].String(), "c.rego:5:10: not inside allow") {
		t.Errorf("%v", report.Warnings)
	}
}

func TestTheSameKeyTwiceInTheCatalogue(t *testing.T) {
	_, err := New(context.Background(), Config{Log: silent(), Catalogue: []*oauth.Resource{demoResource(), demoResource()}})
	if err == nil || !strings.Contains(err.Error(), `two resources have the key "demo"`) {
		t.Error(err)
	}
}
