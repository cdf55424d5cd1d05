package oauth

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// randomArgument makes values of which many fit the schemas of randomSchema.
func randomArgument(r *rand.Rand, depth int) any {
	plain := []any{nil, true, false, "", "a", "b", "abcd", "é€😀", json.Number("3"), json.Number("-1"), json.Number("3.0"), json.Number("1e2"), json.Number("2.5"),
		json.Number("12345678901234567890"), json.Number("-0")}
	switch {
	case depth == 0 || r.IntN(3) == 0:
		return plain[r.IntN(len(plain))]
	case r.IntN(3) == 0:
		list := []any{}
		for range r.IntN(5) {
			list = append(list, randomArgument(r, depth-1))
		}
		return list
	}
	object := map[string]any{}
	for _, name := range []string{"a", "b", "c", "A"} {
		if r.IntN(3) > 0 {
			object[name] = randomArgument(r, depth-1)
		}
	}
	return object
}

// fittingSchema makes schemas that values may fit: those of randomSchema nearly never let anything pass.
func fittingSchema(r *rand.Rand, depth int) any {
	if depth == 0 {
		return []any{true, map[string]any{}, map[string]any{"type": "string"}, map[string]any{"type": "integer"}, map[string]any{"type": []any{"string", "null"}}}[r.IntN(5)]
	}
	below := func() any { return fittingSchema(r, depth-1) }
	doc := map[string]any{}
	for range r.IntN(3) + 1 {
		switch r.IntN(14) {
		case 0, 1:
			doc["type"] = []any{"object", "array", "string", "integer", "number", []any{"string", "null"}}[r.IntN(6)]
		case 2, 3:
			doc["properties"] = map[string]any{"a": below(), "b": below()}
		case 4:
			doc["required"] = []any{"a"}
		case 5:
			doc["additionalProperties"] = []any{true, false, below()}[r.IntN(3)]
		case 6:
			doc["items"] = below()
		case 7:
			doc["enum"] = []any{"a", "b", json.Number("3"), nil}
		case 8:
			doc["anyOf"] = []any{below(), below()}
		case 9:
			doc["allOf"] = []any{below(), below()}
		case 10:
			doc["minimum"], doc["maximum"] = json.Number("0"), json.Number("100.0")
		case 11:
			doc["minLength"], doc["maxLength"] = json.Number("1"), json.Number("3")
		case 12:
			doc["minItems"], doc["maxItems"] = json.Number("1"), json.Number("2.0")
		case 13:
			doc["title"], doc["default"] = "x", "y"
		}
	}
	return doc
}

// What surely fits is what the library for schemas lets pass.
func TestWhatSurelyFitsIsValid(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	sure, refused := 0, 0
	for i := range 15_000 {
		doc, _ := fittingSchema(r, 3).(map[string]any)
		if i%3 == 0 {
			doc, _ = randomSchema(r, 3).(map[string]any)
		}
		if doc == nil || !usualSchema(doc) {
			continue
		}
		compiled, err := compileInputSchema(doc)
		if err != nil {
			t.Fatalf("%v: %v", doc, err)
		}
		for range 4 {
			v := randomArgument(r, 3)
			compiled.work.begin(0)
			valid := compiled.schema.Validate(v)
			if surelyFits(doc, v) {
				sure++
				if valid != nil {
					t.Fatalf("%v does not fit %v: %v", v, doc, valid)
				}
			} else if valid != nil {
				refused++
			}
		}
	}
	if sure < 2500 || refused < 2500 {
		t.Errorf("only %d values fitted and %d were refused", sure, refused)
	}
}

// A call that fits the schema of a common tool does not need the library.
func TestCommonArgumentsSurelyFit(t *testing.T) {
	doc := map[string]any{"type": "object", "required": []any{"path"}, "additionalProperties": false, "properties": map[string]any{
		"path": map[string]any{"type": "string", "minLength": json.Number("1")}, "depth": map[string]any{"type": []any{"integer", "null"}, "maximum": json.Number("9")},
		"tags": map[string]any{"type": "array", "items": map[string]any{"enum": []any{"x", "y"}}}}}
	for want, args := range map[bool][]map[string]any{
		true:  {{"path": "/"}, {"path": "/", "depth": nil, "tags": []any{"x"}}, {"path": "é", "depth": json.Number("9")}},
		false: {{}, {"path": ""}, {"path": "/", "more": true}, {"path": "/", "depth": json.Number("10")}, {"path": "/", "tags": []any{"z"}}, {"Path": "/"}},
	} {
		for _, a := range args {
			if surelyFits(doc, a) != want {
				t.Errorf("%v: want %v", a, want)
			}
		}
	}
}

// Alternatives inside of alternatives over a long list end.
func TestAWalkThatIsLongSaysNothing(t *testing.T) {
	schema := any(map[string]any{"type": "string"})
	for range 12 {
		schema = map[string]any{"anyOf": []any{map[string]any{"allOf": []any{schema, false}}, map[string]any{"allOf": []any{schema, false}}, true}}
	}
	walk := &fitting{left: maxFittingSteps}
	list := make([]any, 5000)
	for i := range list {
		list[i] = "text"
	}
	if walk.fits(map[string]any{"items": schema}, list) || walk.left >= 0 {
		t.Errorf("%d steps were left", walk.left)
	}
}
