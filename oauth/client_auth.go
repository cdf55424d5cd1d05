package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of wrong secrets, counted per client and, for resources, per address. They slow down wrong answers only: the right secret passes, or
// whoever knows a client's id could shut it out. So a secret must be one that cannot be guessed; a short one draws a warning at start.
const (
	authFailures     = 10
	authFailuresPer  = time.Minute
	authFailureKeys  = 10000
	maxClientIDBytes = 2048
	maxSecretBytes   = 1024
)

// AuthMethods are the methods of client authentication that this server offers, for its metadata. Another one joins
// here and in presentedCredentials.
func AuthMethods() []string { return []string{AuthMethodNone, AuthMethodBasic, AuthMethodPost} }

// ClientAuthenticator proves which client or resource server sends a direct request (RFC 6749 §2.3).
type ClientAuthenticator struct{ failures, alarms *Limiter }

// NewClientAuthenticator makes one with its own count of failures.
func NewClientAuthenticator() *ClientAuthenticator {
	return &ClientAuthenticator{failures: NewLimiter(authFailures, authFailuresPer, 3*authFailures, authFailureKeys), alarms: newAlarms()}
}

// credentials are what a request presents. There may be two readings of a Basic header: the form-encoded one of RFC 6749 §2.3.1,
// and the raw one, which some clients send.
type credentials struct {
	method  string // AuthMethodNone, AuthMethodBasic or AuthMethodPost
	ids     []string
	secrets []string
	scheme  string // of the Authorization header, "" = none was sent
}

// refuse is the one answer to every failed authentication. Only the reason, which goes to the log, tells why.
func (c credentials) refuse(reason string) *Error {
	e := InvalidClient.Errorf("client authentication failed: the client is unknown, or its credentials or its method are wrong").For(reason)
	e.Challenge = c.scheme
	return e
}

// Authenticate finds the client that sends a direct request and proves it by the method that it presents. A public client
// only names itself. Unknown clients and wrong secrets get the same answer after the same work. Faults of the storage and of a document's host are
// passed on as they are: they are never invalid_client. A refusal may cost an alarm, which the endpoint pays.
func (a *ClientAuthenticator) Authenticate(ctx context.Context, resolver ClientResolver, r DirectRequest, maxStale time.Duration) (*Client, error) {
	presented, err := presentedCredentials(r)
	if err != nil {
		return nil, err
	}
	client, err := findClient(ctx, resolver, presented.ids, maxStale)
	if err != nil {
		return nil, challenged(err, presented.scheme)
	}
	reason := presented.prove(client)
	if reason == "" {
		return client, nil
	}
	if presented.method == AuthMethodNone { // who presents no secret guesses none; a forgotten client must always hear invalid_client
		return nil, presented.refuse(reason)
	}
	return nil, a.wrong(ctx, presented, client, reason)
}

// wrong slows down guesses of a secret. A name that nobody registered is counted alike, but leaves no row.
func (a *ClientAuthenticator) wrong(ctx context.Context, c credentials, client *Client, reason string) *Error {
	ok, after := a.failures.Allow("client " + c.ids[0])
	if ok {
		return c.refuse(reason)
	}
	e := SlowDown.Errorf("too many failed authentications; wait before the next one").For("client_auth_limited").After(after)
	if client == nil {
		return e
	}
	return e.Costing(alarm(ctx, a.alarms, client.ID, Event{ClientID: client.ID, Reason: e.Reason})...)
}

// findClient is nil without error when no reading of the id is a client.
func findClient(ctx context.Context, resolver ClientResolver, ids []string, maxStale time.Duration) (*Client, error) {
	for _, id := range ids {
		client, err := resolver.Client(ctx, id, maxStale)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return client, err
		}
	}
	return nil, nil
}

// challenged notes the scheme that the caller tried in a refusal that came from elsewhere.
func challenged(err error, scheme string) error {
	var e *Error
	if errors.As(err, &e) && e.Code == InvalidClient {
		copied := *e
		copied.Challenge = scheme
		return &copied
	}
	return err
}

