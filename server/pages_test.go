package server

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// show renders one page through the real face.
func show(t *testing.T, render func(*face, *gin.Context)) (int, string) {
	t.Helper()
	h := newTestFace(t, Config{}, func(f *face, r *gin.Engine) {
		r.GET("/ui/x", func(c *gin.Context) { render(f, c) })
	})
	w := do(h, "GET", "/ui/x", "", "X-Request-ID", "req-1")
	if got := w.Header().Get("Content-Type"); w.Header().Get("Location") == "" && got != "text/html; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	return w.Code, w.Body.String()
}

func showStep(t *testing.T, s oauth.Step) string {
	t.Helper()
	_, html := show(t, func(f *face, c *gin.Context) { f.showStep(c, "i/1", s) })
	return html
}

func expect(t *testing.T, html string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(html, w) {
			t.Errorf("the page lacks %q\n%s", w, html)
		}
	}
}

func refuse(t *testing.T, html string, unwanted ...string) {
	t.Helper()
	for _, u := range unwanted {
		if strings.Contains(html, u) {
			t.Errorf("the page has %q\n%s", u, html)
		}
	}
}

// plain drops tags and folds blanks: what a person reads.
func plain(html string) string {
	text := regexp.MustCompile(`(?s)<[^>]*>`).ReplaceAllString(html, " ")
	return strings.Join(strings.Fields(text), " ")
}

func TestLoginPage(t *testing.T) {
	html := showStep(t, oauth.LoginStep{FormToken: "tok", Client: cimdClient("Claude Code"), Resource: sampleResource(), Hint: "alice", Why: "fresh login"})
	expect(t, html, `action="/ui/i/i%2F1/login"`, `name="form_token" value="tok"`, `name="username"`, `value="alice"`, `name="password" type="password"`,
		`autocomplete="current-password"`, `<label for="username">`, `<label for="password">`, "Fresh login", "claude.example", "Claude Code", "Office tools")
	html = showStep(t, oauth.LoginStep{Hint: hostile, Why: hostile})
	refuse(t, html, "<script>alert")
}

func TestConsentPageSaysEverything(t *testing.T) {
	html := showStep(t, sampleConsent(cimdClient("Claude Code")))
	expect(t, html, `action="/ui/i/i%2F1/consent"`, `name="form_token" value="form-token"`, `href="/ui/i/i%2F1/switch"`,
		`name="scope" value="tools:crm.write" checked`, `name="scope" value="tools:payments.transfer" checked`,
		`name="action" value="deny"`, `name="action" value="allow" data-hold`)
	expect(t, plain(html), "claude.example asks for access", "Verified domain", "It calls itself Claude Code", "Office tools http://127.0.0.1:3001/mcp",
		"As alice", "127.0.0.1:53211 (this computer)", "Did you start this yourself", "Send money from the company account", "transfer",
		"billing:invoices.write Only the finance group may let apps write invoices.", "stays connected for up to 30 days", "each pass lasts 10 minutes")
	order := []string{"claude.example", "Office tools", "alice", "Read your calendar", "crm_update", "Send money", "billing:invoices.write", "30 days", "Deny", "Allow"}
	at := 0
	for _, word := range order {
		i := strings.Index(html[at:], word)
		if i < 0 {
			t.Fatalf("%q is missing or out of order", word)
		}
		at += i
	}
}

func TestConsentScopesAreGroupedAndNewOnesMarked(t *testing.T) {
	step := sampleConsent(staticClient("Demo CLI"))
	groups := consentView{ConsentStep: step}.Groups()
	if len(groups) != 3 || groups[0].Kind != "read" || len(groups[0].Scopes) != 2 || groups[1].Kind != "write" || groups[2].Kind != "destructive" {
		t.Errorf("groups %+v", groups)
	}
	html := showStep(t, step)
	if n := strings.Count(html, `class="fresh"`); n != 2 {
		t.Errorf("%d scopes are marked new, want 2", n)
	}
	for i := range step.Scopes {
		step.Scopes[i].Held = false
	}
	if html := showStep(t, step); strings.Contains(html, `class="fresh"`) {
		t.Error("at a first consent everything is new, so nothing is marked")
	}
	// A destructive scope is destructive even if the catalogue is inconsistent.
	groups = consentView{ConsentStep: oauth.ConsentStep{Scopes: []oauth.ConsentScope{{Name: "a:b", ReadOnly: true, Destructive: true}}}}.Groups()
	if len(groups) != 1 || groups[0].Kind != "destructive" {
		t.Errorf("groups %+v", groups)
	}
}

