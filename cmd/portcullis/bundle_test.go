package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// bundler signs policy bundles as opa sign does (package policies proves that by OPA itself).
type bundler struct{ key *ecdsa.PrivateKey }

func newBundler(t *testing.T) bundler {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return bundler{key}
}

// keyFile is a new file with the public key.
func (p bundler) keyFile(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "bundle.pem")
	write(t, name, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), 0o600)
	return name
}

// bundle is a signed bundle that denies one tool, with a test of its own.
func (p bundler) bundle(t *testing.T, revision, tool string) []byte {
	t.Helper()
	manifest, err := json.Marshal(map[string]any{"revision": revision, "roots": []string{"config", "policy"}})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		".manifest":       string(manifest),
		"data.json":       `{"config":{"quiet":"` + tool + `"}}`,
		"quiet.rego":      "package policy.tools.quiet\n\ndeny contains \"quiet\" if input.tool.name == data.config.quiet\n",
		"quiet_test.rego": "package policy.tools.quiet_test\n\nimport data.policy.tools.quiet\n\ntest_denied if quiet.deny with input as {\"tool\": {\"name\": data.config.quiet}}\n",
	}
	if tool == "" {
		files["quiet_test.rego"] += "\ntest_never if 1 == 2\n"
	}
	files[".signatures.json"] = `{"signatures":["` + p.signature(t, files) + `"]}`
	return archive(t, files)
}

