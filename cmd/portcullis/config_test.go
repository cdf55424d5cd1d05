package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// load writes a configuration file into a new folder and loads it.
func load(t *testing.T, text string, environ ...string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "portcullis.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadConfig(file, environ, nil)
}

// faults are the problems as "line:col message".
func faults(err error) []string {
	var e *configError
	if !errors.As(err, &e) {
		return nil
	}
	var out []string
	for _, p := range e.problems {
		head := fmt.Sprintf("%d:%d ", p.at.line, p.at.col)
		if p.at.outside != "" {
			head = p.at.outside + " "
		}
		out = append(out, head+p.message)
	}
	return out
}

const tenFaults = `issuer: http://auth.example.com
listn: 127.0.0.1:8080
policy: {deadline: soon, defaults: on}
resources:
  - id: https://mcp.example.com/mcp
    key: one
    name: One
    secret: swordfish
    scopes:
      - {name: admin, description: Everything}
      - {name: "tools:notes.read", description: Read notes}
    tools:
      - {name: read, scopes: ["tools:notes.raed"]}
      - name: write
        inputSchema:
          type: object
          properties: {a: {$ref: "https://evil.example/schema.json"}}
  - id: https://mcp.example.com/mcp/
    key: two
    name: Two
clients:
  - id: web
    name: Web app
    redirect_uris: ["http://app.example/cb"]
  - id: cli
    redirect_uris: ["http://127.0.0.1/callback"]
tokens: {access_ttl: 2h}
`

func TestTenFaultsAreTenMessagesInLineOrder(t *testing.T) {
	_, err := load(t, tenFaults)
	want := []string{
		"1:9 issuer with http:// is for loopback only",
		`2:1 unknown key "listn"; did you mean "listen"?`,
		`3:20 policy.deadline must be a duration`,
		`10:16 scope "admin" says nothing`,
		`13:31 the scope "tools:notes.raed" is not in the catalogue of this resource; did you mean "tools:notes.read"?`,
		`17:34 the schema refers to "https://evil.example/schema.json"`,
		`18:9 resources[1].id is the same resource as resources[0].id`,
		`24:21 this redirect URI cannot be used: http is allowed only to 127.0.0.1`,
		`25:5 clients[1].name is missing`,
		`27:22 tokens.access_ttl must be from 1m to 30m`,
	}
	got := faults(err)
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("too many: %s", got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("message %d:\n got %s\nwant %s", i+1, got[i], want[i])
		}
	}
	text := err.Error()
	if n := len(regexp.MustCompile(`(?m)^.*portcullis\.yaml:\d+:\d+: `).FindAllString(text, -1)); n != 10 {
		t.Errorf("%d messages with a place, want 10:\n%s", n, text)
	}
	if n := len(regexp.MustCompile(`(?m)^ +\|  +\^$`).FindAllString(text, -1)); n != 9 { // the caret of line 2 stands in column 1
		t.Errorf("%d indented carets, want 9:\n%s", n, text)
	}
	if strings.Contains(text, "swordfish") {
		t.Error("a secret is in the messages")
	}
}

