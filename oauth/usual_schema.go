package oauth

import (
	"encoding/json"
	"slices"
	"strconv"
)

// usualSchema tells that a schema uses only common keywords of JSON Schema 2020-12, each in its right form, so that it surely
// compiles. False says nothing. To compile a schema costs 50 times as much, and a server may have thousands.
func usualSchema(v any) bool {
	if _, ok := v.(bool); ok {
		return true
	}
	schema, ok := v.(map[string]any)
	if !ok {
		return false
	}
	for keyword, value := range schema {
		if !usualKeyword(keyword, value) {
			return false
		}
	}
	return true
}

func usualKeyword(keyword string, value any) bool {
	switch keyword {
	case "title", "description", "$comment":
		_, ok := value.(string)
		return ok
	case "type":
		return usualType(value)
	case "properties":
		properties, ok := value.(map[string]any)
		for _, p := range properties {
			ok = ok && usualSchema(p)
		}
		return ok
	case "items", "additionalProperties":
		return usualSchema(value)
	case "anyOf", "oneOf", "allOf":
		list, ok := value.([]any)
		return ok && len(list) > 0 && !slices.ContainsFunc(list, func(s any) bool { return !usualSchema(s) })
	case "required":
		return differentTexts(value)
	case "enum", "examples":
		list, ok := value.([]any)
		return ok && usualValue(list)
	case "default", "const":
		return usualValue(value)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		_, ok := value.(json.Number)
		return ok && usualValue(value)
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		n, ok := value.(json.Number)
		count, err := strconv.Atoi(n.String())
		return ok && err == nil && count >= 0 && usualValue(value)
	case "uniqueItems", "deprecated", "readOnly", "writeOnly":
		_, ok := value.(bool)
		return ok
	}
	return false
}

func usualType(v any) bool {
	if name, ok := v.(string); ok {
		v = []any{name}
	}
	known := []string{"string", "number", "integer", "boolean", "object", "array", "null"}
	list, ok := v.([]any)
	return ok && len(list) > 0 && differentTexts(v) && !slices.ContainsFunc(list, func(t any) bool { return !slices.Contains(known, t.(string)) })
}

// differentTexts tells that the value is a list of strings of which none is there twice.
func differentTexts(v any) bool {
	list, ok := v.([]any)
	seen := map[string]bool{}
	for _, item := range list {
		text, isText := item.(string)
		ok = ok && isText && !seen[text]
		seen[text] = true
	}
	return ok
}

// usualValue tells that the value can be written as JSON.
func usualValue(v any) bool {
	switch v := v.(type) {
	case nil, bool, string:
		return true
	case json.Number:
		return json.Valid([]byte(v))
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !usualValue(item) })
	case map[string]any:
		for _, item := range v {
			if !usualValue(item) {
				return false
			}
		}
		return true
	}
	return false
}
