package oauth

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaMaker makes schemas of every keyword that has parts, of constants and of formats.
type schemaMaker struct{ *rand.Rand }

func (r schemaMaker) schema(depth int) any {
	if depth == 0 || r.IntN(12) == 0 {
		return []any{true, false, map[string]any{"type": "integer"}, map[string]any{"const": r.value(1)}, map[string]any{"enum": []any{"a", 1, nil, r.value(1)}},
			map[string]any{"pattern": "^a+$"}, map[string]any{"format": "date"}, map[string]any{"minimum": 1}, map[string]any{"maxItems": 1}, map[string]any{"required": []any{"a"}},
			map[string]any{"uniqueItems": true}, map[string]any{"$ref": "#/$defs/n"}, map[string]any{"$ref": "#"}}[r.IntN(13)]
	}
	s := map[string]any{}
	for range 1 + r.IntN(3) {
		one, list := r.schema(depth-1), []any{r.schema(depth - 1), r.schema(depth - 1)}
		switch keyword := []string{"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "items", "prefixItems", "contains", "properties", "patternProperties", "additionalProperties",
			"propertyNames", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties", "minContains", "type"}[r.IntN(19)]; keyword {
		case "allOf", "anyOf", "oneOf", "prefixItems":
			s[keyword] = list
		case "properties", "dependentSchemas":
			s[keyword] = map[string]any{"a": one, "b": list[0]}
		case "patternProperties":
			s[keyword] = map[string]any{"^a": one, "b": list[0]}
		case "minContains":
			s[keyword], s["contains"] = 2, one
		case "type":
			s[keyword] = []any{"array", "object", "integer"}
		default:
			s[keyword] = one
		}
	}
	return s
}

func (r schemaMaker) value(depth int) any {
	switch n := r.IntN(10); {
	case depth > 0 && n < 3:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, r.value(depth-1))
		}
		return list
	case depth > 0 && n < 6:
		object := map[string]any{}
		for range r.IntN(4) {
			object[[]string{"a", "b", "ab", "c"}[r.IntN(4)]] = r.value(depth - 1)
		}
		return object
	}
	return []any{nil, true, "a", "aaa", "2026-01-01", json.Number("1"), json.Number("2.5"), json.Number("1.0")}[r.IntN(8)]
}

// What watches a check changes no answer: it is that of the validator alone.
func TestAWatchedCheckAnswersAsTheValidatorDoes(t *testing.T) {
	r := schemaMaker{rand.New(rand.NewPCG(7, 8))}
	answers := map[bool]int{}
	for range 300 {
		doc := map[string]any{"$defs": map[string]any{"n": r.schema(2)}, "allOf": []any{r.schema(4)}}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		var exact map[string]any
		if err := DecodeStrict(text, &exact); err != nil {
			t.Fatal(err)
		}
		watched, err := compileInputSchema(exact)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		if err := c.AddResource(toolSchemaURL, exact); err != nil {
			t.Fatal(err)
		}
		alone, err := c.Compile(toolSchemaURL)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			args := map[string]any{"a": r.value(4), "b": r.value(3)}
			got, want := watched.run(args, time.Hour), alone.Validate(args)
			if (got == nil) != (want == nil) || got == errTooComplex {
				t.Fatalf("%s\n%v\n%v, want %v", text, args, got, want)
			}
			answers[got == nil]++
		}
	}
	if answers[true] < 60 || answers[false] < 60 {
		t.Errorf("the answers tell little: %v", fmt.Sprint(answers))
	}
}

// For "unevaluated…" the validator makes a list of all members or items for each part that looks at the value, also for one that says only true.
func TestWhatIsNotEvaluatedHasAnEnd(t *testing.T) {
	members, items := map[string]any{}, []any{}
	for i := range 20_000 {
		members[fmt.Sprint("m", i)], items = json.Number("1"), append(items, json.Number("1"))
	}
	parts := func(part any) []any { return slices.Repeat([]any{part}, 400) }
	list := func(schema map[string]any) map[string]any {
		return map[string]any{"properties": map[string]any{"list": schema}}
	}
	for name, tt := range map[string]struct {
		schema, args map[string]any
		want         error
	}{
		"members":            {map[string]any{"unevaluatedProperties": false, "allOf": parts(map[string]any{"required": []any{"m1"}})}, members, errTooComplex},
		"members, only true": {map[string]any{"unevaluatedProperties": false, "allOf": parts(true)}, members, errTooComplex},
		"items":              {list(map[string]any{"unevaluatedItems": false, "allOf": parts(map[string]any{"minItems": json.Number("1")})}), map[string]any{"list": items}, errTooComplex},
		"few parts":          {map[string]any{"unevaluatedProperties": map[string]any{"type": "integer"}, "allOf": parts(true)[:5]}, members, nil},
		"few members": {map[string]any{"unevaluatedProperties": false, "allOf": append(parts(true), map[string]any{"properties": map[string]any{"m": true}})},
			map[string]any{"m": json.Number("1")}, nil},
	} {
		check, err := compileInputSchema(tt.schema)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := check.run(tt.args, 0); got != tt.want {
			t.Errorf("%s: %.200v, want %v", name, got, tt.want)
		}
	}
}
