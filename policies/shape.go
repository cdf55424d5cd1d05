package policies

import (
	"math/big"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"portcullis/oauth"
)

// What a package may give, as in mcp.authz.shape. One table of tests holds for both.

func isText(v ast.Value) bool {
	text, ok := v.(ast.String)
	return ok && text != ""
}

// isSeconds: a whole number of seconds, from the given least value up to ten years.
func isSeconds(v ast.Value, least int64) bool {
	n, ok := v.(ast.Number)
	if !ok {
		return false
	}
	if i, whole := n.Int64(); whole {
		return i >= least && i <= maxSeconds
	}
	f := builtins.NumberToFloat(n) // 5.0 is whole, too
	return f.IsInt() && f.Cmp(big.NewFloat(float64(least))) >= 0 && f.Cmp(big.NewFloat(maxSeconds)) <= 0
}

// isRequirement: an authentication requirement (RFC 9470) names accepted acr values, a greatest age in seconds, or both.
func isRequirement(v ast.Value) bool {
	o, ok := v.(ast.Object)
	if !ok || o.Len() == 0 || !onlyMembers(o, "acr_values", "max_age") {
		return false
	}
	acr, age := valueOf(o, "acr_values"), valueOf(o, "max_age")
	return (acr == nil || isTexts(acr)) && (age == nil || isSeconds(age, 1))
}

// isTexts: an array or a set of texts, at least one.
func isTexts(v ast.Value) bool {
	wrong := func(t *ast.Term) bool { return !isText(t.Value) }
	switch v := v.(type) {
	case *ast.Array:
		return v.Len() > 0 && !v.Until(wrong)
	case ast.Set:
		return v.Len() > 0 && !v.Until(wrong)
	}
	return false
}

// isObligation: an obligation of the AuthZEN obligations draft.
func isObligation(v ast.Value) bool {
	o, ok := v.(ast.Object)
	if !ok || !onlyMembers(o, "id", "type", "properties") || !isText(valueOf(o, "id")) || !isText(valueOf(o, "type")) {
		return false
	}
	properties := valueOf(o, "properties")
	_, isObject := properties.(ast.Object)
	return properties == nil || isObject
}

func onlyMembers(o ast.Object, names ...string) bool {
	return !o.Until(func(key, _ *ast.Term) bool {
		name, ok := key.Value.(ast.String)
		return !ok || !slices.Contains(names, string(name))
	})
}

// shapedReason is one entry of a deny set as a reason.
func shapedReason(policy string, entry *ast.Term) *ast.Term {
	switch v := entry.Value.(type) {
	case ast.String:
		if v != "" {
			return reasonTerm("denied", string(v), policy)
		}
	case ast.Object:
		code, message := valueOf(v, "code"), valueOf(v, "message")
		if v.Len() == 2 && isText(code) && isText(message) {
			return reasonTerm(string(code.(ast.String)), string(message.(ast.String)), policy)
		}
	}
	return malformed(policy, "deny")
}

// malformed is the reason for a rule whose value has a wrong shape.
func malformed(policy, rule string) *ast.Term {
	return reasonTerm(codePolicyError, policy+"."+rule+" has a wrong shape", policy)
}

func reasonTerm(code, message, policy string) *ast.Term {
	return ast.ObjectTerm(
		ast.Item(ast.InternedTerm("code"), ast.StringTerm(code)),
		ast.Item(ast.InternedTerm("message"), ast.StringTerm(message)),
		ast.Item(ast.InternedTerm("policy"), ast.StringTerm(policy)))
}

// union adds to a set that may be nil. Neither is changed.
func union(a, b ast.Set) ast.Set {
	switch {
	case a == nil || a.Len() == 0:
		return b
	case b.Len() == 0:
		return a
	}
	return a.Union(b)
}

func orEmpty(s ast.Set) ast.Set {
	if s == nil {
		return ast.NewSet()
	}
	return s
}

// onlyStrings leaves out what is no string, and is malformed.
func onlyStrings(s ast.Set) ast.Set {
	if !s.Until(func(t *ast.Term) bool { _, ok := t.Value.(ast.String); return !ok }) {
		return s
	}
	kept := ast.NewSet()
	s.Foreach(func(t *ast.Term) {
		if _, ok := t.Value.(ast.String); ok {
			kept.Add(t)
		}
	})
	return kept
}

// covers is scope_covers of lib.mcp for a wanted scope.
func covers(held string, wanted ast.Value) bool {
	text, ok := wanted.(ast.String)
	return ok && oauth.ScopeCovers(held, string(text))
}

// textsIn are the strings of an array or set.
func textsIn(v ast.Value) []string {
	var texts []string
	add := func(t *ast.Term) {
		if s, ok := t.Value.(ast.String); ok {
			texts = append(texts, string(s))
		}
	}
	switch v := v.(type) {
	case *ast.Array:
		v.Foreach(add)
	case ast.Set:
		v.Foreach(add)
	}
	return texts
}
