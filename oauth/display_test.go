package oauth

import (
	"strings"
	"testing"
)

func TestCleanText(t *testing.T) {
	for raw, want := range map[string]string{
		"Claude":                      "Claude",
		"  Claude \n\t Code ":         "Claude Code",
		"Cla\u202eedu":                "Claedu", // right-to-left override
		"a\u2066b\u2069c":             "abc",    // isolates
		"Pay\u200bPal\ufeff":          "PayPal", // zero width
		"e\u0301":                     "é",
		"\u3164\u3164":                "", // hangul filler looks like nothing
		"<b>x</b>":                    "<b>x</b>",
		"a\u00a0\u2003b":              "a b",
		"a\x00\x1bb":                  "ab",
		"\xff\xfeok":                  "ok",
		"x\ufe0fy":                    "xy",
		"\U000e0041tag":               "tag",
		strings.Repeat("a", 100):      strings.Repeat("a", 80) + "…",
		strings.Repeat("ä\u200b", 80): strings.Repeat("ä", 80),
	} {
		got := CleanText(raw, 80)
		if got != want {
			t.Errorf("%q → %q, want %q", raw, got, want)
		}
	}
}

func TestViewOf(t *testing.T) {
	v := ViewOf(&Client{ID: "https://agent.example/c.json", Name: "\u202eevil", Registration: RegistrationCIMD})
	if v.Name != "evil" || v.Host != "agent.example" || v.Verified {
		t.Errorf("%+v", v)
	}
	if v := ViewOf(&Client{ID: "x", Registration: RegistrationStatic}); !v.Verified || v.Name != "(no name)" || v.Host != "" {
		t.Errorf("%+v", v)
	}
}
