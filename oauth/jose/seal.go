package jose

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeyBytes is the length of keys for Seal and Open.
const KeyBytes = 32

// ErrOpen means that the sealed text was not made with this key and these additional data.
var ErrOpen = errors.New("sealed with another key, or changed")

// Derive makes a key of 32 bytes for one purpose out of a secret (HKDF with SHA-256, RFC 5869).
func Derive(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, KeyBytes)
	if err != nil {
		panic("jose: HKDF cannot make 32 bytes: " + err.Error())
	}
	return key
}

// Seal encrypts with AES-256-GCM under a random nonce, which stands before the result. The additional data are not
// in the result but must be the same when it is opened. key must have KeyBytes bytes.
func Seal(key, plaintext, additional []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plaintext, additional), nil
}

// Open is the reverse of Seal. Anything else than its exact result is ErrOpen.
func Open(key, sealed, additional []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, sealed, additional)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeyBytes {
		return nil, fmt.Errorf("a sealing key has %d bytes, not %d", KeyBytes, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
