package oauth

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRedirectMustBeSentExactlyAsRegistered(t *testing.T) {
	mutations := map[string][]string{
		"https://app.example/cb": {
			"https://app.example/cb/", "https://app.example/cb?", "https://app.example/cb#", "https://app.example/cb#x", "https://app.example/c",
			"https://app.example/cb2", "https://app.example/cb/..", "https://app.example/cb/../cb", "https://app.example/./cb", "https://app.example//cb",
			"https://app.example/CB", "https://App.example/cb", "HTTPS://app.example/cb", "http://app.example/cb", "https://app.example:443/cb",
			"https://app.example:8443/cb", "https://app.example./cb", "https://app.example/%63b", "https://app.example/cb%00", "https://app.example/cb%20",
			"https://app.example/%2e%2e/cb", "https://app.example/cb;x", "https://app.example/cb?a=b", "https://user@app.example/cb", "https://app.example@evil.example/cb",
			"https://app.example\\@evil.example/cb", "https://evil.example\\app.example/cb", "https://app.example.evil.example/cb", "https://evil.example/https://app.example/cb",
			"https://evil.example/?x=https://app.example/cb", "https://evil.example#https://app.example/cb", "https://appxexample/cb", "https://app。example/cb",
			"https://аpp.example/cb", " https://app.example/cb", "https://app.example/cb ", "https://app.example/cb\n", "\thttps://app.example/cb", "https://app.example/cb\x00",
			"//app.example/cb", "/cb", "app.example/cb", "https:/app.example/cb", "https:app.example/cb", "https:///app.example/cb", "https://app.example",
			"javascript:alert(1)", "data:text/html,x", "https://app.example/cb\r\nX: y", "https://[::1]/cb", "https://localhost/cb", "*", "https://*.example/cb",
		},
		"http://127.0.0.1/callback": {
			"http://localhost/callback", "http://[::1]/callback", "http://localhost:5000/callback", "https://127.0.0.1/callback", "https://127.0.0.1:5000/callback",
			"http://127.0.0.1:5000/callback/", "http://127.0.0.1:5000/Callback", "http://127.0.0.1:5000/callback?x=1", "http://127.0.0.1:5000/callback#", "http://127.0.0.1:5000",
			"http://127.0.0.1:0/callback", "http://127.0.0.1:65536/callback", "http://127.0.0.1:99999/callback", "http://127.0.0.1:/callback", "http://127.0.0.1:080/callback",
			"http://127.0.0.1:-1/callback", "http://127.0.0.1:+80/callback", "http://127.0.0.1:8o/callback", "http://127.0.0.1:80:80/callback", "http://127.0.0.1:http/callback",
			"http://127.1/callback", "http://127.1:5000/callback", "http://0x7f000001/callback", "http://2130706433/callback", "http://127.0.0.2:5000/callback",
			"http://[::ffff:127.0.0.1]/callback", "http://[0:0:0:0:0:0:0:1]:5000/callback", "http://0.0.0.0:5000/callback", "http://127.0.0.1.evil.example/callback",
			"http://127.0.0.1:5000.evil.example/callback", "http://127.0.0.1@evil.example/callback", "http://127.0.0.1:5000@evil.example/callback", "http://evil.example:80/callback",
			"http://u@127.0.0.1:5000/callback", "HTTP://127.0.0.1:5000/callback", "http://127.0.0.1:５０００/callback", "http://127.0.0.1:5000\\callback", "http://127.0.0.1:5000/%63allback",
		},
		"cursor://anysphere.cursor-mcp/oauth/callback": {
			"Cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp:80/oauth/callback", "cursor://evil/oauth/callback",
			"cursor:anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/callback/", "vscode://anysphere.cursor-mcp/oauth/callback",
		},
	}
	total := 0
	for registered, sent := range mutations {
		for _, kind := range []Registration{RegistrationStatic, RegistrationDCR, RegistrationCIMD} {
			c := &Client{ID: "c", Registration: kind, RedirectURIs: []string{registered}}
			for _, s := range sent {
				total++
				target, err := ProveRedirect(c, s)
				var e *Error
				if !errors.As(err, &e) || e.Code != InvalidRequest || target != (Target{}) {
					t.Errorf("%s: %q for %q gives %+v, %v", kind, s, registered, target, err)
				}
			}
			if _, err := ProveRedirect(c, registered); err != nil {
				t.Errorf("control %q: %v", registered, err)
			}
		}
	}
	if total < 3*60 {
		t.Errorf("only %d mutations", total)
	}
}

