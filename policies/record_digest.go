package policies

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// digests makes keyed digests of values: the same value has the same digest, and without the key nobody can try
// values out.
type digests struct {
	pool  sync.Pool // of *digester
	rooms sync.Pool // of *[]byte: where records are put together before they have their place in a document
}

// digester is one keyed hash and the room in which values are written for it.
type digester struct {
	mac       hash.Hash
	room, sum []byte
}

func newDigests(key []byte) *digests {
	return &digests{
		pool:  sync.Pool{New: func() any { return &digester{mac: hmac.New(sha256.New, key)} }},
		rooms: sync.Pool{New: func() any { room := make([]byte, 0, usualRecord); return &room }},
	}
}

const digestBytes = 16

// append writes the digest of a value.
func (d *digests) append(out []byte, v any, n *maskNode) []byte {
	one := d.pool.Get().(*digester)
	one.room = appendCanonical(one.room[:0], v, n)
	one.mac.Reset()
	one.mac.Write(one.room)
	one.sum = one.mac.Sum(one.sum[:0])
	out = base64.RawURLEncoding.AppendEncode(out, one.sum[:digestBytes])
	if cap(one.room) <= usualRecord {
		d.pool.Put(one)
	}
	return out
}

// appendText appends a JSON string. The only error there is tells of invalid UTF-8, which has been replaced.
func appendText(out []byte, text string) []byte {
	out, _ = jsontext.AppendQuote(out, text)
	return out
}

// appendCanonical writes values so that those that are equal in Rego are equal texts. What the masks remove or replace is no
// part of a digest.
func appendCanonical(out []byte, v any, n *maskNode) []byte {
	switch v := v.(type) {
	case map[string]any:
		out = append(out, '{')
		var room [16]string
		for _, key := range appendKeys(room[:0], v) {
			if child := n.child(key); child.keeps() {
				out = append(appendText(out, key), ':')
				out = append(appendCanonical(out, v[key], child), ',')
			}
		}
		return append(out, '}')
	case []any:
		out = append(out, '[')
		for i, element := range v {
			var child *maskNode
			if n != nil {
				child = n.child(strconv.Itoa(i))
			}
			if child.keeps() {
				out = appendCanonical(out, element, child)
			}
			out = append(out, ',')
		}
		return append(out, ']')
	case string:
		return appendText(out, v)
	case json.Number:
		return append(out, canonicalNumber(string(v))...)
	case bool:
		return strconv.AppendBool(out, v)
	}
	return append(out, "null"...)
}

// keeps tells whether a digest takes what is at the place.
func (n *maskNode) keeps() bool { return n == nil || !n.removed && !n.replaced }

// appendKeys are the sorted keys of an object.
func appendKeys(keys []string, object map[string]any) []string {
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// canonicalNumber spells a JSON number in one way: 1.0, 10e-1 and 1 are the same value.
func canonicalNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") && text != "-0" {
		return text
	}
	sign, rest := "", text
	if strings.HasPrefix(rest, "-") {
		sign, rest = "-", rest[1:]
	}
	exponent := 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		exponent, _ = strconv.Atoi(rest[i+1:]) // checkNumber has bounded it
		rest = rest[:i]
	}
	whole, fraction, _ := strings.Cut(rest, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	short := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(short)
	switch {
	case short == "":
		return "0"
	case exponent == 0:
		return sign + short
	case exponent > 0 && len(short)+exponent <= 20:
		return sign + short + strings.Repeat("0", exponent)
	}
	return sign + short + "e" + strconv.Itoa(exponent)
}
