package oauth

import (
	"fmt"
	"slices"
	"strings"
)

// OfflineAccess is the protocol scope that asks for a refresh token. It stands outside every catalogue (SEP-2207).
const OfflineAccess = "offline_access"

// Scopes is a sorted list without repetition. The zero value is "no scope".
type Scopes []string

// NewScopes sorts and removes repetitions.
func NewScopes(names ...string) Scopes {
	s := slices.Clone(names)
	slices.Sort(s)
	return slices.Compact(s)
}

// ParseScopes reads the space-separated form of RFC 6749 §3.3. Tokens with other characters than
// %x21 / %x23-5B / %x5D-7E are an error.
func ParseScopes(text string) (Scopes, error) {
	fields := strings.Split(text, " ")
	names := fields[:0]
	for _, f := range fields {
		if f == "" {
			continue
		}
		if !validScopeToken(f) {
			return nil, fmt.Errorf("scope %q has characters that RFC 6749 §3.3 does not allow", f)
		}
		names = append(names, f)
	}
	return NewScopes(names...), nil
}

func validScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 256
}

// String is the space-separated form.
func (s Scopes) String() string { return strings.Join(s, " ") }

// Has tells whether some scope of the list covers the named one.
func (s Scopes) Has(name string) bool {
	return slices.ContainsFunc(s, func(held string) bool { return ScopeCovers(held, name) })
}

// Missing are those of the wanted scopes that the list does not cover.
func (s Scopes) Missing(wanted Scopes) Scopes {
	return slices.DeleteFunc(slices.Clone(wanted), s.Has)
}

// Union holds every scope of both.
func (s Scopes) Union(other Scopes) Scopes { return NewScopes(append(slices.Clone(s), other...)...) }

// Without removes the named scopes (exactly, wildcards do not count).
func (s Scopes) Without(names ...string) Scopes {
	return slices.DeleteFunc(slices.Clone(s), func(x string) bool { return slices.Contains(names, x) })
}

// Meet keeps what both lists allow: of each covering pair the narrower one.
func (s Scopes) Meet(other Scopes) Scopes {
	var out []string
	for _, a := range s {
		for _, b := range other {
			switch {
			case ScopeCovers(a, b):
				out = append(out, b)
			case ScopeCovers(b, a):
				out = append(out, a)
			}
		}
	}
	return NewScopes(out...)
}

// ScopeCovers tells whether holding one scope is enough where the other is wanted. They are equal, or the held
// one ends with "*" right after a separator and the wanted one begins with what stands before the star
// ("mcp:exec:functions.*" covers "mcp:exec:functions.echo" and "mcp:exec:functions.a.*").
func ScopeCovers(held, wanted string) bool {
	if held == wanted {
		return true
	}
	prefix, ok := wildcardPrefix(held)
	return ok && len(wanted) > len(prefix) && strings.HasPrefix(wanted, prefix)
}

func wildcardPrefix(scope string) (string, bool) {
	prefix, found := strings.CutSuffix(scope, "*")
	if !found || prefix == "" || strings.Contains(prefix, "*") {
		return "", false
	}
	last := prefix[len(prefix)-1]
	return prefix, last == ':' || last == '.' || last == '/'
}

// opaqueScopes say nothing to the person who is asked (MCP security best practices, scope minimization).
var opaqueScopes = []string{"admin", "full_access", "default", "basic", "all", "*", "full", "root", "everything"}

// CheckCatalogueScope says what is wrong with a scope that an operator puts into a resource's catalogue:
// two or three ":"-separated parts, domain first, "*" only at the end after a separator, a description.
func CheckCatalogueScope(s ScopeInfo) error {
	switch {
	case s.Name == OfflineAccess:
		return fmt.Errorf("scope %q is a protocol scope and belongs to no catalogue; remove it", s.Name)
	case slices.Contains(opaqueScopes, strings.ToLower(s.Name)):
		return fmt.Errorf("scope %q says nothing about what it allows; name a domain and an action, such as %q", s.Name, "tools:calendar.read")
	case !validScopeToken(s.Name):
		return fmt.Errorf("scope %q has characters that RFC 6749 §3.3 does not allow", s.Name)
	case s.Description == "":
		return fmt.Errorf("scope %q needs a description; it is what people read on the consent page", s.Name)
	}
	parts := strings.Split(s.Name, ":")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return fmt.Errorf("scope %q must have two or three parts separated by %q, domain first, such as %q", s.Name, ":", "mcp:exec:functions.echo")
	}
	if strings.Contains(s.Name, "*") {
		if _, ok := wildcardPrefix(s.Name); !ok || slices.Contains(parts[:len(parts)-1], "*") {
			return fmt.Errorf("scope %q: %q may stand only at the end, after a separator", s.Name, "*")
		}
		if len(parts) == 2 && parts[1] == "*" {
			return fmt.Errorf("scope %q is overly broad; name at least one more part before %q", s.Name, "*")
		}
	}
	return nil
}
