package policies

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// anyInput names the schema of lib packages: everything that some question's input knows.
const anyInput = "any_input"

// schemaDocuments are the shipped input schemas by name, and their union.
func schemaDocuments(files []file) (map[string]any, error) {
	schemas := map[string]any{}
	var union map[string]any
	for _, f := range files {
		if f.shipped && path.Ext(f.path) == ".json" {
			var doc map[string]any
			if err := json.Unmarshal(f.data, &doc); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name(), err)
			}
			schemas[strings.TrimSuffix(f.path, ".json")] = doc
			union = unionOfSchemas(union, doc)
		}
	}
	schemas[anyInput] = union
	return schemas, nil
}

// unionOfValues allows the values of both.
func unionOfValues(a, b map[string]any) map[string]any {
	mine, aok := a["enum"].([]any)
	theirs, bok := b["enum"].([]any)
	if !aok && !bok {
		return a
	}
	union := maps.Clone(a)
	delete(union, "enum")
	if aok && bok {
		all := slices.Clone(mine)
		for _, v := range theirs {
			if !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
		union["enum"] = all
	}
	return union
}

// unionOfSchemas knows the properties of both objects. For other types, and for objects that are free, the first wins:
// the shipped schemas do not contradict each other there.
func unionOfSchemas(a, b map[string]any) map[string]any {
	mine, aok := a["properties"].(map[string]any)
	theirs, bok := b["properties"].(map[string]any)
	if a == nil {
		return b
	}
	if !aok || !bok {
		return unionOfValues(a, b)
	}
	properties := maps.Clone(mine)
	for name, schema := range theirs {
		known, _ := properties[name].(map[string]any)
		other, _ := schema.(map[string]any)
		properties[name] = unionOfSchemas(known, other)
	}
	union := maps.Clone(a)
	union["properties"] = properties
	delete(union, "required") // each question has its own
	return union
}
