package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func (b *browser) login(user string) {
	b.Helper()
	b.submit("/login", "username", user, "password", password)
}

func TestPersonConnectsAnAgentAndEndsIt(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(authorizePath())
	b.sees(200, "Sign in", "Command line", "Registered by your administrator", "Office tools")
	b.submit("/login", "username", "alice", "password", "wrong")
	b.sees(403, `role="alert"`, "User name or password is wrong", `value="alice"`)
	b.login("alice")
	b.sees(200, "asks for access", "alice", "Change customers", "get_weather", "127.0.0.1", "Did you start this yourself")
	b.submit("/consent", "action", "allow")
	b.sees(400, `role="alert"`, "Tick at least one permission")
	if strings.Contains(b.page, "checked") {
		t.Error("the refused answer's ticks are forgotten")
	}
	consent := b.page
	b.submit("/consent", "action", "allow", "scope", "tools:weather.read")
	first := b.answered()
	if first.Get("state") != "s-1" || first.Get("iss") != w.url || first.Get("code") == "" {
		t.Fatalf("redirect %v", first)
	}
	b.page = consent
	b.submit("/consent", "action", "allow", "scope", "tools:weather.read")
	if again := b.answered(); again.Get("code") != first.Get("code") {
		t.Errorf("the second click got %v", again)
	}
	tokens := w.redeem(first.Get("code"))
	access := tokens["access_token"].(string)
	if strings.Contains(tokens["scope"].(string), "crm") || !w.active(access) {
		t.Fatalf("tokens %v", tokens)
	}
	b.get("/")
	b.sees(200, "Connected agents", "Command line", "Read the weather", "Disconnect")
	b.submit("/revoke")
	b.sees(200, "was disconnected", "No app is connected")
	if w.active(access) {
		t.Error("the token lives on")
	}
	b.submit("/logout")
	b.sees(200, "You are signed out")
	b.get("/ui/account")
	if b.at != "/ui/login" {
		t.Errorf("after the logout the account is at %s", b.at)
	}
	b.login("alice")
	b.sees(200, "Connected agents")
}

func TestDenyGoesBackToTheClient(t *testing.T) {
	b := newWorld(t).browser()
	b.get(authorizePath())
	b.login("alice")
	b.submit("/consent", "action", "deny", "scope", "tools:weather.read")
	if q := b.answered(); q.Get("error") != "access_denied" || q.Get("state") != "s-1" || q.Get("iss") != b.url || q.Has("code") {
		t.Errorf("redirect %v", q)
	}
}

func TestAnotherPersonMayTakeOver(t *testing.T) {
	b := newWorld(t).browser()
	b.get(authorizePath())
	b.login("alice")
	b.sees(200, "alice", "Not you?")
	b.get(b.at + "/switch")
	b.sees(200, "Sign in", "Back, without switching")
	b.submit("/login", "username", "bob", "password", "wrong")
	b.sees(403, "User name or password is wrong", "Back, without switching")
	b.login("bob")
	b.sees(200, "asks for access", "<bdi>bob</bdi>")
}

func TestTwoTabsOfOneBrowserBothWork(t *testing.T) {
	b := newWorld(t).browser()
	b.get(authorizePath("state", "tab-1"))
	first := b.page
	b.get(authorizePath("state", "tab-2"))
	b.page = first
	b.login("alice")
	b.sees(200, "asks for access")
}

func TestAnotherBrowserCannotGoOn(t *testing.T) {
	w := newWorld(t)
	owner, thief := w.browser(), w.browser()
	owner.get(authorizePath())
	thief.get(owner.at)
	thief.sees(403, "another browser", "Request id")
	thief.page = owner.page
	thief.login("alice")
	thief.sees(403)
	owner.login("alice")
	thief.page = owner.page
	thief.submit("/consent", "action", "allow", "scope", "tools:weather.read")
	thief.sees(403)
	if thief.left != "" {
		t.Errorf("the other browser was sent to %s", thief.left)
	}
}

func TestBadAuthorizationRequestsEndOnAPage(t *testing.T) {
	w := newWorld(t)
	for name, path := range map[string]string{
		"unknown client":   authorizePath("client_id", "nobody"),
		"foreign redirect": authorizePath("redirect_uri", "https://evil.test/cb"),
		"no client":        "/authorize",
		"repeated client":  authorizePath() + "&client_id=cli",
		"broken escape":    authorizePath() + "&x=%zz",
	} {
		b := w.browser()
		b.get(path)
		if b.status != 400 || b.left != "" || !strings.Contains(b.page, "<h1") || !strings.Contains(b.page, "Request id") {
			t.Errorf("%s: %d, left to %q\n%s", name, b.status, b.left, b.page)
		}
	}
	// What else is wrong is told to the client, but only after somebody has logged in.
	b := w.browser()
	b.get(authorizePath("code_challenge_method", "plain"))
	b.sees(200, "Sign in")
	b.login("alice")
	if q := b.answered(); q.Get("error") != "invalid_request" || q.Get("state") != "s-1" {
		t.Errorf("redirect %v", q)
	}
}

