package tests

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// hostileTexts are 300 texts that mean something to a browser in some place of a page.
func hostileTexts() []string {
	bases := []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<svg/onload=alert(1)>`, `<svg><animate onbegin=alert(1) attributeName=x>`, `<iframe srcdoc="&lt;script&gt;alert(1)&lt;/script&gt;">`,
		`<math><mi xlink:href="javascript:alert(1)">x`, `<body onload=alert(1)>`, `<details open ontoggle=alert(1)>`, `<meta http-equiv=refresh content="0;url=//evil.example">`, `<base href=//evil.example/>`,
		`<link rel=stylesheet href=//evil.example/x.css>`, `<form action=//evil.example><button>`, `<style>*{background:url(//evil.example)}</style>`, `<object data=javascript:alert(1)>`, `<a href=javascript:alert(1)>x</a>`,
		`<textarea autofocus onfocus=alert(1)>`, `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<!--><script>alert(1)//-->`, `<![CDATA[<script>]]>`, `<template><script>alert(1)</script></template>`,
		`javascript:alert(1)//`, `data:text/html,<script>alert(1)</script>`, `onmouseover=alert(1) x=`, `{{.}}{{printf "%s" .}}`, `${alert(1)}`, `&lt;script&gt;alert(1)`, `\u003cscript\u003ealert(1)`, `%3Cscript%3Ealert(1)`, `+ADw-script+AD4-alert(1)`, `＜script＞alert(1)＜/script＞`,
	}
	around := []func(string) string{
		func(s string) string { return s }, func(s string) string { return `">` + s }, func(s string) string { return `'>` + s }, func(s string) string { return `" ` + s + ` "` }, func(s string) string { return "`>" + s },
		func(s string) string { return `</title></style></script></textarea>` + s }, func(s string) string { return `-->` + s + `<!--` }, func(s string) string { return `</bdi></q></p>` + s },
		func(s string) string { return strings.ToUpper(s) }, func(s string) string { return `x` + strings.ReplaceAll(s, " ", "/") + `\` },
	}
	var texts []string
	for _, wrap := range around {
		for _, base := range bases {
			texts = append(texts, wrap(base))
		}
	}
	return texts
}

var (
	anyTag    = regexp.MustCompile(`<[^>]*>`)
	soundTag  = regexp.MustCompile(`^<(?:!doctype html|/?[a-z][a-z0-9]*(?:\s+[a-z-]+(?:="[^"<>]*")?)*)\s*>$`)
	tagName   = regexp.MustCompile(`^</?[a-z!][a-z0-9]*`)
	values    = regexp.MustCompile(`="[^"]*"`)
	addresses = regexp.MustCompile(`\s(?:href|src|action|formaction)="([^"]*)"`)
)

// shape is what of a page is markup: its elements with their attributes, without values. A text that is only text does not change it.
func shape(t *testing.T, what, body string) string {
	t.Helper()
	var out strings.Builder
	for _, tag := range anyTag.FindAllString(body, -1) {
		if !soundTag.MatchString(tag) {
			t.Errorf("%s: the page holds the tag %s", what, tag)
		}
		for _, m := range addresses.FindAllStringSubmatch(tag, -1) {
			if !strings.HasPrefix(m[1], "/ui/") && !strings.HasPrefix(m[1], "http://127.0.0.1") {
				t.Errorf("%s: the page leads to %s", what, m[1])
			}
		}
		out.WriteString(tagName.FindString(tag))
		for _, attribute := range regexp.MustCompile(`\s[a-z-]+`).FindAllString(values.ReplaceAllString(tag, ""), -1) {
			out.WriteString(attribute)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// echo is somewhere that a stranger's text may come out on a page of ours.
type echo struct {
	show  func(b *browser, text string) *answer
	every int                      // only each so many of the texts, where a page costs a password hash
	as    func(text string) string // how the page repeats the text; nil = it need not repeat it
}

// U12: three hundred texts in every field that a page repeats: the page has the elements and attributes that it has with a harmless
// text, and leads nowhere else. The judge browser sees the same pages with the browser's own eyes and collects what its policy blocks.
func TestTextsOfStrangersAreOnlyText(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: token, token: initial-access-token}"})
	owner := s.browser(t)
	owner.authorize(ask())
	client := s.program(t).register(`{"client_name":"x","token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/x"]}`, "Authorization", "Bearer initial-access-token").want(201).text("client_id")
	for name, p := range strangersPlaces(client) {
		t.Run("U12 "+name, func(t *testing.T) {
			t.Parallel()
			b := s.browser(t)
			b.client.Jar = owner.client.Jar
			control := p.show(b, "harmless")
			want := shape(t, "harmless", control.body)
			for i, text := range hostileTexts() {
				if p.every > 0 && i%p.every != 0 {
					continue
				}
				if i%40 == 39 { // authorization requests are limited per address
					b = s.browser(t)
					b.client.Jar = owner.client.Jar
				}
				a := p.show(b, text)
				if a.wantPage(control.status); shape(t, text, a.body) != want {
					t.Errorf("the text %s is markup\n%s", text, tail(a.body, 1500))
				}
				if p.as != nil && !strings.Contains(html.UnescapeString(a.body), p.as(text)) {
					t.Errorf("the page does not repeat %s, so this proves nothing", text)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// strangersPlaces are all of them. client is one that nobody vouches for, whose person is logged in.
func strangersPlaces(client string) map[string]echo {
	parameter := func(name string) echo {
		return echo{show: func(b *browser, text string) *answer {
			return b.get("/authorize?" + ask(with(name, text)).params().Encode())
		}}
	}
	begun := func(name string) echo { // shown after the login: the page before an unverified client hears of an error
		return echo{show: func(b *browser, text string) *answer {
			page, _ := b.begin(ask(func(q *request) { q.client, q.redirect, q.scope = client, "http://127.0.0.1/x", "unknown:scope" }, with(name, text)))
			return page
		}}
	}
	header := func(name string) echo {
		return echo{show: func(b *browser, text string) *answer {
			ascii := strings.Map(func(r rune) rune {
				if r > '~' {
					return '?'
				}
				return r
			}, text)
			return b.do(http.MethodGet, "/ui/nothing", "", http.Header{name: {ascii}})
		}}
	}
	itself := func(text string) string { return text }
	state := begun("state")
	state.as = url.QueryEscape // in the link back to the client
	return map[string]echo{
		"client_id": parameter("client_id"), "redirect_uri": parameter("redirect_uri"),
		"state": state, "resource": begun("resource"), "response_type": begun("response_type"), "response_mode": begun("response_mode"), "code_challenge": begun("code_challenge"),
		"code_challenge_method": begun("code_challenge_method"), "prompt": begun("prompt"), "max_age": begun("max_age"), "scope": begun("scope"),
		"request id": header("X-Request-ID"), "referrer": header("Referer"), "user agent": header("User-Agent"),
		"login_hint": {show: func(b *browser, text string) *answer {
			stranger := &browser{t: b.t, s: b.s, client: &http.Client{Transport: b.client.Transport, CheckRedirect: b.client.CheckRedirect}}
			a := stranger.get("/authorize?" + ask(with("login_hint", text)).params().Encode()).want(303)
			return stranger.do(http.MethodGet, a.location().Path, "", http.Header{"Cookie": {strings.SplitN(a.header.Get("Set-Cookie"), ";", 2)[0]}})
		}},
		"user name": {every: 7, as: itself, show: func(b *browser, text string) *answer {
			page := b.get("/ui/login").want(200)
			return b.post("/ui/login", url.Values{"username": {text}, "password": {"x"}, "form_token": {page.field("form_token")}})
		}},
		"path": {show: func(b *browser, text string) *answer { return b.get("/ui/" + url.PathEscape(text)) }},
		"interaction id": {show: func(b *browser, text string) *answer {
			return b.get("/ui/i/" + url.PathEscape(strings.ReplaceAll(text, "/", `\\`)))
		}},
		"done": {show: func(b *browser, text string) *answer { return b.get("/ui/account?done=" + url.QueryEscape(text)) }},
		"form token": {show: func(b *browser, text string) *answer {
			return b.post("/ui/logout", url.Values{"form_token": {text}})
		}},
	}
}

// U12: texts of the operator, of policies and of clients on the pages that show them: consent and account.
func TestTextsOfTheOperatorAreOnlyText(t *testing.T) {
	t.Parallel()
	shapes := map[string]string{}
	for i, text := range []string{"harmless", hostileTexts()[0], hostileTexts()[31], hostileTexts()[69], hostileTexts()[210]} {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		s := prepare(t, "main.yaml", map[string]string{"more": "registration: {mode: open}"})
		s.editConfig(func(config string) string {
			return strings.NewReplacer("name: Office tools", "name: "+string(quoted), `"See your calendar"`, string(quoted), "title: List events", "title: "+string(quoted)).Replace(config)
		})
		s.writePolicy("scopes/payroll.rego", `package policy.scopes.payroll
deny_scope contains {"scope": "office:payroll.read", "code": "no", "message": `+string(quoted)+`}
`)
		s.run()
		b := s.browser(t)
		meta := fmt.Sprintf(`{"client_name":%s,"token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/x"]}`, quoted)
		q := ask(func(q *request) {
			q.client, q.redirect = b.register(meta).want(201).text("client_id"), "http://127.0.0.1/x"
		}, scopes(scopeCalendar, scopePayroll))
		consent, _ := b.consentPage(q)
		b.authorize(q)
		for kind, page := range map[string]*answer{"consent": consent, "account": b.get("/ui/account").want(200)} {
			got := shape(t, text, page.body)
			if shapes[kind] == "" && i == 0 {
				shapes[kind] = got
			}
			if got != shapes[kind] || !strings.Contains(html.UnescapeString(page.body), text) {
				t.Errorf("U12 the %s page with %s:\n%s", kind, text, page.body)
			}
		}
	}
}

// writePolicy puts a file into the folder of the author's packages.
func (s *server) writePolicy(name, text string) {
	s.t.Helper()
	writeFile(s.t, s.dir+"/policies/policy/"+name, text)
}

// U12, X5: errors that are no pages are JSON that no browser takes for anything else, in the characters that RFC 6749 §5.2 allows.
func TestErrorsInJSONAreOnlyJSON(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", map[string]string{"more": "registration: {mode: token, token: initial-access-token}"})
	b := s.program(t)
	allowed := regexp.MustCompile(`^[\x20-\x21\x23-\x5b\x5d-\x7e]*$`)
	for i, text := range hostileTexts() {
		if i%10 == 9 {
			b = s.program(t)
		}
		escaped, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]*answer{
			"400 unsupported_grant_type": b.post("/token", url.Values{"grant_type": {text}, "client_id": {"cli"}}),
			"401 invalid_client":         b.post("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {text}, "code": {"x"}}),
			"400 invalid_grant":          b.post("/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"cli"}, "refresh_token": {text}}),
			"404 not_found":              b.get("/" + url.PathEscape(text)),
			"401 invalid_token":          b.register(`{"client_name":"x"}`, "Authorization", "Bearer "+strings.ReplaceAll(strings.ReplaceAll(text, "＜", "<"), "＞", ">")),
			"400 invalid_client_metadata": b.register(`{"client_name":"x","redirect_uris":["https://a.example/"],"token_endpoint_auth_method":`+string(escaped)+`}`,
				"Authorization", "Bearer initial-access-token"),
		} {
			description := a.text("error_description")
			if got := fmt.Sprint(a.status, " ", a.text("error")); got != name && a.status != 429 {
				t.Errorf("%s: %s, want %s", text, got, name)
			}
			if a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Content-Type-Options") != "nosniff" || !allowed.MatchString(description) {
				t.Errorf("%s: %v %s", text, a.header, a.body)
			}
		}
	}
}
