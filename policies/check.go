package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// checkModule holds one of the author's modules to the vocabulary: its package, the names and forms of its rules,
// its annotations and its globs.
func checkModule(m *ast.Module, schemas map[string]any) []Problem {
	own, err := parsePackage(pathOf(m.Package.Path))
	if err != nil {
		return []Problem{problemAt(m.Package.Location, "%s", err)}
	}
	var problems []Problem
	if own.kind == kindTools && own.name == stalePackage {
		problems = append(problems, problemAt(m.Package.Location, "package %s is reserved for tools that the server denies; choose another name", own))
	}
	for _, r := range m.Rules {
		for ; r != nil; r = r.Else {
			p := checkRule(own, r)
			if p == nil && own.log && !own.test {
				p = checkMask(r, schemas)
			}
			if p != nil {
				problems = append(problems, *p)
			}
		}
	}
	for _, a := range m.Annotations {
		if len(a.Schemas) > 0 {
			problems = append(problems, problemAt(a.Location, "METADATA schemas are not for policy directories; the input schemas are applied by themselves"))
		}
	}
	problems = append(append(problems, checkModes(m, own)...), checkUsage(m, own)...)
	return append(problems, checkGlobs(m)...)
}

// pathOf is a package path without its leading "data".
func pathOf(ref ast.Ref) []string {
	path := make([]string, 0, len(ref))
	for _, t := range ref[1:] {
		s, _ := t.Value.(ast.String)
		path = append(path, string(s))
	}
	return path
}

func checkRule(own ownPackage, r *ast.Rule) *Problem {
	name := ruleName(r)
	fail := func(format string, args ...any) *Problem {
		p := problemAt(r.Head.Location, format, args...)
		return &p
	}
	switch {
	case strings.HasPrefix(name, "_"):
		return nil
	case own.test:
		if strings.HasPrefix(name, "test_") || strings.HasPrefix(name, "todo_test_") {
			return nil
		}
		return fail("rule %s in a test package is no test; name it test_%s, or _%s for a helper", name, name, name)
	case strings.HasPrefix(name, "test_"), strings.HasPrefix(name, "todo_test_"):
		return fail("tests belong into a package of their own; move %s into package %s_test", name, strings.Join(pathOf(r.Module.Package.Path), "."))
	case own.forms() == nil:
		return nil
	}
	form, known := own.forms()[name]
	if !known {
		return unknownRule(own.forms(), name, r.Head.Location)
	}
	if wrong := wrongForm(form, r); wrong != "" {
		return fail("rule %s %s; it must be %s", name, wrong, strings.Replace(string(form), "NAME", name, 1))
	}
	return nil
}

func unknownRule(forms map[string]ruleForm, name string, at *ast.Location) *Problem {
	p := problemAt(at, "rule %s would be ignored%s", name, nearestHint(name, slices.Sorted(maps.Keys(forms))))
	p.Detail = wantOneOf(forms)
	return &p
}

// ruleName is the first part of the rule's reference: "deny" for deny, deny[x] and deny.x.
func ruleName(r *ast.Rule) string {
	if ref := r.Head.Ref(); len(ref) > 0 {
		if v, ok := ref[0].Value.(ast.Var); ok {
			return string(v)
		}
	}
	return string(r.Head.Name)
}

// wrongForm says in which way a rule is not of the form, or "". Constants are checked here; what is only known
// at run time is checked by the router.
func wrongForm(form ruleForm, r *ast.Rule) string {
	head := r.Head
	switch {
	case len(head.Args) > 0:
		return "is a function"
	case len(head.Ref()) > 1:
		return "has keys"
	case form == formSet && head.RuleKind() != ast.MultiValue:
		return "is a single value"
	case form != formSet && head.RuleKind() == ast.MultiValue:
		return "is a set"
	}
	value := head.Value
	if form == formSet {
		value = head.Key
	}
	if value == nil || !value.IsGround() || isComputed(value) {
		return ""
	}
	if ruleName(r) == "allow" && !r.Default && value.Value.Compare(ast.Boolean(false)) == 0 {
		return "is false, which denies nothing (write deny contains \"…\" to deny)"
	}
	if wrong := wrongConstant(form, ruleName(r), value.Value); wrong != "" {
		return wrong
	}
	return wrongEntry(ruleName(r), value)
}

