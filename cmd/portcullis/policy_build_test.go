package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAFolderIsBuiltSignedAndServed: from the first line of an author to a server that follows the bundle.
func TestAFolderIsBuiltSignedAndServed(t *testing.T) {
	dir := t.TempDir()
	folder, name, key := filepath.Join(dir, "policy"), filepath.Join(dir, "policy.tar.gz"), filepath.Join(dir, "private.pem")
	p := newBundler(t)
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
	if code, _, stderr := command(t, "", "policy", "init", folder); code != 0 {
		t.Fatal(stderr)
	}
	build := func(code int, want string, more ...string) {
		t.Helper()
		got, stdout, stderr := command(t, "", append([]string{"policy", "build", folder, name}, more...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Fatalf("policy build %v: exit code %d, want %d and %q\n%s%s", more, got, code, want, stdout, stderr)
		}
	}
	build(0, ": revision 42, 5 files, 8 tests passed, signed\n", "--revision", "42", "--signing-key", key, "--signing-key-id", "k1")
	file := site(t, "policies: "+name+"\nbundle: {public_key_file: "+p.keyFile(t)+", key_id: k1}\n")
	serve(t, file)
	if begun := statusOf(t, file, "status"); begun.Origin != "bundle 42" || begun.Tests != 8 {
		t.Fatalf("%+v", begun)
	}
	config, err := os.ReadFile(filepath.Join(folder, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "config.yaml"), strings.Replace(string(config), "paying_tools: []", "paying_tools: [transfer]", 1), 0o600)
	build(0, "signed", "--signing-key", key, "--signing-key-id", "k1", "--signing-alg", "ES256") // a time is later than any number
	next := until(t, file, "the next bundle", func(s policyStatus) bool { return strings.HasPrefix(s.Origin, "bundle 20") && !s.Stale })
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	build(2, "must have a revision", "--revision", "v43")
	build(2, "for ES256, and not for the algorithm", "--signing-key", key, "--signing-alg", "HS256")
	build(2, "are about --signing-key", "--signing-key-id", "k1")
	write(t, filepath.Join(folder, "tools", "never_test.rego"), "package policy.tools.never_test\n\ntest_never if 1 == 2\n", 0o600)
	build(2, "test_never", "--signing-key", key)
	if code, _, stderr := command(t, "", "policy", "build", folder, filepath.Join(dir, "policy.zip")); code != 2 || !strings.Contains(stderr, "must end with .tar.gz") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	after, err := os.ReadFile(name)
	if entries, _ := os.ReadDir(dir); err != nil || string(after) != string(before) || len(entries) != 3 {
		t.Errorf("%v: the bundle was changed, or something lies beside it: %v", err, entries)
	}
	if err := os.Remove(filepath.Join(folder, "tools", "never_test.rego")); err != nil {
		t.Fatal(err)
	}
	build(0, "not signed")
	stays(t, file, "is not signed", next)
}
