package tests

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// goClient is a program with golang.org/x/oauth2, as Go programs have it, and the person in front of it.
type goClient struct {
	s      *server
	t      testing.TB
	config oauth2.Config
	ctx    context.Context // with the HTTP client that the library is to use
	person *browser
}

func (s *server) goClient(t testing.TB, config oauth2.Config) *goClient {
	config.Scopes = []string{scopeCalendar}
	config.Endpoint.AuthURL, config.Endpoint.TokenURL = s.issuer+"/authorize", s.issuer+"/token"
	return &goClient{s: s, t: t, config: config, ctx: context.WithValue(t.Context(), oauth2.HTTPClient, s.program(t).client), person: s.browser(t)}
}

// visit sends the person to the library's authorization URL and gives the query of the redirect, with the state checked.
func (c *goClient) visit(verifier, action string) url.Values {
	c.t.Helper()
	state := rand.Text()
	begin := c.config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", office))
	path := c.person.get(begin).want(303).location().Path
	page := c.person.login(c.person.get(path), path, "alice")
	u := c.person.answer(page, path, action, page.boxes()...).want(303).location()
	if q := u.Query(); q.Get("state") != state || q.Get("iss") != c.s.issuer || u.Scheme+"://"+u.Host+u.Path != c.config.RedirectURL {
		c.t.Fatalf("redirect %s", u)
	}
	return u.Query()
}

// login is the whole way to a token.
func (c *goClient) login() *oauth2.Token {
	c.t.Helper()
	verifier := oauth2.GenerateVerifier()
	token, err := c.config.Exchange(c.ctx, c.visit(verifier, "allow").Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// refresh gives a source that thinks of every token as expired, so that each Token is a refresh with the token of the last one.
func (c *goClient) refresh(token *oauth2.Token) oauth2.TokenSource {
	return oauth2.ReuseTokenSourceWithExpiry(token, c.config.TokenSource(c.ctx, token), time.Hour)
}

// wantRetrieveError checks what a Go program reads of a refusal (RFC 6749 §5.2).
func wantRetrieveError(t testing.TB, err error, status int, code string) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		t.Errorf("%v is a %T, want an *oauth2.RetrieveError", err, err)
		return
	}
	if refusal.ErrorCode != code || refusal.Response.StatusCode != status || refusal.ErrorDescription == "" || refusal.Response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %q, want %d %q with a description\n%s", refusal.Response.StatusCode, refusal.ErrorCode, refusal.ErrorDescription, status, code, refusal.Body)
	}
}

// The library tries HTTP Basic first, public clients included, unless it is told how to authenticate; so no attempt of that may
// cost anything.
func TestTheOAuth2PackageOfGo(t *testing.T) {
	t.Parallel()
	s := start(t, "main.yaml", nil)
	in := func(style oauth2.AuthStyle) oauth2.Endpoint { return oauth2.Endpoint{AuthStyle: style} }
	for name, config := range map[string]oauth2.Config{
		"public":                    {ClientID: "cli", RedirectURL: callback, Endpoint: in(oauth2.AuthStyleInParams)},
		"public, style unknown":     {ClientID: "cli", RedirectURL: callback},
		"secret in header":          {ClientID: "web", ClientSecret: webSecret, RedirectURL: "https://app.example/cb", Endpoint: in(oauth2.AuthStyleInHeader)},
		"in header, style unknown":  {ClientID: "web", ClientSecret: webSecret, RedirectURL: "https://app.example/cb"},
		"secret in params":          {ClientID: "web-post", ClientSecret: postSecret, RedirectURL: "https://post.example/cb", Endpoint: in(oauth2.AuthStyleInParams)},
		"in params, style unknown":  {ClientID: "web-post", ClientSecret: postSecret, RedirectURL: "https://post.example/cb"},
		"redirect URI at localhost": {ClientID: "cli", RedirectURL: "http://localhost:47812/callback", Endpoint: in(oauth2.AuthStyleInParams)},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.goClient(t, config)
			t.Run("exchange and two refreshes", c.lives)
			t.Run("reuse", c.reuses)
			t.Run("refusals", c.isRefused)
		})
	}
}

// lives is the good life: a code, a token, two refreshes.
func (c *goClient) lives(t *testing.T) {
	c.t = t
	first := c.login()
	if first.Type() != "Bearer" || !first.Valid() || first.ExpiresIn != 600 || first.RefreshToken == "" {
		t.Fatalf("token %+v", first)
	}
	if scope, ok := first.Extra("scope").(string); !ok || withoutOffline(scope) != scopeCalendar {
		t.Errorf("scope %v", first.Extra("scope"))
	}
	source := c.refresh(first)
	before := first
	for i := range 2 {
		after, err := source.Token()
		if err != nil {
			t.Fatal(err)
		}
		if after.RefreshToken == before.RefreshToken || after.AccessToken == before.AccessToken || !c.person.active(after.AccessToken) || audienceOf(t, after.AccessToken) != office {
			t.Errorf("refresh %d gave %+v after %+v", i+1, after, before)
		}
		before = after
	}
}

// reuses shows what a copy of an old refresh token leads to, and a code that is spent.
func (c *goClient) reuses(t *testing.T) {
	c.t = t
	first := c.login()
	source := c.refresh(first)
	if _, err := source.Token(); err != nil {
		t.Fatal(err)
	}
	last, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.refresh(&oauth2.Token{RefreshToken: first.RefreshToken}).Token()
	wantRetrieveError(t, err, http.StatusBadRequest, "invalid_grant")
	_, err = source.Token()
	wantRetrieveError(t, err, http.StatusBadRequest, "invalid_grant")
	if c.person.active(last.AccessToken) {
		t.Error("the access token outlives the reuse")
	}

	verifier := oauth2.GenerateVerifier()
	code := c.visit(verifier, "allow").Get("code")
	token, err := c.config.Exchange(c.ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.config.Exchange(c.ctx, code, oauth2.VerifierOption(verifier))
	wantRetrieveError(t, err, http.StatusBadRequest, "invalid_grant")
	if c.person.active(token.AccessToken) {
		t.Error("the access token outlives the replay of its code")
	}
}

// isRefused tries what must fail and cost nothing: at the end the code still counts.
func (c *goClient) isRefused(t *testing.T) {
	c.t = t
	if q := c.visit(oauth2.GenerateVerifier(), "deny"); q.Get("error") != "access_denied" || q.Has("code") {
		t.Errorf("after Deny: %v", q)
	}
	verifier := oauth2.GenerateVerifier()
	code := c.visit(verifier, "allow").Get("code")
	exchange := func(config oauth2.Config, options ...oauth2.AuthCodeOption) error {
		_, err := config.Exchange(c.ctx, code, options...)
		return err
	}
	wantRetrieveError(t, exchange(c.config, oauth2.VerifierOption(oauth2.GenerateVerifier())), http.StatusBadRequest, "invalid_grant")
	wantRetrieveError(t, exchange(c.config, oauth2.VerifierOption(verifier), oauth2.SetAuthURLParam("resource", notes)), http.StatusBadRequest, "invalid_target")
	stranger := c.config
	stranger.ClientID, stranger.ClientSecret = "nobody", "wrong"
	wantRetrieveError(t, exchange(stranger, oauth2.VerifierOption(verifier)), http.StatusUnauthorized, "invalid_client")
	if err := exchange(c.config, oauth2.VerifierOption(verifier), oauth2.SetAuthURLParam("resource", office)); err != nil {
		t.Error("the code was spent by what was refused:", err)
	}
}
