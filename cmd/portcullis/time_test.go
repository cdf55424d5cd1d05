package main

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/oauth"
)

// What the time rows share.
const (
	timeIssuer   = "http://127.0.0.1:8080"
	timeResource = "http://127.0.0.1:3001/mcp"
	timePassword = "correct horse battery"
	timeVerifier = "0123456789012345678901234567890123456789012"
	timeS256     = "_RpfHqw8pAZIomzVUE7sjRmHSM543WVdC4o-Kc4_3C0"
)

// clock is a wired server in a bubble whose time the test moves. Nothing in it goes over the network.
type clock struct {
	t                *testing.T
	parts            *parts
	jar              *cookiejar.Jar
	client, redirect string // who asks
	from             string // the browser's address; "" = loopback
}

// inBubble runs rows about time. The database is opened and closed inside the bubble.
func inBubble(t *testing.T, rows func(c *clock)) {
	t.Helper()
	inBubbleWith(t, func(*Config) {}, rows)
}

// inBubbleWith is inBubble with a configuration that differs.
func inBubbleWith(t *testing.T, change func(*Config), rows func(c *clock)) {
	t.Helper()
	hash, err := oauth.HashPassword(timePassword)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := defaultConfig()
		c.Issuer, c.log = timeIssuer, slog.New(slog.DiscardHandler)
		c.Database, c.ServerKeyFile = filePath(filepath.Join(dir, "a.db")), filePath(filepath.Join(dir, "a.key"))
		c.Resources = []ResourceConfig{{ID: timeResource, Key: "tools", Name: "Tools", Secret: "a resource secret",
			Scopes: []ScopeConfig{{Name: "tools:notes.read", Description: "Read notes"}}, BaselineScopes: []string{"tools:notes.read"},
			Tools: []ToolConfig{{Name: "notes", Scopes: []string{"tools:notes.read"}}}}}
		c.Clients = []ClientConfig{{ID: "cli", Name: "CLI", RedirectURIs: []string{"http://127.0.0.1/cb"}, AuthMethod: oauth.AuthMethodNone}}
		c.Users = []UserConfig{{Name: "alice", PasswordHash: secret(hash)}}
		change(&c)
		p, err := wire(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		rows(&clock{t: t, parts: p, jar: jar, client: "cli", redirect: "http://127.0.0.1:9/cb"})
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// do sends a request, of a form if there is one.
func (c *clock) do(method, path string, form url.Values, header ...string) *answer {
	c.t.Helper()
	if form != nil {
		header = append(header, "Content-Type", "application/x-www-form-urlencoded")
	}
	return c.send(method, path, form.Encode(), header...)
}

// send sends a request to the handler with the browser's cookies.
func (c *clock) send(method, path, body string, header ...string) *answer {
	c.t.Helper()
	request, err := http.NewRequest(method, timeIssuer+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.RemoteAddr = cmp.Or(c.from, "127.0.0.1") + ":40000"
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	for _, cookie := range c.jar.Cookies(request.URL) {
		request.AddCookie(cookie)
	}
	a := newAnswer()
	c.parts.public.ServeHTTP(a, request)
	c.jar.SetCookies(request.URL, (&http.Response{Header: a.header}).Cookies())
	return a
}

// page opens the page that an answer redirects to, and finds its form token.
func (c *clock) page(a *answer) (path, formToken string) {
	c.t.Helper()
	path = strings.TrimPrefix(a.header.Get("Location"), timeIssuer)
	shown := c.do(http.MethodGet, path, nil)
	m := regexp.MustCompile(`name="form_token" value="([^"]+)"`).FindStringSubmatch(shown.body.String())
	if shown.status != http.StatusOK || m == nil {
		c.t.Fatalf("%s: status %d and no form: %s", path, shown.status, shown.body.String())
	}
	return path, m[1]
}

func (c *clock) begin() *answer {
	q := url.Values{"response_type": {"code"}, "client_id": {c.client}, "redirect_uri": {c.redirect}, "state": {"s"}, "resource": {timeResource},
		"code_challenge": {timeS256}, "code_challenge_method": {"S256"}, "scope": {"tools:notes.read offline_access"}}
	return c.do(http.MethodGet, "/authorize?"+q.Encode(), nil)
}

// login begins an authorization and logs in; it returns the consent page's path and form token.
func (c *clock) login() (path, formToken string) {
	c.t.Helper()
	begun := c.begin()
	path, formToken = c.page(begun)
	if page := c.do(http.MethodGet, path, nil); !strings.Contains(page.body.String(), `name="password"`) {
		return path, formToken // the session of before still counts
	}
	in := c.do(http.MethodPost, path+"/login", url.Values{"form_token": {formToken}, "username": {"alice"}, "password": {timePassword}})
	if in.status != http.StatusSeeOther {
		c.t.Fatalf("login: %d %s", in.status, in.body.String())
	}
	return c.page(in)
}

// code walks to the redirect with the code.
func (c *clock) code() string {
	c.t.Helper()
	path, formToken := c.login()
	out := c.do(http.MethodPost, path+"/consent", url.Values{"form_token": {formToken}, "action": {"allow"}, "scope": {"tools:notes.read"}})
	target, err := url.Parse(out.header.Get("Location"))
	if err != nil || target.Query().Get("code") == "" {
		c.t.Fatalf("consent: %d %s %s", out.status, out.header.Get("Location"), out.body.String())
	}
	return target.Query().Get("code")
}

// tokenReply is a token response or its error.
type tokenReply struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
}

func (c *clock) token(form url.Values) (t tokenReply) {
	c.t.Helper()
	form.Set("client_id", c.client)
	a := c.do(http.MethodPost, "/token", form)
	if err := json.Unmarshal([]byte(a.body.String()), &t); err != nil {
		c.t.Fatalf("/token: %d %s", a.status, a.body.String())
	}
	return t
}

func (c *clock) redeem(code string) tokenReply {
	return c.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.redirect}, "code_verifier": {timeVerifier}})
}

