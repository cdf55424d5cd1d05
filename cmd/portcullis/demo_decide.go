package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"portcullis/oauth"
)

// JSON-RPC error codes of this server. codeDenied is the one of the COAZ-MCP binding.
const (
	codeParse    = jsonrpc.CodeParseError
	codeInvalid  = jsonrpc.CodeInvalidRequest
	codeParams   = jsonrpc.CodeInvalidParams
	codeInternal = jsonrpc.CodeInternalError
	codeDenied   = -32001
)

// mcpCall is one JSON-RPC message, as far as a decision needs it.
type mcpCall struct {
	id        any // string or json.Number; nil for a notification
	method    string
	tool      string         // of tools/call
	arguments map[string]any // of tools/call
	version   string         // MCP-Protocol-Version
}

// rpcProblem is an answer that the guard gives by itself.
type rpcProblem struct {
	status  int
	id      any
	code    int
	message string
	data    map[string]any
}

func (p *rpcProblem) write(w http.ResponseWriter) {
	failure := map[string]any{"code": p.code, "message": p.message}
	if p.data != nil {
		failure["data"] = p.data
	}
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": p.id, "error": failure})
	if err != nil {
		http.Error(w, p.message, p.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_, _ = w.Write(text) // a client that has gone needs no answer
}

// readMCPCall reads one message and puts the body back for the SDK. Decoding is strict: with a repeated or differently
// spelled member, the decision and the tool could see two different calls. Batches are refused for the same reason.
func readMCPCall(w http.ResponseWriter, r *http.Request) (mcpCall, *rpcProblem) {
	refuse := func(status, code int, text string) (mcpCall, *rpcProblem) {
		return mcpCall{}, &rpcProblem{status: status, code: code, message: text}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, codeInvalid, "send application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMCPMessage))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, codeInvalid, "the message is too large")
	} else if err != nil {
		return refuse(http.StatusBadRequest, codeParse, "the message broke off")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var message any
	if err := oauth.DecodeStrict(body, &message); err != nil {
		return refuse(http.StatusBadRequest, codeParse, "the body is not one well-formed JSON-RPC message")
	}
	object, ok := message.(map[string]any)
	if !ok {
		return refuse(http.StatusBadRequest, codeInvalid, "send one JSON-RPC message at a time; batches are not accepted")
	}
	call := mcpCall{id: object["id"], version: r.Header.Get("Mcp-Protocol-Version")}
	if call.method, _ = object["method"].(string); call.method == "" {
		return refuse(http.StatusBadRequest, codeInvalid, "this server takes requests and notifications only; method is missing")
	}
	if call.method != "tools/call" {
		return call, nil
	}
	params, _ := object["params"].(map[string]any)
	call.tool, _ = params["name"].(string)
	arguments, isObject := params["arguments"].(map[string]any)
	if call.tool == "" || !isObject && params["arguments"] != nil {
		return mcpCall{}, &rpcProblem{http.StatusBadRequest, call.id, codeParams, "params needs a name, and arguments that are an object", nil}
	}
	call.arguments = arguments
	return call, nil
}

// decision is what this server reads of the answer of the decision endpoint (AuthZEN Authorization API 1.0 §6).
type decision struct {
	Decision bool            `json:"decision"`
	Context  decisionContext `json:"context"`
}

type decisionContext struct {
	EvaluationID string   `json:"evaluation_id"`
	Reason       string   `json:"reason"`
	ReasonUser   string   `json:"reason_user"`
	Rules        []string `json:"rules"`
	Subject      string   `json:"subject"`
	Scope        string   `json:"scope"`
	Tools        []string `json:"tools"` // of tools/list; nil if the server gave no list
	Obligations  []any    `json:"obligations"`
	Challenge    *struct {
		Status          int    `json:"status"`
		WWWAuthenticate string `json:"www_authenticate"`
	} `json:"challenge"`
}

// text is the reason for people and models.
func (d *decision) text() string {
	if d.Context.ReasonUser != "" {
		return d.Context.ReasonUser
	}
	return d.Context.Reason
}

// metaDecision is the member of _meta under which the demo shows what was decided.
const metaDecision = "portcullis/decision"

// meta lets the agent see the decision. The rules are in it because this is a demo; a real server keeps them in its
// log and gives away the evaluation id only.
func (d *decision) meta() map[string]any {
	return map[string]any{metaDecision: map[string]any{"allowed": d.Decision, "evaluation_id": d.Context.EvaluationID,
		"reason": d.Context.Reason, "rules": d.Context.Rules}}
}

// decide asks the decision endpoint with the default mapping of the COAZ-MCP binding, plus the arguments. This server has
// only tools, so every other method is about the server itself; policy denies the methods that it does not know.
func (s *sampleServer) decide(ctx context.Context, token string, call mcpCall) (*decision, error) {
	resource := map[string]any{"type": "mcp_server", "id": s.resource}
	if call.method == "tools/call" {
		resource = map[string]any{"type": "tool", "id": call.tool, "properties": map[string]any{"arguments": call.arguments}}
		if call.arguments == nil {
			resource["properties"] = map[string]any{"arguments": map[string]any{}}
		}
	}
	action := map[string]any{"name": call.method}
	if call.version != "" {
		action["properties"] = map[string]any{"protocol_version": call.version}
	}
	body, err := json.Marshal(map[string]any{"action": action, "resource": resource, "context": map[string]any{"access_token": token}})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.issuer+oauth.PathEvaluation, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(s.key, s.secret)
	text, err := s.ask(r)
	if err != nil {
		return nil, err
	}
	d := &decision{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("decision: %w", err)
	}
	if c := d.Context.Challenge; c != nil && c.Status != http.StatusUnauthorized && c.Status != http.StatusForbidden {
		return nil, fmt.Errorf("decision: a challenge with status %d", c.Status)
	}
	if d.Decision && len(d.Context.Obligations) > 0 { // this server knows none, and what cannot be fulfilled denies
		d.Decision, d.Context.Reason, d.Context.ReasonUser = false, "obligation_unsupported", "the call is allowed under an obligation that this server cannot fulfil"
	}
	return d, nil
}

type decidedKey struct{}

// decidedCall is a call with its decision, on its way from the guard through the SDK to enforce.
type decidedCall struct {
	call     mcpCall
	decision *decision
}

// decisionOf hands the guard's decision to the SDK in the form that it passes on.
func decisionOf(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
	d, ok := ctx.Value(decidedKey{}).(*decidedCall)
	if !ok {
		return nil, auth.ErrInvalidToken
	}
	return &auth.TokenInfo{UserID: d.decision.Context.Subject, Extra: map[string]any{metaDecision: d}}, nil
}

// enforce stands directly before the SDK's dispatch. A denied tool call becomes a tool error, because models read those and can
// tell the person why (the COAZ-MCP binding allows it beside error -32001, and SEP-2643 wants it for a final denial); any other
// denied method has no such result and gets the error. A call that is not the decided one never runs.
func (s *sampleServer) enforce(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
		d := decidedFor(method, request)
		if d == nil {
			return nil, &jsonrpc.Error{Code: codeInternal, Message: "no decision was taken for this call"}
		}
		if !d.Decision {
			if method != "tools/call" {
				return nil, &jsonrpc.Error{Code: codeDenied, Message: d.text()}
			}
			return &mcp.CallToolResult{IsError: true, Meta: d.meta(), Content: []mcp.Content{&mcp.TextContent{Text: "Denied: " + d.text()}}}, nil
		}
		result, err := next(ctx, method, request)
		switch result := result.(type) {
		case *mcp.ListToolsResult:
			if result != nil && err == nil {
				return s.onlyOpen(result, d)
			}
		case *mcp.CallToolResult:
			if result != nil {
				result.Meta = d.meta()
			}
		}
		return result, err
	}
}

// decidedFor is the decision for exactly this call; nil if there is none.
func decidedFor(method string, request mcp.Request) *decision {
	extra := request.GetExtra()
	if extra == nil || extra.TokenInfo == nil {
		return nil
	}
	d, ok := extra.TokenInfo.Extra[metaDecision].(*decidedCall)
	if !ok || d.call.method != method {
		return nil
	}
	if call, ok := request.(*mcp.CallToolRequest); ok && (call.Params == nil || call.Params.Name != d.call.tool) {
		return nil
	}
	return d.decision
}

// onlyOpen leaves the tools that the token could call: those that the decision names, or, where it names none, those that the
// token's scopes open. The list differs by token, so no cache may share it.
func (s *sampleServer) onlyOpen(list *mcp.ListToolsResult, d *decision) (mcp.Result, error) {
	open := func(name string) bool { return slices.Contains(d.Context.Tools, name) }
	if d.Context.Tools == nil {
		held, err := oauth.ParseScopes(d.Context.Scope)
		if err != nil {
			return nil, &jsonrpc.Error{Code: codeInternal, Message: "the scopes of the token cannot be read"}
		}
		open = func(name string) bool {
			i := slices.IndexFunc(s.tools, func(x demoTool) bool { return x.name == name })
			return i >= 0 && held.Has(s.tools[i].scope)
		}
	}
	list.Tools = slices.DeleteFunc(list.Tools, func(t *mcp.Tool) bool { return !open(t.Name) })
	list.CacheScope, list.TTLMs = "private", 0
	return list, nil
}