func TestOneFaultIsOneMessage(t *testing.T) {
	const head = "issuer: https://auth.example.com\n"
	resource := func(rest string) string {
		return head + "resources:\n  - id: https://mcp.example.com/mcp\n    name: One\n" + rest
	}
	tests := []struct{ name, text, want string }{
		{"no issuer", "listen: 127.0.0.1:1\n", "1:1 issuer is missing"},
		{"an empty file", "", "1:1 issuer is missing"},
		{"only a comment", "# nothing\n", "1:1 issuer is missing"},
		{"issuer with a slash at the end", "issuer: https://auth.example.com/\n", "1:9 issuer must not end with a slash; write https://auth.example.com"},
		{"issuer with a query", "issuer: https://auth.example.com?a=b\n", "1:9 issuer must have no user information, query or fragment"},
		{"issuer that is no URL", "issuer: auth.example.com\n", "1:9 issuer must be a URL"},
		{"issuer in capitals", "issuer: https://Auth.example.com\n", "1:9 issuer must be in its plain spelling"},
		{"issuer that is a number", "issuer: 12\n", "1:9 issuer must be text, this is a number; put it into quotes"},
		{"broken YAML", "issuer: [\n", "1:"},
		{"a list instead of a mapping", "- a\n", "1:1 the file must hold keys"},
		{"a key twice", head + "issuer: https://b.example\n", "2:1 the key \"issuer\" stands here a second time"},
		{"an anchor", "issuer: &a https://auth.example.com\n", "1:9 YAML anchors"},
		{"a second document", head + "---\nlisten: 127.0.0.1:1\n", "3:"},
		{"a scalar where a mapping belongs", head + "tls: yes please\n", "2:6 tls must be a mapping with the keys cert, key"},
		{"a scalar where a list belongs", head + "hosts: a.example\n", "2:8 hosts must be a list, this is text; put it into brackets"},
		{"an empty list entry", head + "hosts: [a.example, ]\nclients: [~]\n", "3:11 clients[0] is empty"},
		{"a key that is nothing like any other", head + "database_pool_size_limit: 3\n", "2:1 unknown key \"database_pool_size_limit\"; the keys here are issuer, listen"},
		{"a bad listen address", head + "listen: 8080\n", "2:9 listen must be text, this is a number"},
		{"a listen address without port", head + "listen: localhost\n", "2:9 listen must be an address with a port"},
		{"both listeners the same", head + "listen: 127.0.0.1:1\nadmin_listen: 127.0.0.1:1\n", "3:15 listen and admin_listen must differ"},
		{"tls without key", head + "tls: {cert: portcullis.yaml}\n", "2:13 tls.cert needs tls.key"},
		{"misspelled tls key", head + "tls: {crt: a.pem}\n", "2:7 unknown key \"crt\"; did you mean \"cert\"?"},
		{"policies that are not there", head + "policies: ./nowhere\n", "2:11 policies: "},
		{"another kind of database", head + "database: postgres://db.example/portcullis\n", "2:11 database must be the path of a SQLite file"},
		{"a file in the place of the policies", head + "policies: portcullis.yaml\n", "2:11 policies: "},
		{"a bundle that is not there", head + "policies: nowhere.tar.gz\n", "2:11 policies: "},
		{"a key for bundles without a bundle", head + "bundle: {key_id: k1}\n", "2:18 bundle.key_id has no use while policies is no bundle"},
		{"a duration without unit", head + "tokens: {reuse_grace: 5}\n", "2:23 tokens.reuse_grace must be a duration"},
		{"a negative duration", head + "tokens: {reuse_grace: -5m}\n", "2:23 tokens.reuse_grace must not be negative"},
		{"a cache of less than nothing", head + "policy: {cache: -1}\n", "2:17 policy.cache must be from 0 (nothing is remembered) to 1000000 answers"},
		{"an unknown way of recording", head + "policy: {record: all}\n", "2:18 policy.record must be one of off, masked, values"},
		{"records that go at once", head + "policy: {record_keep: 1s}\n", "2:23 policy.record_keep must be from 1m to 8784h"},
		{"no room for the policies in force", head + "policy: {generations: 0}\n", "2:23 policy.generations must be from 1 to 1000"},
		{"no room for records", head + "policy: {record_max: 0}\n", "2:22 policy.record_max must be from 1 to 100000000"},
		{"access_ttl too short", head + "tokens: {access_ttl: 59s}\n", "2:22 tokens.access_ttl must be from 1m to 30m"},
		{"absolute shorter than idle", head + "tokens: {refresh_idle: 2h, refresh_absolute: 1h}\n", "2:46 tokens.refresh_absolute"},
		{"an unknown registration mode", head + "registration: {mode: closed}\n", "2:22 registration.mode must be one of off, open, token"},
		{"token mode without token", head + "registration: {mode: token}\n", "2:22 registration.mode token needs registration.token"},
		{"a proxy that is no address", head + "trusted_proxies: [proxy.example]\n", "2:19 trusted_proxies[0] must be an address or a block"},
		{"a loopback document elsewhere", head + "cimd: {loopback_urls: [\"https://example.com/a\"]}\n", "2:24 cimd.loopback_urls[0] must be"},
		{"a resource without name", head + "resources:\n  - id: https://mcp.example.com/mcp\n", "3:5 resources[0].name is missing"},
		{"a resource id with fragment", head + "resources:\n  - {id: \"https://m.example/#a\", name: One}\n", "3:10 resource "},
		{"a key of two resources", resource("    key: k\n  - {id: \"https://b.example\", name: Two, key: k}\n"), "6:47 the key \"k\" belongs to resources[0]"},
		{"keys made from equal names", resource("  - {id: \"https://b.example\", name: One}\n"), "5:6 the key \"one\" belongs to resources[0]"},
		{"a scope without description", resource("    scopes: [{name: \"a:b\"}]\n    tools: [{name: t, scopes: [\"a:b\"]}]\n"), "5:15 resources[0].scopes[0].description is missing"},
		{"a misspelled scopes key", resource("    scope: [{name: \"a:b\", description: x}]\n    tools: [{name: t, scopes: [\"a:b\"]}]\n"), "5:5 unknown key \"scope\"; did you mean \"scopes\"?"},
		{"a misspelled name of a scope", resource("    scopes: [{nmae: \"a:b\", description: x}]\n    baseline_scopes: [\"a:b\"]\n"), "5:15 unknown key \"nmae\"; did you mean \"name\"?"},
		{"a baseline scope that is not catalogued", resource("    baseline_scopes: [\"a:b\"]\n"), "5:23 the scope \"a:b\" is not in the catalogue"},
		{"offline_access in the catalogue", resource("    scopes: [{name: offline_access, description: x}]\n"), "5:21 scope \"offline_access\" is a protocol scope"},
		{"a tool twice", resource("    tools: [{name: t}, {name: t}]\n"), "5:31 the tool \"t\" stands at resources[0].tools[0]"},
		{"a hint that is no boolean", resource("    tools: [{name: t, annotations: {readOnlyHint: 1}}]\n"), "5:51 resources[0].tools[0].annotations.readOnlyHint must be true or false"},
		{"a schema that is none", resource("    tools: [{name: t, inputSchema: {type: strnig}}]\n"), "5:37 inputSchema: "},
		{"a client without redirect", head + "clients:\n  - {id: a, name: A}\n", "3:6 clients[0].redirect_uris is missing"},
		{"a client twice", head + "clients:\n  - {id: a, name: A, redirect_uris: [\"https://a.example\"]}\n  - {id: a, name: B, redirect_uris: [\"https://a.example\"]}\n", "4:10 the client id \"a\" stands at clients[0].id"},
		{"a javascript redirect", head + "clients:\n  - {id: a, name: A, redirect_uris: [\"javascript:alert(1)\"]}\n", "3:38 this redirect URI cannot be used: the scheme \"javascript\" is never allowed"},
		{"a secret method without secret", head + "clients:\n  - {id: a, name: A, redirect_uris: [\"https://a.example\"], token_endpoint_auth_method: client_secret_post}\n", "3:88 client_secret_post needs a secret"},
		{"a misspelled secret", head + "clients:\n  - {id: a, name: A, redirect_uris: [\"https://a.example\"], secert: hunter2, token_endpoint_auth_method: client_secret_post}\n", "3:60 unknown key \"secert\"; did you mean \"secret\"?"},
		{"a public client with secret", head + "clients:\n  - {id: a, name: A, redirect_uris: [\"https://a.example\"], token_endpoint_auth_method: none, secret: hunter2}\n", "3:102 a client with token_endpoint_auth_method: none has no secret"},
		{"a password in the clear", head + "users:\n  - {name: alice, password: hunter2}\n", "3:19 unknown key \"password\"; did you mean \"password_hash\"?"},
		{"a hash that is none", head + "users:\n  - {name: alice, password_hash: hunter2}\n", "3:34 users[0].password_hash must be what portcullis user hash prints"},
		{"one user in two spellings", head + "users:\n  - {name: alice, password_hash: \"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNo\"}\n  - {name: Alice, password_hash: \"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNo\"}\n", "4:12 the user \"Alice\" stands at users[0].name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text)
			got := faults(err)
			if len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
				t.Errorf("got %d messages, want one\n got %s\nwant %s", len(got), strings.Join(got, "\n     "), tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is in the message:\n%s", err)
			}
		})
	}
}

