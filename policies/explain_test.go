package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// scene is a decision with everything that can be changed about it.
type scene struct {
	files    map[string]string
	deadline time.Duration // 0 = the tests'
	mode     RecordMode    // "" = values
	call     *oauth.Evaluation
	grant    *oauth.ScopeRequest
	admit    *oauth.ClientRequest

	policies oauth.PolicyGeneration // of the last decision
}

// decide asks an engine with the scene's policies. allowed is what the person or program behind the request notices.
func (s *scene) decide(t *testing.T) (allowed bool, record *oauth.DecisionRecord) {
	t.Helper()
	mode := s.mode
	if mode == "" {
		mode = RecordValues
	}
	e := engineFrom(t, Config{Dir: dirWith(t, s.files), Defaults: true, Deadline: s.deadline, Cache: -1, Catalogue: []*oauth.Resource{demoResource()}, Record: mode, RecordKey: recordKey(),
		Activate: func(_ context.Context, a Activation) error {
			s.policies = oauth.PolicyGeneration{Revision: a.Revision, Document: a.Document}
			return nil
		}})
	switch {
	case s.call != nil:
		d := decide(t, e, *s.call)
		return d.Allow, d.Record
	case s.admit != nil:
		d, err := e.Admit(context.Background(), *s.admit)
		if err != nil {
			t.Fatal(err)
		}
		return d.Allow, d.Record
	}
	d, err := e.GrantScopes(context.Background(), *s.grant)
	if err != nil {
		t.Fatal(err)
	}
	r, err := readRecord(d.Record.Document)
	if err != nil {
		t.Fatal(err)
	}
	// everything that was asked for: a grant of less is explained, too
	return d.Allow && (r.Withheld != "" || len(r.effective(r.Result).Missing(s.grant.Requested)) == 0 && len(s.grant.Requested) > 0), d.Record
}

