package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/oauth2"
)

// demoAgent is the MCP client of the official Go SDK with its own OAuth support: discovery, client id metadata document, PKCE,
// code exchange and step-up are the SDK's. Refresh and revocation, which the SDK has no call for, are plain OAuth.
type demoAgent struct {
	endpoint string
	identity *agentIdentity
	wire     *wireTap
	client   *http.Client
	// person takes the authorization URL to a person and waits until the agent's redirect URI was visited.
	person func(ctx context.Context, authorizationURL string) error

	session *mcp.ClientSession
	tokens  *agentTokens
}

func newDemoAgent(endpoint string, identity *agentIdentity, person func(context.Context, string) error) *demoAgent {
	wire := &wireTap{base: http.DefaultTransport}
	return &demoAgent{endpoint: endpoint, identity: identity, wire: wire, person: person, client: &http.Client{Transport: wire, Timeout: 20 * time.Second}}
}

// connect opens an MCP session. The first answer is a 401, so the SDK logs in on the way. wanted are scopes that the agent asks
// for from the beginning, beyond those that the server names.
func (a *demoAgent) connect(ctx context.Context, wanted ...string) error {
	first := true
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		ClientIDMetadataDocumentConfig: &auth.ClientIDMetadataDocumentConfig{URL: a.identity.clientID},
		RedirectURL:                    a.identity.redirect,
		RequestRefreshToken:            true,
		AuthorizationCodeFetcher:       a.fetchCode,
		Client:                         a.client,
		ScopeFilter: func(named []string) []string {
			if !first {
				return named
			}
			first = false
			return append(slices.Clone(named), wanted...)
		},
		NewTokenSource: func(ctx context.Context, config *oauth2.Config, token *oauth2.Token) (oauth2.TokenSource, error) {
			a.tokens = &agentTokens{ctx: ctx, config: config, token: token}
			return a.tokens, nil
		},
	})
	if err != nil {
		return err
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "demo-agent", Title: "Demo agent", Version: "1.0.0"}, nil)
	a.session, err = client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: a.endpoint, HTTPClient: a.client, OAuthHandler: handler, MaxRetries: -1}, nil)
	return err
}

func (a *demoAgent) close() error {
	if a.session == nil {
		return nil
	}
	return a.session.Close()
}

// fetchCode is the step that the SDK leaves to its user: a person in a browser.
func (a *demoAgent) fetchCode(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
	if err := a.person(ctx, args.URL); err != nil {
		return nil, err
	}
	q, err := a.identity.answer(ctx)
	if err != nil {
		return nil, err
	}
	if q.Get("error") != "" {
		return nil, fmt.Errorf("the authorization request was answered with %s: %s", q.Get("error"), q.Get("error_description"))
	}
	return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
}

// agentTokens is the agent's token store.
type agentTokens struct {
	ctx    context.Context // the SDK's, with its HTTP client in it
	config *oauth2.Config
	mu     sync.Mutex
	token  *oauth2.Token
}

// Token is the token that the next request carries.
func (t *agentTokens) Token() (*oauth2.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token, nil
}

// refresh replaces both tokens (RFC 6749 §6).
func (t *agentTokens) refresh() (before, after *oauth2.Token, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before = t.token
	if before.RefreshToken == "" {
		return before, nil, errors.New("there is no refresh token")
	}
	after, err = t.config.TokenSource(t.ctx, &oauth2.Token{RefreshToken: before.RefreshToken}).Token()
	if err == nil {
		t.token = after
	}
	return before, after, err
}

// revoke ends everything that came from the agent's login (RFC 7009 §2.1). Its result is the HTTP status.
func (a *demoAgent) revoke(ctx context.Context, endpoint string) (int, error) {
	token, err := a.tokens.Token()
	if err != nil {
		return 0, err
	}
	form := url.Values{"token": {token.RefreshToken}, "token_type_hint": {"refresh_token"}, "client_id": {a.identity.clientID}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := a.client.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// call calls a tool.
func (a *demoAgent) call(ctx context.Context, name string, arguments map[string]any) (*mcp.CallToolResult, error) {
	return a.session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: arguments})
}

// exchange is one request of the agent with its answer.
type exchange struct {
	method string
	url    *url.URL
	bearer bool // the request carried a token
	status int
	header http.Header
	body   []byte
}

// wireTap keeps what goes over the agent's wire, so that the walk can show what the SDK does by itself.
type wireTap struct {
	base http.RoundTripper
	mu   sync.Mutex
	all  []exchange
}

// RoundTrip sends the request and keeps the answer.
func (t *wireTap) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxMCPAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	_, bearer := bearerToken(r.Header)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, exchange{method: r.Method, url: r.URL, bearer: bearer, status: answer.StatusCode, header: answer.Header, body: body})
	return answer, nil
}

// last is the latest exchange of this kind.
func (t *wireTap) last(what string, is func(exchange) bool) (exchange, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range slices.Backward(t.all) {
		if is(x) {
			return x, nil
		}
	}
	return exchange{}, fmt.Errorf("the agent saw no %s", what)
}

// member decodes the body of a kept answer.
func (x exchange) decode(v any) error {
	if err := json.Unmarshal(x.body, v); err != nil {
		return fmt.Errorf("%s %s answered %d with a body that is not the expected JSON: %w", x.method, x.url.Path, x.status, err)
	}
	return nil
}

// contentText is the text of a tool's result.
func contentText(r *mcp.CallToolResult) string {
	text := ""
	for _, c := range r.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			text += t.Text
		}
	}
	return text
}

// shownDecision is the decision that the sample server shows in _meta and in the data of its errors.
type shownDecision struct {
	Allowed      bool     `json:"allowed"`
	EvaluationID string   `json:"evaluation_id"`
	Reason       string   `json:"reason"`
	Rules        []string `json:"rules"`
}

func decisionIn(meta map[string]any) shownDecision {
	var d shownDecision
	text, err := json.Marshal(meta[metaDecision])
	if err != nil || json.Unmarshal(text, &d) != nil {
		return shownDecision{}
	}
	return d
}
