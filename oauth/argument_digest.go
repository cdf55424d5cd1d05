package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// argumentDigests makes keyed digests of arguments for the audit: equal arguments have equal ones, and nobody without the key can try
// values out. Keyed hashes are kept, because making one costs as much as a digest.
type argumentDigests struct{ pool sync.Pool }

// argumentDigest is one keyed hash and the room in which arguments are written for it.
type argumentDigest struct {
	mac       hash.Hash
	room, sum []byte
}

func newArgumentDigests(key []byte) *argumentDigests {
	return &argumentDigests{sync.Pool{New: func() any { return &argumentDigest{mac: hmac.New(sha256.New, key)} }}}
}

// maxKeptRoom is how much room is kept for the next arguments, in bytes; a call may bring a whole document.
const maxKeptRoom = 16 << 10

// of is the HMAC-SHA256 of the arguments as encoding/json writes them, in hexadecimal digits.
func (a *argumentDigests) of(args map[string]any) string {
	d := a.pool.Get().(*argumentDigest)
	d.room = appendJSON(d.room[:0], args)
	d.mac.Reset()
	d.mac.Write(d.room)
	d.sum = d.mac.Sum(d.sum[:0])
	text := hex.EncodeToString(d.sum)
	if cap(d.room) <= maxKeptRoom {
		clear(d.room)
		a.pool.Put(d)
	}
	return text
}