func TestConsentWithoutStayingConnectedAndWithoutLoopback(t *testing.T) {
	step := sampleConsent(dcrClient("Cursor"))
	step.Offline, step.Loopback, step.RedirectHost, step.Withheld = false, false, "cursor.example", nil
	html := showStep(t, step)
	expect(t, plain(html), "An unverified app asks for access", "Unverified, self-declared name", "It calls itself Cursor", "cursor.example", "Its access ends after 10 minutes")
	refuse(t, html, "stays connected", "this computer", "not available to this app")
}

func TestConsentWarnsOfSchemesThatAnyAppCanClaim(t *testing.T) {
	step := sampleConsent(dcrClient("Cursor"))
	step.Loopback, step.PrivateScheme, step.RedirectHost = false, true, "cursor:"
	html := showStep(t, step)
	expect(t, plain(html), "cursor: (an app on this device)", "Did you start this yourself, just now?", "any app here could have claimed them")
	refuse(t, html, "this computer", "the one that listens")
}

func TestWhoAsksLeadsWithWhatIsProven(t *testing.T) {
	for _, c := range []struct {
		client oauth.ClientView
		lead   string
		badge  string
		quoted bool
	}{
		{cimdClient("Claude (verified)"), `<h1><bdi class="hostname">claude.example</bdi>`, "Verified domain", true},
		{dcrClient("Claude (verified)"), `<h1>An unverified app`, "Unverified, self-declared name", true},
		{staticClient("Claude"), `<h1><bdi>Claude</bdi>`, "Registered by your administrator", false},
		{oauth.ClientView{ID: "cli", Verified: true}, `<h1><bdi>cli</bdi>`, "Registered by your administrator", false},
	} {
		html := showStep(t, sampleConsent(c.client))
		expect(t, html, c.lead, c.badge)
		if strings.Contains(html, "<q>") != c.quoted {
			t.Errorf("%+v: a claim is quoted: %v", c.client, !c.quoted)
		}
	}
}

func TestHostileTextsStayTexts(t *testing.T) {
	step := sampleConsent(cimdClient(hostile))
	step.User, step.RedirectHost, step.Resource.Name, step.Resource.ID, step.FormToken = hostile, hostile, hostile, hostile, hostile
	step.Scopes = []oauth.ConsentScope{{Name: hostile, Description: hostile, Tools: []string{hostile}}}
	step.Withheld = []oauth.WithheldScope{{Name: hostile, Reason: hostile}}
	account := sampleAccount()
	account.Username, account.Connections[0].Client, account.Connections[0].GrantID = hostile, cimdClient(hostile), "../../"+hostile
	pages := map[string]string{
		"consent":  showStep(t, step),
		"login":    showStep(t, oauth.LoginStep{Client: dcrClient(hostile), Hint: hostile, Resource: oauth.ResourceView{ID: hostile}}),
		"redirect": showStep(t, oauth.RedirectStep{Confirm: true, URL: "https://h/?" + hostile, Host: hostile, Client: dcrClient(hostile), Error: oauth.InvalidScope.Errorf("%s", hostile)}),
	}
	_, pages["account"] = show(t, func(f *face, c *gin.Context) {
		f.render(c, 200, "account", "Your account", accountView{Account: account, Alert: hostile})
	})
	_, pages["error"] = show(t, func(f *face, c *gin.Context) { f.fail(c, oauth.InvalidRequest.Errorf("%s", hostile), challengeNone) })
	for name, html := range pages {
		refuse(t, html, "<script>alert", "</bdi><script")
		if n := strings.Count(html, "<script"); n != 1 {
			t.Errorf("%s: %d scripts, want our own alone", name, n)
		}
		if !strings.Contains(html, "&lt;script&gt;alert") && !strings.Contains(html, "%3cscript%3e") {
			t.Errorf("%s: the text is lost", name)
		}
	}
	// Names stand in <bdi>, so that an override inside cannot turn what follows it.
	expect(t, pages["consent"], "<q><bdi>&lt;/bdi&gt;")
	expect(t, pages["account"], `action="/ui/account/grants/..%2F..%2F`)
}