func TestAuthorizationRequestMayBePosted(t *testing.T) {
	b := newWorld(t).browser()
	_, query, _ := strings.Cut(authorizePath(), "?")
	form, err := url.ParseQuery(query)
	must(t, err)
	b.keep(b.client.PostForm(b.url+"/authorize", form))
	b.sees(200, "Sign in", "Command line")
}

func TestProgramsGetJSON(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(authorizePath())
	b.login("alice")
	b.submit("/consent", "action", "allow", "scope", "tools:weather.read")
	access := w.redeem(b.answered().Get("code"))["access_token"].(string)
	evaluation := func(tool string) string {
		data, err := json.Marshal(map[string]any{"action": map[string]any{"name": "tools/call"}, "resource": map[string]any{"type": "tool", "id": tool},
			"context": map[string]any{"access_token": access}})
		must(t, err)
		return string(data)
	}
	const asResource, path, kind = "Bearer " + resourceSecret, "/access/v1/evaluation", "application/json"
	if r, out := w.api(path, kind, evaluation("get_weather"), "Authorization", asResource, "X-Request-ID", "r-7"); r.StatusCode != 200 || out["decision"] != true || r.Header.Get("X-Request-ID") != "r-7" {
		t.Errorf("allowed call: %d %v", r.StatusCode, out)
	}
	if r, out := w.api(path, kind, evaluation("crm_update"), "Authorization", asResource); r.StatusCode != 200 || out["decision"] != false {
		t.Errorf("a denial is an answer: %d %v", r.StatusCode, out)
	}
	if r, _ := w.api(path, kind, evaluation("get_weather")); r.StatusCode != 401 || len(r.Header.Values("WWW-Authenticate")) == 0 {
		t.Errorf("a stranger asks: %d", r.StatusCode)
	}
	for _, bad := range []string{`{}`, `{"action":{"name":"tools/call"}}`, `[]`, `{"action":{"name":"x"},"action":{"name":"y"}}`} {
		if r, _ := w.api(path, kind, bad, "Authorization", asResource); r.StatusCode != 400 {
			t.Errorf("%s: %d", bad, r.StatusCode)
		}
	}
	if r, out := w.api("/introspect", formType, "token="+access); r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("introspection by a stranger: %d %v", r.StatusCode, out)
	}
	if r, out := w.api("/token", formType, "grant_type=password&client_id=cli"); r.StatusCode != 400 || out["error"] != "unsupported_grant_type" {
		t.Errorf("unknown grant type: %d %v", r.StatusCode, out)
	}
	if r, out := w.api("/token", formType, "grant_type=refresh_token&refresh_token=x", "Authorization", "Basic bm9ib2R5Ong="); r.StatusCode != 401 || out["error"] != "invalid_client" || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("unknown client: %d %v %v", r.StatusCode, out, r.Header)
	}
	if r, out := w.api("/revoke", formType, "client_id=cli&token="+access); r.StatusCode != 200 || len(out) != 0 || w.active(access) {
		t.Errorf("revocation: %d %v", r.StatusCode, out)
	}
}

func TestDiscoveryDocuments(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/.well-known/oauth-authorization-server":      `"issuer":"` + w.url + `"`,
		"/.well-known/authzen-configuration":           `"access_evaluation_endpoint":"` + w.url + `/access/v1/evaluation"`,
		"/.well-known/oauth-protected-resource/office": `"resource":"` + resourceID + `"`,
		"/jwks.json": `"keys":[`,
	} {
		r, err := http.Get(w.url + path)
		must(t, err)
		data, err := io.ReadAll(r.Body)
		must(t, err)
		must(t, r.Body.Close())
		if r.StatusCode != 200 || !strings.Contains(string(data), want) || strings.Contains(string(data), "null") || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", path, r.StatusCode, data)
		}
	}
	r, err := http.Get(w.url + "/.well-known/oauth-protected-resource/nothing")
	must(t, err)
	must(t, r.Body.Close())
	if r.StatusCode != 404 {
		t.Errorf("unknown resource: %d", r.StatusCode)
	}
}

func TestCallbackOnAnotherPortGetsNoCookie(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get(authorizePath())
	b.login("alice")
	u, err := url.Parse(callback)
	must(t, err)
	if got := b.client.Jar.Cookies(u); len(got) != 0 {
		t.Errorf("the callback receives %v", got)
	}
	own, err := url.Parse(w.url + "/ui/account")
	must(t, err)
	if got := b.client.Jar.Cookies(own); len(got) != 2 {
		t.Errorf("our pages receive %v", got)
	}
}
