package policies

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/oauth"
)

// ChangeKind is a word for what would have to change.
type ChangeKind string

// The kinds of changes.
const (
	ChangeScopes   ChangeKind = "scopes"   // the token must hold these scopes
	ChangeLogin    ChangeKind = "login"    // the person must log in again, or in another way
	ChangeConsent  ChangeKind = "consent"  // the person must consent to these scopes
	ChangeRule     ChangeKind = "rule"     // this rule must not hold
	ChangeAllow    ChangeKind = "allow"    // some package must allow it
	ChangeGrant    ChangeKind = "grant"    // some package must grant these scopes
	ChangePolicy   ChangeKind = "policy"   // the policies must be mended
	ChangeDeadline ChangeKind = "deadline" // the evaluation must be faster, or policy.deadline longer
	ChangeRequest  ChangeKind = "request"  // the request must be another one
	ChangeClient   ChangeKind = "client"   // the registration of the client must cover these scopes
	ChangeToken    ChangeKind = "token"    // the access token must be a live one of this server
	ChangeSubject  ChangeKind = "subject"  // the subject must be the token's
	ChangeTool     ChangeKind = "tool"     // the tool must be in the catalogue
	ChangeFit      ChangeKind = "fit"      // rules and the tool's entry in the catalogue must fit each other again
)

// Change is one thing that would have to be different.
type Change struct {
	Kind      ChangeKind   `json:"kind"`
	Text      string       `json:"text"` // a sentence
	Scopes    oauth.Scopes `json:"scopes,omitempty"`
	ACRValues []string     `json:"acr_values,omitempty"` // one of them
	MaxAge    int64        `json:"max_age,omitempty"`    // seconds
	Rule      *Rule        `json:"rule,omitempty"`
	Near      []NearRule   `json:"near,omitempty"` // rules that would have allowed it, and where they stopped
}

// NearRule is a rule that did not hold.
type NearRule struct {
	Rule
	Stopped string `json:"stopped"` // file:line and the condition that did not hold
}

func (x *explaining) change(kind ChangeKind, format string, args ...any) *Change {
	x.Changes = append(x.Changes, Change{Kind: kind, Text: fmt.Sprintf(format, args...)})
	return &x.Changes[len(x.Changes)-1]
}

// unrecorded explains from the audit alone. These denials are made before the policies are asked.
func (x *explaining) unrecorded() {
	e := x.request.Event
	if e == nil || x.Allowed {
		x.cannotSay("What this decision saw is not recorded: policy.record was off, or the record is older than policy.record_keep or beyond policy.record_max.")
		return
	}
	switch e.Reason {
	case "invalid_token":
		x.change(ChangeToken, "send a live access token that was issued for %s: this one is expired, revoked, malformed or for another server", e.ResourceID)
	case "subject_mismatch":
		x.change(ChangeSubject, "leave subject.id out, or send the sub of the access token, %s", e.SubjectID)
	case "tool_unknown":
		x.change(ChangeTool, "register the tool %q in the catalogue of %s (resources[].tools), or call one that is there, as a resource of type \"tool\"", e.Tool, e.ResourceID)
	case "arguments_too_complex":
		x.change(ChangeRequest, "send fewer arguments to %q, or less deep ones: checking them against its inputSchema took more work than is allowed", e.Tool)
	case "arguments_invalid":
		names := cmp.Or(e.Detail["arguments"], "none")
		x.change(ChangeRequest, "send arguments that fit the inputSchema of %q in the catalogue; the call had: %s", e.Tool, names)
		x.cannotSay("Which argument is wrong cannot be said: the values of refused arguments are not kept.")
	default:
		x.cannotSay("What this decision saw is not recorded, so what would have to change is not known. The audit has the reason %q and the rules: %s.",
			e.Reason, cmp.Or(strings.Join(e.Rules, ", "), "none"))
	}
}

// explainCall is what a denied call, evaluation or admission would need.
func (x *explaining) explainCall() {
	o := x.r.Result
	if x.policyErrors() {
		return
	}
	x.firedAgainst("deny")
	if !slices.ContainsFunc(x.r.Fired, func(f firedRule) bool { return f.Export == "allow" }) {
		c := x.change(ChangeAllow, "some package below policy.%s must allow it; none does", x.r.Kind)
		c.Near = x.near("allow")
	}
	if len(o.Missing) > 0 {
		x.change(ChangeScopes, "the token must hold %s", o.Missing).Scopes = o.Missing
		x.explainProbe()
	}
	x.logins(o)
	if len(x.Changes) == 0 {
		x.refusedAfterwards()
	}
}

