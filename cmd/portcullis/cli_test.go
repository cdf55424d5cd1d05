package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/oauth"
)

// command runs the program and returns its exit code and output.
func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// site makes a folder with a configuration file for free ports and returns the file's name.
func site(t *testing.T, more string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pc") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := fmt.Sprintf("issuer: http://%s\nlisten: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n%s", freeAddress(t), more)
	file := filepath.Join(dir, "portcullis.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ports counts the ports that were handed out, from a random one on: none is given to two tests, and those of the other packages that are
// tested at the same time lie elsewhere.
var ports = func() *atomic.Uint32 {
	p := &atomic.Uint32{}
	p.Store(rand.Uint32N(11000))
	return p
}()

// freeAddress is a port that nobody listens on, below the range from which the system gives ports to connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	var err error
	for range 50 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 21000+ports.Add(1)%11000)); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("issuer: http://example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, stdin, args string
		code              int
		stdout, stderr    string // what must be in them
	}{
		{"no command shows help", "", "", 0, "Available Commands", ""},
		{"a noun alone shows help", "", "user", 0, "passwd", ""},
		{"version", "", "version", 0, "portcullis ", ""},
		{"version as JSON", "", "version -o json", 0, `"go":"go1`, ""},
		{"an unknown output", "", "version -o xml", 2, "", "-o must be text or json"},
		{"an unknown command", "", "srve", 2, "", `has no command "srve"; did you mean "serve"?`},
		{"an unknown verb", "", "user addd x", 2, "", `portcullis user has no command "addd"; did you mean "add"?`},
		{"an unknown flag", "", "serve --port 1", 2, "", "unknown flag: --port; see portcullis serve --help"},
		{"a missing argument", "", "user add", 2, "", "accepts 1 arg(s), received 0; usage: portcullis user add NAME"},
		{"a wrong format", "", "audit export --format csv", 2, "", `--format must be jsonl, not "csv"`},
		{"a configuration with a fault", "", "serve --config " + broken, 78, "", "broken.yaml:1:9: issuer with http:// is for loopback only"},
		{"a fault in a flag", "", "serve --config " + broken + " --issuer ftp://x", 78, "", "flag --issuer: issuer must be a URL"},
		{"a configuration that is not there", "", "serve --config " + dir + "/none.yaml", 78, "", "none.yaml: cannot be read: no such file or directory; name the file with --config"},
		{"a password hash", "correct horse\n", "user hash", 0, "$argon2id$v=19$", ""},
		{"no password", "", "user hash", 1, "", "no password was given"},
		{"a short password", "short\n", "user hash", 1, "", "too short"},
		{"a policy folder that is not there", "", "policy check " + dir + "/none", 2, "cannot read the policy directory", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := command(t, tt.stdin, strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, tt.code, stdout, stderr)
			}
			if tt.stdout == "" && stdout != "" {
				t.Errorf("chatter on stdout: %s", stdout)
			}
		})
	}
}

func TestUserHashVerifies(t *testing.T) {
	_, first, _ := command(t, "correct horse battery\r\n", "user", "hash")
	_, second, _ := command(t, "correct horse battery\n", "user", "hash")
	for _, hash := range []string{first, second} {
		if err := oauth.CheckPasswordHash(strings.TrimSpace(hash)); err != nil {
			t.Error(err)
		}
	}
	if first == second {
		t.Error("two hashes of one password are equal; there is no salt")
	}
}

func TestServerKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.key")
	if code, out, stderr := command(t, "", "key", "init", file); code != 0 || strings.TrimSpace(out) != file {
		t.Fatalf("key init: %d %s %s", code, out, stderr)
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() != 32 || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Fatalf("the key file: %v %v", info, err)
	}
	before, _ := os.ReadFile(file)
	code, _, stderr := command(t, "", "key", "init", file)
	if code != 1 || !strings.Contains(stderr, "exists already and is not replaced") {
		t.Errorf("a second key init: %d %s", code, stderr)
	}
	if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
		t.Error("the key was replaced")
	}
}

