package oauth

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanText(t *testing.T) {
	for raw, want := range map[string]string{
		"Claude":                                 "Claude",
		"  Claude \n\t Code ":                    "Claude Code",
		"Cla\u202eedu":                           "Claedu", // right-to-left override
		"a\u2066b\u2069c":                        "abc",    // isolates
		"Pay\u200bPal\ufeff":                     "PayPal", // zero width
		"e\u0301":                                "é",
		"\u3164\u3164":                           "", // hangul filler looks like nothing
		"<b>x</b>":                               "<b>x</b>",
		"a\u00a0\u2003b":                         "a b",
		"a\x00\x1bb":                             "ab",
		"\xff\xfeok":                             "ok",
		"x\ufe0fy":                               "xy",
		"\U000e0041tag":                          "tag",
		"e\u200b\u0301":                          "é",             // composed after the zero width is gone
		"a" + strings.Repeat("\u0336\u0301", 30): "á\u0336\u0336", // a pile of marks
		"\u0301\u0301\u0301x":                    "\u0301\u0301x",
		"Claude (verified)\r\n\r\nSet-Cookie: x": "Claude (verified) Set-Cookie: x",
		"\u2028line\u2029":                       "line",
		"a\u00adb":                               "ab", // soft hyphen
		"\u180e\u2063\u206a\ue000x":              "x",
		"\U0001f469\u200d\U0001f4bb":             "\U0001f469\U0001f4bb",
		"a\u2800b\uffa0c":                        "a b c",
		"\u034fx":                                "x",
		"":                                       "",
		strings.Repeat("a", 80):                  strings.Repeat("a", 80),
		strings.Repeat("a", 81):                  strings.Repeat("a", 79) + "…",
		strings.Repeat("ä\u200b", 80):            strings.Repeat("ä", 80),
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
	if v := ViewOf(&Client{ID: "https://AGENT.example:8443/c.json", Registration: RegistrationCIMD}); v.Host != "agent.example:8443" {
		t.Errorf("host %q", v.Host)
	}
	if v := ViewOf(&Client{ID: "https://agent.example/c.json", Registration: RegistrationDCR}); v.Host != "" {
		t.Errorf("a host that nobody verified: %q", v.Host)
	}
	if v := ViewOf(&Client{ID: "x", Registration: RegistrationStatic}); !v.Verified || v.Name != "(no name)" || v.Host != "" {
		t.Errorf("%+v", v)
	}
}

func TestCleanTextIsQuickAndStable(t *testing.T) {
	huge := strings.Repeat("e\u0301\u202e", 1<<20)
	if got := CleanText(huge, 80); len([]rune(got)) > 80 {
		t.Errorf("%d runes", len([]rune(got)))
	}
}

// U9: whatever the text is, what is shown of it can be seen.
func FuzzCleanText(f *testing.F) {
	f.Add("Cla\u202ede", 80)
	f.Add("e\u200b\u0301\u3164x", 3)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 1 || max > 1000 {
			return
		}
		got := CleanText(s, max)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > max {
			t.Errorf("%q is %d runes", got, utf8.RuneCountInString(got))
		}
		if again := CleanText(got, max); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%q holds %U", got, r)
			}
		}
	})
}

// A text is cut between two characters, and to so many bytes: what follows is storage and JSON, where half a character is a wrong one.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"", 0, ""}, {"é", 1, "…"}, {"aéb", 2, "a…"}, {"aéb", 3, "aé…"}, {"日本語", 5, "日…"}, {"日本語", 6, "日本…"}, {"🦀🦀", 7, "🦀…"},
		{"a\xff\xff\xff\xff\xff", 4, "a\xff\xff\xff…"},
	} {
		if got := Cut(c.text, c.most); got != c.want {
			t.Errorf("%q to %d bytes: %q, want %q", c.text, c.most, got, c.want)
		}
	}
}

func TestPublicAddress(t *testing.T) {
	for uri, want := range map[string]string{
		"": "", "get_weather": "get_weather", "what?": "what?", "file:///a/b": "file:///a/b", "notes://today": "notes://today", "https://h/a@b": "https://h/a@b", "mailto:joe@h.example": "mailto:joe@h.example",
		"https://h/a?b=c": "https://h/a?…", "https://h/a#b?c": "https://h/a#…", "https://u:p@h/a": "https://…@h/a", "https://u:p@h/a?x": "https://…@h/a?…", "https://u@p@h": "https://…@h",
		"data:text/plain,x": "data:…", "DATA:x": "DATA:…", "x+y.z-1:?q": "x+y.z-1:?…", ":?x": ":?x", "a b:?x": "a b:?x",
	} {
		if got, whole := PublicAddress(uri); got != want || whole != (got == uri) {
			t.Errorf("%q: %q, %v, want %q", uri, got, whole, want)
		}
	}
}
