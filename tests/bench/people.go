package main

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The PKCE pair of every flow (RFC 7636 appendix B).
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// person is somebody with a browser at an address of their own.
type person struct {
	x    *site
	n    int
	legs int // requests for authorization so far: the address changes with them
	http *http.Client
}

func (x *site) person(n int) (*person, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &person{x: x, n: n, http: &http.Client{Jar: jar, Timeout: time.Minute, Transport: &through{x.address, &http.Transport{MaxIdleConnsPerHost: 4}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// through sends what is meant for the issuer to where the server listens.
type through struct {
	address string
	to      http.RoundTripper
}

func (t *through) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.URL.Host = r.URL.Host, t.address
	return t.to.RoundTrip(r)
}

// send makes one request and wants one status.
func (p *person) send(method, path string, form url.Values, status int) (*http.Response, string, error) {
	r, err := http.NewRequest(method, issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	if form != nil {
		r.Header.Set("Content-Type", kindForm)
	}
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", p.n/250+1, p.n%250+1, p.legs/50+1))
	answer, err := p.http.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != status {
		err = fmt.Errorf("%s %s: %d instead of %d: %s", method, path, answer.StatusCode, status, body)
	}
	return answer, string(body), err
}

// code walks from the client through login, if there is none yet, and consent to an authorization code.
func (p *person) code() (string, error) {
	p.legs++
	q := url.Values{"response_type": {"code"}, "client_id": {"cli"}, "redirect_uri": {"http://127.0.0.1:5555/cb"}, "state": {"s"}, "resource": {resource},
		"scope": {"tools:read tools:write tools:pay tools:admin"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}}
	answer, _, err := p.send("GET", "/authorize?"+q.Encode(), nil, http.StatusSeeOther)
	if err != nil {
		return "", err
	}
	path := answer.Header.Get("Location")
	_, page, err := p.send("GET", path, nil, http.StatusOK)
	if err != nil {
		return "", err
	}
	if strings.Contains(page, `name="password"`) {
		form := url.Values{"form_token": {formToken(page)}, "username": {fmt.Sprint("p", p.n)}, "password": {password}}
		if _, _, err := p.send("POST", path+"/login", form, http.StatusSeeOther); err != nil {
			return "", err
		}
		if _, page, err = p.send("GET", path, nil, http.StatusOK); err != nil {
			return "", err
		}
	}
	form := url.Values{"form_token": {formToken(page)}, "action": {"allow"}, "scope": {"tools:read", "tools:write", "tools:pay", "tools:admin"}}
	if answer, _, err = p.send("POST", path+"/consent", form, http.StatusSeeOther); err != nil {
		return "", err
	}
	to, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		return "", fmt.Errorf("the redirect brings no code: %s", answer.Header.Get("Location"))
	}
	return to.Query().Get("code"), nil
}

var formTokenPattern = regexp.MustCompile(`name="form_token" value="([^"]*)"`)

func formToken(page string) string {
	if found := formTokenPattern.FindStringSubmatch(page); found != nil {
		return html.UnescapeString(found[1])
	}
	return ""
}

// codes lets everybody collect codes, as many as wanted in all. The same people go on with their sessions.
func codes(everybody []*person, count int) ([]string, error) {
	out := make([]string, count)
	return out, parallel(len(everybody), 8, func(i int) (err error) {
		for n := i; n < count && err == nil; n += len(everybody) {
			out[n], err = everybody[i].code()
		}
		return err
	})
}

// everybody are the people of the configuration, each with a new browser.
func (x *site) everybody() ([]*person, error) {
	var all []*person
	for n := range x.people {
		p, err := x.person(n)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// parallel runs jobs, a few at a time, and returns the first error.
func parallel(jobs, workers int, do func(int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		group.Go(func() {
			for {
				n := int(next.Add(1) - 1)
				if n >= jobs {
					return
				}
				if err := do(n); err != nil {
					errs <- err
					next.Store(int64(jobs))
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

// issued is a token response.
type issued struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Scope   string `json:"scope"`
	ID      string `json:"id_token"`
}

// tokenRequest renders a request at a token endpoint.
func tokenRequest(host string, pairs ...string) []byte {
	form := url.Values{"client_id": {"cli"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return post(host, "/token", kindForm, nil, form.Encode())
}

func exchangeRequest(host, code string) []byte {
	return tokenRequest(host, "grant_type", "authorization_code", "code", code, "code_verifier", verifier, "redirect_uri", "http://127.0.0.1:5555/cb")
}

func refreshRequest(host, token, scope string) []byte {
	if scope == "" {
		return tokenRequest(host, "grant_type", "refresh_token", "refresh_token", token)
	}
	return tokenRequest(host, "grant_type", "refresh_token", "refresh_token", token, "scope", scope)
}

// issue sends a token request and checks that it brings a new pair of tokens, and no id_token.
func issue(c *connection, request []byte) (issued, error) {
	status, body, err := c.do(request)
	if err != nil {
		return issued{}, err
	}
	var t issued
	if err := json.Unmarshal(body, &t); err != nil {
		return t, want(status, -1, body, false)
	}
	return t, want(status, http.StatusOK, body, strings.Count(t.Access, ".") == 2 && t.Refresh != "" && t.ID == "")
}

func joined(scopes []string) string { return strings.Join(scopes, " ") }
