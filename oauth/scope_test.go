package oauth

import (
	"slices"
	"strings"
	"testing"
)

func TestScopeCovers(t *testing.T) {
	for _, c := range []struct {
		held, wanted string
		want         bool
	}{
		{"tools:a", "tools:a", true},
		{"tools:a", "tools:b", false},
		{"mcp:exec:functions.*", "mcp:exec:functions.echo", true},
		{"mcp:exec:functions.*", "mcp:exec:functions.a.*", true},
		{"mcp:exec:functions.*", "mcp:exec:functions.", false},
		{"mcp:exec:functions.*", "mcp:exec:functions", false},
		{"mcp:exec:fun*", "mcp:exec:functions", false}, // a star needs a separator before it
		{"mcp:exec:*", "mcp:exec:functions.echo", true},
		{"mcp:*:echo", "mcp:exec:echo", false}, // a star stands only at the end
		{"*", "tools:a", false},
		{"mcp:exec:functions.echo", "mcp:exec:functions.*", false},
		{"Tools:a", "tools:a", false},
	} {
		if got := ScopeCovers(c.held, c.wanted); got != c.want {
			t.Errorf("ScopeCovers(%q, %q) = %v", c.held, c.wanted, got)
		}
	}
}

func TestMeetKeepsTheNarrower(t *testing.T) {
	for _, c := range []struct{ a, b, want Scopes }{
		{NewScopes("t:a.*"), NewScopes("t:a.x", "t:b.x"), NewScopes("t:a.x")},
		{NewScopes("t:a.x"), NewScopes("t:a.*"), NewScopes("t:a.x")},
		{NewScopes("t:a.*", "t:b.y"), NewScopes("t:a.b.*", "t:b.y"), NewScopes("t:a.b.*", "t:b.y")},
		{nil, NewScopes("t:a.x"), nil},
		{NewScopes("t:a.x"), NewScopes(), nil},
	} {
		if got := c.a.Meet(c.b); !slices.Equal(got, c.want) {
			t.Errorf("%v ⊓ %v = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestCatalogueScopeNames(t *testing.T) {
	good := []string{"mcp:exec:functions.echo", "tools:calendar.read", "mcp:exec:functions.*", "mcp:exec:*"}
	for _, name := range good {
		if err := CheckCatalogueScope(ScopeInfo{Name: name, Description: "d"}); err != nil {
			t.Errorf("%q refused: %v", name, err)
		}
	}
	bad := []string{"admin", "ADMIN", "full_access", "default", "basic", "all", "*", "offline_access", "read", "a:b:c:d", "a::b", "a:*:b", "a:b*", "tools:*", "a:*b", "x y:z", ""}
	for _, name := range bad {
		if CheckCatalogueScope(ScopeInfo{Name: name, Description: "d"}) == nil {
			t.Errorf("%q accepted", name)
		}
	}
	if CheckCatalogueScope(ScopeInfo{Name: "tools:calendar.read"}) == nil {
		t.Error("a scope without description accepted")
	}
}

func TestParseScopes(t *testing.T) {
	got, err := ParseScopes(" b:x  a:x b:x ")
	if err != nil || !slices.Equal(got, Scopes{"a:x", "b:x"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"a\"b", "a\\b", "a\tb", "ä:x", "a\x00"} {
		if _, err := ParseScopes(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// FuzzScopeCovers: a scope is the set of names that it covers. Covering is containment of these sets, and the meet of two lists is their
// intersection, whatever the lists and names are.
func FuzzScopeCovers(f *testing.F) {
	f.Add("mcp:exec:functions.*", "mcp:exec:functions.echo", "mcp:exec:functions.echo")
	f.Add("mcp:exec:*", "mcp:exec:functions.*", "mcp:exec:functions.echo")
	f.Add("a:*", "a:*", "a:")
	f.Add("a:b*", "a:b", "a:bc")
	f.Add("*", "a:*", "a:b")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if ScopeCovers(a, b) && ScopeCovers(b, a) != (a == b) {
			t.Errorf("%q and %q cover each other", a, b)
		}
		if !ScopeCovers(a, a) {
			t.Errorf("%q does not cover itself", a)
		}
		if ScopeCovers(a, b) && ScopeCovers(b, name) && !ScopeCovers(a, name) {
			t.Errorf("%q covers %q, which covers %q, which %[1]q does not cover", a, b, name)
		}
		if strings.HasSuffix(name, "*") {
			return // two wildcards may overlap in a third one only
		}
		held, wanted := Scopes{a}, Scopes{b}
		meet := held.Meet(wanted)
		if !slices.Equal(meet, wanted.Meet(held)) {
			t.Errorf("%q and %q: their meet depends on the order", a, b)
		}
		if meet.Has(name) != (held.Has(name) && wanted.Has(name)) {
			t.Errorf("%q ⊓ %q = %q, and %q is in the meet: %v, in the first: %v, in the second: %v", a, b, meet, name, meet.Has(name), held.Has(name), wanted.Has(name))
		}
	})
}