func TestSecretsStayOutOfBrokenFiles(t *testing.T) {
	for _, text := range []string{
		"issuer: https://a.example\nclients:\n  - {id: web, secret: swordfish, redirect_uris: [}\n",
		"- {secret: swordfish}\n",
		"issuer: https://a.example\nclients: [{id: web, name: W, secret: swordfish, redirect_uris: [\"ftp//x\"]}]\n",
		"issuer: https://a.example\nclients: [{id: web, name: W, secret: [swordfish], redirect_uris: [\"https://a.example\"]}]\n",
	} {
		_, err := load(t, text)
		if err == nil {
			t.Errorf("%q was accepted", text)
		} else if strings.Contains(err.Error(), "swordfish") {
			t.Errorf("the secret is in the message:\n%s", err)
		}
	}
}

func TestEnvironmentAndFlagsLieOverTheFile(t *testing.T) {
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "portcullis.yaml")
	text := "issuer: https://a.example\nlisten: 127.0.0.1:1\nresources:\n  - {id: \"https://m.example\", name: M, secret: one}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(file, []string{
		"PORTCULLIS_TOKENS__ACCESS_TTL=5m",
		"PORTCULLIS_LISTEN=127.0.0.1:2",
		"PORTCULLIS_HOSTS=a.example, b.example",
		"PORTCULLIS_RESOURCES__0__SECRET_FILE=" + secretFile,
		"PORTCULLIS_SERVER_KEY_FILE=/keys/server",
		"PORTCULLIS_CIMD__MAX_BYTES=2048",
		"PORTCULLIS_CONFIG=ignored",
		"OTHER=1",
	}, map[string]string{"listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name      string
		got, want any
	}{
		{"duration from the environment", c.Tokens.AccessTTL, 5 * time.Minute},
		{"flag over environment", c.Listen, "127.0.0.1:3"},
		{"list from the environment", strings.Join(c.Hosts, "|"), "a.example|b.example"},
		{"secret from a file", string(c.Resources[0].Secret), "from a file"},
		{"a key that ends with _file by itself", string(c.ServerKeyFile), "/keys/server"},
		{"number from the environment", c.CIMD.MaxBytes, int64(2048)},
		{"default beside the file", string(c.Database), filepath.Join(dir, "portcullis.db")},
		{"key made from the name", c.Resources[0].Key, "m"},
	} {
		if row.got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, row.got, row.want)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c.Resources[0].Secret); strings.Contains(s, "from a file") {
		t.Error("printing the configuration shows a secret")
	}
}

