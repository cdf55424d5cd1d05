package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func testKey(t testing.TB) *Key {
	t.Helper()
	key, err := GenerateES256()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func only(k *Key) func(string) (PublicKey, bool) {
	return func(kid string) (PublicKey, bool) { return k.Public(), kid == k.KID() }
}

// raw signs a header and payload of any text, as an attacker with a signing key would.
func raw(t testing.TB, k *Key, header, payload string) string {
	t.Helper()
	b64 := base64.RawURLEncoding
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	signature, err := k.signer.Sign([]byte(input), k.raw)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64.EncodeToString(signature)
}

func TestSignedTokenHasExactlyThreeHeaderMembersAndVerifies(t *testing.T) {
	key := testKey(t)
	token, err := key.Sign("at+jwt", []byte(`{"sub":"u"}`))
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"alg":"ES256","kid":"` + key.KID() + `","typ":"at+jwt"}`; string(text) != want {
		t.Errorf("header %s, want %s", text, want)
	}
	for _, typ := range []string{"at+jwt", "AT+JWT"} {
		payload, err := Verifier{}.Verify(token, typ, only(key))
		if err != nil || string(payload) != `{"sub":"u"}` {
			t.Errorf("Verify as %q: %s, %v", typ, payload, err)
		}
	}
}

func TestVerifyAcceptsTheLongFormOfTyp(t *testing.T) {
	key := testKey(t)
	for _, typ := range []string{"application/at+jwt", "Application/AT+jwt", "at+JWT"} {
		token := raw(t, key, `{"alg":"ES256","kid":"`+key.KID()+`","typ":"`+typ+`"}`, `{}`)
		if _, err := (Verifier{}).Verify(token, "at+jwt", only(key)); err != nil {
			t.Errorf("typ %q: %v", typ, err)
		}
	}
}

func TestVerifyRefusesForgedHeaders(t *testing.T) {
	key := testKey(t)
	kid := `"kid":"` + key.KID() + `"`
	for _, row := range []struct {
		name, header string
		want         error
	}{
		{"alg none", `{"alg":"none",` + kid + `,"typ":"at+jwt"}`, ErrAlgorithm},
		{"alg nOnE", `{"alg":"nOnE",` + kid + `,"typ":"at+jwt"}`, ErrAlgorithm},
		{"alg HS256", `{"alg":"HS256",` + kid + `,"typ":"at+jwt"}`, ErrAlgorithm},
		{"alg RS256", `{"alg":"RS256",` + kid + `,"typ":"at+jwt"}`, ErrAlgorithm},
		{"alg in lower case", `{"alg":"es256",` + kid + `,"typ":"at+jwt"}`, ErrAlgorithm},
		{"alg missing", `{` + kid + `,"typ":"at+jwt"}`, ErrMalformed},
		{"alg null", `{"alg":null,` + kid + `,"typ":"at+jwt"}`, ErrMalformed},
		{"alg a number", `{"alg":5,` + kid + `,"typ":"at+jwt"}`, ErrMalformed},
		{"alg in another case of the name", `{"ALG":"ES256",` + kid + `,"typ":"at+jwt"}`, ErrMalformed},
		{"kid missing", `{"alg":"ES256","typ":"at+jwt"}`, ErrMalformed},
		{"kid empty", `{"alg":"ES256","kid":"","typ":"at+jwt"}`, ErrMalformed},
		{"kid unknown", `{"alg":"ES256","kid":"../../etc/passwd","typ":"at+jwt"}`, ErrUnknownKey},
		{"kid of 10 KB", `{"alg":"ES256","kid":"` + strings.Repeat("k", 129) + `","typ":"at+jwt"}`, ErrMalformed},
		{"typ missing", `{"alg":"ES256",` + kid + `}`, ErrMalformed},
		{"typ JWT", `{"alg":"ES256",` + kid + `,"typ":"JWT"}`, ErrType},
		{"typ of a proof", `{"alg":"ES256",` + kid + `,"typ":"dpop+jwt"}`, ErrType},
		{"typ only the prefix", `{"alg":"ES256",` + kid + `,"typ":"application/"}`, ErrType},
		{"typ with the prefix twice", `{"alg":"ES256",` + kid + `,"typ":"application/application/at+jwt"}`, ErrType},
		{"unknown crit", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","crit":["x"],"x":1}`, ErrHeader},
		{"empty crit", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","crit":[]}`, ErrHeader},
		{"crit null", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","crit":null}`, ErrHeader},
		{"b64 false", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","b64":false}`, ErrHeader},
		{"b64 true", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","b64":true}`, ErrHeader},
		{"own jwk", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","jwk":{"kty":"EC"}}`, ErrHeader},
		{"jku", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","jku":"https://evil.example/k"}`, ErrHeader},
		{"x5u", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","x5u":"https://evil.example/c"}`, ErrHeader},
		{"x5c", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","x5c":["AA"]}`, ErrHeader},
		{"x5t", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","x5t":"AA"}`, ErrHeader},
		{"zip", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","zip":"DEF"}`, ErrHeader},
		{"enc", `{"alg":"ES256",` + kid + `,"typ":"at+jwt","enc":"A256GCM"}`, ErrHeader},
		{"alg twice", `{"alg":"none","alg":"ES256",` + kid + `,"typ":"at+jwt"}`, ErrMalformed},
		{"alg twice by escape", `{"alg":"none","\u0061lg":"ES256",` + kid + `,"typ":"at+jwt"}`, ErrMalformed},
		{"array", `["alg","ES256"]`, ErrMalformed},
		{"null", `null`, ErrMalformed},
		{"text behind", `{"alg":"ES256",` + kid + `,"typ":"at+jwt"}{}`, ErrMalformed},
		{"blank before", ` {"alg":"ES256",` + kid + `,"typ":"at+jwt"}`, ErrMalformed},
		{"bad UTF-8", "{\"alg\":\"ES256\"," + kid + ",\"typ\":\"at+jwt\",\"x\":\"\xff\"}", ErrMalformed},
		{"byte order mark", "\ufeff{\"alg\":\"ES256\"," + kid + ",\"typ\":\"at+jwt\"}", ErrMalformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			payload, err := Verifier{}.Verify(raw(t, key, row.header, `{}`), "at+jwt", only(key))
			if !errors.Is(err, row.want) || payload != nil {
				t.Errorf("got %s, %v; want %v", payload, err, row.want)
			}
		})
	}
}

func TestVerifyRefusesPayloadsThatAreNoStrictObject(t *testing.T) {
	key := testKey(t)
	header := `{"alg":"ES256","kid":"` + key.KID() + `","typ":"at+jwt"}`
	for _, payload := range []string{
		`[]`, `null`, `"text"`, `1`, `{`, `{}{}`, `{"sub":"a","sub":"b"}`, `{"sub":"a","\u0073ub":"b"}`,
		`{"a":{"b":1,"b":2}}`, "{\"sub\":\"\xff\"}", `{"sub":"\ud800"}`, `{"exp":01}`, `{"a":1,}`, " {}", "\x00{}",
	} {
		if _, err := (Verifier{}).Verify(raw(t, key, header, payload), "at+jwt", only(key)); !errors.Is(err, ErrMalformed) {
			t.Errorf("payload %q: %v", payload, err)
		}
	}
}

func TestVerifyRefusesOtherSpellingsOfAGoodToken(t *testing.T) {
	key, other := testKey(t), testKey(t)
	good, err := key.Sign("at+jwt", []byte(`{"sub":"u"}`))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Sign("at+jwt", []byte(`{"sub":"u"}`))
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(good, ".")
	last := good[len(good)-1]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	sibling := alphabet[strings.IndexByte(alphabet, last)^1]
	for name, token := range map[string]string{
		"empty":                          "",
		"one dot":                        part[0] + "." + part[1],
		"four parts":                     good + "." + part[2],
		"dots only":                      "..",
		"thousands of dots":              strings.Repeat(".", 4000),
		"no signature":                   part[0] + "." + part[1] + ".",
		"no payload":                     part[0] + ".." + part[2],
		"line break at the end":          good + "\n",
		"line break inside":              part[0] + ".\n" + part[1] + "." + part[2],
		"carriage return in the header":  part[0][:4] + "\r" + part[0][4:] + "." + part[1] + "." + part[2],
		"padding":                        good + "==",
		"unused bits in the last letter": good[:len(good)-1] + string(sibling),
		"blank before":                   " " + good,
		"standard alphabet":              part[0] + "." + part[1] + "." + strings.Map(toStandard, part[2]) + "+",
		"last byte gone":                 good[:len(good)-2],
		"signature of another key":       part[0] + "." + part[1] + "." + strings.Split(foreign, ".")[2],
		"token of another key":           foreign,
		"payload changed":                part[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"v"}`)) + "." + part[2],
		"signature of zeros":             part[0] + "." + part[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"signature in ASN.1 length":      part[0] + "." + part[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 70)),
		"JSON serialization":             `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`,
	} {
		if payload, err := (Verifier{}).Verify(token, "at+jwt", only(key)); err == nil {
			t.Errorf("%s: accepted with %s", name, payload)
		}
	}
	if _, err := (Verifier{}).Verify(good, "at+jwt", only(key)); err != nil {
		t.Fatalf("control: %v", err)
	}
}

func toStandard(r rune) rune {
	switch r {
	case '-':
		return '+'
	case '_':
		return '/'
	}
	return r
}

func TestVerifyLooksAtTheLengthFirst(t *testing.T) {
	key := testKey(t)
	long, err := key.Sign("at+jwt", []byte(`{"x":"`+strings.Repeat("y", 5000)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Verifier{}).Verify(long, "at+jwt", only(key)); !errors.Is(err, ErrTooLong) {
		t.Errorf("default limit: %v", err)
	}
	if _, err := (Verifier{MaxBytes: 8192}).Verify(long, "at+jwt", only(key)); err != nil {
		t.Errorf("a higher limit: %v", err)
	}
	if _, err := (Verifier{}).Verify(strings.Repeat(".", 10<<20), "at+jwt", only(key)); !errors.Is(err, ErrTooLong) {
		t.Errorf("10 MiB of dots: %v", err)
	}
}

// fuzzKey is the same in every process, or a corpus would be of use to the one that made it only.
func fuzzKey(f *testing.F) *Key {
	raw, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	key, err := newKey(raw)
	if err != nil {
		f.Fatal(err)
	}
	return key
}

// FuzzVerify: nothing is accepted but the header and payload that the key has signed, and every refusal has its word.
func FuzzVerify(f *testing.F) {
	key := fuzzKey(f)
	good, err := key.Sign("at+jwt", []byte(`{"sub":"u"}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + "\n")
	f.Add("..")
	f.Add(raw(f, key, `{"alg":"ES256","kid":"`+key.KID()+`","typ":"at+jwt","crit":["exp"]}`, `{}`))
	f.Fuzz(func(t *testing.T, token string) { acceptsOnly(t, key, good, token) })
}

// FuzzVerifyChangedToken puts other text into a good token: at a place, instead of some letters.
func FuzzVerifyChangedToken(f *testing.F) {
	key := fuzzKey(f)
	good, err := key.Sign("at+jwt", []byte(`{"iss":"https://as.example","sub":"u","aud":"https://mcp.example/mcp"}`))
	if err != nil {
		f.Fatal(err)
	}
	dot := strings.Index(good, ".")
	f.Add(uint16(0), uint16(0), "")
	f.Add(uint16(len(good)-1), uint16(1), "B") // unused bits of the last letter
	f.Add(uint16(dot), uint16(0), "=")
	f.Add(uint16(dot+1), uint16(4), "eyJz")
	f.Add(uint16(0), uint16(dot), base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)))
	f.Add(uint16(strings.LastIndex(good, ".")+1), uint16(500), "")
	f.Fuzz(func(t *testing.T, at, cut uint16, text string) {
		from := min(int(at), len(good))
		to := min(from+int(cut), len(good))
		acceptsOnly(t, key, good, good[:from]+text+good[to:])
	})
}

// acceptsOnly: of all tokens only the good one. Its signature has a second form, as every ECDSA signature has: there the parts that were signed count.
func acceptsOnly(t *testing.T, key *Key, good, token string) {
	t.Helper()
	payload, err := Verifier{}.Verify(token, "at+jwt", only(key))
	if err == nil {
		signed := good[:strings.LastIndex(good, ".")+1]
		if !strings.HasPrefix(token, signed) || len(token) != len(good) || !json.Valid(payload) {
			t.Errorf("accepted %q with the payload %q", token, payload)
		}
		return
	}
	for _, known := range []error{ErrTooLong, ErrMalformed, ErrHeader, ErrType, ErrAlgorithm, ErrUnknownKey, ErrSignature} {
		if errors.Is(err, known) {
			if token == good {
				t.Errorf("refused the good token: %v", err)
			}
			return
		}
	}
	t.Errorf("an error without its word: %v", err)
}

func BenchmarkSign(b *testing.B) {
	key := testKey(b)
	claims := []byte(`{"iss":"http://127.0.0.1:8080","sub":"u","aud":"http://127.0.0.1:3001/mcp","exp":1,"iat":1,"jti":"x"}`)
	for b.Loop() {
		if _, err := key.Sign("at+jwt", claims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	key := testKey(b)
	token, err := key.Sign("at+jwt", []byte(`{"iss":"http://127.0.0.1:8080","sub":"u","jti":"x"}`))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := (Verifier{}).Verify(token, "at+jwt", only(key)); err != nil {
			b.Fatal(err)
		}
	}
}
