package policies

import (
	"fmt"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// reader reads one object of a router's answer strictly: a missing, unknown or wrongly typed member is an error.
// The first error stays.
type reader struct {
	at   string // for messages
	obj  ast.Object
	left int // members that nobody has asked for yet
	err  error
}

func read(at string, v ast.Value) *reader {
	r := &reader{at: at}
	obj, ok := v.(ast.Object)
	if !ok {
		r.fail("is no object")
		return r
	}
	r.obj, r.left = obj, obj.Len()
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("the result has a wrong shape: %s %s", r.at, fmt.Sprintf(format, args...))
	}
}

// optional gives a member or nil.
func (r *reader) optional(key string) ast.Value {
	if r.obj == nil {
		return nil
	}
	t := r.obj.Get(ast.InternedTerm(key))
	if t == nil {
		return nil
	}
	r.left--
	return t.Value
}

func (r *reader) member(key string) ast.Value {
	v := r.optional(key)
	if v == nil {
		r.fail("has no %s", key)
	}
	return v
}

// done gives the first error; members that nobody asked for are one.
func (r *reader) done() error {
	if r.err == nil && r.left != 0 {
		r.fail("has unknown members")
	}
	return r.err
}

func (r *reader) bool(key string) bool {
	b, ok := r.member(key).(ast.Boolean)
	if !ok {
		r.fail("%s is no boolean", key)
	}
	return bool(b)
}

// text is a string that is not empty.
func (r *reader) text(key string) string {
	s, ok := r.member(key).(ast.String)
	if !ok || s == "" {
		r.fail("%s is no text", key)
	}
	return string(s)
}

// maxSeconds is the longest duration a policy may give: ten years.
const maxSeconds = 315360000

// seconds is a whole number of seconds from 0 on.
func (r *reader) seconds(key string) time.Duration { return r.asSeconds(key, r.member(key)) }