func TestFaultsOfTheEnvironmentNameTheVariable(t *testing.T) {
	tests := []struct{ variable, want string }{
		{"PORTCULLIS_ISUER=x", "environment variable PORTCULLIS_ISUER there is no such setting; did you mean PORTCULLIS_ISSUER?"},
		{"PORTCULLIS_TOKENS_ACCESS_TTL=5m", "environment variable PORTCULLIS_TOKENS_ACCESS_TTL there is no such setting; did you mean PORTCULLIS_TOKENS__ACCESS_TTL?"},
		{"PORTCULLIS_TOKENS__ACCESS_TTL=5", "environment variable PORTCULLIS_TOKENS__ACCESS_TTL tokens.access_ttl must be a duration"},
		{"PORTCULLIS_REGISTRATION__TOKEN_FILE=/nowhere/token", "environment variable PORTCULLIS_REGISTRATION__TOKEN_FILE the file /nowhere/token cannot be read"},
		{"PORTCULLIS_TLS=x", "environment variable PORTCULLIS_TLS there is no such setting"},
	}
	for _, tt := range tests {
		_, err := load(t, "issuer: https://a.example\n", tt.variable)
		if got := faults(err); len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.variable, got, tt.want)
		}
	}
}

func TestTheConfigurationOfTheDesignIsAccepted(t *testing.T) {
	c, err := load(t, `
issuer: http://127.0.0.1:8080
listen: 127.0.0.1:8080
hosts: []
tls: {cert: "", key: ""}
admin_listen: 127.0.0.1:9090
admin_socket: portcullis.sock
database: portcullis.db
server_key_file: portcullis.key
policies: .
policy: {deadline: 50ms, defaults: on}
resources:
  - id: http://127.0.0.1:3001/mcp
    key: everything
    name: Everything server
    secret: a-secret-of-this-resource
    upstream: http://127.0.0.1:3002/mcp
    scopes: [{name: "mcp:exec:functions.echo", description: "Call the echo tool"}]
    baseline_scopes: ["mcp:exec:functions.echo"]
    tools:  [{name: echo, title: Echo, description: Echoes, scopes: ["mcp:exec:functions.echo"], annotations: {readOnlyHint: true}, inputSchema: {type: object, properties: {n: {maximum: 100}}}}]
clients:
  - {id: demo-cli, name: Demo CLI, redirect_uris: ["http://127.0.0.1/callback"], token_endpoint_auth_method: none}
  - {id: web, name: Web app, redirect_uris: ["https://app.example/cb"], token_endpoint_auth_method: client_secret_basic, secret: b-secret}
users:
  - {name: alice, password_hash: "$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo", groups: [staff]}
cimd: {ca_file: "", loopback_urls: [], max_bytes: 65536}
registration: {mode: off}
tokens: {access_ttl: 10m, refresh_idle: 720h, refresh_absolute: 2160h, reuse_grace: 5m}
`)
	if err != nil {
		t.Fatal(err)
	}
	if hint := c.Resources[0].Tools[0].Annotations.ReadOnlyHint; hint == nil || !*hint {
		t.Error("the annotation was lost")
	}
	schema := fmt.Sprintf("%#v", c.Resources[0].Tools[0].InputSchema)
	if !strings.Contains(schema, `"maximum":"100"`) {
		t.Errorf("the schema's number is not exact: %s", schema)
	}
	if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "resources[0].upstream has no effect") {
		t.Errorf("warnings: %q", c.warnings)
	}
}

// X1: behind this machine and the trusted proxies there are many; everybody else has a share of the connections.
func TestWhoHasNoShareOfTheConnections(t *testing.T) {
	c := Config{TrustedProxies: []string{"10.0.0.0/8", "192.0.2.7", "2001:db8::7"}}
	for address, many := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true, "10.1.2.3": true, "192.0.2.7": true, "2001:db8::7": true,
		"192.0.2.8": false, "2001:db8::8": false, "11.0.0.1": false} {
		if got := slices.ContainsFunc(c.manyBehind(), func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(address)) }); got != many {
			t.Errorf("%s: %v", address, got)
		}
	}
}