// prove says why the credentials do not prove the client, "" if they do. A client that is nil gets the same work.
func (c credentials) prove(client *Client) string {
	known := client != nil
	if !known {
		client = &Client{AuthMethods: AuthMethods(), SecretHashes: [][]byte{make([]byte, sha256.Size)}}
	}
	right := anySecret(c.secrets, client.SecretHashes)
	switch {
	case !known:
		return "client_unknown"
	case !slices.Contains(client.AuthMethods, c.method):
		return "client_auth_method"
	case c.method == AuthMethodNone && len(client.SecretHashes) > 0:
		return "client_secret_missing"
	case c.method != AuthMethodNone && !right:
		return "client_secret_wrong"
	}
	return ""
}

// anySecret compares every reading of a secret with every stored hash, without stopping at a match.
func anySecret(secrets []string, hashes [][]byte) bool {
	same := false
	for _, s := range secrets {
		same = SameSecret(s, hashes) || same
	}
	return same
}

// presentedCredentials reads them from header and form. More than one method at a time is refused (RFC 6749 §2.3).
func presentedCredentials(r DirectRequest) (credentials, error) {
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		if len(r.Form[name]) > 1 {
			return credentials{}, InvalidRequest.Errorf("the parameter %s stands more than once", name).For("repeated_parameter")
		}
	}
	id, secret := r.Form.Get("client_id"), r.Form.Get("client_secret")
	if r.Form.Get("client_assertion") != "" || r.Form.Get("client_assertion_type") != "" {
		return credentials{}, InvalidClient.Errorf("client assertions are not supported; use one of token_endpoint_auth_methods_supported").For("client_auth_method")
	}
	if r.Authorization != "" {
		return headerCredentials(r.Authorization, id, secret)
	}
	c := credentials{method: AuthMethodNone, ids: []string{id}}
	if secret != "" {
		c.method, c.secrets = AuthMethodPost, []string{secret}
	}
	switch {
	case id == "":
		return c, InvalidClient.Errorf("client_id is missing; send it in the form or authenticate with HTTP Basic").For("client_missing")
	case !plausible(id, maxClientIDBytes) || len(secret) > maxSecretBytes:
		return c, c.refuse("client_malformed")
	}
	return c, nil
}

// headerCredentials reads HTTP Basic. An empty secret is how Go's oauth2 package first tries a public client: it only names it.
func headerCredentials(authorization, formID, formSecret string) (credentials, error) {
	c, ok := basicCredentials(authorization)
	if !ok {
		return c, c.refuse("client_malformed")
	}
	if formSecret != "" {
		return c, InvalidRequest.Errorf("the request authenticates in two ways; send either the Authorization header or client_secret").For("two_methods")
	}
	if formID != "" && !slices.Contains(c.ids, formID) {
		return c, InvalidRequest.Errorf("client_id in the form is not the one in the Authorization header").For("client_mismatch")
	}
	if formID != "" {
		c.ids = []string{formID}
	}
	return c, nil
}

// basicCredentials decodes an Authorization header of the scheme Basic (RFC 7617), in both readings.
func basicCredentials(authorization string) (credentials, bool) {
	c := credentials{method: AuthMethodBasic, scheme: "Basic"}
	scheme, token, _ := strings.Cut(authorization, " ")
	data, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(token, " "))
	if !strings.EqualFold(scheme, "Basic") || err != nil || strings.ContainsAny(token, "\r\n") || len(data) > maxClientIDBytes+maxSecretBytes {
		return c, false
	}
	text := string(data)
	colon := strings.IndexByte(text, ':')
	if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") {
		colon = strings.LastIndexByte(text, ':') // a URL that was not encoded
	}
	if colon < 0 {
		return c, false
	}
	c.ids, c.secrets = readings(text[:colon]), readings(text[colon+1:])
	for _, id := range c.ids {
		if !plausible(id, maxClientIDBytes) {
			return c, false
		}
	}
	if text[colon+1:] == "" {
		c.method, c.secrets = AuthMethodNone, nil
	}
	return c, true
}

// readings are the form-decoded and the raw reading of a part of a Basic header, one if they are equal.
func readings(part string) []string {
	decoded, err := url.QueryUnescape(part)
	if err != nil || decoded == part {
		return []string{part}
	}
	return []string{decoded, part}
}

// plausible tells whether an identifier can exist at all: printable ASCII (RFC 6749 appendix A.1).
func plausible(id string, max int) bool {
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= max
}
