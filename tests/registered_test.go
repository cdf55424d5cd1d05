package tests

import (
	"maps"
	"net/url"
	"strings"
	"testing"
)

// registered is a client as the server knows it.
type registered struct {
	name, id, redirect, secret string
	basic                      bool // the secret travels in the Authorization header
}

// asks makes a request one of the client's.
func (c registered) asks(q *request) { q.client, q.redirect = c.id, c.redirect }

// token posts a token request as the client, with its credentials.
func (c registered) token(b *browser, form url.Values) *answer {
	b.t.Helper()
	form = maps.Clone(form)
	form.Set("client_id", c.id)
	if c.secret == "" {
		return b.post("/token", form)
	}
	if c.basic {
		return b.post("/token", form, "Authorization", basic(c.id, c.secret))
	}
	form.Set("client_secret", c.secret)
	return b.post("/token", form)
}

// redeem exchanges a code that the client got for a request of its own.
func (c registered) redeem(b *browser, q request, code string) *answer {
	b.t.Helper()
	return c.token(b, q.redemption(code))
}

// registerClient registers a client dynamically.
func (s *server) registerClient(t testing.TB, name, method string, redirects ...string) registered {
	t.Helper()
	body := `{"client_name":"` + name + `","token_endpoint_auth_method":"` + method + `","redirect_uris":["` + strings.Join(redirects, `","`) + `"]}`
	a := s.program(t).register(body).want(201)
	return registered{name: name, id: a.text("client_id"), redirect: redirects[0], secret: a.text("client_secret"), basic: method == "client_secret_basic"}
}

// publishClient publishes a document whose URL is the client's id.
func (d *documents) publishClient(name, path string, redirects ...string) registered {
	id := d.serveDocument(path, d.document(path, map[string]any{"client_name": name, "redirect_uris": redirects}))
	return registered{name: name, id: id, redirect: redirects[0]}
}

// everyClient is one client for every way to register and to authenticate. The server needs registration and the document /every.json.
func everyClient(t testing.TB, s *server, d *documents) []registered {
	t.Helper()
	return []registered{
		{name: "static public", id: "cli", redirect: callback},
		{name: "another static public", id: "cli-two", redirect: callback},
		{name: "static Basic", id: "web", redirect: "https://app.example/cb", secret: webSecret, basic: true},
		{name: "static post", id: "web-post", redirect: "https://post.example/cb", secret: postSecret},
		d.publishClient("document", "/every.json", callback),
		s.registerClient(t, "registered public", "none", callback),
		s.registerClient(t, "registered post", "client_secret_post", "https://post.example/cb"),
		s.registerClient(t, "registered Basic", "client_secret_basic", "https://app.example/cb"),
	}
}

// C8, T7: a code and a refresh token are worth nothing in the hands of any other client, however it proves who it is, and its
// try costs the owner nothing.
func TestEveryClientIsKeptApartFromEveryOther(t *testing.T) {
	t.Parallel()
	d := newDocuments(t)
	s := startWithDocuments(t, d, "/every.json")
	b := s.browser(t)
	clients := everyClient(t, s, d)
	for _, owner := range clients {
		q := ask(owner.asks)
		code := b.code(q)
		for _, thief := range clients {
			if thief.id == owner.id {
				continue
			}
			t.Run("C8 the code of "+owner.name+" redeemed by "+thief.name, func(t *testing.T) {
				thief.redeem(s.program(t), q, code).wantError(400, "invalid_grant")
			})
		}
		tokens := owner.redeem(b, q, code).want(200)
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.text("refresh_token")}}
		for _, thief := range clients {
			if thief.id == owner.id {
				continue
			}
			t.Run("T7 the refresh token of "+owner.name+" used by "+thief.name, func(t *testing.T) {
				thief.token(s.program(t), form).wantError(400, "invalid_grant")
			})
		}
		if owner.secret != "" {
			t.Run("T7 the refresh token of "+owner.name+" without its secret", func(t *testing.T) {
				registered{id: owner.id}.token(s.program(t), form).wantError(401, "invalid_client")
				registered{id: owner.id, secret: "guess", basic: owner.basic}.token(s.program(t), form).wantError(401, "invalid_client")
			})
		}
		owner.token(b, form).want(200)
		if !b.active(tokens.text("access_token")) {
			t.Errorf("the tries of others ended the tokens of %s", owner.name)
		}
	}
}
