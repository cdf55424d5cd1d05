package policies

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// TestReplayAgreesWithTheOracle: random policies decide, and others are the candidate. The oracle asks a fresh engine everything one by
// one, with the values. With values recorded every answer is there and right; with masks every answer that is there is right.
func TestReplayAgreesWithTheOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 4))
	flips, answered, unknown := 0, 0, 0
	for round := range 24 {
		mode := []RecordMode{RecordValues, RecordMasked}[round%2]
		more := fmt.Sprintf("\ndeny contains \"odd\" if time.now_ns() %% %d == 0\n", 2+r.IntN(4))
		for _, name := range []string{"amount", "to"} { // to_number fails for some values
			more += strings.ReplaceAll(fmt.Sprintf("\ndeny contains \"number\" if {\n\t%s\n\tto_number(input.tool.arguments.%s) > 4\n\t%s\n}\n", condition(r, knobs()), name, condition(r, knobs())), "; ", "\n\t")
		}
		past := map[string]string{"a.rego": randomPolicy(r, knobs())}
		if round%4 > 1 {
			past["log.rego"] = "package system.log\n\nmask contains \"/input/client/name\"\n\nmask contains {\"op\": \"upsert\", \"path\": \"/input/subject/username\", \"value\": \"a\"}\n"
		}
		candidate := map[string]string{"a.rego": randomPolicy(r, knobs()) + more}
		h := historyOf(t, mode, past, false, []*oauth.Resource{demoResource()})
		fresh := engineFrom(t, Config{Dir: dirWith(t, candidate), Cache: -1, Catalogue: []*oauth.Resource{demoResource()}})
		lost, gained := map[string]bool{}, map[string]bool{}
		for i, settings := range randomSettings(r, 100) {
			v := turned(settings)
			v.Context.Time = v.Context.Time.Add(time.Duration(i))
			v.Token.Authn.Time = v.Context.Time.Add(-time.Duration(r.IntN(120)) * time.Second)
			then, now := h.decide(t, v), decide(t, fresh, v)
			id := fmt.Sprintf("dec_%d", i)
			lost[id], gained[id] = then.Allow && !now.Allow, !then.Allow && now.Allow
		}
		report := h.replay(t, candidate)
		if mode == RecordValues && past["log.rego"] == "" {
			for _, u := range report.UnknownOver { // the session id is always masked
				if !strings.Contains(u.Why, "input.mcp.session_id (masked)") {
					t.Fatalf("round %d: unknown over %q although all is recorded", round, u.Why)
				}
			}
		}
		if wrong := disagreement(report, lost, gained); wrong != "" {
			t.Fatalf("round %d: %s\n%s\n%s", round, wrong, past["a.rego"], candidate["a.rego"])
		}
		answered, unknown, flips = answered+int(report.Decisions-report.Unknown), unknown+int(report.Unknown), flips+int(report.Flipped)
	}
	t.Logf("%d answers, %d flips, %d unknown", answered, flips, unknown)
	if answered < 1000 || flips < 200 || unknown < 50 {
		t.Errorf("%d answers, %d flips and %d unknown prove little", answered, flips, unknown)
	}
}

// randomGrants is a random policy about three scopes.
func randomGrants(r *rand.Rand) string {
	scopes := demoResource().ScopeNames()
	one := func() string { return fmt.Sprintf("%q", scopes[r.IntN(len(scopes))]) }
	condition := func() string {
		return []string{`input.stage == "refresh"`, `input.stage != "token"`, `"staff" in input.subject.groups`, `not "staff" in input.subject.groups`,
			`input.client.registration == "static"`, `count(input.requested.scopes) > 2`, `input.subject.username == "alice"`, one() + ` in input.requested.scopes`}[r.IntN(8)]
	}
	b := "package policy.scopes.random\n"
	for range 3 {
		b += fmt.Sprintf("\ngrant contains %s if %s\n\ngrant contains \"tools:*\" if {\n\t%s\n\t%s\n}\n", one(), condition(), condition(), condition())
	}
	b += fmt.Sprintf("\ndeny_scope contains {\"scope\": %s, \"code\": \"a\", \"message\": \"no\"} if %s\n", one(), condition())
	b += fmt.Sprintf("\nrequire_consent contains %s if %s\n", one(), condition())
	b += fmt.Sprintf("\nrequire_authn contains {\"max_age\": 60} if {\n\t%s\n\t%s\n}\n", condition(), condition())
	b += fmt.Sprintf("\ndeny contains \"no\" if {\n\t%s\n\t%s\n\t%s\n}\n", condition(), condition(), condition())
	return b
}

