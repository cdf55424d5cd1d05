package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// kind is one of the four questions that policies answer. It names the packages policy.KIND.NAME and the router.
type kind string

const (
	kindClients kind = "clients"
	kindScopes  kind = "scopes"
	kindTools   kind = "tools"
	kindAccess  kind = "access"
)

func kinds() []kind { return []kind{kindClients, kindScopes, kindTools, kindAccess} }

// query is the entrypoint of a kind that the engine asks.
func (k kind) query() string {
	if k == kindTools {
		return "data.mcp.authz.tools.judgement" // the login is compared in Go, so that the answer can be remembered
	}
	return "data.mcp.authz." + string(k) + ".decision"
}

// outlookQuery is what is evaluated partially for lists of tools.
const outlookQuery = "data.mcp.authz.tools.outlook"

// ruleForm is how a rule must be written.
type ruleForm string

const (
	formSet     ruleForm = "a set: NAME contains VALUE if …"
	formBoolean ruleForm = "a boolean: NAME if …"
	formSeconds ruleForm = "a number of seconds: NAME := 300 if …"
	formScopes  ruleForm = "a list of scopes: NAME := [\"a:b\"] if …"
)

// ruleForms are the rules that a package of a kind may export (DESIGN: the policy table). A test holds the routers
// against them.
func ruleForms(k kind) map[string]ruleForm {
	switch k {
	case kindClients:
		return map[string]ruleForm{
			"allow": formBoolean, "deny": formSet, "allow_redirect": formSet, "scope_ceiling": formScopes, "ttl": formSeconds,
		}
	case kindScopes:
		return map[string]ruleForm{
			"grant": formSet, "deny": formSet, "deny_scope": formSet, "require_consent": formSet, "require_authn": formSet,
			"token_ttl_seconds": formSeconds, "refresh": formBoolean, "end_grant": formBoolean,
		}
	case kindTools:
		return map[string]ruleForm{
			"allow": formBoolean, "deny": formSet, "required_scopes": formSet, "require_authn": formSet,
			"obligations": formSet, "ttl_seconds": formSeconds,
		}
	case kindAccess:
		return map[string]ruleForm{"allow": formBoolean, "deny": formSet}
	}
	return nil
}

// ownPackage is what an author's package path says.
type ownPackage struct {
	kind kind // "" for lib and system.log
	name string
	log  bool // system.log
	test bool
}

// forms are the rules that the package may export; nil = any.
func (p ownPackage) forms() map[string]ruleForm {
	if p.log {
		return map[string]ruleForm{"mask": formSet}
	}
	return ruleForms(p.kind)
}

// parsePackage reads a package path, given without "data". Only policy.KIND.NAME, lib.NAME and system.log, and the same with
// _test, belong to authors: nobody looks elsewhere, so a package there would be ignored in silence.
func parsePackage(path []string) (ownPackage, error) {
	whole := strings.Join(path, ".")
	var p ownPackage
	switch {
	case whole == "system.log", whole == "system.log_test":
		return ownPackage{name: "log", log: true, test: path[1] != "log"}, nil
	case path[0] == "lib" && len(path) == 2:
		p.name = path[1]
	case path[0] == "policy" && len(path) == 3 && slices.Contains(kinds(), kind(path[1])):
		p.kind, p.name = kind(path[1]), path[2]
	case path[0] == "mcp", path[0] == "lib" && len(path) > 1 && isReservedLib(path[1]):
		return p, fmt.Errorf("package %s is reserved for the shipped policies; write policy.{clients,scopes,tools,access}.NAME or lib.NAME", whole)
	default:
		return p, fmt.Errorf("package %s would never be asked; write policy.{clients,scopes,tools,access}.NAME or lib.NAME%s", whole, nearestPackage(path))
	}
	if p.kind == "" && isReservedLib(p.name) {
		return p, fmt.Errorf("package %s is reserved for the shipped helpers; choose another name after lib", whole)
	}
	if !isPackageName(p.name) {
		return p, fmt.Errorf("package %s: the last part must be lower-case letters, digits and _, beginning with a letter", whole)
	}
	p.name, p.test = strings.CutSuffix(p.name, "_test")
	return p, nil
}

func isPackageName(name string) bool {
	for i, c := range name {
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != ""
}

func isReservedLib(name string) bool { return strings.HasPrefix(name, "mcp") }

func nearestPackage(path []string) string {
	if path[0] == "policy" && len(path) > 1 {
		names := make([]string, 0, 4)
		for _, k := range kinds() {
			names = append(names, string(k))
		}
		if near := nearest(path[1], names); near != "" && near != path[1] {
			return fmt.Sprintf(" (did you mean policy.%s?)", near)
		}
	}
	if near := nearest(path[0], []string{"policy", "lib"}); near != "" && near != path[0] {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

// nearest is the known name that a misspelled one most likely means, or "".
func nearest(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(name, k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the letters to insert, remove or change, or to let change places with the next (Damerau and Levenshtein).
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// wantOneOf lists the names that a package may export.
func wantOneOf(forms map[string]ruleForm) string {
	return "want one of: " + strings.Join(slices.Sorted(maps.Keys(forms)), ", ") + "\nor begin the name with _, if the rule is a helper"
}
