package oauth

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// Every member is absent, empty and filled in turn, and with odd texts.
func TestTokenAnswersAreThoseOfEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	texts := oddTexts()
	text := func() string { return texts[r.IntN(len(texts))] }
	list := func() []string { return [][]string{nil, {}, {text()}, {text(), text()}}[r.IntN(4)] }
	number := func() int64 { return []int64{0, 1, -1, 1 << 60}[r.IntN(4)] }
	for range 5000 {
		token := TokenResponse{AccessToken: text(), TokenType: text(), ExpiresIn: number(), RefreshToken: text(), Scope: text()}
		written, err := token.AppendJSON(nil)
		if want := marshalled(t, token, false); err != nil || string(written) != want {
			t.Fatalf("%v %s, want %s", err, written, want)
		}
		i := Introspection{Active: r.IntN(2) == 0, Scope: text(), ClientID: text(), Username: text(), TokenType: text(), Exp: number(), Iat: number(), Sub: text(),
			Aud: text(), Iss: text(), JTI: text(), AuthTime: number(), ACR: text(), AMR: list()}
		written, err = i.AppendJSON(nil)
		if want := marshalled(t, i, false); err != nil || string(written) != want {
			t.Fatalf("%v %s, want %s", err, written, want)
		}
		c := accessClaims{Issuer: text(), Subject: text(), Audience: text(), ClientID: text(), Scope: text(), ID: text(), IssuedAt: number(), ExpiresAt: number(),
			AuthTime: number(), ACR: text(), AMR: list(), GrantID: text(), FamilyID: text(), GrantType: text()}
		if written, want := c.appendJSON(nil), marshalled(t, c, false); string(written) != want {
			t.Fatalf("%s, want %s", written, want)
		}
	}
	for _, known := range []struct {
		of      reflect.Type
		members int
	}{{reflect.TypeFor[TokenResponse](), 5}, {reflect.TypeFor[Introspection](), 14}, {reflect.TypeFor[accessClaims](), 14}} {
		if n := known.of.NumField(); n != known.members {
			t.Errorf("%s has %d members; what writes it and this test know %d", known.of, n, known.members)
		}
	}
}
