package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// formTokens makes the tokens of forms that stand outside an interaction: bound to a purpose and to a cookie.
type formTokens struct{ key []byte }

func (f formTokens) make(purpose, cookie string) string {
	m := hmac.New(sha256.New, f.key)
	m.Write([]byte(purpose + "\x00" + cookie))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (f formTokens) check(purpose, cookie, token string) error {
	if cookie == "" || !hmac.Equal([]byte(f.make(purpose, cookie)), []byte(token)) {
		return Forbidden.Errorf("the form is out of date or comes from another page; load the page again").For("form_token")
	}
	return nil
}

func sameForm(token, want string) error {
	if subtle.ConstantTimeCompare([]byte(token), []byte(want)) != 1 {
		return Forbidden.Errorf("the form is out of date; go back and load the page again").For("form_token")
	}
	return nil
}

// consentToken belongs to the interaction and to the session whose person the page names: another person who logs in
// meanwhile, in another tab, does not answer it. It also says whether the page offered to stay connected.
func (v *legView) consentToken(offline bool) string {
	purpose := "consent"
	if offline {
		purpose = "consent to stay connected"
	}
	return formTokens{[]byte(v.i.FormToken)}.make(purpose, string(v.session.Hash))
}

// offlineShown tells whether the page that a consent form comes from offered to stay connected; a token of no such page is an error.
func (v *legView) offlineShown(token string) (bool, error) {
	if sameForm(token, v.consentToken(true)) == nil {
		return true, nil
	}
	return false, sameForm(token, v.consentToken(false))
}
