package tests

import (
	"bufio"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// connect opens a connection to the public listener and sends the beginning of something.
func (s *server) connect(t testing.TB, begin string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.issuer, "http://"))
	if err == nil {
		t.Cleanup(func() { conn.Close() })
		_, err = io.WriteString(conn, begin)
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// endedByServer reads until the server ends a connection and returns what it said. A server that waits for ever fails the test.
func endedByServer(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("X1: the server holds the connection")
	}
	return string(said)
}

// X1: who is slow, silent or endless is cut off; what is too long is refused with its own status.
func TestSlowAndHugeRequestsAreCutOff(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	host := strings.TrimPrefix(s.issuer, "http://")
	for name, c := range slowRequests(host) {
		t.Run("X1 "+name, func(t *testing.T) {
			t.Parallel()
			conn := s.connect(t, c.begin)
			ended := make(chan struct{})
			defer close(ended)
			go func() {
				for c.drip != "" {
					select {
					case <-ended:
						return
					case <-time.After(300 * time.Millisecond):
						io.WriteString(conn, c.drip) // fails when the server has had enough
					}
				}
			}()
			if said := endedByServer(t, conn); !strings.HasPrefix(said, c.want) || c.want == "" && strings.HasPrefix(said, "HTTP/1.1 2") {
				t.Errorf("the server says %q, want %q", tail(said, 300), c.want)
			}
		})
	}
	big := strings.Repeat("a", 30<<10)
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		status       int
	}{
		"X1 a header of 30 KiB":     {"GET", "/jwks.json", http.Header{"X-Big": {big}}, 431},
		"X1 a cookie of 30 KiB":     {"GET", "/ui/login", http.Header{"Cookie": {"a=" + big}}, 431},
		"X1 a thousand headers":     {"GET", "/jwks.json", manyHeaders(1000), 431},
		"X1 a URL of 30 KiB":        {"GET", "/jwks.json?" + big, nil, 431},
		"X1 a URL of 9 KiB":         {"GET", "/jwks.json?" + big[:9<<10], nil, 414},
		"X1 a bearer of 15 KiB":     {"POST", "/introspect", http.Header{"Authorization": {"Bearer " + big[:15<<10]}, "Content-Type": {"application/x-www-form-urlencoded"}}, 401},
		"X1 a hundred good headers": {"GET", "/jwks.json", manyHeaders(100), 200},
	} {
		t.Run(name, func(t *testing.T) { s.program(t).do(c.method, c.path, "", c.header).want(c.status) })
	}
}

// slowRequest is how a request begins, what comes again and again, and how the answer begins.
type slowRequest struct{ begin, drip, want string }

func slowRequests(host string) map[string]slowRequest {
	return map[string]slowRequest{
		"silence":                  {"", "", ""},
		"half a header":            {"POST /token HTTP/1.1\r\nHost: " + host + "\r\n", "", ""},
		"a header that never ends": {"GET /jwks.json HTTP/1.1\r\nHost: " + host + "\r\n", "X: y\r\n", ""},
		"one endless header":       {"GET /jwks.json HTTP/1.1\r\nHost: " + host + "\r\nX: ", "y", ""},
		"half a body":              {"POST /token HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant", "", "HTTP/1.1 400"},
		"a body that never ends":   {"POST /token HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", "HTTP/1.1 400"},
		"no HTTP":                  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", ""},
		"HTTP/2 without TLS":       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "HTTP/1.1 421"},
	}
}

func manyHeaders(n int) http.Header {
	h := http.Header{}
	for i := range n {
		h.Set(fmt.Sprintf("X-Header-%d", i), "some value of no use")
	}
	return h
}

// X1: strangers who open connections and say nothing take no file handle that the server needs: answers, the operator's commands and
// reloads go on, and whoever is honest gets in when the silent ones have been cut off.
func TestSilentConnectionsTakeNothingFromTheServer(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	s.wrap = []string{"sh", "-c", `ulimit -n 256 && exec "$@"`, "sh"} // few handles, so that few strangers are many
	s.run()
	b := s.browser(t)
	access := b.tokens(ask()).text("access_token")
	besiege(t, s.issuer, 600)
	for i := range 20 {
		b.decide(access, "calendar_list", fmt.Sprintf(`{"day":"%d"}`, i)).wantDecision(true, "allowed")
	}
	if _, errs, code := s.commandWith(password+"\n", "user", "add", fmt.Sprint("user", 1)); code != 0 {
		t.Errorf("X1: user add: exit %d %s", code, errs)
	}
	s.reloadWith("tools/closed.rego", "package policy.tools.closed\n\ndeny contains \"closed\" if input.tool.arguments.day == \"sunday\"\n")
	b.decide(access, "calendar_list", `{"day":"sunday"}`).wantDecision(false, "denied")
	s.browser(t).tokens(ask())
	if a := b.get(s.admin + "/readyz"); a.status != 200 {
		t.Errorf("X1: /readyz says %d", a.status)
	}
}

