package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// clientTable resolves the clients it holds; an error under an id stands for a fault.
type clientTable map[string]any

func (m clientTable) Client(_ context.Context, id string, _ time.Duration) (*Client, error) {
	switch v := m[id].(type) {
	case *Client:
		return v, nil
	case error:
		return nil, v
	}
	return nil, ErrNotFound
}

const urlClientID = "https://client.example:8443/a+b/client.json?x=%20"

func authClients() clientTable {
	return clientTable{
		"pub":       &Client{ID: "pub", AuthMethods: []string{"none"}},
		"basic":     &Client{ID: "basic", AuthMethods: []string{"client_secret_basic"}, SecretHashes: [][]byte{HashSecret("s+1 %"), HashSecret("second")}},
		"post":      &Client{ID: "post", AuthMethods: []string{"client_secret_post"}, SecretHashes: [][]byte{HashSecret("p")}},
		"both":      &Client{ID: "both", AuthMethods: []string{"client_secret_basic", "client_secret_post"}, SecretHashes: [][]byte{HashSecret("b")}},
		"jwt":       &Client{ID: "jwt", AuthMethods: []string{"private_key_jwt"}},
		"wide":      &Client{ID: "wide", AuthMethods: []string{"none", "private_key_jwt"}},
		"careless":  &Client{ID: "careless", AuthMethods: []string{"none", "client_secret_post"}, SecretHashes: [][]byte{HashSecret("c")}},
		"nosecret":  &Client{ID: "nosecret", AuthMethods: []string{"client_secret_post"}},
		urlClientID: &Client{ID: urlClientID, AuthMethods: []string{"none"}},
		"down":      fmt.Errorf("read: %w", ErrUnavailable),
		"broken":    TemporarilyUnavailable.Errorf("the document cannot be fetched now").For("cimd_timeout"),
		"denied":    InvalidClient.Errorf("policy").For("cimd_denied"),
	}
}

