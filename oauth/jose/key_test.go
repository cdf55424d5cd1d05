package jose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
)

func TestPrivateKeySurvivesItsJWK(t *testing.T) {
	key := testKey(t)
	text, err := key.PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePrivate(text)
	if err != nil {
		t.Fatal(err)
	}
	if again.KID() != key.KID() || again.Algorithm() != ES256 {
		t.Errorf("kid %q alg %q, want %q %q", again.KID(), again.Algorithm(), key.KID(), ES256)
	}
	token, err := again.Sign("at+jwt", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Verifier{}).Verify(token, "at+jwt", only(key)); err != nil {
		t.Error(err)
	}
}

func TestParsePrivateRefusesOtherKeys(t *testing.T) {
	text, err := testKey(t).PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	var members, foreign map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	other, err := testKey(t).PrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(other, &foreign); err != nil {
		t.Fatal(err)
	}
	change := func(name string, value any) []byte {
		copied := map[string]any{}
		for k, v := range members {
			copied[k] = v
		}
		copied[name] = value
		if value == nil {
			delete(copied, name)
		}
		out, err := json.Marshal(copied)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, data := range map[string][]byte{
		"empty":                nil,
		"no JSON":              []byte("secret"),
		"public only":          change("d", nil),
		"foreign secret":       change("d", foreign["d"]),
		"secret of zero":       change("d", base64.RawURLEncoding.EncodeToString(make([]byte, 32))),
		"secret too long":      change("d", base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 40))),
		"point off the curve":  change("x", base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))),
		"other curve":          change("crv", "P-384"),
		"symmetric":            []byte(`{"kty":"oct","k":"AAAA"}`),
		"key set, not one key": []byte(`{"keys":[]}`),
	} {
		if _, err := ParsePrivate(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeySetHoldsPublicMembersOnly(t *testing.T) {
	a, b := testKey(t), testKey(t)
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(JWKS(a.Public(), b.Public()), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[0]["kid"] != a.KID() || set.Keys[1]["kid"] != b.KID() {
		t.Fatalf("keys %v", set.Keys)
	}
	for _, key := range set.Keys {
		if len(key) != 7 || key["kty"] != "EC" || key["crv"] != "P-256" || key["use"] != "sig" || key["alg"] != "ES256" || key["x"] == nil || key["y"] == nil {
			t.Errorf("key %v", key)
		}
	}
	if got := string(JWKS()); got != `{"keys":[]}` {
		t.Errorf("empty set %s", got)
	}
}

// The key of RFC 7517 appendix A.1, with the thumbprint that RFC 7638 §3 computes: SHA-256 over crv, kty, x, y.
func TestKIDIsTheThumbprint(t *testing.T) {
	const private = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",` +
		`"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}`
	key, err := ParsePrivate([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	if want := "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"; key.KID() != want {
		t.Errorf("kid %q, want %q", key.KID(), want)
	}
}

func TestSealOpensOnlyWithKeyAndAdditionalData(t *testing.T) {
	key, other := Derive([]byte("secret"), "test"), Derive([]byte("secret"), "other purpose")
	if bytes.Equal(key, other) || len(key) != KeyBytes {
		t.Fatal("purposes must give different keys of 32 bytes")
	}
	sealed, err := Seal(key, []byte("plain"), []byte("row 1"))
	if err != nil {
		t.Fatal(err)
	}
	twice, err := Seal(key, []byte("plain"), []byte("row 1"))
	if err != nil || bytes.Equal(sealed, twice) {
		t.Fatalf("two seals are equal, or %v", err)
	}
	if plain, err := Open(key, sealed, []byte("row 1")); err != nil || string(plain) != "plain" {
		t.Errorf("Open: %q, %v", plain, err)
	}
	if _, err := Open(other, sealed, []byte("row 1")); !errors.Is(err, ErrOpen) {
		t.Errorf("other key: %v", err)
	}
	if _, err := Open(key, sealed, []byte("row 2")); !errors.Is(err, ErrOpen) {
		t.Errorf("other row: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := Open(key, changed, []byte("row 1")); !errors.Is(err, ErrOpen) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := Open(key, sealed[:i], []byte("row 1")); !errors.Is(err, ErrOpen) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := Seal([]byte("short"), nil, nil); err == nil {
		t.Error("a short key was accepted")
	}
	if _, err := Open(nil, sealed, nil); err == nil {
		t.Error("no key was accepted")
	}
}
