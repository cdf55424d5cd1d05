package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The issuer's address is fixed although the server listens on any port: the load dials where the server is and says the
// issuer's name in Host.
const (
	issuer     = "http://127.0.0.1:1"
	issuerHost = "127.0.0.1:1"
	resource   = "http://127.0.0.1:3001/mcp"
	password   = "correct horse battery staple"
	// cheapHash is an argon2id hash of password with the smallest parameters, for people whose login is not measured.
	cheapHash = "$argon2id$v=19$m=8,t=1,p=1$b25seSBmb3IgYSB0ZXN0Lg$m0zqEUGxZKiPkG25N2IAAhMd81sqryLj8jOW/cQLdXw"
	secret    = "office-secret-0123456789"
)

// settings are what measurements want different.
type settings struct {
	tools     int
	cache     int    // answers remembered; 0 = none
	record    string // of policy decisions
	accessTTL string
	hash      string // of everybody's password
	people    int
	policies  bool // with the author's policy
}

// standard is the server of most measurements: 1,000 tools, the shipped policies and an author's.
func standard() settings {
	return settings{tools: 1000, cache: 8192, record: "masked", accessTTL: "30m", hash: cheapHash, people: people, policies: true}
}

// site is one Portcullis: folder, configuration, database, process.
type site struct {
	settings
	dir     string
	address string // of the public listener
	admin   string
	process *process
}

// newSite writes the configuration and starts nothing.
func (b *bench) newSite(name string, s settings) (*site, error) {
	x := &site{settings: s, dir: filepath.Join(b.dir, name)}
	if err := os.MkdirAll(filepath.Join(x.dir, "policy", "tools"), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(x.path("portcullis.yaml"), []byte(s.yaml()), 0o600); err != nil {
		return nil, err
	}
	if !s.policies {
		return x, nil
	}
	config, err := json.Marshal(companyConfig())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(x.path("policy/config.json"), config, 0o600); err != nil {
		return nil, err
	}
	return x, os.CopyFS(x.path("policy/tools"), os.DirFS(filepath.Join(b.source, "policy/tools")))
}

func (x *site) path(name string) string { return filepath.Join(x.dir, name) }

// start runs the server until /readyz says so, and tells how long that took.
func (b *bench) start(x *site) (took time.Duration, err error) {
	if x.process, err = launch(x.dir, "portcullis", nil, b.program, "serve", "--config", x.path("portcullis.yaml")); err != nil {
		return 0, err
	}
	b.onExit(x.process.stop)
	err = x.process.until("it was ready", func() bool {
		text, err := os.ReadFile(x.process.log)
		if err != nil {
			return false
		}
		found := regexp.MustCompile(`listening on ([^,]+), admin http://([^,]+),`).FindSubmatch(text)
		if found == nil {
			return false
		}
		x.address, x.admin = string(found[1]), string(found[2])
		answer, err := http.Get("http://" + x.admin + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return time.Since(x.process.began), err
}

// serve makes a site and starts it.
func (b *bench) serve(name string, s settings) (*site, error) {
	x, err := b.newSite(name, s)
	if err != nil {
		return nil, err
	}
	_, err = b.start(x)
	return x, err
}

func (x *site) target() target { return target{x.address, x.process.pid()} }

// metric is the sum of all series of a name whose labels contain a text.
func (x *site) metric(name, label string) (sum float64, err error) {
	answer, err := http.Get("http://" + x.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	seen := false
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, name) && strings.Contains(line, label) {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return 0, err
			}
			sum, seen = sum+v, true
		}
	}
	if !seen {
		return 0, fmt.Errorf("/metrics shows no %s", name)
	}
	return sum, nil
}

// sql asks the database with the sqlite3 program, beside the server or without it.
func (x *site) sql(script string) (string, error) {
	cmd := exec.Command("sqlite3", "-batch", x.path("portcullis.db"))
	cmd.Stdin = strings.NewReader(".timeout 10000\n" + script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("sqlite3: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// auditRows counts the rows of a type.
func (x *site) auditRows(kind string) (int, error) {
	out, err := x.sql("SELECT count(*) FROM audit WHERE type = '" + kind + "';")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// yaml is the configuration. The proxy is trusted so that every person can come from an address of their own: authorization
// requests are limited per address.
func (s settings) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, `issuer: %s
listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
trusted_proxies: ["127.0.0.1"]
tokens: {access_ttl: %s}
policy: {deadline: 5s, cache: %d, record: %s}
`, issuer, s.accessTTL, s.cache, s.record)
	if s.policies {
		b.WriteString("policies: policy\n")
	}
	fmt.Fprintf(&b, `resources:
  - id: %s
    key: office
    name: Office
    secret: %s
    scopes:
      - {name: "tools:read", description: Read}
      - {name: "tools:write", description: Write}
      - {name: "tools:pay", description: Pay}
      - {name: "tools:admin", description: Administer}
    baseline_scopes: ["tools:read"]
    tools:
`, resource, secret)
	for i := range s.tools {
		t := toolOf(i)
		fmt.Fprintf(&b, `      - name: %s
        title: Tool %d
        description: Does something to one of the company's systems and returns what came of it.
        scopes: ["%s"]
        annotations: {readOnlyHint: %v, destructiveHint: %v}
        inputSchema: {type: object, properties: {tenant: {type: string}, amount: {type: number}, currency: {type: string}, note: {type: string}}, required: [tenant, amount, currency]}
`, t.name, i, t.scope, t.readOnly, t.destructive)
	}
	b.WriteString("clients:\n  - {id: cli, name: Command line, redirect_uris: [\"http://127.0.0.1/cb\"], token_endpoint_auth_method: none}\nusers:\n")
	for i := range s.people {
		fmt.Fprintf(&b, "  - {name: p%d, password_hash: \"%s\", groups: [%s]}\n", i, s.hash, strings.Join(groupsOf(i), ", "))
	}
	return b.String()
}