// refusedAfterwards is about what the policies had nothing against.
func (x *explaining) refusedAfterwards() {
	if x.Reason == "usage_overtaken" {
		x.change(ChangeRequest, "call again: the policies count calls of this tool, and others were counted while this one was decided")
		return
	}
	x.cannotSay("The policies allowed this. It was refused afterwards, with the reason %q.", x.Reason)
}

// explainProbe adds why a missing scope cannot be had.
func (x *explaining) explainProbe() {
	if x.Reason != "scope_not_available" {
		return
	}
	probe := x.request.Probe
	if probe == nil {
		x.cannotSay("The client cannot obtain the scope. Why is not recorded.")
		return
	}
	r, err := readRecord(probe.Document)
	if err != nil {
		x.cannotSay("The client cannot obtain the scope. Why cannot be read: %s.", err)
		return
	}
	p := &explaining{Explanation: &Explanation{ID: probe.ID}, request: ExplainRequest{Event: &oauth.Event{Outcome: oauth.OutcomeDenied, Reason: "no_scope_left"}}, r: r}
	if x.past != nil && x.past.revision == r.Revision {
		p.past = x.past
	}
	p.readRules()
	p.enact()
	p.explainGrant()
	x.Changes, x.Unknown = append(x.Changes, p.Changes...), append(x.Unknown, p.Unknown...)
}

// explainGrant says what was granted, what was not, and what it would need.
func (x *explaining) explainGrant() {
	o, r := x.r.Result, x.r
	x.Granted = r.effective(o)
	if x.Reason == "user_denied" {
		x.change(ChangeConsent, "the person refused on the consent page; they must allow %s there", x.Granted).Scopes = x.Granted
		x.Granted = nil
		return
	}
	for _, d := range o.Denied {
		x.Withheld = append(x.Withheld, ScopeRefused(d))
	}
	if x.policyErrors() {
		return
	}
	x.firedAgainst("deny", "end_grant")
	if r.input != nil && len(r.scopes("requested", "scopes")) == 0 {
		x.change(ChangeRequest, "ask for at least one scope of the resource")
	}
	x.withheld(o)
	if !r.interactive() || x.Reason == "authn_not_available" {
		x.logins(o)
	}
	if unasked := r.unasked(o); len(unasked) > 0 && !r.interactive() {
		x.change(ChangeConsent, "the person must consent to %s; start a new authorization request", unasked).Scopes = unasked
	}
	if x.Allowed || len(x.Changes) > 0 {
		return
	}
	switch x.Reason { // the policies had nothing against it
	case "refresh_denied":
		x.firedAgainst("refresh")
	case "no_scope_left":
		x.change(ChangeClient, "the registration of the client must cover %s: its scope or its ceiling leaves nothing of it", x.Granted).Scopes = x.Granted
		x.Granted = nil
	default:
		x.refusedAfterwards()
	}
}

// withheld says what each scope that was not granted would need.
func (x *explaining) withheld(o outcome) {
	var nobody oauth.Scopes
	against := map[string]oauth.Scopes{} // by code
	for _, d := range o.Denied {
		if d.Code == "not_granted" {
			nobody = append(nobody, d.Scope)
		} else {
			against[d.Code] = append(against[d.Code], d.Scope)
		}
	}
	if len(nobody) > 0 {
		c := x.change(ChangeGrant, "some package below policy.scopes must grant %s; none does", nobody)
		c.Scopes, c.Near = nobody, x.near("grant")
	}
	if len(against) == 0 {
		return
	}
	for _, rule := range x.Rules {
		if rule.Export != "deny_scope" {
			continue
		}
		code, constant := x.past.codeOf(rule)
		var scopes oauth.Scopes
		for c, list := range against {
			if !constant || c == code {
				scopes = append(scopes, list...)
			}
		}
		if len(scopes) > 0 {
			x.against(rule, oauth.NewScopes(scopes...))
		}
	}
}

// codeOf is the code that a deny_scope rule gives, if that is a constant of its head.
func (a *reenactment) codeOf(rule Rule) (string, bool) {
	if a == nil || a.program.modules[rule.File] == nil {
		return "", false
	}
	for _, r := range a.program.modules[rule.File].Rules {
		if r.Location.Row == rule.Line && r.Head.Key != nil {
			return constantMember(r.Head.Key.Value, "code")
		}
	}
	return "", false
}

