package tests

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// U16, U15: cookies of ours are hidden from scripts, lie below our pages only and change with the login.
func TestCookies(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	q := ask()
	first := b.get("/authorize?" + q.params().Encode()).want(303)
	path := first.location().Path
	page := b.get(path)
	in := b.post(path+"/login", url.Values{"username": {"alice"}, "password": {password}, "form_token": {page.field("form_token")}}).want(303)
	var names []string
	for _, a := range []*answer{first, page, in} {
		for _, line := range a.header.Values("Set-Cookie") {
			c, err := http.ParseSetCookie(line)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, c.Name)
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.MaxAge != 0 || !strings.HasPrefix(c.Path, "/ui") && c.Path != "/authorize" || len(c.Value) < 26 {
				t.Errorf("cookie %s", line)
			}
		}
	}
	if len(names) < 2 {
		t.Errorf("cookies %v, want one of the browser and one of the session", names)
	}
}

// U15: a login makes a new session and ends the one of before.
func TestALoginMakesANewSession(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	t.Run("U15 a planted session is not taken over", func(t *testing.T) {
		victim := s.browser(t)
		home, err := url.Parse(s.issuer + "/ui/")
		if err != nil {
			t.Fatal(err)
		}
		planted := &http.Cookie{Name: "portcullis_session", Value: "PLANTEDPLANTEDPLANTEDPLANTED", Path: "/ui"}
		victim.client.Jar.SetCookies(home, []*http.Cookie{planted})
		page, path := victim.begin(ask())
		victim.login(page, path, "alice").want(200)
		for _, c := range victim.client.Jar.Cookies(home) {
			if c.Name == planted.Name && c.Value == planted.Value {
				t.Error("the session id is the one from before the login")
			}
		}
	})
	t.Run("U15 the session of before ends with a new login", func(t *testing.T) {
		b := s.browser(t)
		b.authorize(ask())
		home, err := url.Parse(s.issuer + "/ui/")
		if err != nil {
			t.Fatal(err)
		}
		thief := s.browser(t)
		thief.client.Jar.SetCookies(home, b.client.Jar.Cookies(home))
		thief.get("/ui/account").want(200)
		time.Sleep(1100 * time.Millisecond) // logins are known to the second
		page, path := b.begin(ask(with("prompt", "login")))
		b.login(page, path, "alice").want(200)
		if a := thief.get("/ui/account"); a.status == 200 {
			t.Error("the old session id still opens the account")
		}
	})
}

// U3, U4, U6: a form counts only with the cookie of the browser that began, its session and its own token, and once.
func TestFormsAreBoundToTheirBrowser(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	owner := s.browser(t)
	page, path := owner.consentPage(ask())
	token := page.field("form_token")
	allow := url.Values{"form_token": {token}, "action": {"allow"}, "scope": {scopeCalendar}}

	t.Run("U6 another browser sees nothing", func(t *testing.T) {
		b := s.browser(t)
		if a := b.get(path); a.status != 403 || strings.Contains(a.body, "calendar") {
			t.Errorf("%d %s", a.status, tail(a.body, 500))
		}
	})
	t.Run("U6 another browser cannot answer", func(t *testing.T) {
		s.browser(t).post(path+"/consent", allow).wantPage(403)
	})
	t.Run("U6 another person's browser cannot answer", func(t *testing.T) {
		b := s.browser(t)
		b.consentPage(ask(by("bob")))
		b.post(path+"/consent", allow).wantPage(403)
		b.post(path+"/login", url.Values{"username": {"bob"}, "password": {password}, "form_token": {token}}).wantPage(403)
	})
	for name, form := range map[string]url.Values{
		"U3 no form token":    {"action": {"allow"}, "scope": {scopeCalendar}},
		"U3 empty form token": {"form_token": {""}, "action": {"allow"}, "scope": {scopeCalendar}},
		"U3 wrong form token": {"form_token": {flip(token, 2)}, "action": {"allow"}, "scope": {scopeCalendar}},
	} {
		t.Run(name, func(t *testing.T) { owner.post(path+"/consent", form).wantPage(403) })
	}
	t.Run("U3 the token of another request", func(t *testing.T) {
		other, _ := owner.consentPage(ask())
		owner.post(path+"/consent", url.Values{"form_token": {other.field("form_token")}, "action": {"allow"}, "scope": {scopeCalendar}}).wantPage(403)
	})
	t.Run("U3 a form of another site", func(t *testing.T) {
		form := allow.Encode()
		for _, h := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Origin": {"https://evil.example"}}, {"Origin": {"null"}}} {
			h.Set("Content-Type", "application/x-www-form-urlencoded")
			owner.do(http.MethodPost, path+"/consent", form, h).wantPage(403)
		}
	})
	t.Run("U4 GET approves nothing", func(t *testing.T) {
		a := owner.get(path + "/consent?" + allow.Encode())
		if a.status < 400 || a.header.Get("Location") != "" {
			t.Errorf("%d %s", a.status, a.header.Get("Location"))
		}
	})
}

