package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// denyTool is a policy folder that denies one tool, with a test of its own.
func denyTool(t *testing.T, dir, tool string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "tools"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tools", "quiet.rego"), "package policy.tools.quiet\n\ndeny contains \"quiet\" if input.tool.name == \""+tool+"\"\n", 0o600)
	write(t, filepath.Join(dir, "tools", "quiet_test.rego"),
		"package policy.tools.quiet_test\n\nimport data.policy.tools.quiet\n\ntest_denied if quiet.deny with input as {\"tool\": {\"name\": \""+tool+"\"}}\n", 0o600)
	return dir
}

func statusOf(t *testing.T, file string, args ...string) (s policyStatus) {
	t.Helper()
	code, stdout, stderr := command(t, "", append(append([]string{"policy"}, args...), "-o", "json", "--config", file)...)
	if code != 0 {
		t.Fatalf("policy %v: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPoliciesAreActivatedRolledBackAndFollowedAgain(t *testing.T) {
	folder := denyTool(t, t.TempDir(), "never")
	file := site(t, "policies: "+folder+"\n")
	s := serve(t, file)
	begun := statusOf(t, file, "status")
	if begun.Origin != "folder" || begun.Tests != 1 || begun.Files != 2 || begun.Stale || begun.Instance != "main" || begun.ActivatedAt.IsZero() {
		t.Fatalf("at the start: %+v", begun)
	}
	other := denyTool(t, t.TempDir(), "other")
	write(t, filepath.Join(other, "config.yaml"), "limit: 1\n", 0o600)
	byHand := statusOf(t, file, "activate", other)
	if byHand.Revision == begun.Revision || byHand.Origin != "activated from "+other ||
		strings.Join(byHand.Changes.Added, " ") != "config.yaml" || strings.Join(byHand.Changes.Changed, " ") != "tools/quiet.rego tools/quiet_test.rego" {
		t.Errorf("activated: %+v", byHand)
	}
	// What lies in the folder no longer counts, and a restart changes nothing.
	denyTool(t, folder, "later")
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d: %s", code, s.stderr)
	}
	s = serve(t, file)
	if again := statusOf(t, file, "status"); again.Revision != byHand.Revision || again.Origin != byHand.Origin || again.Changes.String() != "nothing" {
		t.Errorf("after a restart: %+v, want %+v", again, byHand)
	}
	if response, err := http.Get("http://" + s.admin + "/readyz"); err != nil {
		t.Error(err)
	} else if text, _ := io.ReadAll(response.Body); !strings.Contains(string(text), `"origin":"by hand"`) || strings.Contains(string(text), other) {
		t.Errorf("/readyz says %s", text)
	}
	if back := statusOf(t, file, "rollback"); back.Revision != begun.Revision || back.Origin != "rolled back to "+begun.Revision {
		t.Errorf("rolled back: %+v", back)
	}
	sameInHistory(t, file)
	if named := statusOf(t, file, "rollback", byHand.Revision); named.Revision != byHand.Revision {
		t.Errorf("rolled back to a name: %+v", named)
	}
	followed := statusOf(t, file, "activate")
	if followed.Origin != "folder" || followed.Revision == begun.Revision || followed.Revision == byHand.Revision {
		t.Errorf("followed: %+v", followed)
	}
	code, history, _ := command(t, "", "policy", "history", "--config", file)
	if code != 0 || !strings.HasPrefix(history, "* "+followed.Revision) || strings.Count(history, "\n") != 6 || !strings.Contains(history, "removed config.yaml") {
		t.Errorf("history, exit code %d:\n%s", code, history)
	}
	_, trail, _ := command(t, "", "audit", "export", "--config", file)
	if n := strings.Count(trail, `"policy.activated"`); n != 6 || !strings.Contains(trail, `"previous":"`+begun.Revision+`"`) || !strings.Contains(trail, `"added":"config.yaml"`) {
		t.Errorf("%d activations are on record:\n%s", n, trail)
	}
	s.stop()
	serve(t, file, "--follow-folder")
}

// sameInHistory wants policy history to say of what is in force what policy status says.
func sameInHistory(t *testing.T, file string) {
	t.Helper()
	code, out, errs := command(t, "", "policy", "history", "-o", "json", "--config", file)
	var rows []generationRow
	if err := json.Unmarshal([]byte(out), &rows); code != 0 || err != nil || len(rows) < 2 || rows[0].Changes == nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, out, errs)
	}
	s, first := statusOf(t, file, "status"), rows[0]
	if first.Revision != s.Revision || first.Origin != s.Origin || !first.ActivatedAt.Equal(s.ActivatedAt) || first.Changes.String() != s.Changes.String() {
		t.Errorf("history says %s %s %s %q\nstatus says  %s %s %s %q", first.Revision, first.Origin, first.ActivatedAt, first.Changes, s.Revision, s.Origin, s.ActivatedAt, s.Changes)
	}
}