func (s *scene) explain(t *testing.T, record *oauth.DecisionRecord) *Explanation {
	t.Helper()
	x, err := Explain(context.Background(), ExplainRequest{ID: record.ID, Record: record, Policies: &s.policies, Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// apply does what a change says, and nothing else.
func (s *scene) apply(t *testing.T, c Change) {
	t.Helper()
	switch c.Kind {
	case ChangeScopes:
		token := *s.call.Token
		token.Scopes = token.Scopes.Union(c.Scopes)
		s.call.Token = &token
	case ChangeLogin:
		login := func(a *oauth.Authentication, now time.Time) {
			a.Time = now.Add(-time.Duration(c.MaxAge) * time.Second)
			if c.MaxAge == 0 {
				a.Time = now
			}
			if len(c.ACRValues) > 0 {
				a.ACR = c.ACRValues[0]
			}
		}
		if s.call != nil {
			token := *s.call.Token
			login(&token.Authn, s.call.Context.Time)
			s.call.Token = &token
		} else {
			login(&s.grant.Authn, s.grant.Context.Time)
		}
	case ChangeConsent:
		s.grant.Consented = s.grant.Consented.Union(c.Scopes)
	case ChangeRule, ChangePolicy:
		s.files = withoutRule(t, s.files, c.Rule.File, c.Rule.Line)
	case ChangeAllow:
		s.files = with(s.files, "added.rego", fmt.Sprintf("package policy.%s.added\n\nallow := true\n", s.kind()))
	case ChangeGrant:
		text := "package policy.scopes.added\n"
		for _, scope := range c.Scopes {
			text += fmt.Sprintf("\ngrant contains %q\n", scope)
		}
		s.files = with(s.files, "added.rego", text)
	case ChangeDeadline:
		s.deadline = time.Minute
	case ChangeRequest:
		if s.call != nil {
			s.call.Args = map[string]any{}
			s.call.Resource.Properties = nil
		} else {
			s.grant.Requested = oauth.NewScopes("tools:weather.read")
		}
	default:
		t.Fatalf("no way to apply %+v", c)
	}
}

func (s *scene) kind() kind {
	switch {
	case s.admit != nil:
		return kindClients
	case s.grant != nil:
		return kindScopes
	case s.call.Token == nil:
		return kindAccess
	}
	return kindTools
}

func with(files map[string]string, name, text string) map[string]string {
	more := map[string]string{}
	maps.Copy(more, files)
	more[name] = text
	return more
}

// withoutRule takes the rule that begins in a line out of a file.
func withoutRule(t *testing.T, files map[string]string, name string, line int) map[string]string {
	t.Helper()
	text, ok := files[name]
	if !ok {
		t.Fatalf("no file %s", name)
	}
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) || lines[line-1] == "" {
		t.Fatalf("no rule at %s:%d", name, line)
	}
	for i := line - 1; i < len(lines) && lines[i] != ""; i++ { // rules of these tests have empty lines between them and none inside
		lines[i] = ""
	}
	return with(files, name, strings.Join(lines, "\n"))
}

const someDenials = `package policy.tools.some

deny contains {"code": "too.much", "message": "no"} if {
	input.tool.name == "transfer"
	input.tool.arguments.amount > 1000
}

deny contains "closed on holidays" if {
	input.subject.username == "alice"
	input.tool.arguments.holiday
}

require_authn contains {"max_age": 60} if input.tool.arguments.fresh

require_authn contains {"acr_values": ["mfa", "key"]} if input.tool.arguments.strong

require_authn contains {"acr_values": ["key", "card"], "max_age": 300} if input.tool.arguments.strong

required_scopes contains "tools:crm.write" if input.tool.arguments.crm
`

// scenes are all kinds of denials that the policies make, with the kinds of changes that must be printed.
func scenes() map[string]func() (scene, string) {
	n := func(text string) json.Number { return json.Number(text) }
	tool := func(args map[string]any, scopes ...string) func(files map[string]string) scene {
		return func(files map[string]string) scene {
			v := call("transfer", args, scopes...)
			return scene{files: files, call: &v}
		}
	}
	some := map[string]string{"tools/some.rego": someDenials}
	const held = "tools:payments.transfer"
	scopes := func(text string, change func(*oauth.ScopeRequest), asked ...string) scene {
		r := scopeRequest(oauth.NewScopes(asked...))
		if change != nil {
			change(&r)
		}
		return scene{files: map[string]string{"scopes/some.rego": "package policy.scopes.some\n\n" + text}, grant: &r}
	}
	refresh := func(r *oauth.ScopeRequest) {
		r.Stage, r.Authn = oauth.StageRefresh, oauth.Authentication{Time: r.Context.Time.Add(-time.Hour), ACR: "pwd"}
		r.Consented = oauth.NewScopes("tools:weather.read")
	}
	list := map[string]func() (scene, string){
		"a missing scope":    func() (scene, string) { return tool(nil)(some), "scopes" },
		"two missing scopes": func() (scene, string) { return tool(map[string]any{"crm": true})(some), "scopes" },
		"a deny":             func() (scene, string) { return tool(map[string]any{"amount": n("5000")}, held)(some), "rule" },
		"two denies": func() (scene, string) {
			return tool(map[string]any{"amount": n("5000"), "holiday": true}, held)(some), "rule rule"
		},
		"an old login": func() (scene, string) { return tool(map[string]any{"fresh": true}, held)(some), "login" },
		"a weak login": func() (scene, string) { return tool(map[string]any{"strong": true}, held)(some), "login" },
		"an old and weak login": func() (scene, string) {
			return tool(map[string]any{"strong": true, "fresh": true}, held)(some), "login"
		},
		"everything at once": func() (scene, string) {
			return tool(map[string]any{"strong": true, "fresh": true, "amount": n("5000")})(some), "rule scopes login"
		},
		"no package allows": func() (scene, string) {
			s, k := tool(nil, held)(nil), "allow"
			s.call.MCP.Method, s.call.Tool = "tools/invent", nil
			return s, k
		},
		"denied, and none allows": func() (scene, string) {
			s, k := tool(map[string]any{"holiday": true}, held)(some), "allow rule"
			s.call.MCP.Method = "tools/invent"
			return s, k
		},
		"an evaluation error": func() (scene, string) {
			return tool(map[string]any{"amount": "x"}, held)(map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"x\" if to_number(input.tool.arguments.amount) > 5\n"}), "policy"
		},
		"a wrong shape": func() (scene, string) {
			return tool(map[string]any{"amount": "x"}, held)(map[string]string{"a.rego": "package policy.tools.a\n\nobligations contains {\"id\": input.tool.arguments.amount}\n"}), "policy"
		},
		"a conflict": func() (scene, string) {
			return tool(map[string]any{"a": n("1"), "b": n("2")}, held)(map[string]string{"a.rego": "package policy.tools.a\n\nttl_seconds := x if {\n\tsome x in input.tool.arguments\n}\n"}), "policy"
		},
		"a request out of bounds": func() (scene, string) { return tool(map[string]any{"amount": n("1e999999")}, held)(nil), "request" },
		"the deadline": func() (scene, string) {
			s, k := tool(nil, held)(map[string]string{"a.rego": "package policy.tools.a\n\ndeny contains \"x\" if count([1 | some x in numbers.range(1, 40000); some y in [1, 2]; x == -y]) > 0\n"}), "deadline"
			s.deadline = time.Millisecond
			return s, k
		},
		"an access deny": func() (scene, string) {
			v := call("transfer", nil)
			v.Token = nil
			return scene{call: &v, files: map[string]string{"a.rego": "package policy.access.a\n\nallow := true\n\ndeny contains \"no\" if input.resource.id == \"transfer\"\n"}}, "rule"
		},
		"no package allows access": func() (scene, string) { v := call("transfer", nil); v.Token = nil; return scene{call: &v}, "allow" },
		"a client denied": func() (scene, string) {
			r := oauth.ClientRequest{ID: "dec_3", Stage: oauth.ClientStageRegister, Client: &oauth.Client{ID: "c", Registration: oauth.RegistrationStatic}}
			return scene{admit: &r, files: map[string]string{"a.rego": "package policy.clients.a\n\ndeny contains \"no\" if input.client.id == \"c\"\n"}}, "rule"
		},
		"no package admits": func() (scene, string) {
			r := oauth.ClientRequest{ID: "dec_3", Stage: oauth.ClientStageRegister, Client: &oauth.Client{ID: "c"}}
			return scene{admit: &r}, "allow"
		},
		"a scope is withheld": func() (scene, string) {
			return scopes("deny_scope contains {\"scope\": \"tools:crm.write\", \"code\": \"not.today\", \"message\": \"no\"} if input.stage == \"authorize\"\n", nil, "tools:crm.write", "tools:weather.read"), "rule"
		},
		"two scopes, by two rules": func() (scene, string) {
			return scopes("deny_scope contains {\"scope\": \"tools:crm.write\", \"code\": \"a\", \"message\": \"no\"}\n\ndeny_scope contains {\"scope\": \"tools:weather.read\", \"code\": \"b\", \"message\": \"no\"}\n", nil, "tools:crm.write", "tools:weather.read"), "rule rule"
		},
		"one of two rules matters": func() (scene, string) {
			return scopes("deny_scope contains {\"scope\": \"tools:crm.write\", \"code\": \"a\", \"message\": \"no\"}\n\ndeny_scope contains {\"scope\": \"tools:weather.read\", \"code\": \"b\", \"message\": \"no\"}\n", nil, "tools:crm.write"), "rule"
		},
		"nobody grants it":      func() (scene, string) { return scopes("", nil, "tools:weather.read", "tools:nonsense.read"), "grant" },
		"nothing is left":       func() (scene, string) { return scopes("", nil, "tools:nonsense.read"), "grant" },
		"nothing was asked for": func() (scene, string) { return scopes("", nil), "request" },
		"the grant is denied": func() (scene, string) {
			return scopes("deny contains {\"code\": \"x\", \"message\": \"no\"} if input.subject.username == \"alice\"\n", nil, "tools:weather.read"), "rule"
		},
		"the grant is ended": func() (scene, string) {
			return scopes("end_grant if input.stage == \"refresh\"\n", refresh, "tools:weather.read"), "rule"
		},
		"consent is missing": func() (scene, string) {
			return scopes("require_consent contains \"tools:crm.write\"\n", refresh, "tools:weather.read", "tools:crm.write"), "consent"
		},
		"consent to all is missing": func() (scene, string) {
			return scopes("require_consent contains \"tools:crm.write\"\n", refresh, "tools:crm.write"), "consent"
		},
		"a login too old to refresh": func() (scene, string) {
			return scopes("require_authn contains {\"max_age\": 60} if input.stage == \"refresh\"\n", refresh, "tools:weather.read"), "login"
		},
		"a service asks for too much": func() (scene, string) {
			return scopes("deny_scope contains {\"scope\": \"tools:payments.transfer\", \"code\": \"people\", \"message\": \"no\"} if input.subject.type == \"service\"\n", func(r *oauth.ScopeRequest) { r.Subject.Kind = oauth.SubjectService }, "tools:weather.read", "tools:payments.transfer"), "rule rule"
		},
		"a grant that fails": func() (scene, string) {
			return scopes("token_ttl_seconds := to_number(input.subject.username)\n", nil, "tools:weather.read"), "policy"
		},
	}
	return list
}

// TestEveryDenialFlipsByWhatIsPrinted applies all changes and wants the decision to flip, and leaves each out in turn and wants it to
// stay: so the list is right, and the shortest.
func TestEveryDenialFlipsByWhatIsPrinted(t *testing.T) {
	seen := map[ChangeKind]bool{}
	for name, make := range scenes() {
		t.Run(name, func(t *testing.T) {
			s, want := make()
			allowed, record := s.decide(t)
			if allowed {
				t.Fatal("it is allowed from the beginning")
			}
			x := s.explain(t, record)
			var kinds []string
			for _, c := range x.Changes {
				seen[c.Kind] = true
				kinds = append(kinds, string(c.Kind))
				if c.Text == "" || strings.Contains(c.Text, "%!") {
					t.Errorf("%+v", c)
				}
			}
			slices.Sort(kinds)
			words := strings.Fields(want)
			slices.Sort(words)
			if !slices.Equal(kinds, words) {
				t.Fatalf("changes %q, want %q: %+v", kinds, words, x)
			}
			if name == "a service asks for too much" { // one of the rules is shipped and cannot be taken out of the author's files
				s.files = with(s.files, "scopes/default.rego", "package policy.scopes.default\n\ngrant contains scope if some scope in input.requested.scopes\n")
				x.Changes = slices.DeleteFunc(x.Changes, func(c Change) bool { return strings.HasPrefix(c.Rule.File, shippedPrefix) })
			}
			for left := range len(x.Changes) {
				some := s
				if some.call != nil {
					v := *s.call
					some.call = &v
				}
				if some.grant != nil {
					r := *s.grant
					some.grant = &r
				}
				for i, c := range x.Changes {
					if i != left {
						some.apply(t, c)
					}
				}
				if allowed, _ := some.decide(t); allowed && len(x.Changes) > 0 {
					t.Errorf("it flips without %q", x.Changes[left].Text)
				}
			}
			for _, c := range x.Changes {
				s.apply(t, c)
			}
			if allowed, record := s.decide(t); !allowed {
				t.Errorf("all changes %+v are made, and it is still denied: %.400s", x.Changes, record.Document)
			}
		})
	}
	for _, k := range []ChangeKind{ChangeScopes, ChangeLogin, ChangeConsent, ChangeRule, ChangeAllow, ChangeGrant, ChangePolicy, ChangeDeadline, ChangeRequest} {
		if !seen[k] {
			t.Errorf("no scene needs a change of the kind %q", k)
		}
	}
}
