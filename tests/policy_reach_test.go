package tests

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// G3: nothing of a policy reaches outside or gives another answer the next time. Each way is refused when the policies are loaded, with the
// place and the reason, also under another name; a running server keeps what it has.
func TestPoliciesReachNothingOutside(t *testing.T) {
	t.Parallel()
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	go func() {
		if conn, err := outside.Accept(); err == nil {
			conn.Close()
			t.Error("G3: somebody has connected")
		}
	}()
	url := "http://" + outside.Addr().String() + "/x"
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	for name, body := range reachingOut(url) {
		for how, rule := range map[string]string{"directly": "deny contains \"x\" if " + body, "under another name": "deny contains \"x\" if count(\"a\") == 1 with count as " + name} {
			t.Run("G3 "+name+" "+how, func(t *testing.T) {
				dir := t.TempDir()
				text := "package policy.tools.reach\n\n" + rule + "\n"
				writeFile(t, filepath.Join(dir, "reach.rego"), text)
				out, errs, code := runProgram(t, "", "policy", "check", dir)
				if code != 2 || !strings.Contains(out+errs, "reach.rego:3") || how == "directly" && !strings.Contains(out+errs, "the built-in "+name+" is not offered: ") {
					t.Errorf("exit %d %s%s", code, out, errs)
				}
				if name != "http.send" { // the loader is the same one
					return
				}
				refused := s.auditTypes()["policy.refused failed"]
				s.writePolicy("tools/reach.rego", text)
				waitFor(t, "the refusal", func() bool { return s.auditTypes()["policy.refused failed"] > refused })
				b.as(t).decide(token, "calendar_list", `{}`).wantDecision(true, "allowed")
				if err := os.Remove(s.dir + "/policies/policy/tools/reach.rego"); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	wantNoForeignSchemas(t, url)
}

// wantNoForeignSchemas starts with tools whose arguments are described elsewhere.
func wantNoForeignSchemas(t *testing.T, url string) {
	t.Helper()
	for _, ref := range []string{url, "file:///etc/passwd", "other.json#/x", strings.TrimPrefix(url, "http:")} {
		t.Run("G3 a schema that refers to "+ref, func(t *testing.T) {
			other := prepare(t, "main.yaml", nil)
			other.editConfig(func(text string) string {
				return strings.Replace(text, "inputSchema: {type: object, properties: {day: {type: string}}", `inputSchema: {type: object, properties: {day: {"$ref": "`+ref+`"}}`, 1)
			})
			if _, errs, code := other.command("serve"); code != 78 || !strings.Contains(errs, "$ref") {
				t.Errorf("exit %d %s", code, errs)
			}
		})
	}
}

// reachingOut are rule bodies, each with a built-in that is not offered.
func reachingOut(url string) map[string]string {
	return map[string]string{
		"http.send":               `http.send({"method": "get", "url": "` + url + `"}).status_code == 200`,
		"net.lookup_ip_addr":      `count(net.lookup_ip_addr("localhost")) > 0`,
		"opa.runtime":             `opa.runtime().env.HOME != ""`,
		"rand.intn":               `rand.intn("x", 2) == 1`,
		"uuid.rfc4122":            `uuid.rfc4122("x") != ""`,
		"json.match_schema":       `json.match_schema({}, {"$ref": "` + url + `"})[0]`,
		"json.verify_schema":      `json.verify_schema({"$ref": "file:///etc/passwd"})[0]`,
		"bits.lsh":                `bits.lsh(1, 100000000) > 0`,
		"bits.rsh":                `bits.rsh(1, 1) == 0`,
		"strings.render_template": `strings.render_template("{{.}}", {}) == "x"`,
		"graph.reachable_paths":   `count(graph.reachable_paths({"a": ["a"]}, ["a"])) > 0`,
		"io.jwt.encode_sign":      `io.jwt.encode_sign({}, {}, {}) == "x"`,
		"providers.aws.sign_req":  `providers.aws.sign_req({}, {}, 1) == {}`,
		"rego.parse_module":       `rego.parse_module("a.rego", "package a") == {}`,
		"trace":                   `trace("x")`,
	}
}

// G6: while the rules change again and again under load, every decision is of exactly one revision, says which, is what that revision says,
// and has its row in the audit with the same revision.
func TestEveryDecisionIsOfOneRevision(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	token := s.browser(t).tokens(ask(by("carol"), scopes(scopeTransfer))).text("access_token")
	before, err := os.ReadFile(s.dir + "/policies/policy/tools/limit.rego")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	said := map[string]map[bool]int{} // by revision: how often allowed and not
	var rows = map[string]string{}    // evaluation → revision
	var stop atomic.Bool
	var wait sync.WaitGroup
	for range 3 {
		b := s.program(t)
		wait.Go(func() {
			for !stop.Load() {
				a := b.decide(token, "transfer", `{"amount":1500}`).want(200)
				revision, allowed := a.text("context.policy_revision"), a.json("decision") == true
				mu.Lock()
				if said[revision] == nil {
					said[revision] = map[bool]int{}
				}
				said[revision][allowed]++
				rows[a.text("context.evaluation_id")] = revision
				mu.Unlock()
			}
		})
	}
	const reloads = 40
	s.reloadAgainAndAgain(t, string(before), reloads)
	stop.Store(true)
	wait.Wait()
	if len(said) < reloads/2 {
		t.Errorf("G6: only %d revisions were seen", len(said))
	}
	for revision, answers := range said {
		if len(answers) != 1 || revision == "" {
			t.Errorf("G6: revision %q has said both: %v", revision, answers)
		}
	}
	s.wantRevisions(rows)
}

// reloadAgainAndAgain changes the limit n times; every fifth change does not load.
func (s *server) reloadAgainAndAgain(t *testing.T, rules string, n int) {
	t.Helper()
	admin := s.program(t)
	for i := range n {
		text := strings.Replace(rules, "amount <= 1000", fmt.Sprintf("amount <= %d", 1001+(i%2)*1000+i), 1)
		if i%5 == 4 {
			text = strings.Replace(text, "deny contains", "denny contains", 1)
		}
		done := func() string { // the revision in force, and how many were refused
			return regexp.MustCompile(`portcullis_policy_info\{[^}]*\}`).FindString(admin.get(s.admin+"/metrics").body) + fmt.Sprint(strings.Count(s.log.String(), "denny"))
		}
		was := done()
		s.writePolicy("tools/limit.rego", text)
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the reload", func() bool { return done() != was })
	}
}

// wantRevisions compares the revisions of evaluations with the audit.
func (s *server) wantRevisions(rows map[string]string) {
	s.t.Helper()
	out, errs, code := s.command("audit", "export")
	if code != 0 {
		s.t.Fatal(errs)
	}
	total := len(rows)
	for line := range strings.Lines(out) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			s.t.Fatal(err)
		}
		id := textOf(row["decision"])
		if want, asked := rows[id]; asked {
			if textOf(row["policy_revision"]) != want {
				s.t.Errorf("G6: evaluation %s is of revision %q in the audit, %q in the answer", id, textOf(row["policy_revision"]), want)
			}
			delete(rows, id)
		}
	}
	if len(rows) != 0 || total == 0 {
		s.t.Errorf("G6: %d of %d decisions have no row", len(rows), total)
	}
}

// G12: names and ids that look like Rego, paths or patterns are only names; there is no route that evaluates what a caller sends; and
// the queries are made when the policies are loaded, of nothing but constants.
func TestNamesOfCallersAreNoRego(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	for _, name := range []string{`calendar_list"]`, `x"]; data.mcp.authz.tools.decision.allow; ["`, `data.system`, `../calendar_list`, `calendar_list/../transfer`, `calendar_list%00`, "calendar_list\n", " calendar_list", "calendar_list ",
		`*`, `calendar_*`, `.*`, `_`, `{}`, `input`, `data.policy.tools`, `calendar_list || true`, `' or '1'='1`, "calendar_list\u200b", "ｃalendar_list", strings.Repeat("calendar_list", 500)} {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("G12 tool %.40q", name), func(t *testing.T) {
			body := `{"action":{"name":"tools/call"},"resource":{"type":"tool","id":` + string(quoted) + `},"context":{"access_token":"` + token + `"}}`
			b.as(t).evaluate(body).wantDecision(false, "tool_unknown")
		})
		t.Run(fmt.Sprintf("G12 method %.40q", name), func(t *testing.T) {
			body := `{"action":{"name":` + string(quoted) + `},"resource":{"type":"server","id":"office"},"context":{"access_token":"` + token + `"}}`
			b.as(t).evaluate(body).wantDecision(false, "not_allowed")
		})
	}
	for _, path := range []string{"/v1/data", "/v1/data/mcp/authz/tools/decision", "/v0/data", "/v1/query", "/v1/compile", "/v1/policies", "/v1/config", "/v1/status", "/health", "/access/v1/evaluation/x", "/access/v1/evaluation/../../v1/data"} {
		if a := b.raw(path, `{"input":{}}`, "Content-Type", "application/json", "Authorization", basic(officeKey, officeSecret)).wantError(404, "not_found"); a.json("result") != nil {
			t.Errorf("G12 %s: %s", path, a.body)
		}
	}
	wantFixedQueries(t)
}

// wantFixedQueries looks at every rego.Query in the sources: its text may be made of constants and of the four kinds only.
func wantFixedQueries(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("../policies/*.go")
	if err != nil || len(files) < 10 {
		t.Fatal("no sources", err)
	}
	fixed := map[string]bool{`outlookQuery + "[x]"`: true, "maskQuery": true, "k.query()": true, "r.Query": true /* of policy eval, from the command line */, "own.trialQuery()": true /* of the loaded packages */}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			at := func(n ast.Node) string {
				return string(text[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset])
			}
			if at(call.Fun) != "rego.Query" {
				return true
			}
			found++
			if argument := strings.ReplaceAll(at(call.Args[0]), `outlookQuery+"[x]"`, `outlookQuery + "[x]"`); !fixed[argument] {
				t.Errorf("G12 %s makes a query of %s; if it holds nothing that a caller sends, add it here", file, argument)
			}
			return true
		})
	}
	if found != len(fixed) {
		t.Errorf("G12: %d queries are made in the sources, %d are looked at here", found, len(fixed))
	}
}