func TestPoliciesThatDoNotLoadAreNotActivated(t *testing.T) {
	file := site(t, "policies: "+denyTool(t, t.TempDir(), "never")+"\n")
	serve(t, file)
	begun := statusOf(t, file, "status")
	broken := denyTool(t, t.TempDir(), "other")
	write(t, filepath.Join(broken, "tools", "typo.rego"), "package policy.tools.typo\n\ndenny contains \"x\"\n", 0o600)
	failing := denyTool(t, t.TempDir(), "other")
	write(t, filepath.Join(failing, "tools", "more_test.rego"), "package policy.tools.more_test\n\ntest_no if 1 == 2\n", 0o600)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"activate", broken}, 2, "tools/typo.rego:3"},
		{[]string{"activate", failing}, 2, "test_no"},
		{[]string{"activate", filepath.Join(broken, "nowhere")}, 2, "cannot read the policy directory"},
		{[]string{"activate", t.TempDir()}, 2, "holds no policies"},
		{[]string{"rollback"}, 2, "nothing to go back to"},
		{[]string{"rollback", "0000000000000000"}, 2, "is not kept; see portcullis policy history"},
	} {
		code, stdout, stderr := command(t, "", append(append([]string{"policy"}, tt.args...), "--config", file)...)
		if code != tt.code || !strings.Contains(stderr, tt.want) || stdout != "" {
			t.Errorf("policy %v: exit code %d, want %d and %q\n%s%s", tt.args, code, tt.code, tt.want, stdout, stderr)
		}
	}
	if s := statusOf(t, file, "status"); s.Revision != begun.Revision || s.Origin != "folder" || s.Stale {
		t.Errorf("afterwards: %+v", s)
	}
}

func TestReadyzTellsThePoliciesInForce(t *testing.T) {
	file := site(t, "")
	s := serve(t, file)
	response, err := http.Get("http://" + s.admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var ready struct {
		Status   string       `json:"status"`
		Policies policyStatus `json:"policies"`
	}
	if err := json.Unmarshal(text, &ready); err != nil || ready.Status != "ok" || ready.Policies.Revision != statusOf(t, file, "status").Revision || ready.Policies.Instance != "main" ||
		ready.Policies.Origin != "folder" {
		t.Errorf("%v: %s", err, text)
	}
}

// Everybody on this machine may ask /readyz: it says that the folder is refused, and not what is written in it.
func TestReadyzShowsNoLineOfThePolicies(t *testing.T) {
	folder := denyTool(t, t.TempDir(), "never")
	file := site(t, "policies: "+folder+"\n")
	s := serve(t, file)
	const secret = "s3cr3t-of-the-author"
	write(t, filepath.Join(folder, "tools", "typo.rego"), "package policy.tools.typo\n\ndenny contains \""+secret+"\"\n", 0o600)
	begin := time.Now()
	for !statusOf(t, file, "status").Stale {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the folder was not read again")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if told := statusOf(t, file, "status"); !strings.Contains(told.Error, secret) {
		t.Fatalf("the operator is not shown the line: %+v", told)
	}
	response, err := http.Get("http://" + s.admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || !strings.Contains(string(text), `"stale":true`) || strings.Contains(string(text), secret) {
		t.Errorf("%v, %d: %s", err, response.StatusCode, text)
	}
}