func basicRaw(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func basicEncoded(id, secret string) string {
	return basicRaw(url.QueryEscape(id), url.QueryEscape(secret))
}

func TestClientAuthentication(t *testing.T) {
	form := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v
	}
	for _, row := range []struct {
		name   string
		header string
		form   url.Values
		client string // who is proven
		code   ErrorCode
		reason string
		scheme string // challenge
	}{
		{"public client names itself", "", form("client_id", "pub"), "pub", ErrorCode{}, "", ""},
		{"public client with an empty secret in the form", "", form("client_id", "pub", "client_secret", ""), "pub", ErrorCode{}, "", ""},
		{"Go tries Basic with an empty secret first", basicEncoded("pub", ""), form(), "pub", ErrorCode{}, "", ""},
		{"Go tries Basic with an empty secret for a URL", basicEncoded(urlClientID, ""), form(), urlClientID, ErrorCode{}, "", ""},
		{"a URL that was not encoded", basicRaw(urlClientID, ""), form(), urlClientID, ErrorCode{}, "", ""},
		{"Basic with the same client_id in the form", basicEncoded(urlClientID, ""), form("client_id", urlClientID), urlClientID, ErrorCode{}, "", ""},
		{"a client that may also use a key", "", form("client_id", "wide"), "wide", ErrorCode{}, "", ""},
		{"secret by Basic, encoded", basicEncoded("basic", "s+1 %"), form(), "basic", ErrorCode{}, "", ""},
		{"secret by Basic, raw", basicRaw("basic", "s+1 %"), form(), "basic", ErrorCode{}, "", ""},
		{"the second secret", basicEncoded("basic", "second"), form(), "basic", ErrorCode{}, "", ""},
		{"the scheme in lower case", "basic " + strings.TrimPrefix(basicEncoded("basic", "second"), "Basic "), form(), "basic", ErrorCode{}, "", ""},
		{"secret in the form", "", form("client_id", "post", "client_secret", "p"), "post", ErrorCode{}, "", ""},
		{"either way, form", "", form("client_id", "both", "client_secret", "b"), "both", ErrorCode{}, "", ""},
		{"either way, Basic", basicRaw("both", "b"), form(), "both", ErrorCode{}, "", ""},

		{"nothing at all", "", form(), "", InvalidClient, "client_missing", ""},
		{"unknown client", "", form("client_id", "nobody"), "", InvalidClient, "client_unknown", ""},
		{"unknown client by Basic", basicRaw("nobody", "x"), form(), "", InvalidClient, "client_unknown", "Basic"},
		{"wrong secret by Basic", basicRaw("basic", "x"), form(), "", InvalidClient, "client_secret_wrong", "Basic"},
		{"wrong secret in the form", "", form("client_id", "post", "client_secret", "x"), "", InvalidClient, "client_secret_wrong", ""},
		{"secret with one byte more", "", form("client_id", "post", "client_secret", "p "), "", InvalidClient, "client_secret_wrong", ""},
		{"secret client without its secret", "", form("client_id", "post"), "", InvalidClient, "client_auth_method", ""},
		{"secret client with an empty secret by Basic", basicRaw("basic", ""), form(), "", InvalidClient, "client_auth_method", "Basic"},
		{"a stored secret beats a stored none", "", form("client_id", "careless"), "", InvalidClient, "client_secret_missing", ""},
		{"the other way than registered", basicRaw("post", "p"), form(), "", InvalidClient, "client_auth_method", "Basic"},
		{"the other way than registered, form", "", form("client_id", "basic", "client_secret", "second"), "", InvalidClient, "client_auth_method", ""},
		{"public client with a secret", "", form("client_id", "pub", "client_secret", "x"), "", InvalidClient, "client_auth_method", ""},
		{"key client without its key", "", form("client_id", "jwt"), "", InvalidClient, "client_auth_method", ""},
		{"key client with a secret", "", form("client_id", "jwt", "client_secret", "x"), "", InvalidClient, "client_auth_method", ""},
		{"secret method without a stored secret", "", form("client_id", "nosecret", "client_secret", "x"), "", InvalidClient, "client_secret_wrong", ""},
		{"assertion", "", form("client_assertion", "x", "client_assertion_type", "y"), "", InvalidClient, "client_auth_method", ""},
		{"two methods", basicRaw("both", "b"), form("client_secret", "b"), "", InvalidRequest, "two_methods", ""},
		{"two methods, empty Basic secret", basicRaw("both", ""), form("client_id", "both", "client_secret", "b"), "", InvalidRequest, "two_methods", ""},
		{"two clients", basicRaw("both", "b"), form("client_id", "basic"), "", InvalidRequest, "client_mismatch", ""},
		{"client_id twice", "", form("client_id", "pub", "client_id", "pub"), "", InvalidRequest, "repeated_parameter", ""},
		{"client_secret twice", "", form("client_id", "post", "client_secret", "p", "client_secret", "p"), "", InvalidRequest, "repeated_parameter", ""},
		{"another scheme", "Bearer x", form("client_id", "pub"), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic without anything", "Basic", form("client_id", "pub"), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic with junk", "Basic ???", form(), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic with line breaks", "Basic " + basicRaw("pub", "")[6:8] + "\r\n" + basicRaw("pub", "")[8:], form(), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic with loose base64", "Basic cHViOh==", form(), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic without a colon", "Basic " + base64.StdEncoding.EncodeToString([]byte("pub")), form(), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic without an id", basicRaw("", "x"), form(), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic with control characters", basicRaw("p\x00ub", ""), form(), "", InvalidClient, "client_malformed", "Basic"},
		{"Basic with encoded control characters", basicRaw("pub%00", ""), form(), "", InvalidClient, "client_malformed", "Basic"},
		{"id beyond ASCII", "", form("client_id", "püb"), "", InvalidClient, "client_malformed", ""},
		{"id of 3 KB", "", form("client_id", strings.Repeat("x", 3000)), "", InvalidClient, "client_malformed", ""},
		{"secret of 3 KB", "", form("client_id", "post", "client_secret", strings.Repeat("x", 3000)), "", InvalidClient, "client_malformed", ""},
		{"document out of reach", "", form("client_id", "broken"), "", TemporarilyUnavailable, "cimd_timeout", ""},
		{"document refused by policy", basicRaw("denied", ""), form(), "", InvalidClient, "cimd_denied", "Basic"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := NewClientAuthenticator().Authenticate(t.Context(), authClients(), DirectRequest{Form: row.form, Authorization: row.header}, Fresh)
			if row.client != "" {
				if err != nil || got.ID != row.client {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || got != nil {
				t.Fatalf("got %v, %v", got, err)
			}
			if e.Code != row.code || e.Reason != row.reason || e.Challenge != row.scheme {
				t.Errorf("got %s/%s with challenge %q, want %s/%s with %q", e.Code.Name, e.Reason, e.Challenge, row.code.Name, row.reason, row.scheme)
			}
		})
	}
}

func TestUnknownClientAndWrongSecretGetTheSameWords(t *testing.T) {
	a := NewClientAuthenticator()
	texts := map[string]bool{}
	for _, id := range []string{"nobody", "post"} {
		_, err := a.Authenticate(t.Context(), authClients(), DirectRequest{Form: url.Values{"client_id": {id}, "client_secret": {"x"}}}, Fresh)
		texts[AsError(err).Code.Name+AsError(err).Description] = true
	}
	if len(texts) != 1 {
		t.Errorf("the answers differ: %v", texts)
	}
}

func TestStorageFaultIsNeverInvalidClient(t *testing.T) {
	_, err := NewClientAuthenticator().Authenticate(t.Context(), authClients(), DirectRequest{Form: url.Values{"client_id": {"down"}}}, Fresh)
	if e := AsError(err); e.Code != TemporarilyUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestWrongSecretsAreLimitedPerClient(t *testing.T) {
	a := NewClientAuthenticator()
	try := func(ip, id, secret string) *Error {
		ctx := WithRequest(t.Context(), RequestContext{IP: ip})
		_, err := a.Authenticate(ctx, authClients(), DirectRequest{Form: url.Values{"client_id": {id}, "client_secret": {secret}}}, Fresh)
		if err == nil {
			return nil
		}
		return AsError(err)
	}
	for range 3 * authFailures {
		if e := try("203.0.113.7", "post", "x"); e.Code != InvalidClient {
			t.Fatalf("before the limit: %v", e)
		}
	}
	for _, ip := range []string{"203.0.113.7", "203.0.113.8"} {
		if e := try(ip, "post", "x"); e == nil || e.Code != SlowDown || e.RetryAfter <= 0 {
			t.Errorf("beyond the limit from %s: %v", ip, e)
		}
		if e := try(ip, "post", "p"); e != nil {
			t.Errorf("the owner at %s: %v", ip, e)
		}
	}
	if e := try("203.0.113.7", "both", "b"); e != nil {
		t.Errorf("another client at that address: %v", e)
	}
	for range 10 * authFailures {
		ctx := WithRequest(t.Context(), RequestContext{IP: "203.0.113.9"})
		_, err := a.Authenticate(ctx, authClients(), DirectRequest{Form: url.Values{"client_id": {"forgotten"}}}, Fresh)
		if AsError(err).Code != InvalidClient {
			t.Fatalf("a forgotten public client must hear invalid_client, got %v", err)
		}
	}
}

// resourceList is a directory of a few resources.
type resourceList []*Resource

func (l resourceList) find(match func(*Resource) bool) (*Resource, bool) {
	for _, r := range l {
		if match(r) {
			return r, true
		}
	}
	return nil, false
}

func (l resourceList) ResourceByKey(key string) (*Resource, bool) {
	return l.find(func(r *Resource) bool { return r.Key == key })
}

func (l resourceList) ResourceByID(id string) (*Resource, bool) {
	return l.find(func(r *Resource) bool { return r.ID == id })
}

func (l resourceList) Resources() []*Resource { return l }

func TestResourceAuthentication(t *testing.T) {
	const id = "http://127.0.0.1:3001/mcp"
	directory := resourceList{
		{ID: id, Key: "demo", SecretHashes: [][]byte{HashSecret("one"), HashSecret("two")}},
		{ID: "https://b.example/mcp", Key: "b", SecretHashes: [][]byte{HashSecret("bee"), HashSecret("shared")}},
		{ID: "https://c.example/mcp", Key: "c", SecretHashes: [][]byte{HashSecret("shared")}},
		{ID: "https://d.example/mcp", Key: "d"},
		{ID: "https://e.example/mcp", Key: "e", SecretHashes: [][]byte{HashSecret("eee")}, Disabled: true},
	}
	for _, row := range []struct{ name, header, key, scheme string }{
		{"key and secret", basicRaw("demo", "one"), "demo", ""},
		{"key and second secret", basicRaw("demo", "two"), "demo", ""},
		{"identifier, encoded", basicEncoded(id, "one"), "demo", ""},
		{"identifier, raw", basicRaw(id, "one"), "demo", ""},
		{"identifier in another spelling", basicEncoded("HTTP://127.0.0.1:3001/mcp/", "one"), "demo", ""},
		{"bearer", "Bearer one", "demo", ""},
		{"bearer in lower case", "bearer two", "demo", ""},
		{"bearer of another", "Bearer bee", "b", ""},
		{"nothing", "", "", "Basic"},
		{"wrong secret", basicRaw("demo", "bee"), "", "Basic"},
		{"empty secret", basicRaw("demo", ""), "", "Basic"},
		{"no secret stored", basicRaw("d", "x"), "", "Basic"},
		{"unknown", basicRaw("x", "one"), "", "Basic"},
		{"junk", "Basic !", "", "Basic"},
		{"another scheme", "Digest one", "", "Basic"},
		{"empty bearer", "Bearer ", "", "Bearer"},
		{"bearer unknown", "Bearer three", "", "Bearer"},
		{"bearer of two resources", "Bearer shared", "", "Bearer"},
		{"bearer with a blank behind", "Bearer one ", "", "Bearer"},
		{"disabled", basicRaw("e", "eee"), "", "Basic"},
		{"disabled by bearer", "Bearer eee", "", "Bearer"},
		{"bearer of 3 KB", "Bearer " + strings.Repeat("x", 3000), "", "Bearer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := NewClientAuthenticator().AuthenticateResource(t.Context(), directory, row.header)
			if row.key != "" {
				if err != nil || got.Key != row.key {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || got != nil || e.Code != InvalidClient || e.Challenge != row.scheme {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestWrongResourceSecretsAreLimited(t *testing.T) {
	directory := resourceList{{ID: "https://a.example/", Key: "a", SecretHashes: [][]byte{HashSecret("right")}}}
	a := NewClientAuthenticator()
	var last error
	for range 3*authFailures + 1 {
		_, last = a.AuthenticateResource(t.Context(), directory, "Bearer wrong")
	}
	if AsError(last).Code != SlowDown {
		t.Errorf("beyond the limit: %v", last)
	}
	other := WithRequest(t.Context(), RequestContext{IP: "2001:db8::1"})
	if _, err := a.AuthenticateResource(other, directory, "Bearer right"); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// FuzzBasicCredentials: what is read from a header is what was written into it, and nothing else has the same reading.
func FuzzBasicCredentials(f *testing.F) {
	for _, seed := range []string{"Basic cHViOg==", basicRaw(urlClientID, "x"), basicEncoded("a", "b"), "Basic", "Bearer x", "Basic %%%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, ok := basicCredentials(header)
		if !ok {
			return
		}
		for _, id := range c.ids {
			if !plausible(id, maxClientIDBytes) {
				t.Errorf("%q names %q", header, id)
			}
		}
		if len(c.ids) == 0 || len(c.ids) > 2 || (c.method == AuthMethodBasic) != (len(c.secrets) > 0) {
			t.Fatalf("%q gives %+v", header, c)
		}
		// The last reading is the raw one; with it, the header can be written again.
		id, secret := c.ids[len(c.ids)-1], ""
		if len(c.secrets) > 0 {
			secret = c.secrets[len(c.secrets)-1]
		}
		scheme, token, _ := strings.Cut(header, " ")
		if again := basicRaw(id, secret); !strings.EqualFold(scheme, "Basic") || "Basic "+strings.TrimLeft(token, " ") != again {
			t.Errorf("%q gives %+v, which is written %q", header, c, again)
		}
	})
}
