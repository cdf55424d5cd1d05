package storage

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// seals are the keys of this package, each derived from the server key for one purpose (RFC 5869).
type seals struct {
	check   []byte // proves that the server key belongs to the database
	schema  []byte // seals the schema
	audit   []byte // seals audit rows
	head    []byte // seals the end of the audit chain
	genesis []byte // stands for the row before the first one; bound to this database
}

func newSeals(serverKey []byte, databaseID string) (*seals, error) {
	var s seals
	for _, k := range []struct {
		to      *[]byte
		purpose string
	}{
		{&s.check, "key check"},
		{&s.schema, "schema"},
		{&s.audit, "audit"},
		{&s.head, "audit head"},
		{&s.genesis, "audit genesis " + databaseID},
	} {
		key, err := hkdf.Key(sha256.New, serverKey, nil, "portcullis storage: "+k.purpose, sha256.Size)
		if err != nil {
			return nil, err
		}
		*k.to = key
	}
	return &s, nil
}

// sum is the HMAC-SHA256 of the parts in a row.
func sum(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

func hexSum(key []byte, text string) string { return hex.EncodeToString(sum(key, []byte(text))) }
