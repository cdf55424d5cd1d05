package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
	"portcullis/storage"
)

func TestFaultsThatShowAtTheStartAreConfigurationFaults(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string) string // returns more configuration
		want    string
	}{
		{"policies that do not load", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "p.rego"), "package policy.tols.x\n", 0o600)
			return "policies: " + dir + "\n"
		}, "policies do not load:\np.rego:1:"},
		{"a policy test that fails", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "p_test.rego"), "package policy.tools.x_test\n\ntest_never if 1 == 2\n", 0o600)
			return "policies: " + dir + "\n"
		}, "test_never"},
		{"TLS files that are none", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "c.pem"), "x", 0o600)
			return "tls: {cert: " + filepath.Join(dir, "c.pem") + ", key: " + filepath.Join(dir, "c.pem") + "}\n"
		}, "tls: "},
		{"a CA file that is none", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "ca.pem"), "x", 0o600)
			return "cimd: {ca_file: " + filepath.Join(dir, "ca.pem") + "}\n"
		}, "cimd.ca_file: the file holds no certificate"},
		{"an address that is taken", func(t *testing.T, dir string) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return "trusted_proxies: []\n#" + l.Addr().String()
		}, "listen: "},
		{"a socket path that is too long", func(t *testing.T, dir string) string {
			return "admin_socket: /tmp/" + strings.Repeat("x", 100) + "\n"
		}, "admin_socket: "},
		{"the socket of another server", func(t *testing.T, dir string) string {
			path := filepath.Join(filepath.Dir(site(t, "")), "other.sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return "admin_socket: " + path + "\n"
		}, "another server answers on"},
		{"a file where the socket should be", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "notes"), "important", 0o600)
			return "admin_socket: " + filepath.Join(dir, "notes") + "\n"
		}, "exists and is no socket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			more := tt.prepare(t, t.TempDir())
			arguments := []string{"serve", "--config"}
			text, taken, _ := strings.Cut(more, "#")
			file := site(t, text)
			arguments = append(arguments, file)
			if taken != "" {
				arguments = append(arguments, "--listen", taken)
			}
			if strings.HasPrefix(more, "tls") {
				arguments = append(arguments, "--issuer", "https://127.0.0.1:8443")
			}
			code, stdout, stderr := command(t, "", arguments...)
			if code != 78 || !strings.Contains(stderr, tt.want) || stdout != "" {
				t.Errorf("exit code %d, want 78 and %q\n%s%s", code, tt.want, stdout, stderr)
			}
		})
	}
}

