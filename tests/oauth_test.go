package tests

import (
	"crypto/rand"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// What testdata/main.yaml says.
const (
	office       = "http://127.0.0.1:3001/mcp"
	notes        = "http://127.0.0.1:3002/mcp"
	officeKey    = "office"
	officeSecret = "office-secret-9f2c"
	notesSecret  = "notes-secret-41aa"
	webSecret    = "web-secret-77d1"
	postSecret   = "post-secret-0b3e"

	scopeCalendar = "office:calendar.read"
	scopeCRM      = "office:crm.write"
	scopeTransfer = "office:money.transfer"
	scopePayroll  = "office:payroll.read"

	callback = "http://127.0.0.1:47811/callback"
)

// request is an authorization request on its way to a code.
type request struct {
	client, redirect, resource, scope, state, verifier string
	user                                               string
	untick                                             []string   // scopes that the person does not want
	change                                             url.Values // parameters that differ; no value = left out
}

// ask is what most tests ask for: the public client, alice, the calendar.
func ask(changes ...func(*request)) request {
	q := request{client: "cli", redirect: callback, resource: office, scope: scopeCalendar, state: rand.Text(), verifier: rand.Text() + rand.Text(), user: "alice"}
	for _, change := range changes {
		change(&q)
	}
	return q
}

// params are the parameters of the authorization request.
func (q request) params() url.Values {
	v := url.Values{"response_type": {"code"}, "client_id": {q.client}, "redirect_uri": {q.redirect}, "resource": {q.resource},
		"scope": {q.scope}, "state": {q.state}, "code_challenge": {challengeOf(q.verifier)}, "code_challenge_method": {"S256"}}
	for name, values := range q.change {
		v[name] = values
		if len(values) == 0 {
			delete(v, name)
		}
	}
	return v
}

// redemption is the token request for the code.
func (q request) redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "client_id": {q.client}, "redirect_uri": {q.redirect},
		"resource": {q.resource}, "code_verifier": {q.verifier}}
}

// begin sends the browser to the authorization endpoint and gives the first page of ours.
func (b *browser) begin(q request) (page *answer, path string) {
	b.t.Helper()
	a := b.get("/authorize?" + q.params().Encode()).want(303)
	path = a.location().Path
	if !strings.HasPrefix(path, "/ui/") || a.location().Host != "" && a.location().Host != strings.TrimPrefix(b.s.issuer, "http://") {
		b.t.Fatalf("the authorization endpoint leads to %q before anybody has logged in", a.header.Get("Location"))
	}
	return b.get(path), path
}

// login fills in the login form, if that is what the page is, and gives the next page or redirect.
func (b *browser) login(page *answer, path, user string) *answer {
	b.t.Helper()
	if !hasInput(page, "password") {
		return page
	}
	a := b.post(path+"/login", url.Values{"username": {user}, "password": {password}, "form_token": {page.field("form_token")}}).want(303)
	return b.get(a.location().Path)
}

func hasInput(page *answer, name string) bool {
	return slices.ContainsFunc(page.inputs(), func(in map[string]string) bool { return in["name"] == name })
}

// consentPage walks to the consent page.
func (b *browser) consentPage(q request) (page *answer, path string) {
	b.t.Helper()
	page, path = b.begin(q)
	page = b.login(page, path, q.user)
	page.want(200)
	if !strings.Contains(page.body, `value="allow"`) {
		b.t.Fatalf("no consent page but\n%s", tail(page.body, 3000))
	}
	return page, path
}

// answer posts the consent form.
func (b *browser) answer(page *answer, path, action string, scopes ...string) *answer {
	b.t.Helper()
	return b.post(path+"/consent", url.Values{"form_token": {page.field("form_token")}, "action": {action}, "scope": scopes})
}

// authorize walks from the authorization request to the redirect that carries the code.
func (b *browser) authorize(q request) *url.URL {
	b.t.Helper()
	page, path := b.consentPage(q)
	boxes := slices.DeleteFunc(page.boxes(), func(s string) bool { return slices.Contains(q.untick, s) })
	u := b.answer(page, path, "allow", boxes...).want(303).location()
	if got := u.Query().Get("state"); got != q.state {
		b.t.Errorf("state %q came back as %q", q.state, got)
	}
	if got := u.Query().Get("iss"); got != b.s.issuer {
		b.t.Errorf("iss is %q, want %q", got, b.s.issuer)
	}
	if u.Query().Get("code") == "" {
		b.t.Fatalf("no code in %s", u)
	}
	return u
}

// code is authorize's code.
func (b *browser) code(q request) string {
	b.t.Helper()
	return b.authorize(q).Query().Get("code")
}

// tokens walks the whole way and gives the token response.
func (b *browser) tokens(q request) *answer {
	b.t.Helper()
	return b.post("/token", q.redemption(b.code(q)), q.credentials()...).want(200)
}

// credentials are the headers with which the client authenticates.
func (q request) credentials() []string {
	if q.client == "web" {
		return []string{"Authorization", basic("web", webSecret)}
	}
	return nil
}

// web makes a request of the confidential client.
func web(q *request) { q.client, q.redirect = "web", "https://app.example/cb" }

// scopes asks for these.
func scopes(names ...string) func(*request) {
	return func(q *request) { q.scope = strings.Join(names, " ") }
}

// by lets another person log in.
func by(user string) func(*request) { return func(q *request) { q.user = user } }

// with changes parameters of the authorization request; a name without values is left out.
func with(name string, values ...string) func(*request) {
	return func(q *request) {
		if q.change == nil {
			q.change = url.Values{}
		}
		q.change[name] = values
	}
}

// refresh uses a refresh token.
func (b *browser) refresh(client, token string, more ...string) *answer {
	b.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {client}, "refresh_token": {token}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return b.post("/token", form)
}

// active asks as the office server whether a token is alive.
func (b *browser) active(token string) bool {
	b.t.Helper()
	a := b.post("/introspect", url.Values{"token": {token}}, "Authorization", basic(officeKey, officeSecret)).want(200)
	return a.text("active") == "true"
}

// decide asks as the office server whether a tool call may happen. arguments is JSON.
func (b *browser) decide(token, tool, arguments string) *answer {
	b.t.Helper()
	return b.evaluate(`{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"` + tool + `","properties":{"arguments":` + arguments + `}},"context":{"access_token":"` + token + `"}}`)
}

// evaluate posts an evaluation as the office server.
func (b *browser) evaluate(body string) *answer {
	b.t.Helper()
	return b.raw("/access/v1/evaluation", body, "Content-Type", "application/json", "Authorization", basic(officeKey, officeSecret))
}

// wantDecision checks a decision and its reason.
func (a *answer) wantDecision(allowed bool, reason string) *answer {
	a.t.Helper()
	a.want(200)
	if got := a.json("decision"); got != allowed || a.text("context.reason") != reason {
		a.t.Errorf("decision %v %q, want %v %q\n%s", got, a.text("context.reason"), allowed, reason, a.body)
	}
	return a
}

// wantRedirectError checks an error that is sent to the client.
func wantRedirectError(t testing.TB, s *server, u *url.URL, q request, code string) {
	t.Helper()
	got := u.Query()
	if got.Get("error") != code || got.Get("state") != q.state || got.Get("iss") != s.issuer || got.Has("code") {
		t.Errorf("redirect %s, want error=%s with state and iss", u, code)
	}
}
