package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// auditTypes counts the rows of the audit by type and outcome.
func (s *server) auditTypes() map[string]int {
	s.t.Helper()
	out, errs, code := s.command("audit", "export")
	if code != 0 {
		s.t.Fatalf("audit export: exit %d %s", code, errs)
	}
	counts := map[string]int{}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		var row map[string]any
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			s.t.Fatalf("%v in %s", err, lines.Text())
		}
		counts[textOf(row["type"])+" "+textOf(row["outcome"])]++
	}
	return counts
}

// Every answer is on record, the replay of a code (C5) too, and the record shows when somebody changed it (AS-58, X6).
func TestTheAuditHasEveryAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask()
	code := b.code(q)
	tokens := b.post("/token", q.redemption(code)).want(200)
	b.decide(tokens.text("access_token"), "calendar_list", `{}`).wantDecision(true, "allowed")
	b.decide(tokens.text("access_token"), "transfer", `{"amount":5000}`).wantDecision(false, "limit_exceeded")
	b.decide("garbage", "transfer", `{"amount":5000}`).wantDecision(false, "invalid_token")
	next := b.refresh("cli", tokens.text("refresh_token")).want(200)
	b.refresh("cli", tokens.text("refresh_token")).want(200)
	last := b.refresh("cli", next.text("refresh_token")).want(200)
	b.post("/token", q.redemption(code)).wantError(400, "invalid_grant")
	b.refresh("cli", last.text("refresh_token")).wantError(400, "invalid_grant")
	page, path := b.consentPage(q)
	b.answer(page, path, "deny").want(303)
	want := map[string]int{"login ok": 1, "consent ok": 1, "consent denied": 1, "token.issued ok": 1, "token.refreshed ok": 2, "token.retried ok": 1, "code.replayed denied": 1,
		"decision allowed": 1, "decision denied": 2, "policy.activated ok": 1}
	got := s.auditTypes()
	for row, n := range want {
		if got[row] != n {
			t.Errorf("%d rows %q, want %d; all: %v", got[row], row, n, got)
		}
	}
	if out, errs, code := s.command("audit", "verify"); code != 0 {
		t.Errorf("audit verify beside the running server: exit %d\n%s%s", code, out, errs)
	}
	s.stop()
	database := filepath.Join(s.dir, "portcullis.db")
	data, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("limit_exceeded")) {
		t.Fatal("the denial is not in the database file")
	}
	// The word stands in the audit row and in the record of the decision; only the first is sealed.
	data = bytes.ReplaceAll(data, []byte("limit_exceeded"), []byte("Limit_exceeded"))
	if err := os.WriteFile(database, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := s.command("audit", "verify"); code != 1 {
		t.Errorf("one changed letter: audit verify exits %d\n%s%s", code, out, errs)
	}
}