// What the consent form may say, and how often.
func TestConsentAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	owner := s.browser(t)
	page, path := owner.consentPage(ask())
	token := page.field("form_token")
	allow := url.Values{"form_token": {token}, "action": {"allow"}, "scope": {scopeCalendar}}
	t.Run("neither allow nor deny", func(t *testing.T) {
		owner.post(path+"/consent", url.Values{"form_token": {token}, "scope": {scopeCalendar}}).wantPage(400)
	})
	t.Run("nothing ticked is asked again", func(t *testing.T) {
		a := owner.post(path+"/consent", url.Values{"form_token": {token}, "action": {"allow"}})
		if a.header.Get("Location") != "" || !strings.Contains(a.body, `value="allow"`) {
			t.Errorf("%d %s", a.status, tail(a.body, 800))
		}
	})
	t.Run("C15 a scope that was not offered is not granted", func(t *testing.T) {
		b := s.browser(t)
		q := ask()
		page, path := b.consentPage(q)
		u := b.answer(page, path, "allow", scopeCalendar, scopeCRM, scopePayroll, "offline_access", "x").want(303).location()
		got := b.post("/token", q.redemption(u.Query().Get("code"))).want(200).text("scope")
		if withoutOffline(got) != scopeCalendar {
			t.Errorf("scope %q", got)
		}
	})
	t.Run("U4 two reloads, then the answer", func(t *testing.T) {
		owner.get(path).want(200)
		if again := owner.get(path).want(200).field("form_token"); again != token {
			t.Error("the form token changes with every load, so an open tab goes stale")
		}
		first := owner.post(path+"/consent", allow).want(303).header.Get("Location")
		if second := owner.post(path+"/consent", allow); second.status != 303 || second.header.Get("Location") != first {
			t.Errorf("U2: the second of two clicks gets %d %s, want the first one's answer", second.status, second.header.Get("Location"))
		}
	})
}

// U5: whoever consented to one client is asked again for another, and for the same one.
func TestConsentIsAlwaysAsked(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	b.authorize(ask())
	for _, q := range []request{ask(), ask(func(q *request) { q.client = "cli-two" })} {
		page, _ := b.begin(q)
		if page.status != 200 || !strings.Contains(page.body, `value="allow"`) {
			t.Errorf("U7, U8: %s gets %d without a question", q.client, page.status)
		}
	}
}

var revokePath = regexp.MustCompile(`action="([^"]*/revoke)"`)

// U18: nothing tells an unknown name from a wrong password.
func TestLoginFailuresLookTheSame(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	try := func(user string) (int, string) {
		b := s.browser(t)
		page, path := b.begin(ask())
		a := b.post(path+"/login", url.Values{"username": {user}, "password": {"wrong password"}, "form_token": {page.field("form_token")}})
		text := strings.NewReplacer(page.field("form_token"), "", path, "", user, "").Replace(a.body)
		return a.status, text
	}
	known, one := try("carol")
	unknown, two := try("zelda")
	if known != unknown || one != two || known == 303 {
		t.Errorf("known name: %d, unknown name: %d, same text: %v", known, unknown, one == two)
	}
	for _, user := range []string{"", strings.Repeat("x", 5000), "<script>alert(1)</script>", "alice\x00"} {
		b := s.browser(t)
		page, path := b.begin(ask())
		a := b.post(path+"/login", url.Values{"username": {user}, "password": {password}, "form_token": {page.field("form_token")}})
		if a.status == 303 || a.status >= 500 || strings.Contains(a.body, "<script>alert") {
			t.Errorf("user name %q: %d", user[:min(len(user), 30)], a.status)
		}
	}
	t.Run("U19 spellings of one name are one name", func(t *testing.T) {
		b := s.browser(t)
		page, path := b.begin(ask())
		b.post(path+"/login", url.Values{"username": {"  ALICE "}, "password": {password}, "form_token": {page.field("form_token")}}).want(303)
	})
}

