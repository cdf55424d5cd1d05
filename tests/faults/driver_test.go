package faults

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// call is one request and what became of it.
type call struct {
	what   string // for messages
	id     string // X-Request-ID: the audit repeats it
	status int    // 0 = no answer
	header http.Header
	body   []byte
	err    error // the answer did not arrive, or not whole
}

// lost tells that the caller does not know whether the request has happened.
func (c *call) lost() bool { return c.err != nil || c.status == http.StatusServiceUnavailable }

// torn tells that the connection broke in the middle of an answer.
func (c *call) torn() bool { return c.err != nil && c.status != 0 }

func (c *call) String() string {
	if c.err != nil {
		return fmt.Sprintf("%s: %v", c.what, c.err)
	}
	body := string(c.body)
	if strings.Contains(body, "<html") {
		body = strings.Join(regexp.MustCompile(`<h1[^>]*>[^<]*|<p[^>]*>[^<]*`).FindAllString(body, 4), " ")
	}
	return fmt.Sprintf("%s: %d %s %s", c.what, c.status, c.header.Get("Location"), body)
}

// text is a member of a JSON answer.
func (c *call) text(name string) string {
	members := map[string]any{}
	if json.Unmarshal(c.body, &members) != nil {
		return ""
	}
	s, _ := members[name].(string)
	return s
}

// unexpected is the error of a call that must end otherwise.
type unexpected struct{ call *call }

func (u *unexpected) Error() string { return u.call.String() }

// want is nil when the call ended with the status.
func (c *call) want(status int) error {
	if c.err == nil && c.status == status {
		return nil
	}
	return fmt.Errorf("want %d: %w", status, &unexpected{c})
}

// refused is nil when the call ended with a status and an OAuth error.
func (c *call) refused(status int, code string) error {
	if err := c.want(status); err != nil {
		return err
	}
	if got := c.text("error"); got != code {
		return fmt.Errorf("want the error %s: %w", code, &unexpected{c})
	}
	return nil
}

// send sends one request with or without a form.
func (s *site) send(client *http.Client, what, method, path, from string, form url.Values) *call {
	kind := ""
	if form != nil {
		kind = "application/x-www-form-urlencoded"
	}
	return s.sendBody(client, what, method, path, from, kind, form.Encode())
}

// sendBody sends one request and reads its whole answer.
func (s *site) sendBody(client *http.Client, what, method, path, from, kind, body string) *call {
	c := &call{what: what, id: rand.Text()}
	r, err := http.NewRequest(method, issuer+path, strings.NewReader(body))
	if err != nil {
		c.err = err
		return c
	}
	r.Header.Set("X-Request-ID", c.id)
	r.Header.Set("X-Forwarded-For", from)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if path == "/introspect" || path == "/access/v1/evaluation" {
		r.Header.Set("Authorization", "Bearer "+resourceSecret)
	}
	answer, err := client.Do(r)
	if err != nil {
		c.err = err
		return c
	}
	defer answer.Body.Close()
	c.status, c.header = answer.StatusCode, answer.Header
	c.body, c.err = io.ReadAll(answer.Body)
	return c
}

// verifier is the PKCE verifier of every flow here.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

