package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// X9: what is misspelled, contradicts itself or is unsafe is refused with its line, exit code 78 (DESIGN §9), and nothing has been made on disk.
func TestUnsafeConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range unsafeConfigurations() {
		t.Run("X9 "+name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "portcullis.yaml")
			writeFile(t, file, c.text+"\n")
			out, errs, code := runProgram(t, "", "serve", "--config", file)
			if code != 78 || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("exit %d %s%s, want 78 and %q", code, out, errs, c.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("it has left %v %v", left, err)
			}
		})
	}
	t.Run("X9 an unknown variable", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "portcullis.yaml")
		writeFile(t, file, "issuer: http://127.0.0.1:1\n")
		cmd := exec.Command(binary(), "serve", "--config", file)
		cmd.Env = append(os.Environ(), "PORTCULLIS_LISTEM=x")
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 78 || !strings.Contains(string(out), "PORTCULLIS_LISTEM") {
			t.Errorf("%v %s", err, out)
		}
	})
}

// refusedText is a configuration and what its refusal says.
type refusedText struct{ text, want string }

func unsafeConfigurations() map[string]refusedText {
	const head = "issuer: http://127.0.0.1:1\n"
	return map[string]refusedText{
		"an unknown key":                   {head + "lisen: 127.0.0.1:0", `:2:1: unknown key "lisen"; did you mean "listen"?`},
		"an unknown inner key":             {head + "tls: {crt: x.pem}", `unknown key "crt"; did you mean "cert"?`},
		"a key in another case":            {head + "Registration: {mode: open}", `unknown key "Registration"`},
		"a key twice":                      {head + "listen: 127.0.0.1:0\nlisten: 127.0.0.1:0", "a second time"},
		"development mode":                 {head + "dev: true", `unknown key "dev"`},
		"http on a name":                   {"issuer: http://auth.example.com", "issuer with http:// is for loopback only"},
		"http on an address":               {"issuer: http://10.0.0.1", "issuer with http:// is for loopback only"},
		"http on a name like loopback":     {"issuer: http://localhost.evil.example", "issuer with http:// is for loopback only"},
		"http on all addresses":            {"issuer: http://0.0.0.0:8080", "issuer with http:// is for loopback only"},
		"another scheme":                   {"issuer: ftp://127.0.0.1", "issuer must be a URL"},
		"user and password in the issuer":  {"issuer: http://a:b@127.0.0.1", "no user information"},
		"tls without key":                  {"issuer: https://127.0.0.1:1\ntls: {cert: portcullis.yaml}", "tls.cert needs tls.key"},
		"tls that is not there":            {"issuer: https://127.0.0.1:1\ntls: {cert: nowhere.pem, key: nowhere.pem}", "cannot be read"},
		"tls with http":                    {head + "tls: {cert: portcullis.yaml, key: portcullis.yaml}", "tls is set but issuer begins with http://"},
		"operator's pages in public":       {head + "listen: 127.0.0.1:1\nadmin_listen: 127.0.0.1:1", "listen and admin_listen must differ"},
		"tokens for ever":                  {head + "tokens: {access_ttl: 31m}", "tokens.access_ttl must be from 1m to 30m"},
		"reuse for ever":                   {head + "tokens: {reuse_grace: 2h}", "tokens.reuse_grace must be at most 1h"},
		"a deadline of an hour":            {head + "policy: {deadline: 1h}", "policy.deadline must be from 1ms to 10s"},
		"defaults that are nearly off":     {head + "policy: {defaults: off}", "policy.defaults must be one of on, none"},
		"registration with a typo":         {head + "registration: {mode: opne}", "registration.mode must be one of off, open, token"},
		"registration by a missing token":  {head + "registration: {mode: token}", "registration.mode token needs registration.token"},
		"a proxy that is anybody's name":   {head + "trusted_proxies: [proxy.example]", "must be an address or a block"},
		"a document from elsewhere":        {head + "cimd: {loopback_urls: ['https://evil.example/c.json']}", "on loopback"},
		"a scope that means everything":    {head + "resources: [{id: 'http://127.0.0.1:2/', name: x, scopes: [{name: admin, description: x}]}]", `scope "admin" says nothing`},
		"a redirect to a script":           {head + "clients: [{id: x, name: x, redirect_uris: ['javascript:alert(1)']}]", "this redirect URI cannot be used"},
		"a redirect to any path":           {head + "clients: [{id: x, name: x, redirect_uris: ['https://app.example/*']}]", "this redirect URI cannot be used"},
		"a password instead of its hash":   {head + "users: [{name: x, password_hash: swordfish}]", "password_hash"},
		"a confidential client, no secret": {head + "clients: [{id: x, name: x, redirect_uris: ['https://app.example/cb'], token_endpoint_auth_method: client_secret_basic}]", "secret"},
		"an unknown method":                {head + "clients: [{id: x, name: x, redirect_uris: ['https://app.example/cb'], token_endpoint_auth_method: tls_client_auth}]", "token_endpoint_auth_method"},
	}
}

