package tests

import (
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// claimedName is where a page quotes what an unverified client calls itself.
var claimedName = regexp.MustCompile(`It calls itself <q><bdi>([^<]*)</bdi></q>`)

// hostileNames are 200 names that want to be read as something else.
func hostileNames() []string {
	names := []string{
		"Claude (verified)", "Claude ✓ Registered by your administrator", "Anthropic PBC · Verified domain", "Unverified? No: verified", "Portcullis", "Allow", "administrator",
		strings.Repeat("A", 10000), strings.Repeat("Ä", 5000), strings.Repeat("界", 200), strings.Repeat("👩‍👩‍👧‍👦", 50), strings.Repeat("word ", 100), strings.Repeat(" ", 200), strings.Repeat("\n", 200),
		"Сlaude", "Clаude", "СLАUDЕ", "Ϲlaude", "ᏟᏞᎪᏌᎠᎬ", "𝐂𝐥𝐚𝐮𝐝𝐞", "𝒞𝓁𝒶𝓊𝒹ℯ", "Ｃｌａｕｄｅ", "ⒸⓁⒶⓊⒹⒺ", "𝕮𝖑𝖆𝖚𝖉𝖊", "Cl𝖺ude", "ﬀ ligature ﷺ", "Å Å Å", "e\u0301 é", "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031ea\u0309\u0365lgo",
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</bdi></q></p><form action="https://evil.example">`, "<!--", "-->", "<![CDATA[x]]>", "&lt;b&gt;", "&#x3c;script&#x3e;", "&amp;lt;",
		"{{.}}", "{{template \"x\"}}", "{{7*7}}", "${7*7}", "<%= 7*7 %>", "#{7*7}", "__proto__", "constructor", "'; DROP TABLE clients; --", "\" OR 1=1 --", "%s%n%x", "%00", "\\u003cscript\\u003e", "\\x3cscript\\x3e",
		"javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "https://claude.ai", "//claude.ai", "claude.ai", "https://xn--clude-mra.example", "clаude.ai", "mailto:x@claude.ai", "../../etc/passwd", "C:\\Windows", "file:///etc/passwd",
		"name\r\nSet-Cookie: a=b", "name\r\n\r\n<html>", "name\nLocation: https://evil.example", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\x08b", "a\x7fb", "tab\tbed", "form\ffeed", "vertical\vtab", "null\x00byte",
	}
	// One of every kind of character that cannot be seen or turns the line around, at the beginning, inside and at the end.
	for _, r := range []rune{0x00ad, 0x034f, 0x061c, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180e, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2060, 0x2061, 0x2064, 0x2066, 0x2067,
		0x2068, 0x2069, 0x206a, 0x206f, 0x2800, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffb, 0xfffd, 0x1d173, 0xe0001, 0xe0041, 0xe007f, 0xe0100} {
		names = append(names, string(r)+"Claude", "Cla"+string(r)+"ude", "Claude"+string(r))
	}
	return names
}

// U9: whatever a client calls itself is quoted as its claim: at most 80 visible characters in the usual form, on every page that
// shows it, beside the word that nobody vouches for it and the place that the answer goes to.
func TestTwoHundredNamesAreShownAsClaims(t *testing.T) {
	t.Parallel()
	names := hostileNames()
	if len(names) < 200 {
		t.Fatalf("only %d names", len(names))
	}
	const initial = "initial-access-token" // without one there is a limit for all registrations together
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: token, token: " + initial + "}"})
	b := s.browser(t)
	b.authorize(ask())
	shown, refused := 0, 0
	for i, name := range names {
		if i%40 == 0 { // registrations and requests are limited per network
			old := b
			b = s.browser(t)
			b.client.Jar = old.client.Jar
		}
		redirect := fmt.Sprintf("http://127.0.0.1/n%d", i)
		meta, err := json.Marshal(map[string]any{"client_name": name, "client_uri": "javascript:alert(1)", "logo_uri": "https://tracker.example/x.svg", "redirect_uris": []string{redirect}, "token_endpoint_auth_method": "none"})
		if err != nil {
			t.Fatal(err)
		}
		a := s.program(t).register(string(meta), "Authorization", "Bearer "+initial)
		switch {
		case len(name) > 8<<10: // the whole request is too long
			a.wantError(413, "invalid_request")
			refused++
			continue
		case a.status != 201:
			a.wantError(400, "invalid_client_metadata")
			refused++
			continue
		}
		shown++
		q := ask(func(q *request) { q.client, q.redirect = a.text("client_id"), redirect })
		consent, _ := b.begin(q)
		q.scope = "unknown:scope"
		leaving, _ := b.begin(q)
		for kind, page := range map[string]*answer{"consent": consent, "leaving": leaving} {
			wantClaim(t, fmt.Sprintf("U9 %.30q on the %s page", name, kind), page.wantPage(200).body)
		}
	}
	if refused > 10 {
		t.Errorf("%d of %d names were refused, so their pages were not seen", refused, len(names))
	}
	t.Logf("%d names shown, %d refused", shown, refused)
}

// wantClaim checks how a page shows the name of an unverified client on loopback.
func wantClaim(t *testing.T, what, body string) {
	t.Helper()
	m := claimedName.FindStringSubmatch(body)
	if m == nil {
		t.Errorf("%s: no claim is quoted\n%s", what, tail(body, 1500))
		return
	}
	name := html.UnescapeString(m[1])
	if n := utf8.RuneCountInString(name); n > 80 || n == 0 {
		t.Errorf("%s: %d characters", what, n)
	}
	if !norm.NFC.IsNormalString(name) {
		t.Errorf("%s: %q is not in NFC", what, name)
	}
	for _, r := range name {
		switch {
		case r == ' ':
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zs, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
			t.Errorf("%s: the name shows %U", what, r)
		}
	}
	for _, want := range []string{"Unverified, self-declared name", "127.0.0.1"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s: the page does not say %q", what, want)
		}
	}
	for _, bad := range []string{`class="badge domain"`, `class="badge registered"`, "tracker.example", `"javascript:`} {
		if strings.Contains(body, bad) {
			t.Errorf("%s: the page says %q", what, bad)
		}
	}
}

// U9: hosts are shown in ASCII: a name with other letters is not taken, whichever way it comes.
func TestHostsInOtherLettersAreNotTaken(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	for _, uri := range []string{"https://clаude.ai/cb", "https://ｃｌａｕｄｅ.ai/cb", "https://claude。ai/cb", "https://claude.ai\u200b/cb", "https://\u202eia.edualc/cb", "https://clau\u00adde.ai/cb"} {
		meta, err := json.Marshal(map[string]any{"redirect_uris": []string{uri}, "token_endpoint_auth_method": "none"})
		if err != nil {
			t.Fatal(err)
		}
		t.Run("U9 redirect "+uri, func(t *testing.T) {
			s.program(t).register(string(meta)).wantError(400, "invalid_redirect_uri")
		})
		t.Run("U9 client id "+uri, func(t *testing.T) {
			s.browser(t).get("/authorize?"+ask(with("client_id", uri)).params().Encode()).wantPageError(400, "invalid_client")
		})
	}
	t.Run("U9 a punycode host is shown as it is", func(t *testing.T) {
		a := s.program(t).register(`{"client_name":"x","redirect_uris":["https://xn--clude-mra.example/cb"],"token_endpoint_auth_method":"none"}`).want(201)
		page, _ := s.browser(t).consentPage(ask(func(q *request) { q.client, q.redirect = a.text("client_id"), "https://xn--clude-mra.example/cb" }))
		if !strings.Contains(page.body, "<bdi>xn--clude-mra.example</bdi>") {
			t.Error("the page does not show the host")
		}
	})
}

// U5, U10: consent to one client is none to another that looks the same, and an answer that stays on this computer has its own warning.
func TestAnotherClientThatLooksTheSameIsAsked(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
	b := s.browser(t)
	register := func(redirect string) request {
		id := b.register(`{"client_name":"Demo CLI","redirect_uris":["` + redirect + `"],"token_endpoint_auth_method":"none"}`).want(201).text("client_id")
		return ask(func(q *request) { q.client, q.redirect = id, redirect })
	}
	first := register("http://127.0.0.1/callback")
	b.tokens(first)
	b.tokens(ask())
	const warning = "Did you start this yourself, just now?"
	for name, c := range map[string]struct {
		q        request
		loopback bool
	}{
		"U5 the same metadata, another redirect": {register("http://127.0.0.1/callback2"), true},
		"U5 an https redirect":                   {register("https://demo-cli.example/callback"), false},
		"U5 the registered client of that name":  {ask(func(q *request) { q.client = "cli-two" }), true},
		"U5 the same client once more":           {first, true},
		"U10 localhost":                          {register("http://localhost/callback"), true},
		"U10 IPv6":                               {register("http://[::1]/callback"), true},
		"U10 a confidential client":              {ask(web), false},
	} {
		t.Run(name, func(t *testing.T) {
			page, _ := b.as(t).begin(c.q)
			if page.wantPage(200); !strings.Contains(page.body, `value="allow"`) {
				t.Error("it is not asked")
			}
			if strings.Contains(page.body, warning) != c.loopback {
				t.Errorf("the warning about this computer: want %v", c.loopback)
			}
		})
	}
}
