package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"portcullis/oauth"
)

// becauseOf is the deciding rules and the reason, in the order in which a person asks for them.
func becauseOf(d shownDecision, reason string) string {
	if len(d.Rules) == 0 {
		return reason
	}
	return strings.Join(d.Rules, ", ") + ": " + reason
}

// callTool calls a tool that must be allowed or must be denied by policy.
func (w *walk) callTool(ctx context.Context, label, name string, arguments map[string]any, allowed bool) error {
	result, err := w.agent.call(ctx, name, arguments)
	if err != nil {
		return w.blame(label, err)
	}
	return w.showResult(label, result, allowed)
}

func (w *walk) showResult(label string, result *mcp.CallToolResult, allowed bool) error {
	d := decisionIn(result.Meta)
	if d.EvaluationID == "" {
		return fmt.Errorf("%s: the answer shows no decision", label)
	}
	if d.Allowed != allowed || result.IsError == allowed {
		return fmt.Errorf("%s: allowed is %v and should be %v (%s)%s", label, d.Allowed, allowed, becauseOf(d, contentText(result)), policyHint)
	}
	if allowed {
		w.out.step(passed, label, "allowed", becauseOf(d, contentText(result)))
	} else {
		w.out.step(refused, label, "denied", becauseOf(d, strings.TrimPrefix(contentText(result), "Denied: ")))
	}
	return nil
}

func (w *walk) allowedCalls(ctx context.Context) error {
	return w.callTool(ctx, "get_weather", "get_weather", map[string]any{"city": "Zürich"}, true)
}

// deniedTransfer shows that the arguments decide: the same tool, the same token, another amount.
func (w *walk) deniedTransfer(ctx context.Context) error {
	if err := w.callTool(ctx, "transfer 5000", "transfer", map[string]any{"amount": 5000, "to": "ACME"}, false); err != nil {
		return err
	}
	return w.callTool(ctx, "transfer 500", "transfer", map[string]any{"amount": 500, "to": "ACME"}, true)
}

// stepUp calls a tool whose scope the token lacks. The SDK answers the 403 with a second authorization request by itself.
func (w *walk) stepUp(ctx context.Context) error {
	result, err := w.agent.call(ctx, "crm_update", map[string]any{"customer": "ACME", "note": "paid"})
	if err != nil {
		return w.blame("crm_update", err)
	}
	if w.rounds != 2 {
		return fmt.Errorf("crm_update went through with %d authorization request(s); it should take a second one for the missing scope%s", w.rounds, policyHint)
	}
	if err := w.showToken(ctx); err != nil {
		return err
	}
	return w.showResult("crm_update", result, true)
}

// secondAuthorization shows the 403 that led here, and that the agent asks for the union of scopes.
func (w *walk) secondAuthorization(ctx context.Context, address string) error {
	x, err := w.agent.wire.last("403 of the MCP server", func(x exchange) bool { return x.url.String() == w.agent.endpoint && x.status == http.StatusForbidden })
	if err != nil {
		return err
	}
	challenge, err := bearerChallenge(x)
	if err != nil {
		return err
	}
	var problem struct {
		Error struct {
			Data map[string]any `json:"data"`
		} `json:"error"`
	}
	if err := x.decode(&problem); err != nil {
		return err
	}
	if challenge["error"] != "insufficient_scope" {
		return fmt.Errorf("the 403 says error=%q instead of insufficient_scope", challenge["error"])
	}
	reason := fmt.Sprintf("%s, needs %s", challenge["error"], shortScopes(strings.Fields(challenge["scope"])...))
	w.out.step(refused, "crm_update", fmt.Sprint(x.status), becauseOf(decisionIn(problem.Error.Data), reason))

	asked, err := url.Parse(address)
	if err != nil {
		return err
	}
	scopes, err := oauth.ParseScopes(asked.Query().Get("scope"))
	if err != nil {
		return err
	}
	if missing := scopes.Missing(oauth.NewScopes(scopeWeather, scopeCalendar, scopeTransfer, scopeCRM)); len(missing) > 0 {
		return fmt.Errorf("the step-up does not ask for the union of scopes; %s is missing", missing)
	}
	w.out.step(passed, "step-up", "again", "the agent asks alice once more, for the union of old and new scopes")
	return w.aliceAllows(ctx, address)
}

func (w *walk) refresh(context.Context) error {
	before, after, err := w.agent.tokens.refresh()
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if before.AccessToken == after.AccessToken || before.RefreshToken == after.RefreshToken {
		return errors.New("refresh: the tokens are the same as before")
	}
	x, err := w.agent.wire.last("refresh", func(x exchange) bool { return x.url.String() == w.metadata.TokenEndpoint && x.status == http.StatusOK })
	if err != nil {
		return err
	}
	var t tokenAnswer
	if err := x.decode(&t); err != nil {
		return err
	}
	w.out.chapter("The end of it", "")
	w.out.step(passed, "refresh", fmt.Sprint(x.status), fmt.Sprintf("new access token for %d s, new refresh token", t.Expires))
	return nil
}

// revoke ends the agent's access and shows that the token, which has not expired, is refused at once.
func (w *walk) revoke(ctx context.Context) error {
	if err := w.callTool(ctx, "get_weather", "get_weather", map[string]any{"city": "Zürich"}, true); err != nil {
		return err
	}
	status, err := w.agent.revoke(ctx, w.metadata.RevocationEndpoint)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("revoke: status %d", status)
	}
	w.out.step(passed, "revoke", fmt.Sprint(status), "at "+w.metadata.RevocationEndpoint)
	w.over = true
	if result, err := w.agent.call(ctx, "get_weather", map[string]any{"city": "Zürich"}); !errors.Is(err, errWalkOver) {
		return fmt.Errorf("next call: it was not refused after the revocation: %+v, %v", result, err)
	}
	x, err := w.agent.wire.last("401 of the MCP server", func(x exchange) bool {
		return x.url.String() == w.agent.endpoint && x.status == http.StatusUnauthorized && x.bearer
	})
	if err != nil {
		return fmt.Errorf("next call: %w", err)
	}
	challenge, err := bearerChallenge(x)
	if err != nil {
		return fmt.Errorf("next call: %w", err)
	}
	if challenge["error"] != "invalid_token" {
		return fmt.Errorf("next call: error=%q instead of invalid_token", challenge["error"])
	}
	w.out.step(refused, "get_weather", fmt.Sprint(x.status), challenge["error"]+": "+challenge["error_description"])
	return nil
}
