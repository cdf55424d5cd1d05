package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"portcullis/oauth"
	"portcullis/policies"
)

// explainedServer is a server with a policy folder, tools that ask for something, and registration.
func explainedServer(t *testing.T, files map[string]string, rows func(c *clock, folder string)) {
	t.Helper()
	folder := t.TempDir()
	writeFiles(t, folder, files)
	inBubbleWith(t, func(c *Config) {
		c.Policies, c.Policy.Deadline = filePath(folder), 5*time.Second
		c.Registration.Mode = "open"
		r := &c.Resources[0]
		r.Scopes = append(r.Scopes, ScopeConfig{Name: "tools:notes.write", Description: "Write notes"})
		r.Tools = append(r.Tools, ToolConfig{Name: "write", Scopes: []string{"tools:notes.write"}},
			ToolConfig{Name: "count", InputSchema: map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "number"}}, "required": []any{"n"}}})
	}, func(c *clock) { rows(c, folder) })
}

func writeFiles(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutPolicies takes the author's rules away, which is what a change of the kind "rule" asks for in these tests.
func (c *clock) withoutPolicies(folder string) {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.rego"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.parts.reload(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// ask walks through the browser for these scopes; "" if there is no code in the end.
func (c *clock) ask(action string, scopes ...string) (code string) {
	c.t.Helper()
	q := url.Values{"response_type": {"code"}, "client_id": {c.client}, "redirect_uri": {c.redirect}, "state": {"s"}, "resource": {timeResource},
		"code_challenge": {timeS256}, "code_challenge_method": {"S256"}, "scope": {strings.Join(append(scopes, "offline_access"), " ")}}
	path, formToken := c.page(c.do(http.MethodGet, "/authorize?"+q.Encode(), nil))
	step := c.do(http.MethodGet, path, nil)
	if strings.Contains(step.body.String(), `name="password"`) {
		in := c.do(http.MethodPost, path+"/login", url.Values{"form_token": {formToken}, "username": {"alice"}, "password": {timePassword}})
		path = strings.TrimPrefix(in.header.Get("Location"), timeIssuer)
		step = c.do(http.MethodGet, path, nil)
	}
	_, formToken, found := strings.Cut(step.body.String(), `name="form_token" value="`)
	if !found { // the policies refused: a page or a redirect
		return ""
	}
	formToken, _, _ = strings.Cut(formToken, `"`)
	out := c.do(http.MethodPost, path+"/consent", url.Values{"form_token": {formToken}, "action": {action}, "scope": scopes})
	target, err := url.Parse(out.header.Get("Location"))
	if err != nil {
		c.t.Fatal(err)
	}
	return target.Query().Get("code")
}

// evaluate asks for a decision as the resource.
func (c *clock) evaluate(token, subject, tool string, arguments any) (id string, allowed bool) {
	c.t.Helper()
	request := map[string]any{"action": map[string]any{"name": "tools/call"}, "context": map[string]any{"access_token": token},
		"resource": map[string]any{"type": "tool", "id": tool, "properties": map[string]any{"arguments": arguments}}}
	if subject != "" {
		request["subject"] = map[string]any{"type": "identity", "id": subject}
	}
	body, err := json.Marshal(request)
	if err != nil {
		c.t.Fatal(err)
	}
	a := c.send(http.MethodPost, "/access/v1/evaluation", string(body), "Content-Type", "application/json", "Authorization", "Bearer a resource secret")
	var answer struct {
		Decision bool
		Context  struct {
			ID string `json:"evaluation_id"`
		}
	}
	if err := json.Unmarshal([]byte(a.body.String()), &answer); err != nil || answer.Context.ID == "" {
		c.t.Fatalf("%d %s", a.status, a.body.String())
	}
	return answer.Context.ID, answer.Decision
}

// lastDecision is the id in the newest audit row that has one.
func (c *clock) lastDecision() string {
	c.t.Helper()
	rows, err := c.parts.store.Audit().Tail(c.t.Context(), 10)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, row := range slices.Backward(rows) {
		if row.Event.DecisionID != "" {
			return row.Event.DecisionID
		}
	}
	c.t.Fatal("no decision in the audit")
	return ""
}

// changes explains a decision, and checks that people can read the answer.
func (c *clock) changes(id string, want ...policies.ChangeKind) *policies.Explanation {
	c.t.Helper()
	x, err := explanation(c.t.Context(), c.parts.store.Reader, id, true)
	if err != nil {
		c.t.Fatal(err)
	}
	var kinds []policies.ChangeKind
	text := explained(x)
	for _, change := range x.Changes {
		kinds = append(kinds, change.Kind)
		if head, _, _ := strings.Cut(change.Text, " "); !strings.Contains(text, head) {
			c.t.Errorf("%q is not in:\n%s", change.Text, text)
		}
	}
	if x.Allowed || !slices.Equal(kinds, want) {
		c.t.Fatalf("changes %q, want %q:\n%s", kinds, want, text)
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > lineWidth && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, "://") {
			c.t.Errorf("more than %d columns: %s", lineWidth, line)
		}
	}
	return x
}

// TestDenialsOfTheServerFlipByWhatIsPrinted has the denials that are made around the policies; package policies has those of the
// policies themselves.
func TestDenialsOfTheServerFlipByWhatIsPrinted(t *testing.T) {
	explainedServer(t, nil, func(c *clock, _ string) {
		token := c.redeem(c.ask("allow", "tools:notes.read")).Access
		id, allowed := c.evaluate("at.is.none", "x", "notes", nil)
		c.changes(id, policies.ChangeToken)
		if _, now := c.evaluate(token, "", "notes", nil); allowed || !now {
			t.Error("a live token")
		}
		id, allowed = c.evaluate(token, "usr_other", "notes", nil)
		x := c.changes(id, policies.ChangeSubject)
		sub := x.Changes[0].Text[strings.LastIndex(x.Changes[0].Text, " ")+1:]
		if _, now := c.evaluate(token, sub, "notes", nil); allowed || !now {
			t.Errorf("the subject of the token is %q", sub)
		}
		id, allowed = c.evaluate(token, "", "count", map[string]any{"n": "many"})
		c.changes(id, policies.ChangeRequest)
		if _, now := c.evaluate(token, "", "count", map[string]any{"n": 1}); allowed || !now {
			t.Error("arguments that fit the schema")
		}
		id, allowed = c.evaluate(token, "", "ghost", nil)
		c.changes(id, policies.ChangeTool)
		resource, ok := c.parts.catalogue.ResourceByID(timeResource)
		if !ok || allowed {
			t.Fatal("no resource, or the tool is known")
		}
		resource.Tools = append(resource.Tools, oauth.Tool{Name: "ghost"})
		if _, now := c.evaluate(token, "", "ghost", nil); !now {
			t.Error("the tool is registered")
		}
		id, allowed = c.evaluate(token, "", "write", nil)
		x = c.changes(id, policies.ChangeScopes)
		more := c.redeem(c.ask("allow", append(x.Changes[0].Scopes, "tools:notes.read")...)).Access
		if _, now := c.evaluate(more, "", "write", nil); allowed || !now {
			t.Error("a token with the missing scope")
		}
	})
}

func TestAScopeThatCannotBeHadIsExplainedToTheEnd(t *testing.T) {
	explainedServer(t, map[string]string{"a.rego": `package policy.scopes.a

deny_scope contains {"scope": "tools:notes.write", "code": "read_only", "message": "nobody writes"} if input.subject.username == "alice"
`}, func(c *clock, folder string) {
		token := c.redeem(c.ask("allow", "tools:notes.read")).Access
		id, _ := c.evaluate(token, "", "write", nil)
		x := c.changes(id, policies.ChangeScopes, policies.ChangeRule)
		if x.Reason != "scope_not_available" || x.Changes[1].Rule.File != "a.rego" || x.Changes[1].Rule.Line != 3 {
			t.Fatalf("%+v", x)
		}
		c.withoutPolicies(folder)
		again := c.changes(id, policies.ChangeScopes, policies.ChangeRule)
		if len(again.Changes[1].Rule.Source) == 0 {
			t.Error("the rule is gone from the folder, and so from the explanation")
		}
		if x.InForce != "" || again.InForce != c.parts.engine.Status().Revision || !strings.Contains(explained(again), "no longer in force") {
			t.Errorf("in force: %q, then %q", x.InForce, again.InForce)
		}
		more := c.redeem(c.ask("allow", append(x.Changes[0].Scopes, "tools:notes.read")...)).Access
		if _, now := c.evaluate(more, "", "write", nil); !now {
			t.Error("the rule is gone and the scope is held")
		}
	})
}

func TestRefusedGrantsFlipByWhatIsPrinted(t *testing.T) {
	explainedServer(t, map[string]string{"a.rego": `package policy.scopes.a

refresh := false if input.stage == "refresh"
`}, func(c *clock, folder string) {
		tokens := c.redeem(c.ask("allow", "tools:notes.read"))
		if got := c.refresh(tokens.Refresh); got.Error == "" {
			t.Fatal("it was refreshed")
		}
		c.changes(c.lastDecision(), policies.ChangeRule)
		c.withoutPolicies(folder)
		if got := c.refresh(tokens.Refresh); got.Error != "" {
			t.Errorf("without the rule: %+v", got)
		}
	})
	explainedServer(t, map[string]string{"a.rego": `package policy.scopes.a

require_authn contains {"max_age": 60} if input.stage == "refresh"
`}, func(c *clock, _ string) {
		tokens := c.redeem(c.ask("allow", "tools:notes.read"))
		time.Sleep(61 * time.Second)
		if got := c.refresh(tokens.Refresh); got.Error == "" {
			t.Fatal("it was refreshed")
		}
		x := c.changes(c.lastDecision(), policies.ChangeLogin)
		c.jar, _ = cookiejar.New(nil) // another browser, so another login; it cannot fail without options
		fresh := c.redeem(c.ask("allow", "tools:notes.read"))
		time.Sleep(time.Duration(x.Changes[0].MaxAge) * time.Second)
		if got := c.refresh(fresh.Refresh); got.Error != "" {
			t.Errorf("with a fresh login: %+v", got)
		}
	})
	explainedServer(t, map[string]string{"a.rego": `package policy.scopes.a

end_grant if input.stage == "refresh"
`}, func(c *clock, folder string) {
		tokens := c.redeem(c.ask("allow", "tools:notes.read"))
		if got := c.refresh(tokens.Refresh); got.Error == "" {
			t.Fatal("it was refreshed")
		}
		c.changes(c.lastDecision(), policies.ChangeRule)
	})
	explainedServer(t, nil, func(c *clock, _ string) {
		if c.ask("deny", "tools:notes.read") != "" {
			t.Fatal("a code after a refusal")
		}
		x := c.changes(c.lastDecision(), policies.ChangeConsent)
		if c.ask("allow", x.Changes[0].Scopes...) == "" {
			t.Error("the person allows it")
		}
	})
}

func TestAScopeOutsideOfTheRegistrationIsExplained(t *testing.T) {
	explainedServer(t, nil, func(c *clock, _ string) {
		register := func(scope string) {
			a := c.send(http.MethodPost, "/register", fmt.Sprintf(`{"client_name":"x","token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/cb"],"scope":%q}`, scope), "Content-Type", "application/json")
			var made struct {
				ID string `json:"client_id"`
			}
			if err := json.Unmarshal([]byte(a.body.String()), &made); err != nil || made.ID == "" {
				t.Fatalf("%d %s", a.status, a.body.String())
			}
			c.client = made.ID
		}
		register("tools:notes.write")
		if c.ask("allow", "tools:notes.read") != "" {
			t.Fatal("a code for a scope that the client is not registered for")
		}
		x := c.changes(c.lastDecision(), policies.ChangeClient)
		register(x.Changes[0].Scopes.String())
		if c.ask("allow", "tools:notes.read") == "" {
			t.Error("the registration covers it")
		}
	})
}

func TestAnUnknownDecisionIsAnError(t *testing.T) {
	explainedServer(t, nil, func(c *clock, _ string) {
		if _, err := explanation(t.Context(), c.parts.store.Reader, "dec_nothing", false); err == nil || !strings.Contains(err.Error(), "dec_nothing") {
			t.Error(err)
		}
	})
}