// besiege keeps n connections to an address open on which half a request was sent: who is cut off comes again.
func besiege(t *testing.T, address string, n int) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	t.Cleanup(func() { close(done); wait.Wait() })
	var first sync.WaitGroup
	for range n {
		first.Add(1)
		wait.Go(func() {
			begun := sync.OnceFunc(first.Done)
			defer begun()
			for {
				conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
				if err == nil {
					io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: x\r\n")
					begun()
					gone := make(chan struct{})
					go func() { io.Copy(io.Discard, conn); close(gone) }()
					select {
					case <-gone:
					case <-done:
					}
					conn.Close()
				}
				select {
				case <-done:
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}
	first.Wait()
}

// sourcePaths are the paths in the string constants of a file.
func sourcePaths(t *testing.T, file string) []string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	ast.Inspect(tree, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && regexp.MustCompile(`^/[a-z0-9/{}.]+$`).MatchString(text) {
				paths = append(paths, strings.ReplaceAll(text, "{name}", "alice"))
			}
		}
		return true
	})
	return paths
}

// X3: every route of the operator, read from the sources, is no route of the public listener, and the other way round. Health says one
// word. The socket that changes things is the owner's alone.
func TestNoOperatorRouteIsPublic(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	operator := append(sourcePaths(t, "../server/admin.go"), sourcePaths(t, "../cmd/portcullis/admin_socket.go")...)
	operator = append(operator, sourcePaths(t, "../server/admin_bundle.go")...)
	if len(operator) < 7 || !slices.Contains(operator, "/bundles/active.tar.gz") {
		t.Fatalf("only %v", operator)
	}
	for _, path := range append(operator, "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/admin", "/admin/users", "/v1/keys", "/v1/policies", "/.git/config", "/.env", "/config", "/portcullis.yaml", "/health", "/healthz", "/status") {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
			b.do(method, path, "", nil).wantError(404, "not_found")
		}
	}
	for _, path := range []string{"/token", "/authorize", "/introspect", "/revoke", "/register", "/jwks.json", "/ui/login", "/ui/account", "/access/v1/evaluation", "/.well-known/oauth-authorization-server", "/v1/users", "/v1/users/alice/disable",
		"/v1/users/alice/password", "/debug/pprof/", "/"} {
		for _, method := range []string{"GET", "POST"} {
			b.do(method, s.admin+path, "", nil).wantError(404, "not_found")
		}
	}
	if a := b.get(s.admin + "/livez").want(200); a.body != `{"status":"ok"}` {
		t.Errorf("X3 /livez says %s", a.body)
	}
	ready := b.get(s.admin + "/readyz").want(200) // on loopback also which policies are in force, and nothing of the machine
	if a := ready.json("policies"); ready.json("status") != "ok" || a == nil || strings.Contains(ready.body, s.dir) {
		t.Errorf("X3 /readyz says %s", ready.body)
	}
	for _, host := range []string{"rebound.example", "127.0.0.1.evil.example", "evil.example:9090", "[::ffff:7f00:1]", "0.0.0.0"} {
		for _, path := range []string{"/metrics", "/readyz", "/livez"} {
			b.do(http.MethodGet, s.admin+path, "", http.Header{"Host": {host}}).wantError(421, "invalid_request")
		}
	}
	metrics := b.get(s.admin + "/metrics").want(200).body
	for _, secret := range []string{officeSecret, webSecret, "alice", "cli-two", s.dir} {
		if strings.Contains(metrics, secret) {
			t.Errorf("X3: the metrics tell %q", secret)
		}
	}
}