// X8: files with secrets that others can reach are refused, with the command that mends it, and left as they are.
func TestFilesThatOthersCanReachAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	s.browser(t).tokens(ask())
	s.kill() // the write-ahead log stays
	at := func(name string) string { return filepath.Join(s.dir, name) }
	for _, name := range []string{"portcullis.db", "portcullis.db-wal", "portcullis.db-shm", "portcullis.key"} {
		for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660, 0o666, 0o601, 0o777} {
			t.Run(fmt.Sprintf("X8 %s %04o", name, mode), func(t *testing.T) {
				if err := os.Chmod(at(name), mode); err != nil {
					t.Fatal(err)
				}
				if _, errs, code := s.command("serve"); code != 78 || !strings.Contains(errs, "chmod 600") || !strings.Contains(errs, name) {
					t.Errorf("exit %d %s", code, errs)
				}
				if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != mode {
					t.Errorf("the mode was changed to %v %v", info.Mode(), err)
				}
				if err := os.Chmod(at(name), 0o600); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	s.run()
	s.browser(t).tokens(ask())
}

// X8: a database is a file, and whatever leads to it has one lock.
func TestLinksLeadToOneDatabase(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	at := func(name string) string { return filepath.Join(s.dir, name) }
	t.Run("X8 a folder in the database's place", func(t *testing.T) {
		if err := os.Mkdir(at("folder.db"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := s.command("serve", "--database", at("folder.db")); code != 78 || !strings.Contains(errs, "folder.db") {
			t.Errorf("exit %d %s", code, errs)
		}
	})
	t.Run("X8 a link to nowhere", func(t *testing.T) {
		if err := os.Symlink(at("nowhere"), at("link.db")); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := s.command("serve", "--database", at("link.db")); code != 78 || !strings.Contains(errs, "link.db") {
			t.Errorf("exit %d %s", code, errs)
		}
	})
	t.Run("X8 a link to a database in use", func(t *testing.T) {
		if err := os.Symlink(at("portcullis.db"), at("second.db")); err != nil {
			t.Fatal(err)
		}
		_, errs, code := s.command("serve", "--database", at("second.db"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
		if code != 1 || !strings.Contains(errs, "another server runs on") {
			t.Errorf("exit %d %s", code, errs)
		}
	})
	s.browser(t).tokens(ask())
}

// X8: whatever the umask is, everything that the server makes is its owner's alone.
func TestNewFilesAreTheOwnersAloneWhateverTheUmask(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Fatal("modes say nothing here")
	}
	s := prepare(t, "main.yaml", nil)
	s.wrap = []string{"sh", "-c", `umask 0 && exec "$@"`, "sh"}
	s.run()
	s.browser(t).tokens(ask())
	found := 0
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "policies" || e.Name() == "portcullis.yaml" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if found++; info.Mode().Perm()&0o077 != 0 {
			t.Errorf("X8: %s has mode %v", e.Name(), info.Mode())
		}
	}
	if found < 5 {
		t.Errorf("only %d files", found)
	}
}