// G6: new rules count from one answer to the next; rules that do not load change nothing.
func TestPoliciesAreReloaded(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	token := s.browser(t).tokens(ask(by("carol"), scopes(scopeTransfer))).text("access_token")
	file := filepath.Join(s.dir, "policies/policy/tools/limit.rego")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b.decide(token, "transfer", `{"amount":1500}`).wantDecision(false, "limit_exceeded")
	replace := func(old, new string) {
		if err := os.WriteFile(file, []byte(strings.Replace(string(before), old, new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	replace("amount <= 1000", "amount <= 2000")
	waitFor(t, "the new limit", func() bool { return b.decide(token, "transfer", `{"amount":1500}`).json("decision") == true })
	for name, broken := range map[string][2]string{
		"a syntax error":         {"deny contains", "deny contains contains"},
		"a misspelled input":     {"input.tool.name", "input.tool.nam"},
		"a rule nobody asks for": {"deny contains", "denny contains"},
		"a reserved package":     {"package policy.tools.limit", "package mcp.authz.tools"},
	} {
		refused := s.auditTypes()["policy.refused failed"]
		replace(broken[0], broken[1])
		waitFor(t, "the refusal of "+name, func() bool { return s.auditTypes()["policy.refused failed"] > refused })
		b.decide(token, "transfer", `{"amount":1500}`).wantDecision(true, "allowed")
		b.decide(token, "transfer", `{"amount":2500}`).wantDecision(false, "limit_exceeded")
	}
	replace("amount <= 1000", "amount <= 10")
	waitFor(t, "the last limit", func() bool { return b.decide(token, "transfer", `{"amount":15}`).json("decision") == false })
}

// G6, G7: what is built of a folder decides as the folder does, and the next revision of it decides the next call.
func TestABundleDecides(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	folder, bundle := filepath.Join(s.dir, "policies"), filepath.Join(s.dir, "policy.tar.gz")
	build := func(revision string) {
		t.Helper()
		if out, errs, code := s.command("policy", "build", folder, bundle, "--revision", revision); code != 0 {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
	}
	build("1") // against the catalogue of the configuration, which names the folder still
	s.editConfig(func(text string) string { return strings.Replace(text, "policies: "+folder, "policies: "+bundle, 1) })
	s.run()
	b := s.browser(t)
	token := s.browser(t).tokens(ask(by("carol"), scopes(scopeTransfer))).text("access_token")
	before := b.decide(token, "transfer", `{"amount":1500}`).wantDecision(false, "limit_exceeded").text("context.policy_revision")
	b.decide(token, "transfer", `{"amount":500}`).wantDecision(true, "allowed")
	file := filepath.Join(folder, "policy/tools/limit.rego")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, strings.Replace(string(text), "amount <= 1000", "amount <= 2000", 1))
	build("2")
	waitFor(t, "the next bundle", func() bool { return b.decide(token, "transfer", `{"amount":1500}`).json("decision") == true })
	if after := b.decide(token, "transfer", `{"amount":2500}`).wantDecision(false, "limit_exceeded").text("context.policy_revision"); after == before {
		t.Errorf("both bundles are revision %s", after)
	}
	build("1") // older than what is in force
	waitFor(t, "the refusal", func() bool { return s.auditTypes()["policy.refused failed"] == 1 })
	b.decide(token, "transfer", `{"amount":1500}`).wantDecision(true, "allowed")
	s.kill() // and what it has forgotten then is not which bundle was the last
	if _, errs, code := s.command("serve"); code != 78 || !strings.Contains(errs, "the revision 1, which is older than 2") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
	}
}

// F26: two servers on one file would each believe to be alone.
func TestASecondServerOnTheSameDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	_, errs, code := s.command("serve", "--listen", freeAddress(t), "--admin-listen", freeAddress(t))
	if code == 0 || !strings.Contains(errs, "portcullis.db") {
		t.Errorf("exit %d: %s", code, errs)
	}
	s.browser(t).tokens(ask())
}

// F22: without the server key nothing in the database can be trusted or opened; it is never replaced silently.
func TestAMissingServerKeyIsNotReplaced(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	s.stop()
	key := filepath.Join(s.dir, "portcullis.key")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	_, errs, code := s.command("serve")
	if code != 78 || !strings.Contains(errs, "key") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a new key was made beside the old database")
	}
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	s.run()
}

// X9: a file with ten faults yields exactly ten messages, in the order of the lines, and exit code 78.
func TestTenFaultsAreTenMessages(t *testing.T) {
	t.Parallel()
	_, errs, code := runProgram(t, "", "serve", "--config", "testdata/ten-faults.yaml")
	if code != 78 {
		t.Errorf("exit code %d, want 78", code)
	}
	line, count := 0, 0
	for text := range strings.SplitSeq(errs, "\n") {
		_, rest, ok := strings.Cut(text, "ten-faults.yaml:")
		if !ok {
			continue
		}
		count++
		number := 0
		for _, c := range rest {
			if c < '0' || c > '9' {
				break
			}
			number = number*10 + int(c-'0')
		}
		if number < line {
			t.Errorf("line %d comes after line %d", number, line)
		}
		line = number
	}
	if count != 10 {
		t.Errorf("%d messages, want 10:\n%s", count, errs)
	}
}

// The configuration is the owner of its objects: what vanishes from it is out at once, and not deleted.
func TestAClientThatVanishesFromTheFileIsOut(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	gone := b.tokens(ask(func(q *request) { q.client = "cli-two" }))
	stays := b.tokens(ask())
	s.stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.Contains(line, "id: cli-two") {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(s.config, []byte(strings.Join(kept, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run()
	if b.active(gone.text("access_token")) {
		t.Error("the access token lives")
	}
	b.refresh("cli-two", gone.text("refresh_token")).wantError(401, "invalid_client")
	b.get("/authorize?" + ask(func(q *request) { q.client = "cli-two" }).params().Encode()).wantPage(400)
	if !b.active(stays.text("access_token")) {
		t.Error("the other client's token died")
	}
	b.refresh("cli", stays.text("refresh_token")).want(200)
}

// X8: what holds secrets is readable by its owner only.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	for _, name := range []string{"portcullis.db", "portcullis.db-wal", "portcullis.key", "admin.sock"} {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

// G1, G2: a rule that fails denies, and the caller learns no more than that.
func TestAFailingRuleDenies(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	rule := "package policy.tools.broken\n\ndeny contains \"big\" if to_number(input.tool.arguments.day) > 5\n"
	if err := os.WriteFile(filepath.Join(s.dir, "policies/policy/tools/broken.rego"), []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run()
	b := s.browser(t)
	token := b.tokens(ask()).text("access_token")
	b.decide(token, "calendar_list", `{"day":"4"}`).wantDecision(true, "allowed")
	b.decide(token, "calendar_list", `{"day":"6"}`).wantDecision(false, "denied")
	a := b.decide(token, "calendar_list", `{"day":"monday"}`).wantDecision(false, "policy_error")
	if strings.Contains(a.body, "to_number") || strings.Contains(a.body, "rego") {
		t.Errorf("the answer tells about the rule: %s", a.body)
	}
}

// The demo stays on this computer, and nothing of it can be served for real.
func TestTheDemoIsNoServer(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:8080", "example.com:8080"} {
		if _, errs, code := runProgram(t, "", "demo", "--once", "--listen", listen); code != 2 {
			t.Errorf("demo --listen %s: exit %d %s", listen, code, errs)
		}
	}
	data := filepath.Join(t.TempDir(), "demo")
	out, errs, code := runProgram(t, "", "demo", "--once", "--data", data, "--listen", freeAddress(t))
	if code != 0 || !strings.Contains(out, "every step came out as it should") {
		t.Fatalf("demo --once: exit %d\n%s%s", code, out, errs)
	}
	s := prepare(t, "main.yaml", nil)
	_, errs, code = s.command("serve", "--database", filepath.Join(data, "portcullis.db"))
	if code != 78 || !strings.Contains(errs, "demo") {
		t.Errorf("serve with the demo's database: exit %d %s", code, errs)
	}
}