func TestLoopbackRedirectMayUseAnyPort(t *testing.T) {
	for _, row := range []struct{ registered, sent, host string }{
		{"http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "127.0.0.1:1"},
		{"http://127.0.0.1/callback", "http://127.0.0.1:65535/callback", "127.0.0.1:65535"},
		{"http://localhost/callback", "http://localhost:51234/callback", "localhost:51234"},
		{"http://localhost:33418/callback", "http://localhost:51234/callback", "localhost:51234"},
		{"http://localhost:33418/callback", "http://localhost/callback", "localhost"},
		{"http://[::1]/cb", "http://[::1]:8080/cb", "[::1]:8080"},
		{"http://127.0.0.1:33418/", "http://127.0.0.1:4000/", "127.0.0.1:4000"},
		{"http://127.0.0.1", "http://127.0.0.1:4000", "127.0.0.1:4000"},
		{"http://localhost/cb?x=1", "http://localhost:9/cb?x=1", "localhost:9"},
		{"http://localhost?x=1", "http://localhost:9?x=1", "localhost:9"},
	} {
		c := &Client{RedirectURIs: []string{"https://app.example/cb", row.registered}}
		target, err := ProveRedirect(c, row.sent)
		if err != nil {
			t.Errorf("%s for %s: %v", row.sent, row.registered, err)
			continue
		}
		if !target.Loopback() || target.Host() != row.host || target.Registered() != row.registered || target.URL() != row.sent {
			t.Errorf("%s: loopback %v host %q registered %q url %q", row.sent, target.Loopback(), target.Host(), target.Registered(), target.URL())
		}
	}
}

func TestMissingRedirectStandsForTheOnlyRegisteredOne(t *testing.T) {
	target, err := ProveRedirect(&Client{RedirectURIs: []string{"https://app.example/cb"}}, "")
	if err != nil || target.URL() != "https://app.example/cb" {
		t.Errorf("got %q, %v", target.URL(), err)
	}
	for _, registered := range [][]string{nil, {"https://app.example/a", "https://app.example/b"}} {
		if _, err := ProveRedirect(&Client{RedirectURIs: registered}, ""); err == nil {
			t.Errorf("with %d registered: accepted", len(registered))
		}
	}
}

// What an operator or an older version stored is looked at again.
func TestDangerousRedirectIsRefusedEvenIfItIsRegistered(t *testing.T) {
	for _, uri := range []string{"javascript:alert(1)", "http://app.example/cb", "https://app.example/cb#x", "https://good@evil.example/", ""} {
		if target, err := ProveRedirect(&Client{RedirectURIs: []string{uri}}, uri); err == nil {
			t.Errorf("%q gives %+v", uri, target)
		}
	}
}

func TestTargetURLKeepsItsQuery(t *testing.T) {
	params := []string{"code", "a b&c", "state", "", "iss", "https://as.example/x?y"}
	const tail = "code=a+b%26c&iss=https%3A%2F%2Fas.example%2Fx%3Fy"
	for registered, want := range map[string]string{
		"https://app.example/cb":           "https://app.example/cb?" + tail,
		"https://app.example":              "https://app.example?" + tail,
		"https://app.example/cb?":          "https://app.example/cb?" + tail,
		"https://app.example/cb?a=1&a=%20": "https://app.example/cb?a=1&a=%20&" + tail,
		"https://app.example/cb?a=1&":      "https://app.example/cb?a=1&" + tail,
		"com.example.app:/cb":              "com.example.app:/cb?" + tail,
		"cursor://anysphere.cursor-mcp/cb": "cursor://anysphere.cursor-mcp/cb?" + tail,
	} {
		target, err := ProveRedirect(&Client{RedirectURIs: []string{registered}}, registered)
		if err != nil {
			t.Fatal(err)
		}
		if got := target.URL(params...); got != want {
			t.Errorf("%s: got %s, want %s", registered, got, want)
		}
	}
}

func TestTargetHostIsShownInLowerCase(t *testing.T) {
	for uri, want := range map[string]string{"https://cIaude.AI:8443/Cb": "ciaude.ai:8443", "Cursor://X/y": "cursor:", "https://app.example?X=1": "app.example"} {
		target, err := ProveRedirect(&Client{RedirectURIs: []string{uri}}, uri)
		if err != nil || target.Host() != want {
			t.Errorf("%s: %q, %v", uri, target.Host(), err)
		}
	}
}

func TestCheckRedirectURI(t *testing.T) {
	for uri, want := range map[string]RedirectKind{
		"https://app.example/cb":                       RedirectWeb,
		"https://app.example:8443/cb?x=1":              RedirectWeb,
		"https://xn--bcher-kva.example/cb":             RedirectWeb,
		"https://[2001:db8::1]:8443/cb":                RedirectWeb,
		"https://claude.ai/api/mcp/auth_callback":      RedirectWeb,
		"http://127.0.0.1/cb":                          RedirectLoopback,
		"http://[::1]:9/cb":                            RedirectLoopback,
		"http://localhost:8787/callback":               RedirectLoopback,
		"cursor://anysphere.cursor-mcp/oauth/callback": RedirectPrivate,
		"com.example.app:/cb":                          RedirectPrivate,
		"vscode://ms-vscode.mcp/cb?x=1":                RedirectPrivate,
		"":                                             "",
		"cb":                                           "",
		"/cb":                                          "",
		"//app.example/cb":                             "",
		"https":                                        "",
		"https:":                                       "",
		"https://":                                     "",
		"https:///cb":                                  "",
		"https:/app.example/cb":                        "",
		"https:app.example":                            "",
		"https://:8443/cb":                             "",
		"https://app.example:0/":                       "",
		"https://app.example:65536/":                   "",
		"https://app.example:/":                        "",
		"https://app..example/":                        "",
		"https://-app.example/":                        "",
		"https://app.example%2eevil/":                  "",
		"https://[::1/":                                "",
		"https://[]/":                                  "",
		"https://[fe80::1%25eth0]/":                    "",
		"https://user@app.example/":                    "",
		"https://user:pw@app.example/":                 "",
		"https://@app.example/":                        "",
		"https://app.example/cb#":                      "",
		"https://app.example/cb#f":                     "",
		"https://app.example/c b":                      "",
		"https://app.example/c\tb":                     "",
		"https://app.example\\cb":                      "",
		"https://app.example/%zz":                      "",
		"https://bücher.example/cb":                    "",
		"https://app.example/*":                        "",
		"https://app.example/{x}":                      "",
		"https://app.example/cb?code=1":                "",
		"https://app.example/cb?x=1&state=":            "",
		"https://app.example/cb?iss=x":                 "",
		"https://app.example/cb?err%6fr=x":             "",
		"https://app.example/cb?a;b":                   "",
		"HTTPS://app.example/cb":                       "",
		"Http://localhost/cb":                          "",
		"http://app.example/cb":                        "",
		"http://localhost.evil.example/cb":             "",
		"http://127.1/cb":                              "",
		"http://LOCALHOST/cb":                          "",
		"javascript:alert(1)":                          "",
		"JaVaScRiPt:/alert(1)":                         "",
		" javascript:alert(1)":                         "",
		"java\tscript:alert(1)":                        "",
		"javascript\x00:alert(1)":                      "",
		"javascript://app.example/%0aalert(1)":         "",
		"data:text/html,x":                             "",
		"DATA:/x":                                      "",
		"vbscript:/x":                                  "",
		"VBScript://x":                                 "",
		"blob:https://app.example/x":                   "",
		"blob:/x":                                      "",
		"file:///etc/passwd":                           "",
		"FILE:/etc/passwd":                             "",
		"about:blank":                                  "",
		"about:/blank":                                 "",
		"intent://scan/#Intent;scheme=x;end":           "",
		"intent:/x":                                    "",
		"filesystem:/x":                                "",
		"view-source:/x":                               "",
		"ftp://app.example/":                           "",
		"mailto:/a@b":                                  "",
		"com.example.app:cb":                           "",
		"cursor://user@x/cb":                           "",
		"1app:/cb":                                     "",
		"a_b:/cb":                                      "",
		":/cb":                                         "",
		"https://app.example/" + strings.Repeat("a", 2048):      "",
		"https://" + strings.Repeat("a.", 130) + "example/cb":   "",
		"https://" + strings.Repeat("a", 64) + ".example/cb":    "",
		"https://app.example/cb?error_description=x&x=1":        "",
		"https://app.example/cb\u202e":                          "",
		"https://app.example/cb\x7f":                            "",
		"\ufeffhttps://app.example/cb":                          "",
		"javascript&colon;alert(1)":                             "",
		"http://localhost:80/cb?state=1":                        "",
		"cursor://anysphere.cursor-mcp/oauth/callback?code=1":   "",
		"cursor://anysphere.cursor-mcp/oauth/callback#":         "",
		"https://app.example/cb?x=\"":                           "",
		"https://app.example/cb?x=<script>":                     "",
		"https://app.example/cb?x=`":                            "",
		"wss://app.example/cb":                                  "",
		"urn:/ietf:wg:oauth:2.0:oob":                            "",
		"urn:ietf:wg:oauth:2.0:oob":                             "",
		"https://app.example:443@evil.example/":                 "",
		"https://[v1.x]/":                                       "",
		"https://app.example/?code":                             "",
		"https://app.example/?response=x":                       "",
		"http://[::1]evil.example/":                             "",
		"http://[::1]:x/":                                       "",
		"http://localhost:65535/":                               RedirectLoopback,
		"http://localhost":                                      RedirectLoopback,
		"https://app.example?x=1":                               RedirectWeb,
		"https://chatgpt.com/connector_platform_oauth_redirect": RedirectWeb,
	} {
		if got := RedirectKindOf(uri); got != want {
			t.Errorf("%q is %q, want %q (%v)", uri, got, want, CheckRedirectURI(uri))
		}
		if err := CheckRedirectURI(uri); (err == nil) != (want != "") {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

// FuzzProveRedirect (R2): what is accepted is a registered URI to the byte, but for the port of a loopback redirect; and the answer goes to its
// host and path with exactly one code.
func FuzzProveRedirect(f *testing.F) {
	registered := []string{"https://app.example/cb?x=1", "http://127.0.0.1/cb", "http://localhost:33418/", "http://[::1]/cb", "cursor://anysphere.cursor-mcp/cb"}
	for _, seed := range append(registered, "http://127.0.0.1:5000/cb", "http://127.0.0.1:5000@evil/cb", "http://localhost:1/?", "https://app.example/cb?x=1#") {
		f.Add(seed)
	}
	loopback := regexp.MustCompile(`^(http://(?:127\.0\.0\.1|localhost|\[::1\]))(?::[1-9][0-9]{0,4})?([/?].*)?$`)
	portless := func(uri string) string { return loopback.ReplaceAllString(uri, "$1$2") }
	c := &Client{RedirectURIs: registered}
	f.Fuzz(func(t *testing.T, sent string) {
		target, err := ProveRedirect(c, sent)
		if err != nil {
			if slices.Contains(registered, sent) {
				t.Errorf("%q is registered and was refused: %v", sent, err)
			}
			return
		}
		if !slices.Contains(registered, target.Registered()) || target.Sent() != sent {
			t.Fatalf("%q is taken for %q, and answers go to %q", sent, target.Registered(), target.Sent())
		}
		if sent != target.Registered() && (!loopback.MatchString(sent) || portless(sent) != portless(target.Registered())) {
			t.Errorf("%q was taken for %q", sent, target.Registered())
		}
		got, err := url.Parse(target.URL("code", "x"))
		if err != nil {
			t.Fatalf("%q: %v", sent, err)
		}
		want, err := url.Parse(target.Registered())
		if err != nil {
			t.Fatal(err)
		}
		if got.Scheme != want.Scheme || got.Hostname() != want.Hostname() || got.Path != want.Path || got.User != nil || got.Fragment != "" {
			t.Errorf("%q leads to %s, registered is %s", sent, got, want)
		}
		if len(got.Query()["code"]) != 1 {
			t.Errorf("%q carries code %v", sent, got.Query()["code"])
		}
	})
}

// TestOurCookiesReachNoCallback: on http loopback a browser tells cookies apart by host and path, not by port, so a callback below our own
// pages would be sent our session.
func TestOurCookiesReachNoCallback(t *testing.T) {
	for _, row := range []struct {
		issuer, redirect string
		reached          bool
	}{
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000/ui", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000/ui/callback", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000/ui?x=1", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1/authorize/cb", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000/a/../ui/cb", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000/a/%2e%2E/ui/cb", true},
		{"http://127.0.0.1:8080/base", "http://127.0.0.1:3000/base/ui/cb", true},
		{"http://localhost:8080", "http://localhost:3000/ui/cb", true},
		{"http://127.0.0.1:8080/base", "http://127.0.0.1:3000/ui/cb", false},
		{"http://127.0.0.1:8080", "http://localhost:3000/ui/cb", true},  // hosts: [localhost]
		{"http://127.0.0.1:8080", "https://127.0.0.1:3000/ui/cb", true}, // what http has set, https is sent, too
		{"http://127.0.0.1:8080", "https://LOCALHOST/ui/cb", true},
		{"http://127.0.0.1:8080", "https://[::1]:3000/authorize", true},
		{"http://127.0.0.1:8080", "https://app.example/ui/cb", false}, // another host
		{"http://127.0.0.1:8080", "https://localhost.example/ui/cb", false},
		{"http://127.0.0.1:8080", "https://127.0.0.1:3000/cb", false},
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000/uicb", false},
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000/callback", false},
		{"http://127.0.0.1:8080", "http://127.0.0.1:3000", false},
		{"https://auth.example", "https://auth.example/ui/cb", false}, // __Host- cookies, and https keeps other ports of loopback out
		{"http://127.0.0.1:8080", "cursor://ui/cb", false},
	} {
		client := &Client{RedirectURIs: []string{row.redirect}}
		target, err := ProveRedirect(client, row.redirect)
		if err != nil {
			t.Errorf("%s: %v", row.redirect, err)
			continue
		}
		if got := target.AwayFrom(row.issuer) != nil; got != row.reached {
			t.Errorf("issuer %s, redirect %s: refused %v, want %v", row.issuer, row.redirect, got, row.reached)
		}
	}
}
