package oauth

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxShownName  = 80 // runes of a client's name on a page
	maxShownMarks = 2  // combining marks on one letter; more are drawn over the lines above and below
)

// ViewOf is a client as a person should see it: what it claims is cleaned, what is verified stands apart.
func ViewOf(c *Client) ClientView {
	v := ClientView{ID: c.ID, Name: CleanText(c.Name, maxShownName), Registration: c.Registration, Verified: c.Trusted()}
	if v.Name == "" {
		v.Name = "(no name)"
	}
	if u, err := url.Parse(c.ID); err == nil && c.Registration == RegistrationCIMD {
		v.Host = strings.ToLower(u.Host) // ASCII: CheckClientIDURL lets no other through
	}
	return v
}

// CleanText makes text from outside safe to show: NFC, without control, format (bidirectional, zero-width), private-use
// and unassigned characters, every kind of blank one space, at most max runes. Escaping is the template's business.
func CleanText(s string, max int) string {
	if limit := 16 * max; len(s) > limit {
		s = s[:limit] // so much more than will be shown need not be looked at
	}
	visible := norm.NFC.String(strings.Map(visibleRune, strings.ToValidUTF8(s, "")))
	var out []rune
	marks := 0
	for _, r := range strings.Join(strings.Fields(visible), " ") {
		if marks++; !unicode.IsMark(r) {
			marks = 0
		}
		if marks > maxShownMarks {
			continue
		}
		out = append(out, r)
	}
	if len(out) > max {
		out = append(out[:max-1], '…')
	}
	return string(out)
}

// Cut shortens a text to at most n bytes and "…", between two characters.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for from := n; n > 0 && from-n < utf8.UTFMax-1 && !utf8.RuneStart(s[n]); {
		n--
	}
	return s[:n] + "…"
}

// PublicAddress is a URI without the parts that may hold secrets, with "…" in their place: user information, query, fragment, and all of a
// data: URI. whole tells that nothing was left out; a text that is no URI is whole.
func PublicAddress(uri string) (shown string, whole bool) {
	colon := strings.IndexByte(uri, ':')
	if colon < 1 || strings.Trim(uri[:colon], schemeCharacters) != "" {
		return uri, true
	}
	if strings.EqualFold(uri[:colon], "data") {
		return uri[:colon+1] + "…", false
	}
	shown = uri
	if i := strings.IndexAny(shown, "?#"); i >= 0 {
		shown = shown[:i+1] + "…"
	}
	if rest := shown[colon+1:]; strings.HasPrefix(rest, "//") {
		authority, path, found := strings.Cut(rest[2:], "/")
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			shown = shown[:colon+1] + "//…" + authority[at:]
			if found {
				shown += "/" + path
			}
		}
	}
	return shown, shown == uri
}

const schemeCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-." // RFC 3986 §3.1

// visibleRune turns what looks like a blank into one and drops what cannot be seen.
func visibleRune(r rune) rune {
	switch {
	case unicode.IsSpace(r), unicode.Is(unicode.Zs, r):
		return ' '
	case r == '\u2800', r == '\u3164', r == '\u115f', r == '\u1160', r == '\uffa0': // letters that look like nothing
		return ' '
	case !unicode.IsGraphic(r), unicode.Is(unicode.Variation_Selector, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return -1
	}
	return r
}