func TestAServerKeyIsNeverMintedSilently(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string, c *Config)
		want    string // "" = a key is made
	}{
		{"a new loopback server", func(*testing.T, string, *Config) {}, ""},
		{"beside an existing database", func(t *testing.T, dir string, c *Config) {
			write(t, string(c.Database), "x", 0o600)
		}, "A new one is never made beside an existing database"},
		{"an issuer for others", func(_ *testing.T, _ string, c *Config) { c.Issuer = "https://auth.example.com" }, "make it with: portcullis key init"},
		{"a key that others may read", func(t *testing.T, _ string, c *Config) {
			write(t, string(c.ServerKeyFile), strings.Repeat("k", 32), 0o644)
		}, "chmod 600"},
		{"a key of the wrong size", func(t *testing.T, _ string, c *Config) {
			write(t, string(c.ServerKeyFile), "short", 0o600)
		}, "holds 5 bytes instead of 32"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			c := Config{Issuer: "http://127.0.0.1:8080", Database: filePath(filepath.Join(dir, "a.db")), ServerKeyFile: filePath(filepath.Join(dir, "a.key"))}
			tt.prepare(t, dir, &c)
			key, err := serverKey(&c)
			switch {
			case tt.want == "" && (err != nil || len(key) != 32):
				t.Errorf("no key was made: %v", err)
			case tt.want == "":
				if again, err := serverKey(&c); err != nil || !bytes.Equal(again, key) {
					t.Errorf("the second start has another key: %v", err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// serving is a server under test.
type serving struct {
	admin  string
	stderr *lockedBuffer
	stop   func() int // ends it and returns its exit code
}

// serve starts the program as its users do and waits for the ready line.
func serve(t *testing.T, file string, args ...string) *serving {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &serving{stderr: &lockedBuffer{}}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"serve", "--config", file}, args...), strings.NewReader(""), io.Discard, s.stderr)
	}()
	s.stop = func() int {
		cancel()
		c := <-code
		code <- c
		return c
	}
	t.Cleanup(func() { s.stop() })
	for range 200 {
		text := s.stderr.String()
		if _, rest, ok := strings.Cut(text, "admin http://"); ok {
			s.admin, _, _ = strings.Cut(rest, ",")
			return s
		}
		select {
		case c := <-code:
			code <- c
			t.Fatalf("the server ended with %d: %s", c, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("the server is not ready: %s", s.stderr)
	return nil
}

func TestUsersAreChangedBesideARunningServerAndWithoutOne(t *testing.T) {
	file := site(t, "users: [{name: carol, password_hash: \"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g\"}]\n")
	s := serve(t, file)
	transcript := func(where string) {
		t.Helper()
		name := "alice-" + where
		for _, row := range []struct {
			stdin, args, want string
			code              int
		}{
			{"correct horse\n", "user add " + name + " --group staff --group sales -o json", `"groups":["staff","sales"]`, 0},
			{"correct horse\n", "user add " + strings.ToUpper(name), "exists already", 1},
			{"another horse\n", "user passwd " + name, "was replaced", 0},
			{"short\n", "user passwd " + name, "too short", 1},
			{"another horse\n", "user passwd nobody", `there is no user "nobody"`, 1},
			{"another horse\n", "user passwd carol", "stands in the configuration file", 1},
			{"", "user disable " + name, "is disabled", 0},
			{"", "user disable " + name, "is disabled", 0},
			{"", "user disable nobody", `there is no user "nobody"`, 1},
		} {
			code, stdout, stderr := command(t, row.stdin, append(strings.Fields(row.args), "--config", file)...)
			if code != row.code || !strings.Contains(stdout+stderr, row.want) {
				t.Errorf("%s: %s: exit code %d, want %d %q\n%s%s", where, row.args, code, row.code, row.want, stdout, stderr)
			}
			if strings.Contains(stdout+stderr, "horse") {
				t.Errorf("%s: %s: the password was printed", where, row.args)
			}
		}
	}
	transcript("running")
	info, err := os.Stat(filepath.Join(filepath.Dir(file), "portcullis.sock"))
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the admin socket: %v %v", info, err)
	}
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d: %s", code, s.stderr)
	}
	transcript("stopped")
}

func TestAuditCommands(t *testing.T) {
	file := site(t, "")
	if code, _, stderr := command(t, "", "audit", "tail", "--config", file); code != 1 || !strings.Contains(stderr, "there is no database") {
		t.Errorf("tail without a database: %d %s", code, stderr)
	}
	s := serve(t, file)
	if code, _, stderr := command(t, "correct horse\n", "user", "add", "alice", "--config", file); code != 0 {
		t.Fatal(stderr)
	}
	_, tail, _ := command(t, "", "audit", "tail", "-n", "1", "--config", file)
	if strings.Count(tail, "\n") != 1 || !strings.Contains(tail, "user.saved") || !strings.Contains(tail, "user=alice") {
		t.Errorf("tail -n 1: %s", tail)
	}
	_, lines, _ := command(t, "", "audit", "export", "--config", file)
	last := lines[strings.LastIndex(strings.TrimSpace(lines), "\n")+1:]
	var row map[string]any
	if err := json.Unmarshal([]byte(last), &row); err != nil || row["type"] != "user.saved" || row["username"] != "alice" {
		t.Errorf("the last exported line: %s %v", last, err)
	}
	target := filepath.Join(filepath.Dir(file), "audit.jsonl")
	if code, out, _ := command(t, "", "audit", "export", target, "--config", file); code != 0 || out != "" {
		t.Errorf("export to a file: %d %s", code, out)
	}
	if text, _ := os.ReadFile(target); string(text) != lines {
		t.Error("the file differs from what goes to standard output")
	}
	if code, _, stderr := command(t, "", "audit", "export", target, "--config", file); code != 1 || !strings.Contains(stderr, "is not replaced") {
		t.Errorf("export over a file: %d %s", code, stderr)
	}
	if code, out, _ := command(t, "", "audit", "verify", "-o", "json", "--config", file); code != 0 || !strings.Contains(out, `"ok":true`) {
		t.Errorf("verify beside the server: %d %s", code, out)
	}
	s.stop()
	if code, out, _ := command(t, "", "audit", "verify", "--config", file); code != 0 || !strings.Contains(out, "are as they were written") {
		t.Errorf("verify without a server: %d %s", code, out)
	}
}

func TestASecondServerOnOneDatabaseIsRefused(t *testing.T) {
	file := site(t, "")
	serve(t, file)
	code, _, stderr := command(t, "", "serve", "--config", file)
	if code != 1 || !strings.Contains(stderr, "another server runs on") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestPolicyFilesAreReloadedAndBadOnesChangeNothing(t *testing.T) {
	dir := t.TempDir()
	file := site(t, "policies: "+dir+"\n")
	s := serve(t, file)
	revision := func() string {
		response, err := http.Get("http://" + s.admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), `portcullis_policy_info{revision="`)
		r, _, _ := strings.Cut(rest, `"`)
		return r
	}
	first := revision()
	if first == "" {
		t.Fatal("the metrics name no revision")
	}
	nested := filepath.Join(dir, "tools")
	if err := os.Mkdir(nested, 0o700); err != nil {
		t.Fatal(err)
	}
	rego := filepath.Join(nested, "quiet.rego")
	write(t, rego, "# METADATA\n# title: Nothing at night\npackage policy.tools.quiet\n\ndeny contains \"night\" if input.tool.name == \"never\"\n", 0o600)
	second := eventually(t, func() string { return revision() }, func(r string) bool { return r != first })
	write(t, rego, "package policy.tools.quiet\n\ndenny contains \"night\"\n", 0o600)
	eventually(t, func() string { return s.stderr.String() }, func(log string) bool { return strings.Contains(log, "the last good ones stay in force") })
	if r := revision(); r != second {
		t.Errorf("a bad file changed the revision from %s to %s", second, r)
	}
	if err := os.Remove(rego); err != nil {
		t.Fatal(err)
	}
	eventually(t, revision, func(r string) bool { return r == first })
	moved := dir + "-old"
	if err := os.Rename(dir, moved); err != nil { // as a checkout does: a new folder takes the place
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(moved) })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "late.rego"), "package policy.tools.late\n\ndeny contains \"late\" if input.tool.name == \"never\"\n", 0o600)
	eventually(t, revision, func(r string) bool { return r != first && r != second })
	audit := func() string {
		_, tail, _ := command(t, "", "audit", "tail", "--config", file)
		return tail
	}
	eventually(t, audit, func(tail string) bool {
		return strings.Contains(tail, "policy.refused") && strings.Count(tail, "policy.activated") == 4
	})
}

func eventually(t *testing.T, look func() string, good func(string) bool) string {
	t.Helper()
	got := ""
	for range 200 {
		if got = look(); good(got) {
			return got
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it did not happen within ten seconds: %s", got)
	return ""
}