// direct is a request of a client without a browser.
func (s *site) direct(what, path, client string, pairs ...string) *call {
	form := url.Values{}
	if client != "" {
		form.Set("client_id", client)
	}
	if client == "web" {
		form.Set("client_secret", clientSecret)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return s.send(s.http, what, http.MethodPost, path, "10.9.9.9", form)
}

func (s *site) exchange(client, code string) *call {
	return s.direct("exchange", "/token", client, "grant_type", "authorization_code", "code", code, "code_verifier", verifier)
}

func (s *site) refresh(client, token string) *call {
	return s.direct("refresh", "/token", client, "grant_type", "refresh_token", "refresh_token", token)
}

func (s *site) revoke(client, token string) *call {
	return s.direct("revoke", "/revoke", client, "token", token)
}

func (s *site) introspect(token string) *call {
	return s.direct("introspect", "/introspect", "", "token", token)
}

// active is what introspection says; anything but an answer is an error.
func (s *site) active(token string) (bool, error) {
	c := s.introspect(token)
	if err := c.want(http.StatusOK); err != nil {
		return false, err
	}
	var answer struct{ Active bool }
	err := json.Unmarshal(c.body, &answer)
	return answer.Active, err
}

// claims are what is read from an access token.
type claims struct {
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Client   string `json:"client_id"`
	JTI      string `json:"jti"`
	Grant    string `json:"grant_id"`
	Family   string `json:"family_id"`
}

// claimsOf decodes a JWT. Its signature is other tests' business.
func claimsOf(token string) (c claims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, fmt.Errorf("the token has %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(payload, &c)
}

// person is somebody with a browser.
type person struct {
	s    *site
	name string
	from string // the browser's address
	http *http.Client
}

func (s *site) person(i int) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &person{s: s, name: fmt.Sprint("p", i), from: fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)}
	p.http = &http.Client{Jar: jar, Transport: s.http.Transport, Timeout: s.http.Timeout, CheckRedirect: s.http.CheckRedirect}
	return p
}

func (p *person) get(what, path string) *call {
	return p.s.send(p.http, what, http.MethodGet, path, p.from, nil)
}

func (p *person) post(what, path string, form url.Values) *call {
	return p.s.send(p.http, what, http.MethodPost, path, p.from, form)
}

// page is a form that the person sees.
type page struct {
	path  string // where it is
	token string // form_token
	body  string
}

var errNoForm = errors.New("the page has no form")

func pageOf(path string, c *call) (page, error) {
	found := regexp.MustCompile(`name="form_token" value="([^"]*)"`).FindSubmatch(c.body)
	if found == nil {
		return page{}, fmt.Errorf("%w: %w", errNoForm, &unexpected{c})
	}
	return page{path, html.UnescapeString(string(found[1])), string(c.body)}, nil
}

// begin goes from the client to the consent page, through the login page if the server wants a login.
func (p *person) begin(client string) (page, error) {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {"http://127.0.0.1:5555/cb"}, "state": {"s"}, "resource": {resource},
		"scope": {"office:read office:write"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	c := p.get("authorize", "/authorize?"+q.Encode())
	if err := c.want(http.StatusSeeOther); err != nil {
		return page{}, err
	}
	path := c.header.Get("Location")
	at, err := p.see("consent page", path)
	if err != nil || !strings.Contains(at.body, `name="password"`) {
		return at, err
	}
	c = p.post("login", path+"/login", url.Values{"form_token": {at.token}, "username": {p.name}, "password": {password}})
	if err := c.want(http.StatusSeeOther); err != nil {
		return page{}, err
	}
	return p.see("consent page", path)
}

func (p *person) see(what, path string) (page, error) {
	c := p.get(what, path)
	if err := c.want(http.StatusOK); err != nil {
		return page{}, err
	}
	return pageOf(path, c)
}

// allow answers the consent page with everything ticked.
func (p *person) allow(at page) *call {
	return p.post("consent", at.path+"/consent", url.Values{"form_token": {at.token}, "action": {"allow"}, "scope": {"office:read", "office:write"}})
}

// codeOf is the code in the redirect that answers a consent.
func codeOf(c *call) (string, error) {
	if err := c.want(http.StatusSeeOther); err != nil {
		return "", err
	}
	to, err := url.Parse(c.header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" || to.Query().Get("iss") != issuer {
		return "", fmt.Errorf("no code: %w", &unexpected{c})
	}
	return to.Query().Get("code"), nil
}

// code walks a whole flow up to the code.
func (p *person) code(client string) (string, error) {
	at, err := p.begin(client)
	if err != nil {
		return "", err
	}
	return codeOf(p.allow(at))
}

// disconnect ends the person's grant on the account page.
func (p *person) disconnect(grant string) *call {
	at, err := p.see("account", "/ui/account")
	if u := (*unexpected)(nil); errors.As(err, &u) {
		return u.call
	}
	return p.post("disconnect", "/ui/account/grants/"+grant+"/revoke", url.Values{"form_token": {at.token}})
}
