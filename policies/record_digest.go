package policies

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// digests makes keyed digests of values: the same value has the same digest, and without the key nobody can try
// values out.
type digests struct {
	pool  sync.Pool // of hash.Hash
	rooms sync.Pool // of *[]byte: where inputs are written before they have their place in a document
}

func newDigests(key []byte) *digests {
	return &digests{pool: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}, rooms: sync.Pool{New: func() any { return new([]byte) }}}
}

const digestBytes = 16

func (d *digests) of(canonical []byte) string {
	mac, _ := d.pool.Get().(hash.Hash)
	mac.Reset()
	mac.Write(canonical)
	var sum [sha256.Size]byte
	text := base64.RawURLEncoding.EncodeToString(mac.Sum(sum[:0])[:digestBytes])
	d.pool.Put(mac)
	return text
}

// appendText appends a JSON string. The only error there is tells of invalid UTF-8, which has been replaced.
func appendText(out []byte, text string) []byte {
	out, _ = jsontext.AppendQuote(out, text)
	return out
}

// appendCanonical writes values so that those that are equal in Rego are equal texts. What the masks remove or replace is no
// part of a digest.
func appendCanonical(out []byte, v any, n *maskNode) []byte {
	kept := func(name string) (*maskNode, bool) {
		child := n.child(name)
		return child, child == nil || !child.removed && !child.replaced
	}
	switch v := v.(type) {
	case map[string]any:
		out = append(out, '{')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if child, ok := kept(key); ok {
				out = append(appendText(out, key), ':')
				out = append(appendCanonical(out, v[key], child), ',')
			}
		}
		return append(out, '}')
	case []any:
		out = append(out, '[')
		for i, element := range v {
			if child, ok := kept(strconv.Itoa(i)); ok {
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