// signature is over the digests of all files; those in JSON are compact and sorted already, which is what is digested of them.
func (p bundler) signature(t *testing.T, files map[string]string) string {
	t.Helper()
	var list []map[string]string
	for name, text := range files {
		digest := sha256.Sum256([]byte(text))
		list = append(list, map[string]string{"name": name, "hash": hex.EncodeToString(digest[:]), "algorithm": "SHA-256"})
	}
	payload, err := json.Marshal(map[string]any{"files": list})
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: "/" + name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// until asks for the status of a running server until it is as wanted.
func until(t *testing.T, file, what string, wanted func(policyStatus) bool) policyStatus {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(30 * time.Millisecond) {
		s := statusOf(t, file, "status")
		if wanted(s) {
			return s
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%s does not come: %+v", what, s)
		}
	}
}

// inForce waits for a bundle.
func inForce(t *testing.T, file, revision string) policyStatus {
	t.Helper()
	return until(t, file, "bundle "+revision, func(s policyStatus) bool { return s.Origin == "bundle "+revision && !s.Stale })
}

// stays waits until something is refused, and demands that what was in force stays.
func stays(t *testing.T, file, why string, before policyStatus) {
	t.Helper()
	s := until(t, file, why, func(s policyStatus) bool { return s.Stale && strings.Contains(s.Error, why) })
	if s.Revision != before.Revision || s.Origin != before.Origin || s.Bundle.Revision != before.Bundle.Revision {
		t.Errorf("%s: in force is %+v, and was %+v", why, s, before)
	}
}

// rowsOf counts rows of the audit that hold all the words.
func rowsOf(t *testing.T, file string, words ...string) int {
	t.Helper()
	_, trail, _ := command(t, "", "audit", "export", "--config", file)
	n := 0
	for line := range strings.Lines(trail) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}

// refusals demands so many rows about policies that were refused. A row is written after the status says so.
func refusals(t *testing.T, file string, want int) {
	t.Helper()
	for begin := time.Now(); rowsOf(t, file, `"policy.refused"`, `"failed"`) < want && time.Since(begin) < 10*time.Second; {
		time.Sleep(30 * time.Millisecond)
	}
	if n := rowsOf(t, file, `"policy.refused"`, `"failed"`); n != want {
		t.Errorf("%d refusals on record, want %d", n, want)
	}
}

// G7.
func TestABundleFileIsFollowed(t *testing.T) {
	p := newBundler(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "policy.tar.gz")
	put := func(archive []byte) { // as a careful program does it
		t.Helper()
		write(t, name+".new", string(archive), 0o600)
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	put(p.bundle(t, "7", "never"))
	file := site(t, "policies: "+name+"\nbundle: {public_key_file: "+p.keyFile(t)+", key_id: k1}\n")
	s := serve(t, file)
	begun := statusOf(t, file, "status")
	if begun.Origin != "bundle 7" || begun.Bundle == nil || begun.Bundle.Revision != "7" || begun.Bundle.Source != name || begun.Files != 3 || begun.Tests != 1 || begun.Stale {
		t.Fatalf("at the start: %+v", begun)
	}
	put(p.bundle(t, "8", "other"))
	if eight := inForce(t, file, "8"); eight.Revision == begun.Revision || strings.Join(eight.Changes.Changed, " ") != "config.json" {
		t.Errorf("%+v", eight)
	}
	write(t, name, string(p.bundle(t, "9", "other")), 0o600) // in its place, and with the same files
	nine := inForce(t, file, "9")
	put(p.bundle(t, "8", "other"))
	stays(t, file, "older than 9", nine)
	put(newBundler(t).bundle(t, "10", "other"))
	stays(t, file, "not of the key", nine)
	put(p.bundle(t, "10", ""))
	stays(t, file, "test_never", nine)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); !strings.Contains(readyz(t, s), `"stale":true`); time.Sleep(30 * time.Millisecond) { // the command line wants the file
		if time.Since(begin) > 20*time.Second {
			t.Fatal("nobody notices that the file is gone")
		}
	}
	put(p.bundle(t, "9", "other"))
	inForce(t, file, "9")
	refusals(t, file, 3)
	if n := rowsOf(t, file, `"policy.activated"`, `"origin":"bundle 9"`); n != 1 {
		t.Errorf("%d activations of bundle 9 on record", n)
	}
	if code, history, _ := command(t, "", "policy", "history", "--config", file); code != 0 || !strings.Contains(history, "  bundle 9\n") || !strings.Contains(history, "  bundle 7\n") {
		t.Errorf("history:\n%s", history)
	}
	if text := readyz(t, s); !strings.Contains(text, `"bundle":{"revision":"9"`) || strings.Contains(text, dir) {
		t.Errorf("/readyz says %s", text)
	}
}

func readyz(t *testing.T, s *serving) string {
	t.Helper()
	response, err := http.Get("http://" + s.admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestABundleBehindLinksIsFollowed: a mounted configuration map is changed by a link to another folder.
func TestABundleBehindLinksIsFollowed(t *testing.T) {
	p := newBundler(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "policy.tar.gz")
	mount := func(version string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, "..v"+version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "..v"+version, "policy.tar.gz"), string(p.bundle(t, version, "never")), 0o600)
		if err := os.Symlink("..v"+version, filepath.Join(dir, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("7")
	if err := os.Symlink(filepath.Join("..data", "policy.tar.gz"), name); err != nil {
		t.Fatal(err)
	}
	file := site(t, "policies: "+name+"\n")
	serve(t, file)
	inForce(t, file, "7")
	mount("8")
	inForce(t, file, "8")
	mount("9")
	inForce(t, file, "9")
}

// G7: an older bundle is refused, also after a restart; and then that one counts.
func TestAnOlderBundleIsTakenOnlyWhenTheOperatorSaysSo(t *testing.T) {
	p := newBundler(t)
	name := filepath.Join(t.TempDir(), "policy.tgz")
	file := site(t, "policies: "+name+"\nbundle: {public_key_file: "+p.keyFile(t)+"}\n")
	write(t, name, string(p.bundle(t, "2026-11-24T18:00:00Z", "never")), 0o600)
	serve(t, file).stop()
	write(t, name, string(p.bundle(t, "2026-11-24T17:59:59Z", "other")), 0o600)
	code, stderr := refusedToServe(t, file)
	if code != 78 || !strings.Contains(stderr, "2026-11-24T17:59:59Z, which is older than 2026-11-24T18:00:00Z") || !strings.Contains(stderr, "--allow-older-bundle") {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	s := serve(t, file, "--allow-older-bundle")
	older := inForce(t, file, "2026-11-24T17:59:59Z")
	write(t, name, string(p.bundle(t, "5", "third")), 0o600)
	stays(t, file, "older than 2026-11-24T17:59:59Z", older) // once is once
	s.stop()
	write(t, name, string(p.bundle(t, "2026-11-24T17:59:59Z", "other")), 0o600)
	serve(t, file)
}

// TestWhatWasActivatedByHandStaysBesideABundle until the operator follows the bundle again; the older bundle that it may be of counts for nothing.
func TestWhatWasActivatedByHandStaysBesideABundle(t *testing.T) {
	p := newBundler(t)
	name := filepath.Join(t.TempDir(), "policy.tar.gz")
	file := site(t, "policies: "+name+"\nbundle: {public_key_file: "+p.keyFile(t)+"}\n")
	write(t, name, string(p.bundle(t, "7", "never")), 0o600)
	s := serve(t, file)
	seven := statusOf(t, file, "status")
	write(t, name, string(p.bundle(t, "8", "other")), 0o600)
	inForce(t, file, "8")
	back := statusOf(t, file, "rollback")
	if back.Revision != seven.Revision || back.Origin != "rolled back to "+seven.Revision || back.Bundle.Revision != "" {
		t.Errorf("rolled back: %+v", back)
	}
	write(t, name, string(p.bundle(t, "9", "third")), 0o600)
	s.stop()
	serve(t, file)
	if again := statusOf(t, file, "status"); again.Revision != seven.Revision || again.Origin != back.Origin || again.Stale {
		t.Errorf("after a restart: %+v", again)
	}
	if followed := statusOf(t, file, "activate"); followed.Origin != "bundle 9" || followed.Bundle.Revision != "9" {
		t.Errorf("followed: %+v", followed)
	}
	write(t, name, string(p.bundle(t, "8", "other")), 0o600)
	stays(t, file, "older than 9", statusOf(t, file, "status"))
}

// refusedToServe is the exit code of a server that should not start; one that does is ended.
func refusedToServe(t *testing.T, file string) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var errs bytes.Buffer
	code = run(ctx, []string{"serve", "--config", file}, strings.NewReader(""), io.Discard, &errs)
	return code, errs.String()
}

func TestABundleIsCheckedAndTestedLikeAFolder(t *testing.T) {
	p := newBundler(t)
	name := filepath.Join(t.TempDir(), "policy.tar.gz")
	for _, tt := range []struct {
		bundle  []byte
		command string
		code    int
		want    string
	}{
		{p.bundle(t, "7", "never"), "check", 0, "3 files, 0 problems"},
		{p.bundle(t, "7", "never"), "test", 0, "1 passed, 0 failed"},
		{p.bundle(t, "7", ""), "test", 2, "test_never"},
		{p.bundle(t, "seven", "never"), "check", 2, "must have a revision that grows"},
		{[]byte("no archive"), "check", 2, "no .tar.gz archive"},
	} {
		write(t, name, string(tt.bundle), 0o600)
		if code, stdout, stderr := command(t, "", "policy", tt.command, name); code != tt.code || !strings.Contains(stdout, tt.want) {
			t.Errorf("policy %s: exit code %d, want %d and %q\n%s%s", tt.command, code, tt.code, tt.want, stdout, stderr)
		}
	}
}

func TestFaultsInTheConfigurationOfABundle(t *testing.T) {
	dir := t.TempDir()
	p := newBundler(t)
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	public, private, name := p.keyFile(t), filepath.Join(dir, "private.pem"), filepath.Join(dir, "b.tar.gz")
	write(t, private, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
	write(t, name, string(p.bundle(t, "7", "never")), 0o600)
	for _, tt := range []struct{ bundle, want string }{
		{"{key_id: k1}", "3:18 bundle.key_id needs bundle.public_key_file"},
		{"{public_key_file: " + private + "}", "3:27 bundle.public_key_file: " + private + " holds a private key; the server needs the public one only"},
		{"{public_key_file: " + name + "}", "3:27 bundle.public_key_file: " + name + " must hold one public key in PEM"},
		{"{public_key_file: nowhere.pem}", "3:27 bundle.public_key_file: "},
		{"{algorithm: HS256, public_key_file: " + public + "}", `3:21 bundle.algorithm: ` + public + ` holds a key for ES256, and not for the algorithm "HS256"`},
		{"{algorithm: none, public_key_file: " + public + "}", `3:21 bundle.algorithm: ` + public + ` holds a key for ES256, and not for the algorithm "none"`},
		{"{publickey: x}", `3:10 unknown key "publickey"`},
		{"{algorithm: ES256, key_id: k1, public_key_file: " + public + "}", ""},
	} {
		_, err := load(t, "issuer: https://auth.example.com\npolicies: "+name+"\nbundle: "+tt.bundle+"\n")
		if got := strings.Join(faults(err), "; "); tt.want == "" && err != nil || tt.want != "" && !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.bundle, got, tt.want)
		}
	}
}
