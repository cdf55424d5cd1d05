package oauth

import (
	"slices"
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

// FuzzScopeCovers: what a wildcard covers, its meet gives back; and covering is transitive over a common prefix.
func FuzzScopeCovers(f *testing.F) {
	f.Add("mcp:exec:functions.*", "mcp:exec:functions.echo")
	f.Add("a:*", "a:*")
	f.Fuzz(func(t *testing.T, held, wanted string) {
		covers := ScopeCovers(held, wanted)
		meet := Scopes{held}.Meet(Scopes{wanted})
		if covers && !slices.Equal(meet, Scopes{wanted}) {
			t.Errorf("%q covers %q, but their meet is %v", held, wanted, meet)
		}
		if covers && ScopeCovers(wanted, held) && held != wanted {
			t.Errorf("%q and %q cover each other", held, wanted)
		}
		if len(meet) > 0 && !covers && !ScopeCovers(wanted, held) {
			t.Errorf("%q and %q meet in %v without covering", held, wanted, meet)
		}
	})
}