// X11: what a proxy would have set is nothing to us when no proxy is trusted: no header says who somebody is, where he comes from or what
// he asked for, and none is dropped because another header says so. Forwarding to servers is not built.
func TestHeadersOfProxiesAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	access := b.tokens(ask()).text("access_token")
	identity := http.Header{}
	for _, name := range []string{"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Auth-Request-User", "X-Remote-User", "Remote-User", "Remote_User", "X_Forwarded_User", "X-User", "X-Authenticated-Userid", "X-WEBAUTH-USER", "Authorization-User", "X-Original-User"} {
		identity[name] = []string{"alice"}
	}
	stranger := s.program(t)
	if a := stranger.do(http.MethodGet, "/ui/account", "", identity); a.status != 303 || a.location().Path != "/ui/login" {
		t.Errorf("X11: an identity header opens the account: %d", a.status)
	}
	identity["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	stranger.do(http.MethodPost, "/introspect", "token="+access, identity).wantError(401, "invalid_client")
	for name, header := range map[string]http.Header{
		"a listed Authorization": {"Connection": {"Authorization, close"}}, "a listed Content-Type": {"Connection": {"Content-Type"}}, "another method": {"X-Http-Method-Override": {"DELETE"}, "X-Method-Override": {"GET"}},
		"another path": {"X-Original-Url": {"/ui/nothing"}, "X-Rewrite-Url": {"/ui/nothing"}}, "underscores": {"Content_Type": {"text/plain"}, "X_Forwarded_For": {"1.2.3.4"}, "Content_Length": {"1"}},
	} {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		header.Set("Authorization", basic(officeKey, officeSecret))
		if a := stranger.do(http.MethodPost, "/introspect", "token="+access, header).want(200); a.text("active") != "true" {
			t.Errorf("X11 %s: %s", name, a.body)
		}
	}
	header := http.Header{"X-Forwarded-For": {"203.0.113.9"}, "X-Real-Ip": {"203.0.113.9"}, "Forwarded": {"for=203.0.113.9"}, "True-Client-Ip": {"203.0.113.9"}, "Cf-Connecting-Ip": {"203.0.113.9"}, "X_Forwarded_For": {"203.0.113.9"}}
	slowed := false
	for i := range 300 {
		header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i%250))
		a := stranger.do(http.MethodGet, "/authorize?"+ask().params().Encode(), "", header)
		if slowed = a.status == 429; slowed {
			break
		}
	}
	if !slowed {
		t.Error("X11: another X-Forwarded-For is another address for the limiter")
	}
	s.stop()
	if out, _, _ := s.command("audit", "export"); strings.Contains(out+s.log.String(), "203.0.113.") {
		t.Error("X11: the forged address is in the log or the audit")
	}
}

// X5: what strangers send cannot forge a line of the log: each is one JSON object that begins with the time, and no value of theirs ends it.
func TestNobodyForgesALineOfTheLog(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	b := s.browser(t)
	const forged = `{"time":"2020-01-01T00:00:00Z","level":"ERROR","msg":"forged"}`
	for _, text := range []string{"a\n" + forged, "a\r\n" + forged, "a\u2028" + forged, "a\x00" + forged, `a"} ` + forged, "a\x1b[2J" + forged, "a\u202e" + forged} {
		q := ask(with("client_id", text)).params()
		b.get("/authorize?" + q.Encode())
		b.post("/token", map[string][]string{"grant_type": {text}, "client_id": {text}, "code": {text}})
		b.post("/introspect", map[string][]string{"token": {text}}, "Authorization", basic(text, text))
		b.get("/ui/" + strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf("%q", text), "%", ""), " ", ""))
		b.register(fmt.Sprintf(`{"client_name":%q,"redirect_uris":["x"]}`, text))
		page := b.get("/ui/login").want(200)
		b.post("/ui/login", map[string][]string{"username": {text}, "password": {text}, "form_token": {page.field("form_token")}})
		ascii := strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' || r > '~' {
				return '?'
			}
			return r
		}, text)
		b.do(http.MethodGet, "/jwks.json", "", http.Header{"User-Agent": {ascii}, "X-Request-ID": {ascii}, "Referer": {ascii}, "Host": {"evil.example"}})
	}
	s.stop()
	lines := 0
	for in := bufio.NewScanner(strings.NewReader(s.log.String())); in.Scan(); lines++ {
		line := in.Text()
		if strings.HasPrefix(line, "portcullis is ready: ") || strings.HasPrefix(line, "warning: ") {
			continue
		}
		a := answer{t: t, body: line}
		if !strings.HasPrefix(line, `{"time":"20`) || a.text("msg") == "" || a.text("msg") == "forged" || strings.ContainsAny(line, "\x00\x1b\u2028\u202e") {
			t.Errorf("X5: a line of the log: %q", line)
		}
	}
	if lines < 40 {
		t.Errorf("only %d lines", lines)
	}
}