// testParts wires a server with the given configuration in a new folder.
func testParts(t *testing.T, change func(*Config)) (*parts, Config) {
	t.Helper()
	dir := filepath.Dir(site(t, ""))
	c := defaultConfig()
	c.Issuer = "http://127.0.0.1:8080"
	c.Database, c.ServerKeyFile = filePath(filepath.Join(dir, "a.db")), filePath(filepath.Join(dir, "a.key"))
	c.AdminSocket, c.Listen, c.AdminListen = filePath(filepath.Join(dir, "a.sock")), "127.0.0.1:0", "127.0.0.1:0"
	c.log = slog.New(slog.DiscardHandler)
	change(&c)
	p, err := wire(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func TestTheServerEndsInOrder(t *testing.T) {
	p, c := testParts(t, func(*Config) {})
	entered, release := make(chan struct{}), make(chan struct{})
	public := p.public
	p.public = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" { // an answer that is under way
			close(entered)
			<-release
		}
		public.ServeHTTP(w, r)
	})
	l, err := listen(&c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, l) }()

	ready := func() int {
		response, err := http.Get("http://" + l.admin.Addr().String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if status := ready(); status != http.StatusOK {
		t.Fatalf("readyz says %d", status)
	}
	answered := make(chan int, 1)
	go func() {
		response, err := http.Get("http://" + l.public.Addr().String() + "/slow")
		if err != nil {
			answered <- 0
			return
		}
		response.Body.Close()
		answered <- response.StatusCode
	}()
	<-entered
	cancel()
	eventually(t, func() string { return http.StatusText(ready()) }, func(s string) bool { return s == http.StatusText(http.StatusServiceUnavailable) })
	eventually(t, func() string {
		if conn, err := net.DialTimeout("tcp", l.public.Addr().String(), time.Second); err == nil {
			conn.Close()
			return "open"
		}
		return "closed"
	}, func(s string) bool { return s == "closed" })
	select {
	case err := <-ended:
		t.Fatalf("the server ended before the answer under way: %v", err)
	default:
	}
	close(release)
	if status := <-answered; status == 0 {
		t.Error("the answer under way was cut off")
	}
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
	if err := p.store.Commit(t.Context(), oauth.Event{Type: "x"}); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("the database is still open: %v", err)
	}
	if _, err := os.Stat(string(c.Database) + "-wal"); err == nil {
		t.Error("the write-ahead log was not emptied into the database")
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	p, c := testParts(t, func(*Config) {})
	l, err := listen(&c)
	if err != nil {
		t.Fatal(err)
	}
	l.admin.Close()
	if err := p.run(t.Context(), l); err == nil {
		t.Error("the server ended without an error")
	}
}

func TestRegistrationIsOnOnlyWhenTheFileSaysSo(t *testing.T) {
	for _, row := range []struct {
		mode   string
		status int
	}{{"off", http.StatusNotFound}, {"open", http.StatusCreated}, {"token", http.StatusUnauthorized}} {
		t.Run(row.mode, func(t *testing.T) {
			p, _ := testParts(t, func(c *Config) {
				c.Registration.Mode = row.mode
				if row.mode == "token" {
					c.Registration.Token = "a-token"
				}
			})
			defer p.store.Close()
			request, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8080/register",
				strings.NewReader(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			w := newAnswer()
			p.public.ServeHTTP(w, request)
			if w.status != row.status {
				t.Errorf("status %d, want %d: %s", w.status, row.status, w.body.String())
			}
		})
	}
}

// answer is an http.ResponseWriter that keeps everything.
type answer struct {
	header http.Header
	status int
	body   strings.Builder
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return io.Writer(&a.body).Write(p)
}

// TestAClockBehindTheAuditIsAFault: facts F12. Rows would go back in time and what has expired would live again, so the operator must say
// that the clock is right.
func TestAClockBehindTheAuditIsAFault(t *testing.T) {
	file := site(t, "")
	serve(t, file).stop()
	config, err := loadConfig(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := serverKey(&config)
	if err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(t.Context(), storage.Config{Path: string(config.Database), ServerKey: key})
	if err != nil {
		t.Fatal(err)
	}
	future := oauth.Event{Type: oauth.EventPolicyActivated, Time: time.Now().Add(time.Hour)}
	if err := errors.Join(store.Commit(t.Context(), future), store.Close()); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := command(t, "", "serve", "--config", file)
	if code != 1 || !strings.Contains(stderr, "correct the clock") || !strings.Contains(stderr, "--allow-clock-back") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	serve(t, file, "--allow-clock-back")
	if code, out, _ := command(t, "", "audit", "verify", "--config", file); code != 0 {
		t.Errorf("audit verify: %d %s", code, out)
	}
}

// A storage that fails while the policies load heals by itself or by a restart; exit code 78 says that it does not.
func TestAStorageFaultAtTheStartIsNoConfigurationFault(t *testing.T) {
	for _, row := range []struct {
		err  error
		want int
	}{
		{errors.New("p.rego:1: syntax"), exitConfig},
		{fmt.Errorf("the row of the activation: %w: disk full", oauth.ErrUnavailable), 0},
	} {
		var exit *exitCode
		got := 0
		if errors.As(policyError(row.err), &exit) {
			got = exit.code
		}
		if got != row.want {
			t.Errorf("%v: exit code %d, want %d", row.err, got, row.want)
		}
	}
}
