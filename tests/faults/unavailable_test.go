//go:build faults && linux

package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestWhatCannotBeStoredIsUnavailable: I7, F3, F16: while nothing can be stored every endpoint that would have to store its answer says 503,
// temporarily_unavailable and when to try again; a page says it in words. None says 200, none "no", and none leads anywhere. When the
// disk works again nothing has been spent by it: each request can be sent once more.
func TestWhatCannotBeStoredIsUnavailable(t *testing.T) {
	s := newSite(t, 2)
	p := s.start()
	requests, err := s.storingRequests()
	if err != nil {
		t.Fatal(err)
	}
	x := p.attach(t, "fsync,fdatasync,pwrite64", "error=EIO")
	for _, r := range requests {
		if r.name == "replay of a code" { // it is none yet
			continue
		}
		if err := unavailable(r.do(), r.page); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	x.detach()
	waitFor(t, "the server is ready again", p.ready)
	for _, r := range requests {
		if err := r.do().want(r.status); err != nil {
			t.Errorf("%s, when the disk works: %v", r.name, err)
		}
	}
	s.verify()
	p.stop()
}

// unavailable is nil when a request was answered as it must be while nothing can be stored.
func unavailable(c *call, page bool) error {
	if err := c.want(http.StatusServiceUnavailable); err != nil {
		return err
	}
	kind := c.header.Get("Content-Type")
	switch {
	case c.header.Get("Retry-After") == "", c.header.Get("Location") != "", c.header.Get("Set-Cookie") != "":
		return fmt.Errorf("headers %v: %w", c.header, &unexpected{c})
	case page && (!strings.HasPrefix(kind, "text/html") || !strings.Contains(string(c.body), "<code>temporarily_unavailable</code>")):
		return fmt.Errorf("no page that says so: %w", &unexpected{c})
	case !page && kind != "application/json":
		return fmt.Errorf("%s: %w", kind, &unexpected{c})
	case !page && c.what != "decide" && c.text("error") != "temporarily_unavailable":
		return fmt.Errorf("another error: %w", &unexpected{c})
	}
	return nil
}

// storingRequest is a request that must store something before it is answered.
type storingRequest struct {
	name   string
	page   bool
	status int // when the disk works; in their order each of them can still be done
	do     func() *call
}

// storingRequests prepares one of every kind.
func (s *site) storingRequests() ([]storingRequest, error) {
	person, second := s.person(0), s.person(1)
	code, err := person.code("cli")
	if err != nil {
		return nil, err
	}
	tokens := s.exchange("cli", code)
	if code, err = person.code("cli"); err != nil {
		return nil, err
	}
	consent, err := person.begin("cli")
	if err != nil {
		return nil, err
	}
	login, err := second.see("login page", "/ui/login")
	if err != nil {
		return nil, err
	}
	account, err := person.see("account", "/ui/account")
	if err != nil {
		return nil, err
	}
	told, err := claimsOf(tokens.text("access_token"))
	if err != nil {
		return nil, err
	}
	direct := s.directRequests(code, tokens.text("access_token"), tokens.text("refresh_token"))
	authorize := "/authorize?" + url.Values{"response_type": {"code"}, "client_id": {"cli"}, "redirect_uri": {"http://127.0.0.1:5555/cb"}, "state": {"s"}, "code_challenge": {strings.Repeat("a", 43)}, "code_challenge_method": {"S256"}}.Encode()
	before := []storingRequest{
		{"authorization request", true, 303, func() *call { return second.get("authorize", authorize) }},
		{"wrong password", true, 403, func() *call {
			return second.post("login", "/ui/login", form(login.token, "username", "p1", "password", "wrong"))
		}},
		{"login", true, 303, func() *call {
			return second.post("login", "/ui/login", form(login.token, "username", "p1", "password", password))
		}},
		{"denial", true, 303, func() *call {
			return person.post("deny", consent.path+"/consent", form(consent.token, "action", "deny"))
		}},
	}
	after := []storingRequest{
		{"disconnection", true, 303, func() *call {
			return person.post("disconnect", "/ui/account/grants/"+told.Grant+"/revoke", form(account.token))
		}},
		{"logout", true, 303, func() *call { return person.post("logout", "/ui/logout", form(account.token)) }},
	}
	return slices.Concat(before, direct, after), nil
}

// form is a form of ours with further fields in pairs.
func form(token string, more ...string) url.Values {
	v := url.Values{"form_token": {token}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

// directRequests are those of programs.
func (s *site) directRequests(code, access, refresh string) []storingRequest {
	return []storingRequest{
		{"code exchange", false, 200, func() *call { return s.exchange("cli", code) }},
		{"replay of a code", false, 400, func() *call { return s.exchange("cli", code) }},
		{"decision", false, 200, func() *call { return s.decide(access) }},
		{"refresh", false, 200, func() *call { return s.refresh("cli", refresh) }},
		{"retried refresh", false, 200, func() *call { return s.refresh("cli", refresh) }},
		{"revocation of an access token", false, 200, func() *call { return s.revoke("cli", access) }},
		{"revocation of a refresh token", false, 200, func() *call { return s.revoke("cli", refresh) }},
	}
}
