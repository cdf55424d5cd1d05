package oauth

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// surelyFits tells that a decoded value is valid under a schema of which usualSchema is true. False says nothing: then the schema has to be
// compiled and asked, which also tells what is wrong. Most calls fit, and to compile the schema of each tool takes memory for good.
func surelyFits(schema, v any) bool { return (&fitting{left: maxFittingSteps}).fits(schema, v) }

// maxFittingSteps is how many keywords a walk looks at before it gives up: with lists of alternatives the work is the product of schema and value.
const maxFittingSteps = 20_000

// fitting is one walk over a schema and a value.
type fitting struct{ left int }

func (f *fitting) fits(schema, v any) bool {
	doc, ok := schema.(map[string]any)
	if !ok {
		return schema == true
	}
	for keyword, value := range doc {
		if f.left--; f.left < 0 || !f.meets(doc, keyword, value, v) {
			return false
		}
	}
	return true
}

// meets is about one keyword. Those that say something of one type only are met by values of others (JSON Schema 2020-12, validation §6).
func (f *fitting) meets(doc map[string]any, keyword string, value, v any) bool {
	switch keyword {
	case "title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly":
		return true
	case "type":
		name, ok := value.(string)
		if ok {
			return isOfType(v, name)
		}
		return slices.ContainsFunc(value.([]any), func(name any) bool { return isOfType(v, name.(string)) })
	case "properties", "required", "additionalProperties":
		object, ok := v.(map[string]any)
		return !ok || f.membersFit(doc, keyword, value, object)
	case "items":
		list, _ := v.([]any)
		return !slices.ContainsFunc(list, func(item any) bool { return !f.fits(value, item) })
	case "anyOf":
		return slices.ContainsFunc(value.([]any), func(one any) bool { return f.fits(one, v) })
	case "allOf":
		return !slices.ContainsFunc(value.([]any), func(one any) bool { return !f.fits(one, v) })
	case "enum":
		text, ok := v.(string)
		return ok && slices.Contains(value.([]any), any(text))
	case "minimum", "maximum":
		return inRange(keyword, value.(json.Number), v)
	case "minLength", "maxLength", "minItems", "maxItems":
		return longEnough(keyword, value.(json.Number), v)
	}
	return false
}

// isOfType knows whole numbers only by the way in which nearly all are written.
func isOfType(v any, name string) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case json.Number:
		return name == "number" || name == "integer" && !strings.ContainsAny(string(v), ".eE")
	case map[string]any:
		return name == "object"
	case []any:
		return name == "array"
	}
	return false
}

func (f *fitting) membersFit(doc map[string]any, keyword string, value any, object map[string]any) bool {
	switch keyword {
	case "required":
		return !slices.ContainsFunc(value.([]any), func(name any) bool { _, has := object[name.(string)]; return !has })
	case "properties":
		properties := value.(map[string]any)
		for name, member := range object {
			if schema, named := properties[name]; named && !f.fits(schema, member) {
				return false
			}
		}
		return true
	}
	properties, _ := doc["properties"].(map[string]any)
	for name, member := range object {
		if _, named := properties[name]; !named && !f.fits(value, member) {
			return false
		}
	}
	return true
}

// inRange compares small whole numbers only.
func inRange(keyword string, bound json.Number, v any) bool {
	text, ok := v.(json.Number)
	if !ok {
		return true
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	limit, wrong := strconv.ParseInt(string(bound), 10, 64)
	switch {
	case err != nil, wrong != nil:
		return false
	case keyword == "minimum":
		return n >= limit
	}
	return n <= limit
}

func longEnough(keyword string, bound json.Number, v any) bool {
	length := -1 // of another type
	switch v := v.(type) {
	case string:
		if strings.HasSuffix(keyword, "Length") {
			length = utf8.RuneCountInString(v)
		}
	case []any:
		if strings.HasSuffix(keyword, "Items") {
			length = len(v)
		}
	}
	limit, err := strconv.Atoi(string(bound))
	switch {
	case length < 0:
		return true
	case err != nil:
		return false
	case strings.HasPrefix(keyword, "min"):
		return length >= limit
	}
	return length <= limit
}
