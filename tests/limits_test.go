package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// wantSlowed repeats a request until it is refused for its frequency.
func wantSlowed(t *testing.T, atMost int, do func(i int) *answer) {
	t.Helper()
	for i := range atMost {
		a := do(i)
		if a.status != http.StatusTooManyRequests {
			continue
		}
		if a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "temporarily_unavailable") {
			t.Errorf("%s: 429 without Retry-After, or with another error\n%s", a.what, tail(a.body, 500))
		}
		return
	}
	t.Errorf("%d in a row were all taken", atMost)
}

// What a stranger can start costs us something each time, so one address cannot start it without end; another one can.
func TestStrangersAreLimited(t *testing.T) {
	t.Parallel()
	t.Run("D2 registrations", func(t *testing.T) {
		s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
		b := s.program(t)
		body := `{"client_name":"x%d","token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/x"]}`
		wantSlowed(t, 200, func(i int) *answer { return b.register(fmt.Sprintf(body, i)) })
		s.program(t).register(fmt.Sprintf(body, 999)).want(201)
	})
	t.Run("authorization requests", func(t *testing.T) {
		s := start(t, "main.yaml", nil)
		b := s.program(t)
		wantSlowed(t, 300, func(int) *answer { return b.get("/authorize?" + ask().params().Encode()) })
		s.program(t).get("/authorize?" + ask().params().Encode()).want(303)
	})
	t.Run("AS-38, C11 wrong client secrets", func(t *testing.T) {
		s := start(t, "main.yaml", nil)
		q := ask(web)
		code := s.browser(t).code(q)
		wantSlowed(t, 300, func(int) *answer {
			return s.program(t).post("/token", q.redemption("x"), "Authorization", basic("web", "guess"))
		}) // each from another address
		b := s.program(t)
		b.post("/token", ask().redemption("x")).wantError(400, "invalid_grant") // another client is not slowed down
		b.post("/token", q.redemption(code), q.credentials()...).want(200)      // and the right secret never
		s.wantLimited(t, "client_auth_limited")
	})
	t.Run("C11 wrong codes", func(t *testing.T) {
		s := start(t, "main.yaml", nil)
		q := ask()
		code := s.browser(t).code(q)
		wantSlowed(t, 300, func(int) *answer { return s.program(t).post("/token", q.redemption("x")) })
		s.program(t).post("/token", q.redemption(code)).want(200)
		s.wantLimited(t, "code_limited")
	})
	t.Run("C11 refreshes of one login", func(t *testing.T) {
		s := start(t, "main.yaml", nil)
		b := s.browser(t)
		token := b.tokens(ask()).text("refresh_token")
		wantSlowed(t, 1000, func(int) *answer {
			a := b.refresh("cli", token)
			if a.status == http.StatusOK {
				token = a.text("refresh_token")
			}
			return a
		})
		s.wantLimited(t, "refresh_limited")
	})
}

// wantLimited: a limit that was reached stands in the audit once, and is counted.
func (s *server) wantLimited(t *testing.T, reason string) {
	t.Helper()
	if n := s.auditTypes()["token.limited denied"]; n != 1 {
		t.Errorf("%d rows of a limit that was reached", n)
	}
	if metrics := s.program(t).get(s.admin + "/metrics").want(200).body; !strings.Contains(metrics, `portcullis_limited_total{reason="`+reason+`"}`) {
		t.Errorf("%s is not counted:\n%s", reason, tail(metrics, 1000))
	}
}

// J12: what is too long is refused before anybody looks at it.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.program(t)
	for _, n := range []int{5 << 10, 30 << 10} {
		for _, value := range []string{"Bearer " + strings.Repeat(".", n), "Basic " + strings.Repeat("A", n)} {
			for _, path := range []string{"/introspect", "/token", "/access/v1/evaluation"} {
				a := b.do(http.MethodPost, path, "token=x", http.Header{"Authorization": {value}, "Content-Type": {"application/x-www-form-urlencoded"}})
				if a.status < 400 || a.status >= 500 {
					t.Errorf("%s with %d bytes of %.6s: %d", path, n, value, a.status)
				}
			}
		}
	}
	s.browser(t).tokens(ask())
}

// R16: what is too big is refused before it costs memory. Ten megabytes that are sent must not be ten megabytes that are kept; what the program ever
// allocated is counted, since what it holds at one moment depends on the garbage collector.
func TestRefusedSizesCostLittleMemory(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	const form, requests = "application/x-www-form-urlencoded", 20
	big := strings.Repeat("a", 10<<20)
	many := strings.Repeat("a=&", 20000)
	for name, c := range map[string]struct {
		target, body, kind string
		status             int
	}{
		"a form to the token endpoint":     {"/token", "x=" + big, form, 413},
		"a form to the authorize endpoint": {"/authorize", "x=" + big, form, 413},
		"a form to introspection":          {"/introspect", "token=" + big, form, 413},
		"a form to a login":                {"/ui/login", "username=" + big, form, 413},
		"a registration":                   {"/register", `{"client_name":"` + big + `"}`, "application/json", 413},
		"many parameters":                  {"/token", many, form, 400},
		"many parameters in the URL":       {"/authorize?" + many[:8000], "", form, 400},
		"a long URL":                       {"/authorize?state=" + big[:9000], "", form, 414},
	} {
		t.Run("R16 "+name, func(t *testing.T) {
			b := s.program(t)
			before := s.allocated()
			for range requests {
				method := http.MethodPost
				if c.body == "" {
					method = http.MethodGet
				}
				b.do(method, c.target, c.body, http.Header{"Content-Type": {c.kind}}).want(c.status)
			}
			if each := (s.allocated() - before) / requests; each > 1<<20 {
				t.Errorf("each refusal allocates %d KiB", each>>10)
			}
		})
	}
}

