package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"portcullis/oauth"
)

// decisionPoint is a decision endpoint whose answers the test chooses. It keeps what it was asked.
type decisionPoint struct {
	mu     sync.Mutex
	answer func(w http.ResponseWriter, action, resource string)
	asked  []string // bodies
	auth   []string // Authorization headers
}

func (p *decisionPoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var q oauth.EvaluationRequest
	if err != nil || json.Unmarshal(body, &q) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.asked, p.auth = append(p.asked, string(body)), append(p.auth, r.Header.Get("Authorization"))
	answer := p.answer
	p.mu.Unlock()
	answer(w, q.Action.Name, q.Resource.ID)
}

func (p *decisionPoint) lastAsked() (body, auth string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[len(p.asked)-1], p.auth[len(p.auth)-1]
}

// says makes a decision point that gives every call the same answer.
func says(text string) func(http.ResponseWriter, string, string) {
	return func(w http.ResponseWriter, _, _ string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	}
}

// startSample serves the sample server in front of a decision point and returns its endpoint and the calls that its tools ran.
func startSample(t *testing.T, p *decisionPoint) (endpoint string, issuer *httptest.Server) {
	t.Helper()
	var sample http.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { sample.ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	endpoint = front.URL + "/mcp"
	mux := http.NewServeMux()
	mux.Handle("POST "+oauth.PathEvaluation, p)
	mux.HandleFunc("GET "+oauth.WellKnownProtectedResource+"/demo", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"resource":"`+endpoint+`","scopes_supported":["tools:weather.read"]}`)
	})
	issuer = httptest.NewServer(mux)
	t.Cleanup(issuer.Close)
	s := &sampleServer{resource: endpoint, issuer: issuer.URL, key: "demo", secret: "s3cret", tools: demoTools(), http: issuer.Client()}
	handler, err := s.handler()
	if err != nil {
		t.Fatal(err)
	}
	sample = handler
	return endpoint, issuer
}

type bearerTransport struct{ token string }

func (b bearerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

func connectSample(t *testing.T, endpoint string) *mcp.ClientSession {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: endpoint, HTTPClient: &http.Client{Transport: bearerTransport{"tok"}}, MaxRetries: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

const allowWeather = `{"decision":true,"context":{"evaluation_id":"dec_1","reason":"allowed","rules":["default.tool"],"subject":"usr_1","scope":"tools:weather.read tools:payments.*"}}`

func TestDemoServerListsOnlyToolsThatTheTokenOpens(t *testing.T) {
	endpoint, _ := startSample(t, &decisionPoint{answer: says(allowWeather)})
	session := connectSample(t, endpoint)
	if got := session.InitializeResult().ProtocolVersion; got < "2026-07-28" {
		t.Errorf("protocol version %q, want 2026-07-28 or later", got)
	}
	list, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	if want := []string{"get_weather", "transfer"}; !slices.Equal(names, want) {
		t.Errorf("tools %v, want %v: a wildcard scope opens transfer, nothing opens the others", names, want)
	}
	if list.CacheScope != "private" {
		t.Errorf("cacheScope %q, want private: the list differs by token", list.CacheScope)
	}
}

func TestDemoServerAsksBeforeAToolRuns(t *testing.T) {
	denied := `{"decision":false,"context":{"evaluation_id":"dec_2","reason":"payments.limit","reason_user":"transfers above 1000 are not for you","rules":["payments.limit"]}}`
	p := &decisionPoint{answer: func(w http.ResponseWriter, action, resource string) {
		if action == "tools/call" && resource == "transfer" {
			says(denied)(w, action, resource)
			return
		}
		says(allowWeather)(w, action, resource)
	}}
	endpoint, _ := startSample(t, p)
	session := connectSample(t, endpoint)
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get_weather", Arguments: map[string]any{"city": "Bern"}})
	if err != nil || result.IsError || !strings.HasPrefix(contentText(result), "Bern:") {
		t.Fatalf("get_weather: %v, %+v", err, result)
	}
	if seen := decisionIn(result.Meta); seen.EvaluationID != "dec_1" || !seen.Allowed {
		t.Errorf("the result does not show its decision: %+v", result.Meta)
	}
	result, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "transfer", Arguments: json.RawMessage(`{"amount":5000.00000000000000001,"to":"ACME"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if !result.IsError || !strings.Contains(contentText(result), "transfers above 1000 are not for you") {
		t.Errorf("a denial is not the tool error that a model reads: %+v", result)
	}
	body, auth := p.lastAsked()
	if !strings.Contains(body, `"amount":5000.00000000000000001`) || !strings.Contains(body, `"access_token":"tok"`) {
		t.Errorf("the decision point was asked %s, want the arguments digit for digit and the token", body)
	}
	if r := (&http.Request{Header: http.Header{"Authorization": {auth}}}); auth == "" {
		t.Error("the server did not authenticate")
	} else if user, secret, _ := r.BasicAuth(); user != "demo" || secret != "s3cret" {
		t.Errorf("the server authenticated as %q", user)
	}
}

func TestDemoServerAnswersOverHTTP(t *testing.T) {
	const list = `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`
	const weather = `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"get_weather","arguments":{"city":"Bern"}}}`
	challenge := `{"decision":false,"context":{"reason":"insufficient_scope","challenge":{"status":403,"www_authenticate":"Bearer error=\"insufficient_scope\""}}}`
	tests := map[string]struct {
		decision string
		method   string
		body     string
		header   map[string]string // "" removes
		status   int
		code     string // in the body
		www      string // WWW-Authenticate begins with
	}{
		"a challenge of the decision point is copied":    {decision: challenge, body: weather, status: 403, code: `"code":-32001`, www: `Bearer error="insufficient_scope"`},
		"a denied method without a result is an error":   {decision: `{"decision":false,"context":{"reason":"not_allowed"}}`, body: list, status: 200, code: `"code":-32001`},
		"an answer without a decision denies":            {decision: `{}`, body: list, status: 200, code: `"code":-32001`},
		"an answer that is no JSON refuses":              {decision: `yes`, body: weather, status: 503, code: `"code":-32603`},
		"a challenge with a strange status refuses":      {decision: strings.Replace(challenge, "403", "200", 1), body: weather, status: 503, code: `"code":-32603`},
		"an obligation that nobody can fulfil denies":    {decision: `{"decision":true,"context":{"obligations":[{"id":"o","type":"custom"}]}}`, body: weather, status: 200, code: `"isError":true`},
		"a list that the decision names":                 {decision: `{"decision":true,"context":{"scope":"tools:weather.read","tools":["transfer"]}}`, body: list, status: 200, code: `"tools":[{"annotations":{"destructiveHint":true`},
		"an empty list":                                  {decision: `{"decision":true,"context":{"scope":"tools:weather.read","tools":[]}}`, body: list, status: 200, code: `"tools":[]`},
		"a decision that names no list":                  {decision: `{"decision":true,"context":{"scope":"tools:weather.read"}}`, body: list, status: 200, code: `"name":"get_weather"`},
		"no token":                                       {body: list, header: map[string]string{"Authorization": ""}, status: 401, www: `Bearer resource_metadata="http://127.0.0.1:`},
		"another scheme":                                 {body: list, header: map[string]string{"Authorization": "Basic dG9r"}, status: 401, www: `Bearer resource_metadata="http://127.0.0.1:`},
		"a batch":                                        {body: "[" + weather + "]", status: 400, code: `"code":-32600`},
		"a repeated member":                              {body: strings.Replace(weather, `"name":`, `"name":"transfer","name":`, 1), status: 400, code: `"code":-32700`},
		"a member in another case":                       {body: strings.Replace(weather, `"name":`, `"Name":"transfer","name":`, 1), status: 400, code: `"code":-32700`},
		"a call without a name":                          {body: strings.Replace(weather, `"name":"get_weather",`, ``, 1), status: 400, code: `"code":-32602`},
		"arguments that are no object":                   {body: strings.Replace(weather, `{"city":"Bern"}`, `[1]`, 1), status: 400, code: `"code":-32602`},
		"a response":                                     {body: `{"jsonrpc":"2.0","id":1,"result":{}}`, status: 400, code: `"code":-32600`},
		"a form":                                         {body: "a=b", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 415},
		"a message of more than a mebibyte":              {body: strings.Replace(weather, "Bern", strings.Repeat("x", maxMCPMessage), 1), status: 413},
		"a GET":                                          {method: http.MethodGet, status: 405},
		"a page of another site":                         {body: list, header: map[string]string{"Origin": "https://evil.example"}, status: 403},
		"a page of this machine":                         {body: list, header: map[string]string{"Origin": "http://localhost:6274"}, status: 200, code: `"get_weather"`},
		"arguments that do not fit reach the tool's SDK": {body: strings.Replace(weather, `"Bern"`, `7`, 1), status: 200, code: `"isError":true`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			decision := tt.decision
			if decision == "" {
				decision = allowWeather
			}
			endpoint, _ := startSample(t, &decisionPoint{answer: says(decision)})
			method := tt.method
			if method == "" {
				method = http.MethodPost
			}
			r, err := http.NewRequestWithContext(t.Context(), method, endpoint, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer tok"}}
			for k, v := range tt.header {
				r.Header.Set(k, v)
				if v == "" {
					r.Header.Del(k)
				}
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != tt.status || !strings.Contains(string(body), tt.code) || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), tt.www) {
				t.Errorf("%s, WWW-Authenticate %q, body %.300s; want %d, %q, %s", answer.Status, answer.Header.Get("WWW-Authenticate"), body, tt.status, tt.www, tt.code)
			}
		})
	}
}

func TestDemoServerWithoutADecisionPointRunsNothing(t *testing.T) {
	endpoint, issuer := startSample(t, &decisionPoint{answer: says(allowWeather)})
	session := connectSample(t, endpoint)
	issuer.Close()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get_weather", Arguments: map[string]any{"city": "Bern"}})
	if err == nil {
		t.Errorf("the tool ran without a decision: %+v", result)
	}
}

func TestDemoServerServesItsMetadata(t *testing.T) {
	endpoint, _ := startSample(t, &decisionPoint{answer: says(allowWeather)})
	base := strings.TrimSuffix(endpoint, "/mcp")
	for _, path := range []string{"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"} {
		answer, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		var document protectedResource
		err = json.NewDecoder(answer.Body).Decode(&document)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || document.Resource != endpoint {
			t.Errorf("%s: %s, %+v, %v", path, answer.Status, document, err)
		}
	}
}
