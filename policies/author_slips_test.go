package policies

import (
	"strings"
	"testing"
)

// slip is a policy that an author meant otherwise: it loads, and lets calls through.
type slip struct{ name, policy, want string }

func trySlips(t *testing.T, found func(CheckReport) []Problem, slips []slip) {
	t.Helper()
	for _, s := range slips {
		t.Run(s.name, func(t *testing.T) {
			config := "withheld: [\"bank:pya\"]\nlimits: {tranfser: 5, pay: 6}\n"
			got := problemTexts(found(checked(t, map[string]string{"a.rego": s.policy + "\n", "config.yaml": config})))
			if s.want == "" && got != "" || !strings.Contains(got, s.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, s.want)
			}
		})
	}
}

func errorsIn(r CheckReport) []Problem { return r.Problems }

func warningsIn(r CheckReport) []Problem { return r.Warnings }

func TestScopesOfTheConfigurationAreLookedUp(t *testing.T) {
	const scopes = "package policy.scopes.a\n\n"
	trySlips(t, warningsIn, []slip{
		{"withheld", scopes + "deny_scope contains {\"scope\": s, \"code\": \"c\", \"message\": \"m\"} if some s in data.config.withheld", "a.rego:3:76: no registered server has the scope \"bank:pya\" (did you mean \"bank:pay\"?)"},
		{"granted", scopes + "grant contains s if some s in data.config.withheld", "no registered server has the scope \"bank:pya\""},
		{"a ceiling", "package policy.clients.a\n\nscope_ceiling := data.config.withheld", "no registered server has the scope \"bank:pya\""},
	})
}