// allocated is how many bytes the program ever allocated.
func (s *server) allocated() int {
	s.t.Helper()
	figure := regexp.MustCompile(`(?m)^go_memstats_alloc_bytes_total (\S+)$`).FindStringSubmatch(s.program(s.t).get(s.admin + "/metrics").want(200).body)
	if figure == nil {
		s.t.Fatal("the metrics do not tell how much was allocated")
	}
	n, err := strconv.ParseFloat(figure[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(n)
}

// U23: many people at once get their own tokens.
func TestNobodyGetsAnotherPersonsToken(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	people := []string{"alice", "bob", "carol", "dave"}
	var wait sync.WaitGroup
	for _, name := range people {
		b := s.browser(t)
		b.code(ask(by(name))) // the login, one at a time
		for range 2 {
			wait.Go(func() {
				for range 10 {
					token := b.tokens(ask(by(name))).text("access_token")
					a := b.post("/introspect", url.Values{"token": {token}}, "Authorization", basic(officeKey, officeSecret))
					if a.text("username") != name {
						t.Errorf("%s holds the token of %q", name, a.text("username"))
					}
				}
			})
		}
	}
	wait.Wait()
}

// T9: the rules of now count at every refresh. A withheld scope is left out of this token; a denial of everything spends nothing.
func TestARefreshAsksThePolicyAgain(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	first := b.tokens(ask(scopes(scopeCalendar, scopeCRM)))
	rule := filepath.Join(s.dir, "policies/policy/scopes/now.rego")
	write := func(body string) {
		if err := os.WriteFile(rule, []byte("package policy.scopes.now\n\n"+body+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	activated := func() int { return s.auditTypes()["policy.activated ok"] }
	before := activated()
	write(`deny_scope contains {"scope": "office:crm.write", "code": "frozen", "message": "Customer records are frozen."}`)
	waitFor(t, "the new rule", func() bool { return activated() > before })
	second := b.refresh("cli", first.text("refresh_token")).want(200)
	if got := withoutOffline(second.text("scope")); got != scopeCalendar {
		t.Errorf("scope %q after it was withheld", got)
	}
	before = activated()
	write(`deny contains {"code": "closed", "message": "We are closed."} if input.stage == "refresh"`)
	waitFor(t, "the new rule", func() bool { return activated() > before })
	a := b.refresh("cli", second.text("refresh_token")).wantError(400, "invalid_grant")
	if !strings.Contains(a.text("error_description"), "We are closed.") {
		t.Errorf("the denial does not say why: %s", a.body)
	}
	if !b.active(second.text("access_token")) {
		t.Error("a denied refresh ended the access token")
	}
	before = activated()
	if err := os.Remove(rule); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the old rules", func() bool { return activated() > before })
	third := b.refresh("cli", second.text("refresh_token")).want(200)
	if got := withoutOffline(third.text("scope")); got != scopeCalendar+" "+scopeCRM {
		t.Errorf("scope %q after the rule is gone: narrowing is for one token only", got)
	}
}

// X2, U16: with https the cookies are bound to the host, and old versions of TLS are refused.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", nil)
	pool := writeCertificate(t, s.dir)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	plain := "issuer: " + s.issuer
	s.issuer = strings.Replace(s.issuer, "http:", "https:", 1)
	secure := "issuer: " + s.issuer + "\ntls: {cert: cert.pem, key: key.pem}"
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), plain, secure, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.roots = pool
	s.run()
	b := s.browser(t)
	begun := b.get("/authorize?" + ask().params().Encode()).want(303)
	page := b.get(begun.location().Path).want(200)
	in := b.post(begun.location().Path+"/login", url.Values{"username": {"alice"}, "password": {password}, "form_token": {page.field("form_token")}}).want(303)
	for _, a := range []*answer{begun, in} {
		for _, line := range a.header.Values("Set-Cookie") {
			c, err := http.ParseSetCookie(line)
			if err != nil || !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("cookie %s", line)
			}
		}
		if a.header.Get("Strict-Transport-Security") == "" || len(a.header.Values("Set-Cookie")) == 0 {
			t.Errorf("%s: %v", a.what, a.header)
		}
	}
	if got := audienceOf(t, b.tokens(ask()).text("access_token")); got != office {
		t.Errorf("aud %q", got)
	}
	host := strings.TrimPrefix(s.issuer, "https://")
	old := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", host, old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

// writeCertificate makes a certificate for 127.0.0.1 and gives the pool that trusts it.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{"cert.pem": certificate, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return pool
}

// F18, U19: passwords are slow to check on purpose, so a storm of logins is turned away and not queued without end.
func TestALoginStormIsTurnedAway(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	var browsers []*browser
	var forms []*answer
	for range 60 {
		b := s.browser(t)
		browsers, forms = append(browsers, b), append(forms, b.get("/ui/login").want(200))
	}
	var wait sync.WaitGroup
	answers := make([]*answer, len(forms))
	for i, page := range forms {
		wait.Go(func() {
			answers[i] = browsers[i].post("/ui/login", url.Values{"username": {fmt.Sprintf("nobody-%d", i)}, "password": {"guess"}, "form_token": {page.field("form_token")}})
		})
	}
	wait.Wait()
	for _, a := range answers {
		if a.status != 403 && a.status != 429 || a.status == 429 && a.header.Get("Retry-After") == "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
	s.browser(t).tokens(ask())
}
