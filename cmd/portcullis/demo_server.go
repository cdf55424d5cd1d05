package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"portcullis/oauth"
)

// sampleServer is what the author of an MCP server writes: tools made with the official Go SDK, and a guard in front that
// asks the decision endpoint before anything runs. It knows Portcullis by its HTTP interface only.
type sampleServer struct {
	resource    string // its RFC 8707 identifier: the URL of the MCP endpoint
	issuer      string // the authorization server that it trusts, and asks
	key, secret string // how it authenticates there
	tools       []demoTool
	http        *http.Client // towards the issuer
}

// Limits of what the sample server reads, in bytes, and how long it waits for a decision.
const (
	maxMCPMessage  = 1 << 20
	maxMCPAnswer   = 1 << 20
	decisionWithin = 5 * time.Second
)

// handler is the whole server: the MCP endpoint and its RFC 9728 document, at the endpoint's own place and at the root.
func (s *sampleServer) handler() (http.Handler, error) {
	id, err := url.Parse(s.resource)
	if err != nil {
		return nil, fmt.Errorf("the sample server's resource: %w", err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "portcullis-demo", Title: "Portcullis demo tools", Version: "1.0.0"},
		&mcp.ServerOptions{Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}}})
	for _, t := range s.tools {
		t.register(server)
	}
	server.AddReceivingMiddleware(s.enforce)
	endpoint := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true, MaxRequestBodyBytes: maxMCPMessage})
	// The SDK gives its handlers the token information that this middleware of its own keeps, so the decision travels there.
	decided := auth.RequireBearerToken(decisionOf, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true})(endpoint)

	mux := http.NewServeMux()
	mux.Handle(id.Path, s.guard(decided))
	mux.HandleFunc("GET "+oauth.WellKnownProtectedResource+id.Path, s.metadata)
	mux.HandleFunc("GET "+oauth.WellKnownProtectedResource, s.metadata)
	return mux, nil
}

// guard decides every message before the SDK sees it. It stands outside the SDK because only the HTTP answer can carry a
// challenge: the SDK's own bearer check cannot write error="insufficient_scope", and without that no client steps up.
func (s *sampleServer) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackOrigin(r.Header.Get("Origin")) {
			http.Error(w, "this Origin is not welcome", http.StatusForbidden) // DNS rebinding
			return
		}
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "send JSON-RPC messages with POST", http.StatusMethodNotAllowed)
			return
		}
		token, ok := bearerToken(r.Header)
		if !ok {
			s.challengeNewcomer(w, r)
			return
		}
		call, problem := readMCPCall(w, r)
		if problem != nil {
			problem.write(w)
			return
		}
		d, err := s.decide(r.Context(), token, call)
		if err != nil { // no answer is no permission
			(&rpcProblem{http.StatusServiceUnavailable, call.id, codeInternal, "the call could not be decided; try again later", nil}).write(w)
			return
		}
		if c := d.Context.Challenge; c != nil && !d.Decision {
			w.Header().Set("WWW-Authenticate", c.WWWAuthenticate)
			(&rpcProblem{c.Status, call.id, codeDenied, d.text(), d.meta()}).write(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), decidedKey{}, &decidedCall{call, d})))
	})
}

// loopbackOrigin tells whether a browser page of this machine asks, or no browser at all.
func loopbackOrigin(origin string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// bearerToken is the token of a single Authorization header (RFC 6750 §2.1; the scheme in any case).
func bearerToken(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && !strings.ContainsAny(token, " \t")
}

// challengeNewcomer is the answer to a request without a token: where the metadata is and what to begin with, and no
// error, because nothing was wrong yet (RFC 6750 §3, RFC 9728 §5.1).
func (s *sampleServer) challengeNewcomer(w http.ResponseWriter, r *http.Request) {
	id, err := url.Parse(s.resource)
	if err != nil {
		http.Error(w, "the resource of this server is no URL", http.StatusInternalServerError)
		return
	}
	challenge := fmt.Sprintf(`Bearer resource_metadata="%s://%s%s%s"`, id.Scheme, id.Host, oauth.WellKnownProtectedResource, id.Path)
	if document, _, err := s.fetchMetadata(r.Context()); err == nil && len(document.ScopesSupported) > 0 {
		challenge += fmt.Sprintf(`, scope="%s"`, strings.Join(document.ScopesSupported, " "))
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, "log in first", http.StatusUnauthorized)
}

// protectedResource is what the sample server reads of its own RFC 9728 document.
type protectedResource struct {
	Resource        string   `json:"resource"`
	ScopesSupported []string `json:"scopes_supported"`
}

// metadata serves the document that Portcullis made for this server, byte for byte.
func (s *sampleServer) metadata(w http.ResponseWriter, r *http.Request) {
	_, document, err := s.fetchMetadata(r.Context())
	if err != nil {
		http.Error(w, "the authorization server does not answer; try again later", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = w.Write(document) // a client that has gone needs no document
}

// fetchMetadata asks anew each time: the operator may change the scopes, and this server starts before or after the other.
func (s *sampleServer) fetchMetadata(ctx context.Context) (protectedResource, []byte, error) {
	var document protectedResource
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+oauth.WellKnownProtectedResource+"/"+url.PathEscape(s.key), nil)
	if err != nil {
		return document, nil, err
	}
	text, err := s.ask(r)
	if err != nil {
		return document, nil, err
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return document, nil, fmt.Errorf("resource metadata: %w", err)
	}
	if document.Resource != s.resource {
		return document, nil, fmt.Errorf("resource metadata is for %q and this server is %q", document.Resource, s.resource)
	}
	return document, text, nil
}

// ask sends a request to the issuer. Anything but a 200 is an error.
func (s *sampleServer) ask(r *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), decisionWithin)
	defer cancel()
	answer, err := s.http.Do(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxMCPAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxMCPAnswer:
		return nil, errors.New("the answer is too large")
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s", r.URL.Path, answer.Status)
	}
	return text, nil
}
