package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const readToken = "3f2b8c1d9e0a4756b1c2d3e4f5a69788"

func TestABundleTokenThatCanBeGuessedIsRefusedWithItsLine(t *testing.T) {
	for name, tt := range map[string]struct{ token, want string }{
		"short":          {readToken[1:] + "\n", "holds 31 characters, and the token needs at least 32"},
		"empty":          {"", "holds 0 characters"},
		"one letter":     {strings.Repeat("a", 64), "holds only 1 different characters"},
		"a short period": {strings.Repeat("secret", 8), "holds only 5 different characters"},
		"long":           {strings.Repeat(readToken, 33), "has at most 1024"},
		"two lines":      {readToken + "\n" + readToken + "\n", "holds more than one line"},
		"blanks":         {"correct horse battery staple and more", "without blanks"},
	} {
		file := filepath.Join(t.TempDir(), "token")
		write(t, file, tt.token, 0o600)
		_, err := load(t, "issuer: https://auth.example.com\nadmin_bundle_token_file: "+file+"\n")
		if got := faults(err); len(got) != 1 || !strings.HasPrefix(got[0], "2:26 admin_bundle_token_file: ") || !strings.Contains(got[0], tt.want) {
			t.Errorf("%s: %q", name, got)
		} else if len(tt.token) > 8 && strings.Contains(err.Error(), tt.token[:8]) {
			t.Errorf("%s: the token is in the message", name)
		}
	}
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, readToken+"\n", 0o644)
	for where, want := range map[string]string{file: "so others can reach it; run: chmod 600", file + ".none": "no such file", filepath.Dir(file): "is not a regular file"} {
		_, err := load(t, "issuer: https://auth.example.com\nadmin_bundle_token_file: "+where+"\n")
		if got := faults(err); len(got) != 1 || !strings.HasPrefix(got[0], "2:26 ") || !strings.Contains(got[0], want) {
			t.Errorf("%s: %q", where, got)
		}
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	for listen, warnings := range map[string]int{"127.0.0.1:9090": 0, "0.0.0.0:9090": 1} {
		c, err := load(t, "issuer: https://auth.example.com\nadmin_listen: "+listen+"\nadmin_bundle_token_file: "+file+"\n")
		if err != nil || len(c.warnings) != warnings {
			t.Errorf("%s: %v %q", listen, err, c.warnings)
		}
	}
}

// fetched is one answer of the bundle route.
type fetched struct {
	status int
	header http.Header
	body   []byte
}

func fetchBundle(t *testing.T, s *serving, headers ...string) fetched {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin+"/bundles/active.tar.gz", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fetched{response.StatusCode, response.Header, body}
}

// TestTheAdminListenerServesThePoliciesInForce: with the token, by their tag, and other ones as soon as others are in force.
func TestTheAdminListenerServesThePoliciesInForce(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, readToken+"\n", 0o600)
	folder := denyTool(t, t.TempDir(), "never")
	file := site(t, "policies: "+folder+"\nadmin_bundle_token_file: "+token+"\n")
	s := serve(t, file)
	bearer := []string{"Authorization", "Bearer " + readToken}
	first := fetchBundle(t, s, bearer...)
	begun := statusOf(t, file, "status")
	tag := first.header.Get("ETag")
	if first.status != 200 || !bytes.HasPrefix(first.body, []byte{0x1f, 0x8b}) || !strings.HasPrefix(tag, `"`+begun.Revision+"-") {
		t.Fatalf("%d %v", first.status, first.header)
	}
	if same := fetchBundle(t, s, append(bearer, "If-None-Match", tag)...); same.status != 304 || len(same.body) != 0 {
		t.Errorf("asked again: %d", same.status)
	}
	for _, other := range [][]string{nil, {"Authorization", "Bearer " + readToken[:31]}, {"Authorization", "Bearer " + strings.ToUpper(readToken)}} {
		if a := fetchBundle(t, s, append(other, "If-None-Match", tag)...); a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: %d", other, a.status)
		}
	}
	other := statusOf(t, file, "activate", denyTool(t, t.TempDir(), "other"))
	next := fetchBundle(t, s, append(bearer, "If-None-Match", tag)...)
	if next.status != 200 || !strings.HasPrefix(next.header.Get("ETag"), `"`+other.Revision+"-") || bytes.Equal(next.body, first.body) {
		t.Errorf("after other policies: %d %v", next.status, next.header)
	}
	if back := statusOf(t, file, "rollback"); back.Revision != begun.Revision {
		t.Fatalf("%+v", back)
	}
	if again := fetchBundle(t, s, bearer...); again.header.Get("ETag") != tag || !bytes.Equal(again.body, first.body) {
		t.Errorf("the same policies make other bytes: %v", again.header)
	}
	if strings.Contains(s.stderr.String(), readToken) {
		t.Error("the token is in the log")
	}
}

func TestWithoutATokenNoPoliciesAreServed(t *testing.T) {
	s := serve(t, site(t, ""))
	if a := fetchBundle(t, s, "Authorization", "Bearer "+readToken); a.status != 404 {
		t.Errorf("%d", a.status)
	}
}
