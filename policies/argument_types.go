package policies

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"portcullis/oauth"
)

// Bounds of what is followed in a tool's schema, which may refer to itself; what lies beyond may be anything.
const (
	maxSchemaDepth = 12
	maxSchemaNodes = 2000
)

// argumentSchema is a tool's inputSchema in the few words that the type checker understands: type, properties, items, anyOf,
// required, enum. Whatever else a schema says is left out, which allows more. open tells that names of arguments cannot
// be checked: the tool takes any.
func argumentSchema(t *oauth.Tool) (schema map[string]any, open bool) {
	left := maxSchemaNodes
	s := schemaReader{root: t.InputSchema, left: &left}
	schema = s.plain(t.InputSchema, 0)
	_, named := schema["properties"].(map[string]any)
	if !named && schema["type"] == "object" && schema["additionalProperties"] != false {
		return map[string]any{}, true
	}
	return schema, len(schema) == 0
}

type schemaReader struct {
	root map[string]any
	left *int // nodes that may still be read
}

// plain reads one schema; an empty map is anything.
func (r schemaReader) plain(v any, depth int) map[string]any {
	anything := map[string]any{}
	s, ok := v.(map[string]any)
	*r.left--
	if !ok || depth > maxSchemaDepth || *r.left < 0 {
		return anything
	}
	_, named := s["properties"]
	if ref, isRef := s["$ref"].(string); isRef && !named {
		target, found := r.at(ref)
		if !found {
			return anything
		}
		return r.plain(target, depth+1)
	}
	kinds := schemaTypes(s)
	switch {
	case len(kinds) == 1:
		return r.ofType(s, kinds[0], depth)
	case len(kinds) > 1:
		var all []any
		for _, kind := range kinds {
			all = append(all, r.ofType(s, kind, depth))
		}
		return map[string]any{"anyOf": all}
	}
	return anything
}

// schemaTypes are the types that a schema allows, also where only its other words tell.
func schemaTypes(s map[string]any) []string {
	switch t := s["type"].(type) {
	case string:
		return []string{t}
	case []any:
		var kinds []string
		for _, x := range t {
			if text, ok := x.(string); ok {
				kinds = append(kinds, text)
			}
		}
		return kinds
	}
	if _, ok := s["properties"].(map[string]any); ok {
		return []string{"object"}
	}
	return nil
}

func (r schemaReader) ofType(s map[string]any, kind string, depth int) map[string]any {
	switch kind {
	case "object":
		return r.object(s, depth)
	case "array":
		if _, tuple := s["prefixItems"]; tuple {
			return map[string]any{"type": "array"}
		}
		if items := r.plain(s["items"], depth+1); len(items) > 0 {
			return map[string]any{"type": "array", "items": items}
		}
		return map[string]any{"type": "array"}
	case "string", "number", "integer", "boolean", "null":
		out := map[string]any{"type": kind}
		if values, ok := s["enum"].([]any); ok && kind == "string" {
			out["enum"] = values
		}
		if value, ok := s["const"].(string); ok && kind == "string" {
			out["enum"] = []any{value}
		}
		return out
	}
	return map[string]any{}
}

// object gathers the names of an object and of all its alternatives. One that says that there may be others, or that has words
// which name members in another way, may hold anything.
func (r schemaReader) object(s map[string]any, depth int) map[string]any {
	properties := map[string]any{}
	if !r.gather(s, properties, depth) {
		return map[string]any{}
	}
	out := map[string]any{"type": "object"}
	if required, ok := s["required"].([]any); ok {
		out["required"] = required
	}
	if s["additionalProperties"] == false {
		out["additionalProperties"] = false
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	return out
}

// gather adds the members that a schema names; false = they cannot all be named.
func (r schemaReader) gather(s map[string]any, properties map[string]any, depth int) bool {
	*r.left--
	if depth > maxSchemaDepth || *r.left < 0 {
		return false
	}
	if more, ok := s["additionalProperties"]; ok && more != false {
		return false
	}
	for _, word := range []string{"patternProperties", "propertyNames", "unevaluatedProperties", "dependentSchemas", "$dynamicRef"} {
		if _, ok := s[word]; ok && s[word] != false {
			return false
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		target, found := r.at(ref)
		object, isObject := target.(map[string]any)
		if !found || !isObject || !r.gather(object, properties, depth+1) {
			return false
		}
	}
	named, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if _, twice := properties[name]; twice {
			properties[name] = map[string]any{} // two say something about it: leave it open
			continue
		}
		properties[name] = r.plain(named[name], depth+1)
	}
	var parts []any
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[word].([]any)
		parts = append(parts, list...)
	}
	for _, word := range []string{"if", "then", "else"} {
		if part, ok := s[word]; ok {
			parts = append(parts, part)
		}
	}
	for _, part := range parts {
		object, ok := part.(map[string]any)
		if !ok || !r.gather(object, properties, depth+1) {
			return false
		}
	}
	return true
}

// at follows a reference inside the schema, a JSON pointer after "#".
func (r schemaReader) at(ref string) (any, bool) {
	pointer, local := strings.CutPrefix(ref, "#")
	if !local {
		return nil, false
	}
	var at any = r.root
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if part == "" {
			continue
		}
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[part]
			if !ok {
				return nil, false
			}
			at = next
		case []any:
			n, err := strconv.Atoi(part)
			if err != nil || n < 0 || n >= len(v) {
				return nil, false
			}
			at = v[n]
		default:
			return nil, false
		}
	}
	return at, true
}

// foreignRef is a reference that leaves the schema, or "". Nothing is ever fetched for one.
func foreignRef(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if text, ok := v[key].(string); ok && (key == "$ref" || key == "$dynamicRef" || key == "$recursiveRef") && !strings.HasPrefix(text, "#") {
				return text
			}
			if ref := foreignRef(v[key]); ref != "" {
				return ref
			}
		}
	case []any:
		for _, x := range v {
			if ref := foreignRef(x); ref != "" {
				return ref
			}
		}
	}
	return ""
}