// I5: two calls that differ only in where one value ends and the next begins, or in the kind of a value, are two calls to the memory of answers.
func TestRememberedAnswersAreForExactlyOneCall(t *testing.T) {
	t.Parallel()
	type pair struct{ allowed, denied string } // arguments
	var pairs []pair
	for _, d := range []string{",", "|", ":", ";", "/", " ", "=", "&", "#", "\\\\", "\\\"", "\\n", "\\u001f", "\\u2028", "][", "},{", "\\\",\\\"b\\\":\\\"", "3:", "ab"} {
		pairs = append(pairs, pair{`{"a":"x` + d + `y","b":"z"}`, `{"a":"x","b":"y` + d + `z"}`}, pair{`{"a":"","b":"` + d + `"}`, `{"a":"` + d + `","b":""}`})
	}
	pairs = append(pairs, pair{`{"a":"1","b":1}`, `{"a":1,"b":"1"}`}, pair{`{"a":"null","b":true}`, `{"a":null,"b":"true"}`}, pair{`{"a":[],"b":{}}`, `{"a":{},"b":[]}`}, pair{`{"a":["x","y"],"b":[]}`, `{"a":["x"],"b":["y"]}`},
		pair{`{"a":{"x":"y"},"b":0}`, `{"a":{"x":{"y":0}},"b":0}`}, pair{`{"a":0.1,"b":2}`, `{"a":0.12,"b":2}`}, pair{`{"a":9007199254740993,"b":0}`, `{"a":9007199254740992,"b":0}`}, pair{`{"a":"é","b":0}`, `{"a":"e\u0301","b":0}`})
	var bad []string
	for _, p := range pairs {
		bad = append(bad, p.denied)
	}
	s := prepare(t, "main.yaml", nil)
	s.writePolicy("tools/pairs.rego", "package policy.tools.pairs\n\ndeny contains \"pair\" if {\n\tinput.tool.name == \"salaries\"\n\tsome p in _bad\n\tp.a == input.tool.arguments.a\n\tp.b == input.tool.arguments.b\n}\n\n_bad := ["+strings.Join(bad, ",\n\t")+"]\n")
	s.run()
	b := s.browser(t)
	token := b.tokens(ask(by("carol"), scopes(scopePayroll))).text("access_token")
	for _, p := range pairs {
		for range 2 {
			b.decide(token, "salaries", p.allowed).wantDecision(true, "allowed")
			b.decide(token, "salaries", p.denied).wantDecision(false, "denied")
		}
	}
	hits := regexp.MustCompile(`portcullis_policy_questions_total\{cache="hit"\} (\d+)`).FindStringSubmatch(b.get(s.admin + "/metrics").want(200).body)
	if hits == nil || len(hits[1]) < 2 {
		t.Errorf("I5: nothing was answered from memory, so this proves nothing: %v", hits)
	}
	b.post("/revoke", map[string][]string{"client_id": {"cli"}, "token": {token}}).want(200)
	b.decide(token, "salaries", pairs[0].allowed).wantDecision(false, "invalid_token") // I8: at the very next request
}