// wrongEntry says what the router would make of a constant entry of a set: a policy_error, which denies every call.
func wrongEntry(name string, entry *ast.Term) string {
	o, ok := entry.Value.(ast.Object)
	if !ok || hasComputed(entry) {
		return ""
	}
	text := func(keys ...string) bool {
		for _, key := range keys {
			if !isText(valueOf(o, key)) {
				return false
			}
		}
		return true
	}
	want := ""
	switch {
	case name == "deny" && (o.Len() != 2 || !text("code", "message")):
		want = "{code, message}"
	case name == "deny_scope" && (o.Len() != 3 || !text("scope", "code", "message")):
		want = "{scope, code, message}"
	case name == "require_authn" && !isRequirement(o):
		want = "{acr_values, max_age}"
	case name == "obligations" && !isObligation(o):
		want = "{id, type, properties}"
	default:
		return ""
	}
	return fmt.Sprintf("holds %s, which is no %s", entry, want)
}

// hasComputed tells whether any part of a term is known only at run time.
func hasComputed(t *ast.Term) (computed bool) {
	ast.WalkTerms(t, func(t *ast.Term) bool {
		computed = computed || isComputed(t)
		return computed
	})
	return computed
}

func isComputed(t *ast.Term) bool {
	switch t.Value.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String, *ast.Array, ast.Object, ast.Set:
		return false
	}
	return true
}

func wrongConstant(form ruleForm, name string, v ast.Value) string {
	_, isString := v.(ast.String)
	_, isObject := v.(ast.Object)
	switch form {
	case formBoolean:
		if _, ok := v.(ast.Boolean); !ok {
			return "is no boolean"
		}
	case formSeconds:
		least := int64(1)
		if name == "ttl_seconds" {
			least = 0
		}
		if _, ok := v.(ast.Number); !ok {
			return "is no number"
		}
		if !isSeconds(v, least) {
			return fmt.Sprintf("is %v, no whole number from %d up to ten years", v, least)
		}
	case formScopes:
		switch v.(type) {
		case *ast.Array, ast.Set:
		default:
			return "is no list"
		}
	case formSet:
		switch name {
		case "deny":
			if !isString && !isObject {
				return "holds something else than strings or {code, message}"
			}
		case "mask": // looked at by checkMask
		case "deny_scope", "require_authn", "obligations":
			if !isObject {
				return "holds something else than objects"
			}
		default:
			if !isString {
				return "holds something else than strings"
			}
		}
	}
	return ""
}

// checkGlobs refuses constant patterns with braces inside braces: glob.match takes exponential time on them. Any string
// of a module that calls glob.match counts, since patterns are often named first.
func checkGlobs(m *ast.Module) []Problem {
	matches := false
	var problems []Problem
	ast.WalkTerms(m, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Ref:
			matches = matches || v.String() == ast.GlobMatch.Name
		case ast.String:
			if nestedBraces(string(v)) {
				problems = append(problems, problemAt(t.Location, "the pattern %s has braces inside braces, on which glob.match takes exponential time; list the alternatives flat", v))
			}
		}
		return false
	})
	if !matches {
		return nil
	}
	return problems
}

func nestedBraces(pattern string) bool {
	depth := 0
	for _, c := range pattern {
		switch c {
		case '{':
			if depth++; depth > 1 {
				return true
			}
		case '}':
			depth = max(0, depth-1)
		}
	}
	return false
}

// warnings are habits that let calls through by accident. They do not keep a directory from being activated.
func warnings(m *ast.Module) []Problem {
	own, err := parsePackage(pathOf(m.Package.Path))
	if err != nil || own.test || own.kind == "" {
		return nil
	}
	var found []Problem
	for _, r := range m.Rules {
		if name := ruleName(r); name != "allow" && name != "grant" {
			continue
		}
		if r.Default && r.Head.Value.Equal(ast.BooleanTerm(true)) {
			found = append(found, problemAt(r.Head.Location, "default allow := true allows everything that the other rules forget; write allow if … for what is allowed"))
		}
		for ; r != nil; r = r.Else {
			for _, e := range r.Body {
				if e.IsNegated() {
					found = append(found, problemAt(e.Location, "not inside %s: when a field is absent, what is negated fails and the rule fires; write what must hold, or move it into a deny rule", ruleName(r)))
				}
			}
		}
	}
	return found
}
