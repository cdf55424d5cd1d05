package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
)

const replaySite = `database: p.db
server_key_file: p.key
policies: policy
policy: {deadline: 5s, record_max: 1000000, record: %s}
resources:
  - id: http://127.0.0.1:3001/mcp
    key: bank
    name: Bank
    secret: a-long-resource-secret
    scopes: [{name: "tools:bank.pay", description: "Pay"}]
    tools:
      - name: pay
        scopes: ["tools:bank.pay"]
        inputSchema: {type: object, properties: {amount: {type: number}, to: {type: string}}}
`

const payLimit = `package policy.tools.pay

deny contains {"code": "pay.limit", "message": "too much"} if {
	input.tool.name == "pay"
	input.tool.arguments.amount > %d
}
`

// recordedSite makes a database with recorded payments, and returns the configuration file. amounts gives that of each call.
func recordedSite(t testing.TB, record string, calls int, amount func(i int) int) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "portcullis.yaml")
	text := "issuer: http://127.0.0.1:8080\n" + fmt.Sprintf(replaySite, record)
	if err := os.MkdirAll(filepath.Join(dir, "policy"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{file: text, filepath.Join(dir, "policy", "pay.rego"): fmt.Sprintf(payLimit, 1000)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loadConfig(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.log = slog.New(slog.DiscardHandler)
	p, err := wire(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	resource := p.catalogue.Resources()[0]
	tool, _ := resource.Tool("pay")
	var batch []oauth.Change
	for i := range calls {
		now := time.Now()
		d, err := p.engine.Decide(context.Background(), oauth.Evaluation{ID: fmt.Sprintf("dec_%d", i), Caller: resource, Tool: tool,
			Subject: oauth.Subject{Kind: oauth.SubjectUser, ID: fmt.Sprintf("usr_%d", i%1000), Username: fmt.Sprintf("user%d", i%1000), Groups: []string{"staff"}},
			Client:  &oauth.Client{ID: fmt.Sprintf("client%d", i%7), Registration: oauth.RegistrationStatic},
			Token: &oauth.TokenInfo{ID: fmt.Sprintf("jti%d", i), Scopes: oauth.NewScopes("tools:bank.pay"), IssuedAt: now, ExpiresAt: now.Add(time.Minute),
				Authn: oauth.Authentication{Time: now, ACR: "pwd"}},
			Action: oauth.AuthZENAction{Name: "tools/call"}, Resource: oauth.AuthZENResource{Type: "tool", ID: "pay"}, MCP: oauth.MCPCall{Method: "tools/call"},
			Args: map[string]any{"amount": json.Number(fmt.Sprint(amount(i))), "to": fmt.Sprintf("account  %d", i)}, Checked: true, Context: oauth.RequestContext{Time: now}})
		if err != nil {
			t.Fatal(err)
		}
		if batch = append(batch, oauth.SaveDecision{Decision: *d.Record}); len(batch) == 1000 || i == calls-1 {
			if err := p.store.Commit(context.Background(), batch...); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

func candidateFolder(t testing.TB, limit int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pay.rego"), []byte(fmt.Sprintf(payLimit, limit)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReplayPrintsWhatFlips(t *testing.T) {
	file := recordedSite(t, "values", 40, func(i int) int { return i * 100 }) // 11 are allowed by the limit of 1000
	lower := candidateFolder(t, 500)
	code, out, errs := command(t, "", "policy", "replay", lower, "--config", file)
	if code != exitOK {
		t.Fatalf("%d %s", code, errs)
	}
	for _, want := range []string{"40 decisions", "5  allowed → denied", "0  denied → allowed", "0  cannot be said", "pay.deny (pay.rego:3)", "bank pay by client", "e.g. dec_"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > lineWidth+1 {
			t.Errorf("more than %d columns: %s", lineWidth, line)
		}
	}
	if code, _, _ := command(t, "", "policy", "replay", lower, "--config", file, "--fail-on-flip"); code != exitDenied {
		t.Errorf("exit %d when something flips", code)
	}
	if code, _, _ := command(t, "", "policy", "replay", candidateFolder(t, 1000), "--config", file, "--fail-on-flip"); code != exitOK {
		t.Errorf("exit %d when nothing flips", code)
	}
	_, out, _ = command(t, "", "policy", "replay", candidateFolder(t, 2000), "--config", file, "-o", "json", "--since", "1d")
	var report policies.ReplayReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Allowed.Count != 10 || report.Flipped != 10 || len(report.Allowed.Groups) != 7 {
		t.Errorf("%v in %s", err, out)
	}
	if _, out, _ := command(t, "", "policy", "replay", lower, "--config", file, "--since", "48h", "--until", "24h"); !strings.Contains(out, "Nothing is recorded") {
		t.Error(out)
	}
}

func TestReplayRefusesWhatItCannotRun(t *testing.T) {
	file := recordedSite(t, "masked", 3, func(i int) int { return i })
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "a.rego"), []byte("package policy.tools.a\n\ndenny contains \"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"denny":   {broken},
		"--since": {candidateFolder(t, 1), "--since", "yesterday"},
		"--until": {candidateFolder(t, 1), "--until", "-3h"},
	} {
		code, _, errs := command(t, "", append([]string{"policy", "replay", "--config", file}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s", want, code, errs)
		}
	}
	code, out, errs := command(t, "", "policy", "replay", candidateFolder(t, 1), "--config", file, "--fail-on-flip")
	if code != exitOK || !strings.Contains(out, "3  cannot be said") || !strings.Contains(out, "input.tool.arguments.amount (masked)") || !strings.Contains(out, "policy.record: values") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

func TestExplainAsACommand(t *testing.T) {
	file := recordedSite(t, "values", 13, func(i int) int { return i * 100 })
	code, out, errs := command(t, "", "policy", "explain", "dec_12", "--trace", "--config", file)
	if code != exitOK {
		t.Fatalf("%d %s", code, errs)
	}
	for _, want := range []string{"dec_12 denied: pay.limit", "deny of policy.tools.pay must not hold (pay.deny, pay.rego:3)", "    input.tool.arguments.amount > 1000", "1200", `"account  12"`, "exit  pay.rego:3"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	code, out, _ = command(t, "", "policy", "explain", "dec_3", "-o", "json", "--config", file)
	var x policies.Explanation
	if err := json.Unmarshal([]byte(out), &x); err != nil || code != exitOK || !x.Allowed || x.Trace != nil || len(x.Rules) == 0 || x.Action != "tools/call pay" {
		t.Errorf("%d %v %s", code, err, out)
	}
	if code, _, errs := command(t, "", "policy", "explain", "dec_none", "--config", file); code != exitError || !strings.Contains(errs, "there is no decision dec_none") {
		t.Errorf("%d %s", code, errs)
	}
}

// BenchmarkPolicyReplay is the whole command over 100,000 recorded decisions with as many distinct inputs. With values each is evaluated again;
// masked, as a server records them unless it is told otherwise, each is evaluated partially, since the candidate can read what is masked.
// go test -run xxx -bench PolicyReplay -benchtime 1x ./cmd/portcullis
func BenchmarkPolicyReplay(b *testing.B) {
	const calls = 100_000
	for record, want := range map[string]string{"values": "     0  cannot be said", "masked": "100000  cannot be said"} {
		b.Run(record, func(b *testing.B) {
			file := recordedSite(b, record, calls, func(i int) int { return i % 3000 })
			candidate := candidateFolder(b, 500)
			begin := spentCPU(b)
			b.ResetTimer()
			for range b.N {
				var out, errs strings.Builder
				if code := run(b.Context(), []string{"policy", "replay", candidate, "--config", file}, strings.NewReader(""), &out, &errs); code != exitOK {
					b.Fatal(code, errs.String())
				}
				if !strings.Contains(out.String(), "100000 decisions") || !strings.Contains(out.String(), want) {
					b.Fatal(out.String())
				}
			}
			b.ReportMetric(float64(calls)*float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
			b.ReportMetric((spentCPU(b)-begin).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// spentCPU is what this process has computed so far: steadier than the clock on a busy machine.
func spentCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
