package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The issuer's address is fixed although the server listens on a new port after each start: the client dials where the
// server is. So a restart never fights for a port.
const (
	issuer   = "http://127.0.0.1:1"
	resource = "http://127.0.0.1:3001/mcp"
	password = "correct horse battery staple"
	// cheapHash is an argon2id hash of password with the smallest parameters: these tests log in often.
	cheapHash      = "$argon2id$v=19$m=8,t=1,p=1$b25seSBmb3IgYSB0ZXN0Lg$m0zqEUGxZKiPkG25N2IAAhMd81sqryLj8jOW/cQLdXw"
	resourceSecret = "office-secret-0123456789"
	clientSecret   = "web-secret-0123456789"
)

// configuration is one resource, a public and a confidential client, and people p0, p1, …. The proxy is trusted so that every
// flow can come from an address of its own: authorization requests are limited per address.
func configuration(people int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `issuer: %s
listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
trusted_proxies: ["127.0.0.1"]
policy: {deadline: 10s}
resources:
  - id: %s
    key: office
    name: Office
    secret: %s
    scopes:
      - {name: "office:read", description: "Read"}
      - {name: "office:write", description: "Write"}
    baseline_scopes: ["office:read"]
    tools:
      - {name: look, scopes: ["office:read"]}
clients:
  - {id: cli, name: Command line, redirect_uris: ["http://127.0.0.1/cb"], token_endpoint_auth_method: none}
  - {id: web, name: Web, redirect_uris: ["http://127.0.0.1/cb"], token_endpoint_auth_method: client_secret_post, secret: %s}
users:
`, issuer, resource, resourceSecret, clientSecret)
	for i := range people {
		fmt.Fprintf(&b, "  - {name: p%d, password_hash: \"%s\"}\n", i, cheapHash)
	}
	return b.String()
}

// site is the folder of one server: configuration, key, database. It outlives the processes that serve it.
type site struct {
	t       testing.TB
	dir     string
	address atomic.Pointer[string] // of the public listener now
	http    *http.Client
}

func newSite(t testing.TB, people int) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "pc") // short: a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return newSiteIn(t, dir, people)
}

func newSiteIn(t testing.TB, dir string, people int) *site {
	t.Helper()
	s := &site{t: t, dir: dir}
	var dialer net.Dialer
	s.http = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 512, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", *s.address.Load())
	}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if err := os.WriteFile(s.path("portcullis.yaml"), []byte(configuration(people)), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// process is one run of the server.
type process struct {
	s      *site
	cmd    *exec.Cmd
	log    *lockedBuffer
	admin  string
	begun  time.Time
	took   time.Duration // from the start until ready
	ended  chan struct{}
	result error // once ended
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs the server until it is ready.
func (s *site) start() *process {
	s.t.Helper()
	p := s.launch(os.Getenv(binaryVariable), "serve", "--config", s.path("portcullis.yaml"))
	if !p.waitReady() {
		s.t.Fatalf("the server is not ready:\n%s", p.said())
	}
	return p
}

// launch starts a program that is, or becomes, the server.
func (s *site) launch(program string, args ...string) *process {
	s.t.Helper()
	p := &process{s: s, cmd: exec.Command(program, args...), log: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd.Stderr = p.log
	p.begun = time.Now()
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		p.result = p.cmd.Wait()
		close(p.ended)
	}()
	s.t.Cleanup(p.kill)
	return p
}

// waitReady waits for the ready line and for /readyz. It is false when the process ends before.
func (p *process) waitReady() bool {
	for time.Since(p.begun) < 30*time.Second {
		if address := between(p.log.String(), "listening on ", ","); address != "" && p.admin == "" {
			p.admin = between(p.log.String(), "admin http://", ",")
			p.s.address.Store(&address)
			p.s.http.CloseIdleConnections()
		}
		if p.admin != "" && p.ready() {
			p.took = time.Since(p.begun)
			return true
		}
		select {
		case <-p.ended:
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
	return false
}

// ready asks /readyz.
func (p *process) ready() bool {
	client := http.Client{Timeout: 5 * time.Second}
	r, err := client.Get("http://" + p.admin + "/readyz")
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// kill ends the process without warning. Nothing of it runs when kill returns.
func (p *process) kill() {
	p.cmd.Process.Kill() // fails only when it has ended
	<-p.ended
}

// terminate asks the process to end and returns its exit code and how long that took.
func (p *process) terminate() (code int, took time.Duration) {
	p.s.t.Helper()
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.s.t.Error(err)
	}
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.s.t.Errorf("the server does not end within 30 s of SIGTERM:\n%s", p.said())
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(begun)
}

// stop is terminate without connections that the client has opened and not used: the server waits five seconds for a request on those.
func (p *process) stop() {
	p.s.t.Helper()
	p.s.http.CloseIdleConnections()
	code, took := p.terminate()
	if code != 0 || strings.Contains(p.log.String(), "DATA RACE") {
		p.s.t.Errorf("exit code %d after %v\n%s", code, took, p.said())
	}
}

// said is the end of the server's log without the lines of requests that went well.
func (p *process) said() string {
	var lines []string
	for line := range strings.SplitSeq(p.log.String(), "\n") {
		if !strings.Contains(line, `"level":"INFO"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// between is the text between two others, "" if they are not there.
func between(text, before, after string) string {
	_, rest, ok := strings.Cut(text, before)
	if !ok {
		return ""
	}
	found, _, ok := strings.Cut(rest, after)
	if !ok {
		return ""
	}
	return found
}

// command runs another command of the program, or the server where it must refuse to start.
func (s *site) command(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Getenv(binaryVariable), append(args, "--config", s.path("portcullis.yaml"))...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// verify runs "audit verify".
func (s *site) verify() {
	s.t.Helper()
	if code, stdout, stderr := s.command("audit", "verify"); code != 0 {
		s.t.Errorf("audit verify ends with %d: %s%s", code, stdout, stderr)
	}
}

// row is one row of the audit.
type row struct {
	Seq       int64  `json:"seq"`
	Type      string `json:"type"`
	Outcome   string `json:"outcome"`
	Subject   string `json:"subject"`
	Username  string `json:"username"`
	Client    string `json:"client"`
	Grant     string `json:"grant"`
	Family    string `json:"family"`
	JTI       string `json:"jti"`
	RequestID string `json:"request_id"`
}

// audit reads the rows after a number.
func (s *site) audit(since int64) []row {
	s.t.Helper()
	code, stdout, stderr := s.command("audit", "export", "--since", fmt.Sprint(since))
	if code != 0 {
		s.t.Fatalf("audit export ends with %d: %s", code, stderr)
	}
	var rows []row
	lines := bufio.NewScanner(strings.NewReader(stdout))
	for lines.Scan() {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			s.t.Fatalf("%v in %s", err, lines.Text())
		}
		rows = append(rows, r)
	}
	return rows
}