func (c *clock) refresh(token string) tokenReply {
	return c.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// active is what introspection says of an access token.
func (c *clock) active(token string) bool {
	c.t.Helper()
	request, err := http.NewRequest(http.MethodPost, timeIssuer, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.SetBasicAuth("tools", "a resource secret")
	a := c.do(http.MethodPost, "/introspect", url.Values{"token": {token}}, "Authorization", request.Header.Get("Authorization"))
	var answer struct {
		Active bool `json:"active"`
	}
	if err := json.Unmarshal([]byte(a.body.String()), &answer); err != nil || a.status != http.StatusOK {
		c.t.Fatalf("/introspect: %d %s", a.status, a.body.String())
	}
	return answer.Active
}

// C10.
func TestAnAuthorizationCodeEndsAfterAMinute(t *testing.T) {
	inBubble(t, func(c *clock) {
		code := c.code()
		time.Sleep(59 * time.Second)
		if got := c.redeem(code); got.Access == "" {
			t.Errorf("after 59 s: %s", got.Error)
		}
		code = c.code()
		time.Sleep(61 * time.Second)
		if got := c.redeem(code); got.Error != "invalid_grant" {
			t.Errorf("after 61 s: %+v", got)
		}
	})
}

// C5: a second redemption ends what the first one made, whenever it comes: also when the code itself has long expired. A code is remembered for
// a day.
func TestAReplayEndsTheTokensHoweverLateItComes(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second, 30 * time.Second, 2 * time.Minute, 9 * time.Minute} {
		inBubble(t, func(c *clock) {
			code := c.code()
			tokens := c.redeem(code)
			time.Sleep(late)
			if !c.active(tokens.Access) {
				t.Fatalf("after %v the token is dead before the replay", late)
			}
			if got := c.redeem(code); got.Error != "invalid_grant" {
				t.Errorf("a replay after %v: %+v", late, got)
			}
			if c.active(tokens.Access) {
				t.Errorf("the replay after %v left the access token alive", late)
			}
			if got := c.refresh(tokens.Refresh); got.Error != "invalid_grant" {
				t.Errorf("the replay after %v left the refresh token alive: %+v", late, got)
			}
		})
	}
}

func TestAnAccessTokenEndsAfterItsLifetime(t *testing.T) {
	inBubble(t, func(c *clock) {
		token := c.redeem(c.code()).Access
		time.Sleep(10*time.Minute - time.Second)
		if !c.active(token) {
			t.Error("it ended too early")
		}
		time.Sleep(2 * time.Second)
		if c.active(token) {
			t.Error("it is alive after its end")
		}
	})
}

// T10.
func TestARefreshTokenEndsWhenItIsNotUsed(t *testing.T) {
	inBubble(t, func(c *clock) {
		token := c.redeem(c.code()).Refresh
		time.Sleep(720*time.Hour - time.Minute)
		fresh := c.refresh(token)
		if fresh.Refresh == "" {
			t.Fatalf("before the idle end: %s", fresh.Error)
		}
		time.Sleep(720*time.Hour + time.Minute)
		if got := c.refresh(fresh.Refresh); got.Error != "invalid_grant" {
			t.Errorf("after the idle end: %+v", got)
		}
	})
}

// T10.
func TestAFamilyEndsAtItsAbsoluteEndHoweverOftenItIsUsed(t *testing.T) {
	inBubble(t, func(c *clock) {
		token := c.redeem(c.code()).Refresh
		for day := 7; day < 90; day += 7 {
			time.Sleep(7 * 24 * time.Hour)
			fresh := c.refresh(token)
			if fresh.Refresh == "" {
				t.Fatalf("on day %d: %s", day, fresh.Error)
			}
			token = fresh.Refresh
		}
		time.Sleep(7 * 24 * time.Hour)
		if got := c.refresh(token); got.Error != "invalid_grant" {
			t.Errorf("after 90 days: %+v", got)
		}
	})
}

// T2, T3: the window begins with the first use and does not slide.
func TestARetriedRefreshGetsTheSameSuccessorWithinItsWindow(t *testing.T) {
	inBubble(t, func(c *clock) {
		token := c.redeem(c.code()).Refresh
		first := c.refresh(token)
		time.Sleep(5*time.Minute - 2*time.Second)
		if again := c.refresh(token); again.Refresh != first.Refresh {
			t.Errorf("a retry within the window: %+v, want the successor %+v", again, first)
		}
		if !c.active(first.Access) {
			t.Error("the retry ended the winner's access token")
		}
		time.Sleep(4 * time.Second)
		if got := c.refresh(token); got.Error != "invalid_grant" {
			t.Errorf("after the window: %+v", got)
		}
		if got := c.refresh(first.Refresh); got.Error != "invalid_grant" {
			t.Errorf("the family lives on after reuse: %+v", got)
		}
		if c.active(first.Access) {
			t.Error("the family's access token is alive after reuse")
		}
	})
}

func TestAnInteractionEndsAfterTenMinutes(t *testing.T) {
	inBubble(t, func(c *clock) {
		path, formToken := c.page(c.begin())
		time.Sleep(10*time.Minute + time.Second)
		in := c.do(http.MethodPost, path+"/login", url.Values{"form_token": {formToken}, "username": {"alice"}, "password": {timePassword}})
		if in.status == http.StatusSeeOther {
			t.Error("a login after its end was accepted")
		}
		if a := c.do(http.MethodGet, path, nil); a.status == http.StatusOK || strings.Contains(a.body.String(), formToken) {
			t.Errorf("its page is shown after its end: %d", a.status)
		}
	})
}

func TestALoopbackSessionEndsAfterAQuarterOfAnHour(t *testing.T) {
	inBubble(t, func(c *clock) {
		c.login()
		time.Sleep(14 * time.Minute)
		if a := c.do(http.MethodGet, "/ui/account", nil); a.status != http.StatusOK || !strings.Contains(a.body.String(), "alice") {
			t.Errorf("after 14 minutes: %d", a.status)
		}
		time.Sleep(2 * time.Minute)
		if a := c.do(http.MethodGet, "/ui/account", nil); a.status == http.StatusOK && strings.Contains(a.body.String(), "alice") {
			t.Errorf("the session is alive after 16 minutes")
		}
	})
}

func TestHousekeepingTakesNothingThatIsNeeded(t *testing.T) {
	inBubble(t, func(c *clock) {
		first := c.redeem(c.code())
		second := c.refresh(first.Refresh)
		time.Sleep(25 * time.Hour)
		if _, err := c.parts.store.Housekeeping(t.Context()); err != nil {
			t.Fatal(err)
		}
		third := c.refresh(second.Refresh)
		if third.Refresh == "" {
			t.Fatalf("a living refresh token was swept: %s", third.Error)
		}
		if got := c.refresh(first.Refresh); got.Error != "invalid_grant" {
			t.Errorf("reuse of the first token: %+v", got)
		}
		if got := c.refresh(third.Refresh); got.Error != "invalid_grant" {
			t.Error("reuse went unnoticed after housekeeping: the family lives on")
		}
	})
}
