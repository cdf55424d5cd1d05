package oauth

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxShownName is how many runes of a client's name a page shows.
const maxShownName = 80

// ViewOf is a client as a person should see it: what it claims is cleaned, what is verified stands apart.
func ViewOf(c *Client) ClientView {
	v := ClientView{ID: c.ID, Name: CleanText(c.Name, maxShownName), Registration: c.Registration, Host: c.Host(), Verified: c.Trusted()}
	if v.Name == "" {
		v.Name = "(no name)"
	}
	return v
}

// CleanText makes text from outside safe to show: NFC, without control, format (bidirectional, zero-width), private-use
// and unassigned characters, every kind of blank one space, at most max runes. Escaping is the template's business.
func CleanText(s string, max int) string {
	var b strings.Builder
	runes, blank := 0, false
	for _, r := range norm.NFC.String(strings.ToValidUTF8(s, "")) {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Zs, r) || r == '\u2800' || r == '\u3164' || r == '\u115f' || r == '\u1160' || r == '\uffa0':
			blank = b.Len() > 0
			continue
		case !unicode.IsGraphic(r) || unicode.Is(unicode.Variation_Selector, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
			continue
		}
		if runes >= max {
			b.WriteRune('…')
			break
		}
		if blank {
			b.WriteRune(' ')
			runes++
			blank = false
		}
		b.WriteRune(r)
		runes++
	}
	return b.String()
}