// granted is what oauth makes of a decision; see oauth's grantScopes.
func granted(d oauth.ScopeDecision, r oauth.ScopeRequest) oauth.Scopes {
	if r.Stage == oauth.StageAuthorize || r.Stage == oauth.StageProbe {
		return d.Granted
	}
	for _, q := range d.RequireAuthn {
		if !q.Met(r.Authn, r.Context.Time) {
			return nil
		}
	}
	unasked := r.Consented.Missing(d.RequireConsent)
	return slices.DeleteFunc(slices.Clone(d.Granted), func(s string) bool { return unasked.Has(s) })
}

func TestReplayOfGrantsAgreesWithTheOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	flips := 0
	for range rounds(12) {
		candidate := map[string]string{"a.rego": randomGrants(r)}
		h := historyOf(t, RecordMasked, map[string]string{"a.rego": randomGrants(r)}, false, []*oauth.Resource{demoResource()})
		fresh := engineFrom(t, Config{Dir: dirWith(t, candidate), Cache: -1, Catalogue: []*oauth.Resource{demoResource()}})
		lost, gained := map[string]bool{}, map[string]bool{}
		for i := range 120 {
			var asked, consented oauth.Scopes
			for _, s := range append(demoResource().ScopeNames(), "tools:weather.*") {
				if r.IntN(2) == 0 {
					asked = append(asked, s)
				}
				if r.IntN(2) == 0 {
					consented = append(consented, s)
				}
			}
			q := scopeRequest(oauth.NewScopes(asked...), []string{"staff", "guests"}[r.IntN(2)])
			q.Stage = []oauth.Stage{oauth.StageAuthorize, oauth.StageToken, oauth.StageRefresh, oauth.StageProbe}[r.IntN(4)]
			q.Consented, q.Authn = oauth.NewScopes(consented...), oauth.Authentication{Time: q.Context.Time.Add(-time.Duration(r.IntN(120)) * time.Second)}
			var answers [2]oauth.Scopes
			for n, e := range []*Engine{h.engine, fresh} {
				d, err := e.GrantScopes(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				answers[n] = granted(d, q)
			}
			h.grant(t, q)
			id := fmt.Sprintf("dec_%d", i)
			lost[id] = slices.ContainsFunc(answers[0], func(s string) bool { return !slices.Contains(answers[1], s) })
			gained[id] = slices.ContainsFunc(answers[1], func(s string) bool { return !slices.Contains(answers[0], s) })
		}
		report := h.replay(t, candidate)
		if report.Unknown > 0 {
			t.Fatalf("%+v", report.UnknownOver)
		}
		if wrong := disagreement(report, lost, gained); wrong != "" {
			t.Fatalf("%s\n%s", wrong, candidate["a.rego"])
		}
		flips += int(report.Flipped)
	}
	if flips < 200 {
		t.Errorf("%d flips prove little", flips)
	}
}

// disagreement is where a report says something else than the oracle about a decision of which it says anything.
func disagreement(r *ReplayReport, lost, gained map[string]bool) string {
	skipped, denied, allowed := unknownIn(r), idsIn(r.Denied.Groups), idsIn(r.Allowed.Groups)
	for id := range lost {
		if !skipped[id] && (lost[id] != denied[id] || gained[id] != allowed[id]) {
			return fmt.Sprintf("%s: lost %v, gained %v, but replay says %v, %v", id, lost[id], gained[id], denied[id], allowed[id])
		}
	}
	return ""
}
