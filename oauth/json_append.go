package oauth

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// AppendJSONText writes a JSON string byte for byte as encoding/json does, with or without its escapes for HTML. Text of plain ASCII, which is
// nearly all there is, takes no detour.
func AppendJSONText(out []byte, text string, escapeHTML bool) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', escapeHTML && (c == '<' || c == '>' || c == '&'):
			return appendOddText(out, text, escapeHTML)
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}

// appendOddText has a buffer of its own, so that the room of its callers may lie on their stacks.
func appendOddText(out []byte, text string, escapeHTML bool) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	_ = enc.Encode(text) // a text and a buffer cannot fail
	return append(out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// appendJSON writes a value that DecodeStrict has made, byte for byte as json.Marshal does.
func appendJSON(out []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		var room [16]string
		out = append(out, '{')
		for i, key := range appendKeys(room[:0], v) {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(AppendJSONText(out, key, true), ':')
			out = appendJSON(out, v[key])
		}
		return append(out, '}')
	case []any:
		out = append(out, '[')
		for i, element := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendJSON(out, element)
		}
		return append(out, ']')
	case string:
		return AppendJSONText(out, v, true)
	case json.Number:
		return append(out, v...)
	case bool:
		return strconv.AppendBool(out, v)
	case nil:
		return append(out, "null"...)
	}
	text, _ := json.Marshal(v) // nothing that comes from outside
	return append(out, text...)
}

// appendKeys are the sorted keys of an object.
func appendKeys(keys []string, object map[string]any) []string {
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
