package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"
)

// browser is a person's browser as far as our pages need one: cookies, redirects and forms. It runs no script, like
// the browsers for which the pages are made.
type browser struct {
	client *http.Client
}

// maxPage is the size of a page in bytes above which the browser gives up.
const maxPage = 1 << 20

func newBrowser() (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &browser{client: &http.Client{Jar: jar, Timeout: 10 * time.Second}}, nil
}

// page is what the browser shows.
type page struct {
	url    *url.URL
	status int
	root   *element
}

// pageForm is a form with what it would send if nobody touched it.
type pageForm struct {
	action string
	values url.Values
	fields []string // names of all controls, buttons too
}

// open visits an address and follows where it leads.
func (b *browser) open(ctx context.Context, address string) (*page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return b.visit(r)
}

// submit sends a form of a page, as a browser does: with Origin, and a relative action resolved.
func (b *browser) submit(ctx context.Context, p *page, f *pageForm) (*page, error) {
	target, err := p.url.Parse(f.action)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(f.values.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", p.url.Scheme+"://"+p.url.Host)
	return b.visit(r)
}

func (b *browser) visit(r *http.Request) (*page, error) {
	r.Header.Set("Accept", "text/html")
	answer, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	root, err := parseElements(io.LimitReader(answer.Body, maxPage))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", answer.Request.URL.Path, err)
	}
	return &page{url: answer.Request.URL, status: answer.StatusCode, root: root}, nil
}

// form finds the form with a control of this name; nil if there is none.
func (p *page) form(control string) *pageForm {
	for form := range p.root.all("form") {
		if f := readForm(form); slices.Contains(f.fields, control) {
			return f
		}
	}
	return nil
}

func readForm(form *element) *pageForm {
	f := &pageForm{action: form.attributes["action"], values: url.Values{}}
	for control := range form.all("input", "button") {
		name, kind := control.attributes["name"], control.attributes["type"]
		if name == "" {
			continue
		}
		f.fields = append(f.fields, name)
		_, checked := control.attributes["checked"]
		switch {
		case control.name == "button", kind == "submit": // sent only when pressed
		case kind == "checkbox" && !checked:
		default:
			f.values.Add(name, control.attributes["value"])
		}
	}
	return f
}

// withheldScope is a scope that the consent page does not offer, with the reason that it gives.
type withheldScope struct{ name, reason string }

// withheld reads the part of the consent page that tells what was asked for and is not available.
func (p *page) withheld() []withheldScope {
	var out []withheldScope
	for section := range p.root.all("section") {
		if !slices.Contains(strings.Fields(section.attributes["class"]), "withheld") {
			continue
		}
		for item := range section.all("li") {
			name := ""
			for code := range item.all("code") {
				name = code.text()
				break
			}
			out = append(out, withheldScope{name, strings.TrimSpace(strings.TrimPrefix(item.text(), name))})
		}
	}
	return out
}

// title is the page's main heading, for error messages.
func (p *page) title() string {
	for heading := range p.root.all("h1") {
		return heading.text()
	}
	return "a page without a heading"
}

// logIn fills the login form if the page is one. Its result is the page behind it.
func (b *browser) logIn(ctx context.Context, p *page, user, password string) (*page, bool, error) {
	form := p.form("password")
	if form == nil {
		return p, false, nil
	}
	form.values.Set("username", user)
	form.values.Set("password", password)
	next, err := b.submit(ctx, p, form)
	if err != nil {
		return nil, true, err
	}
	if next.form("password") != nil {
		return nil, true, fmt.Errorf("%s could not log in: %s answered %d", user, next.url.Path, next.status)
	}
	return next, true, nil
}

// consentPage is what the consent page says.
type consentPage struct {
	page     *page
	form     *pageForm
	offered  []string // the checkboxes
	withheld []withheldScope
}

func readConsent(p *page) (*consentPage, error) {
	form := p.form("action")
	if form == nil {
		return nil, fmt.Errorf("no consent page but %q (%s, status %d)", p.title(), p.url.Path, p.status)
	}
	return &consentPage{page: p, form: form, offered: form.values["scope"], withheld: p.withheld()}, nil
}

// answer presses one of the two buttons.
func (b *browser) answer(ctx context.Context, c *consentPage, allow bool) error {
	c.form.values.Set("action", "deny")
	if allow {
		c.form.values.Set("action", "allow")
	}
	next, err := b.submit(ctx, c.page, c.form)
	if err != nil {
		return err
	}
	if next.status != http.StatusOK || next.url.Host == c.page.url.Host {
		return fmt.Errorf("the answer did not lead back to the agent but to %q (status %d)", next.title(), next.status)
	}
	return nil
}
