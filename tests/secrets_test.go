package tests

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	initialToken   = "initial-registration-token-5c1d"
	previousSecret = "office-previous-secret-77aa"
)

// everySecret does everything that issues, takes or is told a secret, and returns all of them by name.
func (s *server) everySecret() map[string]string {
	s.t.Helper()
	b := s.browser(s.t)
	q := ask()
	page, path := b.consentPage(q)
	secrets := map[string]string{"form token": page.field("form_token"), "login token": b.get(path + "/switch").want(200).field("form_token"), "password": password, "state": q.state, "verifier": q.verifier,
		"resource secret": officeSecret, "previous resource secret": previousSecret, "other resource secret": notesSecret, "client secret": webSecret, "posted client secret": postSecret, "registration token": initialToken}
	home, err := url.Parse(s.issuer + "/ui/")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(home) {
		secrets["cookie "+c.Name] = c.Value
	}
	secrets["code"] = b.answer(page, path, "allow", scopeCalendar).want(303).location().Query().Get("code")
	tokens := b.post("/token", q.redemption(secrets["code"])).want(200)
	next := b.refresh("cli", tokens.text("refresh_token")).want(200)
	b.refresh("cli", tokens.text("refresh_token")).want(200) // the successor was kept, sealed
	b.decide(tokens.text("access_token"), "calendar_list", `{"day":"canary-argument-value"}`).wantDecision(true, "allowed")
	b.decide(tokens.text("access_token"), "calendar_list", `{"day":5,"more":"canary-refused-argument"}`).wantDecision(false, "arguments_invalid")
	b.evaluate(`{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"transfer"},"context":{"access_token":"` + next.text("access_token") + `","canary":"canary-context-value"}}`).want(200)
	registered := b.register(`{"client_name":"x","redirect_uris":["https://x.example/cb"]}`, "Authorization", "Bearer "+initialToken).want(201)
	for name, value := range map[string]string{"access token": tokens.text("access_token"), "second access token": next.text("access_token"), "refresh token": tokens.text("refresh_token"),
		"second refresh token": next.text("refresh_token"), "argument value": "canary-argument-value", "refused argument": "canary-refused-argument", "context value": "canary-context-value", "registered secret": registered.text("client_secret")} {
		secrets[name] = value
	}
	for name, value := range s.wrongSecrets(b, q) {
		secrets[name] = value
	}
	b.post("/revoke", url.Values{"client_id": {"cli"}, "token": {next.text("refresh_token")}}).want(200)
	return secrets
}

// wrongSecrets are told to the server where they do not belong or do not fit: they may be good ones elsewhere.
func (s *server) wrongSecrets(b *browser, q request) map[string]string {
	b.post("/token", q.redemption("canary-wrong-code-000000000"), "Authorization", basic("web", "canary-wrong-secret-0000")).want(400)
	b.post("/introspect", url.Values{"token": {"canary-wrong-token-00000000"}}, "Authorization", basic(officeKey, "canary-wrong-secret-1111")).want(401)
	b.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"canary-wrong-refresh-00"}, "client_id": {"cli"}}).want(400)
	b.post("/token?client_secret=canary-in-the-url", q.redemption("x")).want(400)
	b.get("/ui/nothing/canary-in-the-path?x=canary-in-the-query").want(404)
	b.do(http.MethodGet, "/ui/account", "", http.Header{"Cookie": {"portcullis_session=canary-wrong-session-0000"}}).want(303)
	b.register(`{}`, "Authorization", "Bearer canary-wrong-registration").want(401)
	stranger := s.browser(s.t)
	for _, typed := range [][2]string{{"alice", "canary-wrong-password"}, {"canary-password-as-name", "x"}} {
		form := stranger.get("/ui/login").want(200)
		stranger.post("/ui/login", url.Values{"username": {typed[0]}, "password": {typed[1]}, "form_token": {form.field("form_token")}}).want(403)
	}
	canaries := map[string]string{}
	for _, value := range []string{"canary-wrong-code", "canary-wrong-secret", "canary-wrong-token", "canary-wrong-refresh", "canary-in-the-url", "canary-in-the-path", "canary-in-the-query", "canary-wrong-session", "canary-wrong-registration",
		"canary-wrong-password", "canary-password-as-name"} {
		canaries[value] = value
	}
	return canaries
}