func TestPagesHaveNoInlineStyleOrScript(t *testing.T) {
	pages := []string{showStep(t, sampleConsent(cimdClient("x"))), showStep(t, oauth.LoginStep{Client: cimdClient("x")}), showStep(t, oauth.RedirectStep{Confirm: true, URL: "https://h/"})}
	for _, f := range []func(*face, *gin.Context){
		func(f *face, c *gin.Context) { f.showLoggedOut(c) },
		func(f *face, c *gin.Context) { f.render(c, 200, "account", "t", accountView{Account: sampleAccount()}) },
		func(f *face, c *gin.Context) { f.fail(c, oauth.NotFound.Errorf("x"), challengeNone) },
	} {
		_, html := show(t, f)
		pages = append(pages, html)
	}
	for _, html := range pages {
		refuse(t, html, "<style", "style=", "onclick", "javascript:", "http-equiv", "ZgotmplZ")
		expect(t, html, `<html lang="en">`, `name="viewport"`, "<main>", "<header", "<footer", "<h1")
		if strings.Count(html, "<h1") != 1 {
			t.Error("a page has one first heading")
		}
	}
}

func TestRedirectPage(t *testing.T) {
	html := showStep(t, oauth.RedirectStep{Confirm: true, URL: "https://app.example/cb?error=invalid_scope&state=s", Host: "app.example", Client: cimdClient("x"), Error: oauth.InvalidScope.Errorf("nothing can be granted")})
	expect(t, html, `href="https://app.example/cb?error=invalid_scope&amp;state=s"`, "Nothing can be granted", "app.example")
	for _, url := range []string{"javascript:alert(1)", "cursor://x/cb?error=e", "data:text/html,x"} {
		html := showStep(t, oauth.RedirectStep{Confirm: true, URL: url, Host: "x"})
		refuse(t, html, `href="`+url, "ZgotmplZ")
		expect(t, html, "go back to the app")
	}
}

func TestRedirectsAre303WithTheExactTarget(t *testing.T) {
	for _, target := range []string{"https://app.example/cb?code=1&state=%2F&iss=https%3A%2F%2Fauth.example", "cursor://anysphere.cursor-mcp/oauth/callback?code=1", "http://127.0.0.1:53211/cb?x=y&error=access_denied"} {
		h := newTestFace(t, Config{}, func(f *face, r *gin.Engine) {
			r.POST("/ui/x", func(c *gin.Context) { f.showStep(c, "i", oauth.RedirectStep{URL: target}) })
		})
		w := do(h, "POST", "/ui/x", "")
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != target || w.Body.Len() != 0 {
			t.Errorf("%s: %d %q %s", target, w.Code, w.Header().Get("Location"), w.Body)
		}
	}
}

func TestErrorPagesSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		advice string
	}{
		{oauth.InvalidClient.Errorf("unknown"), 400, "Remove this server in your app, add it again"},
		{(&oauth.Error{Code: oauth.ErrorCode{Name: "invalid_client", Status: 400}, Description: "unknown"}), 400, "Remove this server in your app, add it again"},
		{oauth.InvalidRedirectURI.Errorf("not registered"), 400, "not sent there"},
		{oauth.InvalidRequest.Errorf("redirect_uri is not one that the client registered").For("redirect_uri_mismatch"), 400, "not sent there"},
		{oauth.InteractionExpired.Errorf("gone"), 400, "connect again"},
		{oauth.Forbidden.Errorf("other browser"), 403, "another browser"},
		{oauth.SlowDown.Errorf("wait"), 429, "Wait a moment"},
		{oauth.ErrUnavailable, 503, "Try again in a minute"},
		{http.ErrBodyNotAllowed, 500, "tell your administrator the request id"},
		{oauth.InvalidRequest.Errorf("client_id is missing"), 400, "Go back to the app"},
	} {
		code, html := show(t, func(f *face, cx *gin.Context) { f.fail(cx, c.err, challengeClient) })
		if code != c.status {
			t.Errorf("%v: status %d, want %d", c.err, code, c.status)
		}
		expect(t, html, c.advice, "req-1")
	}
}

// Messages are written to stand behind "invalid_request: ", so a page begins them with a capital, but never the name of a parameter.
func TestMessagesBecomeSentences(t *testing.T) {
	for message, want := range map[string]string{"the code has expired": "The code has expired", "redirect_uri is missing": "redirect_uri is missing",
		"état": "État", "A": "A", "": "", "response_type=token": "response_type=token"} {
		if got := sentence(message); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
	_, html := show(t, func(f *face, cx *gin.Context) {
		f.fail(cx, oauth.Forbidden.Errorf("this form is old"), challengeClient)
	})
	expect(t, html, "<p>This form is old</p>")
	html = showStep(t, oauth.LoginStep{Why: "the session is old"})
	expect(t, html, "The session is old")
}

func TestAccountPage(t *testing.T) {
	_, html := show(t, func(f *face, c *gin.Context) { f.render(c, 200, "account", "t", accountView{Account: sampleAccount()}) })
	expect(t, html, `action="/ui/logout"`, `action="/ui/account/grants/g1/revoke"`, `action="/ui/account/grants/g%2F2/revoke"`, `action="/ui/account/password"`,
		`name="old_password"`, `name="new_password"`, `name="again"`, `aria-label="Disconnect claude.example from Office tools"`, `datetime="2026-11-20T09:30:00Z"`)
	expect(t, plain(html), "Signed in as alice", "claude.example", "Office tools", "Send money", "Last used 23 November 2026, 13:30 UTC", "Last used never")
	if n := strings.Count(html, `name="form_token" value="form-token"`); n != 4 {
		t.Errorf("%d of 4 forms carry the token", n)
	}
	_, html = show(t, func(f *face, c *gin.Context) {
		f.render(c, 200, "account", "t", accountView{Account: oauth.Account{Username: "bob"}})
	})
	expect(t, html, "No app is connected")
}

func TestStaticFilesMayBeKept(t *testing.T) {
	h := newHandler(t, Config{Endpoints: allEndpoints()})
	html := do(h, "GET", "/ui/logged-out", "").Body.String()
	assets := regexp.MustCompile(`/ui/static/[a-z]+\.[0-9a-f]{12}\.(css|js|svg)`).FindAllString(html, -1)
	if len(assets) < 4 {
		t.Fatalf("assets %q", assets)
	}
	kinds := map[string]string{"css": "text/css", ".js": "text/javascript", "svg": "image/svg+xml"}
	for _, path := range assets {
		w := do(h, "GET", path, "")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(w.Header().Get("Content-Type"), kinds[path[len(path)-3:]]) {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/ui/static/style.css", "/ui/static/..%2fserver.go", "/ui/static/"} {
		if w := do(h, "GET", path, ""); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestDurationsInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Minute: "10 minutes", time.Minute: "1 minute", 90 * time.Second: "2 minutes", 720 * time.Hour: "30 days",
		24 * time.Hour: "1 day", 36 * time.Hour: "2 days", time.Hour: "1 hour", 45 * time.Second: "45 seconds", 0: "0 seconds",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