// firedAgainst lists the rules of these exports that fired.
func (x *explaining) firedAgainst(exports ...string) {
	for _, rule := range x.Rules {
		if slices.Contains(exports, rule.Export) {
			x.against(rule, nil)
		}
	}
}

func (x *explaining) against(rule Rule, scopes oauth.Scopes) {
	if rule.Package == "policy.tools."+stalePackage {
		x.unfit(rule)
		return
	}
	text := fmt.Sprintf("%s of %s must not hold (%s, %s:%d)", rule.Export, rule.Package, rule.Label, rule.File, rule.Line)
	if len(scopes) > 0 {
		text = fmt.Sprintf("for %s: %s", scopes, text)
	}
	c := x.change(ChangeRule, "%s", text)
	c.Rule, c.Scopes = &rule, scopes
}

// unfit says what a stale tool needs.
func (x *explaining) unfit(rule Rule) {
	why := "which rules, is not kept"
	for _, t := range x.stale {
		if rule.Label == stalePackage+"."+t.String() {
			why = strings.Join(t.Rules, "; ")
		}
	}
	tool := strings.TrimPrefix(rule.Label, stalePackage+".")
	x.change(ChangeFit, "the inputSchema of %s in the catalogue changed, and rules no longer fit it: %s. Mend the rules, or put the old inputSchema back", tool, why).Rule = &rule
}

// logins merges the unmet login requirements into one login that meets them all.
func (x *explaining) logins(o outcome) {
	if len(o.Authn) == 0 {
		return
	}
	var age int64
	var classes []string
	asked := false
	for _, q := range o.Authn {
		if q.MaxAge > 0 && (age == 0 || q.MaxAge < age) {
			age = q.MaxAge
		}
		switch {
		case len(q.ACRValues) == 0:
		case !asked:
			classes, asked = slices.Clone(q.ACRValues), true
		default:
			classes = slices.DeleteFunc(classes, func(c string) bool { return !slices.Contains(q.ACRValues, c) })
		}
	}
	if asked && len(classes) == 0 {
		x.cannotSay("No single login meets all requirements: no acr is accepted by every one of them.")
		x.change(ChangePolicy, "the require_authn rules must agree on an acr; today no login meets them all")
		return
	}
	text := "the person must log in again"
	if asked {
		text += " with acr " + strings.Join(classes, " or ")
	}
	if age > 0 {
		text += fmt.Sprintf(", not longer than %s before the request", time.Duration(age)*time.Second)
	}
	c := x.change(ChangeLogin, "%s", text)
	c.ACRValues, c.MaxAge = classes, age
}

var placeOfError = regexp.MustCompile(`^(\S+) at (.+):(\d+)$`)

// policyErrors tells whether the policies could not decide, and where they have to be mended.
func (x *explaining) policyErrors() bool {
	found := false
	for _, reason := range x.r.Result.Reasons {
		if reason.Code != codePolicyError {
			continue
		}
		found = true
		x.policyError(reason.Policy)
	}
	if found && len(x.Changes) == 1 {
		x.cannotSay("Whether anything else is against it cannot be said: the evaluation did not come to an end.")
	}
	return found
}

func (x *explaining) policyError(detail string) {
	if x.r.Withheld == withheldRequest {
		x.change(ChangeRequest, "the request must be one that policies can be asked about: %s", detail)
		return
	}
	if name, wrong := strings.CutSuffix(detail, " has a wrong shape"); wrong {
		for _, rule := range x.Rules {
			if strings.TrimPrefix(rule.Package, "policy."+string(x.r.Kind)+".")+"."+rule.Export == name {
				x.change(ChangePolicy, "mend %s of %s: its value has a wrong shape (%s:%d)", rule.Export, rule.Package, rule.File, rule.Line).Rule = &rule
				return
			}
		}
	}
	if m := placeOfError.FindStringSubmatch(detail); m != nil {
		line, _ := strconv.Atoi(m[3]) // digits
		c := x.change(ChangePolicy, "mend the policies: %s at %s:%d", m[1], m[2], line)
		c.Rule = &Rule{File: m[2], Line: line}
		if x.past != nil {
			c.Rule.Source = x.past.program.sourceOf(m[2], line)
		}
		return
	}
	if strings.Contains(detail, "deadline") || strings.HasPrefix(detail, "refused:") { // after all that can hold a name of the author's
		x.change(ChangeDeadline, "%s: make the policies cheaper, or policy.deadline longer", detail)
		return
	}
	x.change(ChangePolicy, "mend the policies: %s", detail)
}
