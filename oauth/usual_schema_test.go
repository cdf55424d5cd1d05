package oauth

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// randomSchema makes schemas of the usual keywords with values of which one in six is wrong for its keyword.
func randomSchema(r *rand.Rand, depth int) any {
	if depth == 0 || r.IntN(12) == 0 {
		return []any{true, false, map[string]any{}, map[string]any{"type": "string"}, json.Number("1"), nil}[r.IntN(6)]
	}
	doc := map[string]any{}
	keywords := []string{"title", "description", "$comment", "type", "properties", "items", "additionalProperties", "anyOf", "oneOf", "allOf", "required", "enum",
		"examples", "default", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
		"minProperties", "maxProperties", "uniqueItems", "deprecated", "readOnly", "writeOnly", "pattern", "format", "$ref"}
	for range r.IntN(4) + 1 {
		keyword := keywords[r.IntN(len(keywords))]
		doc[keyword] = randomKeyword(r, keyword, depth)
	}
	return doc
}

func randomKeyword(r *rand.Rand, keyword string, depth int) any {
	anything := []any{"string", true, json.Number("3"), json.Number("-1"), json.Number("1.5"), json.Number("3.0"), json.Number("0x1"), json.Number("01"), json.Number("1e400"),
		nil, 3, math.NaN(), []any{}, []any{"a", "a"}, []any{"a", "b"}, []any{"string", "null"}, []any{"string", "word"}, []any{json.Number("1")}, map[string]any{"a": true}}
	if r.IntN(6) == 0 {
		return anything[r.IntN(len(anything))]
	}
	switch keyword {
	case "properties":
		return map[string]any{"a": randomSchema(r, depth-1), "b": randomSchema(r, depth-1)}
	case "items", "additionalProperties":
		return randomSchema(r, depth-1)
	case "anyOf", "oneOf", "allOf":
		return []any{randomSchema(r, depth-1), randomSchema(r, depth-1)}
	case "title", "description", "$comment", "type", "pattern", "format":
		return "string"
	case "required", "enum", "examples":
		return []any{"a", "b"}
	case "uniqueItems", "deprecated", "readOnly", "writeOnly":
		return true
	case "$ref":
		return "#/nowhere"
	}
	return json.Number("3")
}

// The short cut may be wrong in one direction only.
func TestEveryUsualSchemaCompiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	usual, unusual := 0, 0
	for range 20_000 {
		doc, ok := randomSchema(r, 3).(map[string]any)
		if !ok {
			continue
		}
		if !usualSchema(doc) {
			unusual++
			continue
		}
		usual++
		if _, err := compileInputSchema(doc); err != nil {
			t.Fatalf("%v: %v", doc, err)
		}
	}
	if usual < 2000 || unusual < 2000 {
		t.Errorf("only %d schemas were usual and %d were not", usual, unusual)
	}
}

func TestUsualSchemasAreThoseOfCommonTools(t *testing.T) {
	var doc map[string]any
	text := `{"type": "object", "properties": {"path": {"type": "string", "description": "Where"}, "depth": {"type": ["integer", "null"]},
		"tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}}, "required": ["path"], "additionalProperties": false}`
	numbers := json.NewDecoder(strings.NewReader(text))
	numbers.UseNumber()
	if err := numbers.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if !usualSchema(doc) {
		t.Error("this common schema is looked at in full")
	}
	for name, bad := range map[string]any{"pattern": "(", "type": "strnig", "required": []any{"a", "a"}, "minLength": json.Number("-1"), "items": []any{}} {
		if err := CheckInputSchema(map[string]any{name: bad}); err == nil {
			t.Errorf("%s: %v is accepted", name, bad)
		}
	}
}