// C12, U16, X5, X7: after everything that can be issued was issued, none of it can be read in the log, the audit, the database, its write-ahead log
// or its index: not while the server runs, not after it was killed, not after it has ended.
func TestNoSecretIsLeftBehind(t *testing.T) {
	t.Parallel()
	s := prepare(t, "main.yaml", map[string]string{"more": "registration: {mode: token, token: " + initialToken + "}"})
	s.editConfig(func(text string) string {
		return strings.Replace(text, "secret: office-secret-9f2c", "secret: office-secret-9f2c\n    previous_secret: "+previousSecret, 1)
	})
	s.run()
	secrets := s.everySecret()
	key, err := os.ReadFile(filepath.Join(s.dir, "portcullis.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["server key"], secrets["server key in hex"], secrets["server key in base64"] = string(key), hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key)
	secrets["a private key in PEM"], secrets["a private key in JSON"] = "PRIVATE KEY-----", `"d":"`
	s.wantAbsent(t, "while it runs", secrets, "portcullis.db", "portcullis.db-wal")
	s.kill()
	s.wantAbsent(t, "after it was killed", secrets, "portcullis.db", "portcullis.db-wal")
	s.run()
	s.stop()
	s.wantAbsent(t, "after it has ended", secrets, "portcullis.db")
}

// wantAbsent reads everything that the program has written. A request that waits for its person is stored with its raw parameters and the token of
// its login form, so the write-ahead log still holds those of this test. They were answered; and before that they are worth nothing without the
// browser's cookie.
func (s *server) wantAbsent(t *testing.T, when string, secrets map[string]string, files ...string) {
	t.Helper()
	audit, errs, code := s.command("audit", "export")
	if code != 0 || !strings.Contains(audit, "decision") {
		t.Fatalf("audit export: exit %d %s", code, errs)
	}
	places := map[string]string{"log": s.log.String(), "audit": audit}
	all, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range all {
		if !entry.Type().IsRegular() || entry.Name() == "portcullis.yaml" || entry.Name() == "portcullis.key" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		places[entry.Name()] = string(data)
	}
	for _, name := range files {
		if len(places[name]) < 4096 {
			t.Errorf("%s: %s holds %d bytes, so this proves nothing", when, name, len(places[name]))
		}
	}
	for name, value := range secrets {
		if value == "" {
			t.Errorf("no %s was issued, so this test proves nothing", name)
			continue
		}
		for place, text := range places {
			waited := place == "portcullis.db-wal" && (name == "state" || name == "login token")
			if strings.Contains(text, value) && !waited {
				t.Errorf("%s the %s can be read in the %s", when, name, place)
			}
		}
	}
}

// X5: a configuration that is refused is quoted without its secrets, wherever the fault lies.
func TestARefusedConfigurationTellsNoSecret(t *testing.T) {
	t.Parallel()
	const canary = "canary-in-the-file"
	for i, more := range []string{
		"registration: {mode: off, token: " + canary + "}", "registration: {mode: open, tokn: " + canary + "}", "registration: {mode: token, token: [" + canary + "]}", "registration: {token: {x: " + canary + "}}",
		"clients: [{id: x, secret: " + canary + ", redirect_uris: nope}]", "users: [{name: x, password_hash: " + canary + "}]", "resources: [{id: nope, name: x, secret: " + canary + "}]", "resources: [{id: 'http://127.0.0.1:5/', name: x, previous_secret: " + canary + "}]",
	} {
		file := filepath.Join(t.TempDir(), "portcullis.yaml")
		writeFile(t, file, "issuer: http://127.0.0.1:1\n"+more+"\n")
		out, errs, code := runProgram(t, "", "serve", "--config", file, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
		if code != 78 || strings.Contains(out+errs, canary) || !strings.Contains(errs, fmt.Sprint(file, ":2:")) {
			t.Errorf("X5 %d %s: exit %d\n%s%s", i, more, code, out, errs)
		}
	}
}
