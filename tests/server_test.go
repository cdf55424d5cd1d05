package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// The people of the test configurations, all with one password.
const password = "correct horse battery staple"

// passwordHash is made by the program itself, once for all servers: it is slow on purpose.
var passwordHash = sync.OnceValues(func() (string, error) {
	cmd := exec.Command(binary(), "user", "hash")
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
})

// settings fill in a configuration of testdata.
type settings struct {
	Issuer string            // http://127.0.0.1:PORT
	Listen string            // 127.0.0.1:PORT
	Admin  string            // 127.0.0.1:PORT
	Hash   string            // of password
	Dir    string            // database, key, socket and policies lie here
	With   map[string]string // what one test wants different
}

// server is one running program with its own database.
type server struct {
	t      testing.TB
	issuer string
	admin  string
	dir    string
	config string
	probe  string         // the path that answers when the program is ready
	roots  *x509.CertPool // for https
	log    *lockedBuffer
	wrap   []string // a program that becomes the server
	cmd    *exec.Cmd
	ended  chan error
}

// lockedBuffer collects the program's log.
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

// start runs the program with a configuration of testdata until the test ends.
func start(t testing.TB, config string, with map[string]string) *server {
	t.Helper()
	s := prepare(t, config, with)
	s.run()
	return s
}

// prepare writes the configuration but starts nothing.
func prepare(t testing.TB, config string, with map[string]string) *server {
	t.Helper()
	if err := noteSources(); err != nil {
		t.Fatal(err)
	}
	hash, err := passwordHash()
	if err != nil {
		t.Fatal("user hash:", err)
	}
	// The issuer must be known before the start, so port 0 is no use for it.
	listen, admin := freeAddress(t), freeAddress(t)
	v := settings{Issuer: "http://" + listen, Listen: listen, Admin: admin, Hash: hash, Dir: t.TempDir(), With: with}
	s := &server{t: t, issuer: v.Issuer, admin: "http://" + admin, dir: v.Dir, config: filepath.Join(v.Dir, "portcullis.yaml"),
		probe: "/.well-known/oauth-authorization-server", log: &lockedBuffer{}}
	copyTree(t, "testdata/policies", filepath.Join(v.Dir, "policies"))
	text, err := template.New(config).Option("missingkey=zero").ParseFiles(filepath.Join("testdata", config))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := text.ExecuteTemplate(&out, config, v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// ports counts the ports that were handed out, from a random one on: none is given to two tests, and those of the other packages that are
// tested at the same time lie elsewhere.
var ports = func() *atomic.Uint32 {
	p := &atomic.Uint32{}
	p.Store(rand.Uint32N(11000))
	return p
}()

// freeAddress is a port that nobody listens on. It lies below the range from which the system gives ports to connections, or one of
// them could take it before the program does.
func freeAddress(t testing.TB) string {
	t.Helper()
	var err error
	for range 50 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+ports.Add(1)%11000)); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// run starts the program and waits until it answers.
func (s *server) run() {
	s.t.Helper()
	line := append(slices.Clone(s.wrap), binary(), "serve", "--config", s.config)
	s.cmd = exec.Command(line[0], line[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(s.cmd, s.ended)
	s.t.Cleanup(s.stop)
	deadline := time.Now().Add(30 * time.Second)
	for !s.answers() {
		select {
		case err := <-s.ended:
			s.cmd = nil
			s.t.Fatalf("the program ended before it answered: %v\n%s", err, s.log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the program does not answer\n%s", s.log)
		}
	}
}

func (s *server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+s.probe, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// stop ends the program the polite way, which must not take long.
func (s *server) stop() { s.end(syscall.SIGTERM) }

// kill ends the program like a power cut of the process: nothing of it runs any more.
func (s *server) kill() { s.end(syscall.SIGKILL) }

func (s *server) end(how syscall.Signal) {
	if s.cmd == nil {
		return
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	select {
	case err := <-s.ended:
		if how == syscall.SIGTERM && err != nil {
			s.t.Errorf("the program did not end well: %v\n%s", err, s.log)
		}
	case <-time.After(20 * time.Second):
		s.t.Errorf("the program does not end\n%s", s.log)
		cmd.Process.Kill()
	}
	if s.t.Failed() {
		s.t.Logf("log of the program:\n%s", tail(s.log.String(), 4000))
	}
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n:]
}

// command runs another command of the program with the server's configuration.
func (s *server) command(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	return runProgram(s.t, "", append(args, "--config", s.config)...)
}

func runProgram(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	if err := noteSources(); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// challengeOf is the S256 challenge of a verifier (RFC 7636 §4.2).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// basic is the value of an Authorization header (RFC 7617).
func basic(user, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
}

// commandWith is command with something on standard input.
func (s *server) commandWith(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	return runProgram(s.t, stdin, append(args, "--config", s.config)...)
}

// editConfig changes the configuration file.
func (s *server) editConfig(edit func(text string) string) {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	after := edit(string(text))
	if after == string(text) {
		s.t.Fatal("the edit changed nothing")
	}
	if err := os.WriteFile(s.config, []byte(after), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