// U19: guesses get slower, in every spelling, and the right password gets in later; it is never locked out.
func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	page, path := b.begin(ask())
	try := func(user, word string) *answer {
		return b.post(path+"/login", url.Values{"username": {user}, "password": {word}, "form_token": {page.field("form_token")}})
	}
	slowed := 0
	for i := range 12 {
		a := try([]string{"dave", "DAVE", " dave"}[i%3], "guess")
		switch a.status {
		case 429:
			slowed++
			if a.header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		case 403:
		default:
			t.Errorf("a guess gets %d", a.status)
		}
	}
	if slowed == 0 {
		t.Error("twelve guesses in a row were all tried")
	}
	if metrics := s.program(t).get(s.admin + "/metrics").want(200).body; !strings.Contains(metrics, fmt.Sprintf(`portcullis_limited_total{reason="login_delay"} %d`, slowed)) {
		t.Errorf("the %d guesses that were slowed down are not counted", slowed)
	}
	deadline := time.Now().Add(15 * time.Second)
	for try("dave", password).status != 303 {
		if time.Now().After(deadline) {
			t.Fatal("the right password does not get in any more")
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// AS-37: a fresh login is asked for although somebody is logged in.
func TestPromptLoginAsksForThePassword(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	b.authorize(ask())
	for _, change := range []func(*request){with("prompt", "login"), with("max_age", "0")} {
		time.Sleep(1100 * time.Millisecond) // logins are known to the second
		page, path := b.begin(ask(change))
		if !hasInput(page, "password") {
			t.Fatalf("no login form: %s", tail(page.body, 500))
		}
		if a := b.login(page, path, "alice"); !strings.Contains(a.body, `value="allow"`) {
			t.Fatalf("no consent after the fresh login: %d %s", a.status, tail(a.body, 500))
		}
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	if _, errs, code := s.commandWith(password+"\n", "user", "add", "frank"); code != 0 {
		t.Fatalf("user add: %s", errs)
	}
	b := s.browser(t)
	signIn := func(b *browser, word string) *answer {
		page := b.get("/ui/login").want(200)
		return b.post("/ui/login", url.Values{"username": {"frank"}, "password": {word}, "form_token": {page.field("form_token")}})
	}
	if a := b.get("/ui/account"); a.status != 303 || a.location().Path != "/ui/login" {
		t.Errorf("without login the account page gives %d %s", a.status, a.header.Get("Location"))
	}
	signIn(b, password).want(303)
	elsewhere := s.browser(t)
	signIn(elsewhere, password).want(303)
	account := b.get("/ui/account").want(200)
	token := account.field("form_token")
	change := func(form url.Values) *answer { return b.post("/ui/account/password", form) }
	const next = "another long password"
	full := url.Values{"form_token": {token}, "old_password": {password}, "new_password": {next}, "again": {next}}
	for name, differs := range map[string]url.Values{
		"wrong old password": {"old_password": {"nonsense"}}, "not the same twice": {"again": {next + "x"}}, "too short": {"new_password": {"x"}, "again": {"x"}},
		"U3 forged form": {"form_token": {"forged"}},
	} {
		form := maps.Clone(full)
		maps.Copy(form, differs)
		a := change(form)
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%s: %d %s", name, a.status, a.header.Get("Location"))
		}
		if name == "wrong old password" && (!strings.Contains(a.body, "The current password is wrong") || strings.Contains(a.body, "ser name or password")) {
			t.Errorf("%s: %s", name, tail(a.body, 2000))
		}
	}
	change(full).want(303)
	if a := b.get("/ui/account"); a.status != 200 {
		t.Errorf("the person who changed the password is signed out: %d", a.status)
	}
	if a := elsewhere.get("/ui/account"); a.status != 303 {
		t.Errorf("the other session lives on: %d", a.status)
	}
	if a := signIn(s.browser(t), password); a.status == 303 {
		t.Error("the old password still works")
	}
	signIn(s.browser(t), next).want(303)
}

func TestLogout(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	b.authorize(ask())
	token := b.get("/ui/account").want(200).field("form_token")
	b.post("/ui/logout", url.Values{"form_token": {"forged"}}).wantPage(403)
	b.get("/ui/account").want(200)
	b.post("/ui/logout", url.Values{"form_token": {token}}).want(303)
	if a := b.get("/ui/account"); a.status != 303 {
		t.Errorf("the session lives on: %d", a.status)
	}
}

func TestAccountsAreApart(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	b := s.browser(t)
	b.authorize(ask(by("bob")))
	t.Run("whose password is in the configuration file is not offered to change it", func(t *testing.T) {
		alice := s.browser(t)
		page, path := alice.begin(ask())
		alice.login(page, path, "alice")
		if account := alice.get("/ui/account").want(200); hasInput(account, "new_password") {
			t.Error("the account page has a password form that cannot work")
		}
	})
	t.Run("another person's grant", func(t *testing.T) {
		alice := s.browser(t)
		tokens := alice.tokens(ask())
		path := revokePath.FindStringSubmatch(alice.get("/ui/account").want(200).body)
		if path == nil {
			t.Fatal("alice's account page has no revoke button")
		}
		token := b.get("/ui/account").want(200).field("form_token")
		if a := b.post(path[1], url.Values{"form_token": {token}}); a.status != 404 {
			t.Errorf("bob revokes alice's grant: %d", a.status)
		}
		if !alice.active(tokens.text("access_token")) {
			t.Error("alice's token died")
		}
	})
}
