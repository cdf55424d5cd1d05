package oauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"portcullis/oauth"
)

func TestDecisions(t *testing.T) {
	w := newWorld(t, "")
	all := w.tokens()
	read, err := w.exchange(w.consented("alice", authorizeParams("scope", "tools:weather.read")).Get("code"))
	must(t, err)
	for name, c := range map[string]struct {
		token, tool string
		args        map[string]any
		allow       bool
		reason      string
		status      int
	}{
		"allowed":                       {all.AccessToken, "get_weather", map[string]any{"city": "Bern"}, true, "allowed", 0},
		"a misspelled argument":         {all.AccessToken, "get_weather", map[string]any{"ctiy": "Bern"}, false, "arguments_invalid", 0},
		"an argument of another type":   {all.AccessToken, "get_weather", map[string]any{"city": true}, false, "arguments_invalid", 0},
		"missing arguments":             {all.AccessToken, "get_weather", nil, false, "arguments_invalid", 0},
		"a tool outside the catalogue":  {all.AccessToken, "rm_rf", nil, false, "tool_unknown", 0},
		"garbage instead of a token":    {"garbage", "get_weather", map[string]any{"city": "Bern"}, false, "invalid_token", 401},
		"a refresh token":               {all.RefreshToken, "get_weather", map[string]any{"city": "Bern"}, false, "invalid_token", 401},
		"a scope that is missing":       {read.AccessToken, "crm_update", nil, false, "insufficient_scope", 403},
		"a token with another last bit": {all.AccessToken + "=", "get_weather", map[string]any{"city": "Bern"}, false, "invalid_token", 401},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.call(c.token, c.tool, c.args)
			if r.Decision != c.allow || r.Context.Reason != c.reason || r.Context.EvaluationID == "" {
				t.Fatalf("%+v", r)
			}
			got := 0
			if r.Context.Challenge != nil {
				got = r.Context.Challenge.Status
			}
			if got != c.status {
				t.Errorf("challenge %+v", r.Context.Challenge)
			}
		})
	}
	r := w.call(read.AccessToken, "crm_update", nil)
	header := r.Context.Challenge.WWWAuthenticate
	if !strings.HasPrefix(header, `Bearer error="insufficient_scope"`) || !strings.Contains(header, `scope="tools:crm.write"`) || strings.Count(header, "scope=") != 1 || strings.Count(header, "error=") != 1 {
		t.Errorf("challenge %s", header)
	}
}

// TestListsNameCallableTools: an allowed tools/list says which tools are worth showing, and nothing else does.
func TestListsNameCallableTools(t *testing.T) {
	w := newWorld(t, "")
	read, err := w.exchange(w.consented("alice", authorizeParams("scope", "tools:weather.read")).Get("code"))
	must(t, err)
	ask := func(token, method string) string {
		r := oauth.EvaluationRequest{Action: &oauth.AuthZENAction{Name: method}, Resource: &oauth.AuthZENResource{Type: "mcp_server", ID: demoID},
			Context: map[string]any{"access_token": token}}
		answer, err := w.decide.Evaluate(w.ctx, basic("demo", demoSecret), r)
		must(t, err)
		text, err := json.Marshal(answer)
		must(t, err)
		_, list, named := strings.Cut(string(text), `"tools":`)
		if !named {
			return "no list"
		}
		return list[:strings.Index(list, "]")+1]
	}
	for _, c := range []struct{ name, token, method, want string }{
		{"all scopes", w.tokens().AccessToken, "tools/list", `["get_weather","crm_update"]`},
		{"one scope", read.AccessToken, "tools/list", `["get_weather"]`},
		{"another method", read.AccessToken, "prompts/list", "no list"},
		{"no valid token", "garbage", "tools/list", "no list"},
	} {
		if got := ask(c.token, c.method); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestDecisionCallers(t *testing.T) {
	w := newWorld(t, "")
	token := w.tokens().AccessToken
	ask := func(auth string, r oauth.EvaluationRequest) (*oauth.EvaluationResponse, error) {
		return w.decide.Evaluate(w.ctx, auth, r)
	}
	request := func(subject *oauth.AuthZENSubject) oauth.EvaluationRequest {
		return oauth.EvaluationRequest{Subject: subject, Action: &oauth.AuthZENAction{Name: "tools/call"}, Context: map[string]any{"access_token": token},
			Resource: &oauth.AuthZENResource{Type: "tool", ID: "get_weather", Properties: map[string]any{"arguments": map[string]any{"city": "Bern"}}}}
	}
	for _, auth := range []string{"", "Bearer wrong", basic("demo", "wrong"), basic("demo", otherSecret), "Bearer " + token} {
		_, err := ask(auth, request(nil))
		refused(t, err, "invalid_client", "")
	}
	r, err := ask(basic("other", otherSecret), request(nil))
	must(t, err)
	if r.Decision || r.Context.Reason != "invalid_token" {
		t.Errorf("C17: a token for another server: %+v", r)
	}
	r, err = ask(basic("demo", demoSecret), request(&oauth.AuthZENSubject{Type: "identity", ID: "somebody-else"}))
	must(t, err)
	if r.Decision || r.Context.Reason != "subject_mismatch" {
		t.Errorf("%+v", r)
	}
	untold := request(&oauth.AuthZENSubject{Type: "identity", ID: "alice"})
	untold.Context = nil
	r, err = ask(basic("demo", demoSecret), untold)
	must(t, err)
	if r.Decision {
		t.Errorf("a call without a token was allowed: %+v", r)
	}
}

func TestTheRecordSaysWhoAskedForWhat(t *testing.T) {
	w := newWorld(t, "")
	token := w.tokens().AccessToken
	last := func() oauth.Event {
		rows, err := w.store.Audit().Tail(w.ctx, 1)
		must(t, err)
		return rows[0].Event
	}
	w.call(token, "rm_rf", nil)
	if e := last(); e.Tool != "rm_rf" || e.Reason != "tool_unknown" || e.Username != "alice" {
		t.Errorf("unknown tool: %+v", e)
	}
	ask := func(r oauth.EvaluationRequest) {
		_, err := w.decide.Evaluate(w.ctx, "Bearer "+demoSecret, r)
		must(t, err)
	}
	ask(oauth.EvaluationRequest{Action: &oauth.AuthZENAction{Name: "resources/read"}, Resource: &oauth.AuthZENResource{Type: "resource", ID: "file:///a?token=SECRET"}, Context: map[string]any{"access_token": token}})
	if e := last(); e.Detail["resource_id"] != "file:///a?…" || e.Detail["resource_type"] != "resource" {
		t.Errorf("resource: %+v", e)
	}
	ask(oauth.EvaluationRequest{Subject: &oauth.AuthZENSubject{Type: "user", ID: "joe"}, Action: &oauth.AuthZENAction{Name: "read"}, Resource: &oauth.AuthZENResource{Type: "doc", ID: "d1"}})
	if e := last(); e.Detail["claimed_subject"] != "joe" || e.Detail["resource_id"] != "d1" || e.SubjectID != "" {
		t.Errorf("no token: %+v", e)
	}
}
