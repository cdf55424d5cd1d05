package jose

import (
	"encoding/json"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// JWKS is the key set document (RFC 7517 §5) of public keys, in the given order.
func JWKS(keys ...PublicKey) []byte {
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: []json.RawMessage{}}
	for _, p := range keys {
		key, err := jwk.FromRaw(p.raw)
		if err == nil {
			var text []byte
			if text, err = marshalJWK(key, p); err == nil {
				set.Keys = append(set.Keys, text)
			}
		}
		if err != nil {
			panic("jose: a public key that was made here has no JWK: " + err.Error())
		}
	}
	document, err := json.Marshal(set)
	if err != nil {
		panic("jose: a key set has no JSON: " + err.Error())
	}
	return document
}