func (r *reader) asSeconds(key string, v ast.Value) time.Duration {
	n, ok := v.(ast.Number)
	seconds, whole := n.Int64()
	if !ok || !whole || seconds < 0 || seconds > maxSeconds {
		r.fail("%s is no whole number of seconds", key)
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// elements of a set or an array.
func (r *reader) elements(key string) []ast.Value { return r.asElements(key, r.member(key)) }

func (r *reader) asElements(key string, v ast.Value) []ast.Value {
	var values []ast.Value
	add := func(t *ast.Term) { values = append(values, t.Value) }
	switch v := v.(type) {
	case ast.Set:
		v.Foreach(add)
	case *ast.Array:
		v.Foreach(add)
	default:
		r.fail("%s is no list", key)
	}
	return values
}

func (r *reader) scopes(key string) oauth.Scopes { return oauth.NewScopes(r.texts(key)...) }

func (r *reader) texts(key string) []string { return r.asTexts(key, r.elements(key)) }

func (r *reader) asTexts(key string, values []ast.Value) []string {
	texts := make([]string, 0, len(values))
	for _, v := range values {
		s, ok := v.(ast.String)
		if !ok || s == "" {
			r.fail("%s holds something else than texts", key)
		}
		texts = append(texts, string(s))
	}
	return texts
}

// reasons puts policy errors first: they are what an operator has to look at.
func (r *reader) reasons(key string) []oauth.Reason {
	var first, rest []oauth.Reason
	for _, v := range r.elements(key) {
		entry := read(r.at+"."+key, v)
		reason := oauth.Reason{Code: entry.code("code"), Message: entry.text("message"), Policy: entry.text("policy")}
		r.include(entry)
		if reason.Code == codePolicyError {
			first = append(first, oauth.Reason{Code: codePolicyError, Message: messagePolicyError, Policy: reason.Message})
			continue
		}
		rest = append(rest, reason)
	}
	return append(first, rest...)
}

// maxCode is the length of a reason code; codes travel in headers and metrics.
const maxCode = 64

// code is a machine word: letters, digits and . _ : / -
func (r *reader) code(key string) string {
	code := r.text(key)
	wrong := strings.IndexFunc(code, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._:/-", c))
	})
	if wrong >= 0 || len(code) > maxCode {
		r.fail("%s is no code of at most %d letters, digits and ._:/-", key, maxCode)
	}
	return code
}

// include takes over the error of a nested reader.
func (r *reader) include(nested *reader) {
	if err := nested.done(); err != nil && r.err == nil {
		r.err = err
	}
}

func (r *reader) authn(key string) []oauth.AuthnRequirement {
	var list []oauth.AuthnRequirement
	for _, v := range r.elements(key) {
		entry := read(r.at+"."+key, v)
		list = append(list, entry.requirement())
		r.include(entry)
	}
	return list
}

// requirement reads the object at hand as one login requirement.
func (r *reader) requirement() (q oauth.AuthnRequirement) {
	if acr := r.optional("acr_values"); acr != nil {
		q.ACRValues = r.asTexts("acr_values", r.asElements("acr_values", acr))
	}
	if age := r.optional("max_age"); age != nil {
		q.MaxAge = r.asSeconds("max_age", age)
	}
	if len(q.ACRValues) == 0 && q.MaxAge == 0 {
		r.fail("asks for nothing")
	}
	return q
}

func (r *reader) deniedScopes(key string) []oauth.DeniedScope {
	var list []oauth.DeniedScope
	for _, v := range r.elements(key) {
		entry := read(r.at+"."+key, v)
		list = append(list, oauth.DeniedScope{Scope: entry.text("scope"), Code: entry.code("code"), Message: entry.text("message")})
		r.include(entry)
	}
	return list
}

func (r *reader) obligations(key string) []oauth.Obligation {
	var list []oauth.Obligation
	for _, v := range r.elements(key) {
		entry := read(r.at+"."+key, v)
		o := oauth.Obligation{ID: entry.text("id"), Type: entry.text("type")}
		if properties := entry.optional("properties"); properties != nil {
			o.Properties = entry.asProperties(properties)
		}
		r.include(entry)
		list = append(list, o)
	}
	return list
}

func (r *reader) asProperties(v ast.Value) map[string]any {
	plain, err := ast.JSON(v)
	object, ok := plain.(map[string]any)
	if err != nil || !ok {
		r.fail("properties is no object")
	}
	return object
}

// ceilings meets the ceilings of all packages; nil = there is none.
func (r *reader) ceilings(key string) oauth.Scopes {
	var ceiling oauth.Scopes
	for _, v := range r.elements(key) {
		one := oauth.NewScopes(r.asTexts(key, r.asElements(key, v))...)
		if ceiling != nil {
			one = ceiling.Meet(one)
		}
		ceiling = append(oauth.Scopes{}, one...) // empty, but not nil
	}
	return ceiling
}

// verdict reads what all routers answer. failed tells that a package gave a value of a wrong shape: then the other
// members may hold it, and are not read.
func (r *reader) verdict() (allow bool, reasons []oauth.Reason, failed bool) {
	allow, reasons = r.bool("allow"), r.reasons("reasons")
	return allow, reasons, r.err == nil && len(reasons) > 0 && reasons[0].Code == codePolicyError
}

// decodeTools reads the answer of mcp.authz.tools.
func decodeTools(v ast.Value) (d oauth.Decision, err error) {
	r := read("decision", v)
	var failed bool
	if d.Allow, d.Reasons, failed = r.verdict(); failed {
		return oauth.Decision{Reasons: d.Reasons}, nil
	}
	d.RequiredScopes = r.scopes("required_scopes")
	d.MissingScopes = r.scopes("missing_scopes")
	d.RequireAuthn = r.authn("require_authn")
	d.Obligations = r.obligations("obligations")
	d.TTL = r.seconds("ttl_seconds")
	return d, r.done()
}

// decodeAccess reads the answer of mcp.authz.access.
func decodeAccess(v ast.Value) (d oauth.Decision, err error) {
	r := read("decision", v)
	d.Allow, d.Reasons, _ = r.verdict()
	return d, r.done()
}

// decodeScopes reads the answer of mcp.authz.scopes.
func decodeScopes(v ast.Value) (d oauth.ScopeDecision, err error) {
	r := read("decision", v)
	var failed bool
	if d.Allow, d.Reasons, failed = r.verdict(); failed {
		return oauth.ScopeDecision{Reasons: d.Reasons}, nil
	}
	d.Granted = r.scopes("granted_scopes")
	d.Denied = r.deniedScopes("denied_scopes")
	d.RequireConsent = r.scopes("require_consent")
	d.RequireAuthn = r.authn("require_authn")
	d.TokenTTL = r.seconds("token_ttl_seconds")
	d.EndGrant = r.bool("end_grant")
	if !r.bool("refresh") {
		never := false
		d.Refresh = &never
	}
	return d, r.done()
}

// decodeClients reads the answer of mcp.authz.clients.
func decodeClients(v ast.Value) (d oauth.ClientDecision, err error) {
	r := read("decision", v)
	var failed bool
	if d.Allow, d.Reasons, failed = r.verdict(); failed {
		return oauth.ClientDecision{Reasons: d.Reasons}, nil
	}
	d.AllowRedirects = r.texts("allow_redirects")
	d.Ceiling = r.ceilings("scope_ceilings")
	d.TTL = r.seconds("ttl")
	return d, r.done()
}
