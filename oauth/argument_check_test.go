package oauth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/oauth"
)

// catalogueOf has one tool for each input schema, by its name.
func catalogueOf(t *testing.T, schemas map[string]string) (*oauth.Catalogue, *oauth.Resource) {
	t.Helper()
	r := oauth.Resource{ID: demoID, Key: "demo", Name: "Demo"}
	for name, text := range schemas {
		var schema map[string]any
		must(t, oauth.DecodeStrict([]byte(text), &schema))
		must(t, oauth.CheckInputSchema(schema))
		r.Tools = append(r.Tools, oauth.Tool{Name: name, InputSchema: schema})
	}
	c, err := oauth.NewCatalogue([]oauth.Resource{r})
	must(t, err)
	found, _ := c.ResourceByKey("demo")
	return c, found
}

// arguments are {"x": …} of a JSON text.
func arguments(t *testing.T, x string) map[string]any {
	t.Helper()
	var args map[string]any
	must(t, oauth.DecodeStrict([]byte(`{"x":`+x+`}`), &args))
	return args
}

// repeatedJSON is a JSON list of n equal texts.
func repeatedJSON(n int, item string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

// listed is a list of what f makes of 0 to n-1.
func listed(n int, f func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = f(i)
	}
	return strings.Join(items, ",")
}

func schemaOfX(x string) string { return `{"properties":{"x":` + x + `}}` }

// recursive is a schema whose parts refer to the whole of it as R.
func recursive(body string) string {
	return `{"properties":{"x":{"$ref":"#/$defs/n"}},"$defs":{"n":` + strings.ReplaceAll(body, "R", `{"$ref":"#/$defs/n"}`) + `}}`
}

// bombs are tools and arguments within the limits of the decision endpoint whose check takes from minutes to years.
func bombs() map[string][2]string {
	deep := strings.Repeat("[", 28) + "1" + strings.Repeat("]", 28)
	deepObject := strings.Repeat(`{"a":`, 28) + "1" + strings.Repeat("}", 28)
	return map[string][2]string{
		"alternatives that fail late":     {recursive(`{"anyOf":[{"type":"array","items":R},{"type":"array","items":R}]}`), deep},
		"exactly one of equal ones":       {recursive(`{"oneOf":[{"type":"array","items":R},{"type":"array","items":R},{"type":"integer"}]}`), deep},
		"all of equal ones":               {recursive(`{"allOf":[{"items":R},{"items":R}]}`), deep},
		"neither":                         {recursive(`{"not":{"not":{"allOf":[{"items":R},{"items":R}]}}}`), deep},
		"if and then":                     {recursive(`{"if":{"items":R},"then":{"items":R},"else":{"items":R}}`), deep},
		"members":                         {recursive(`{"type":"object","anyOf":[{"properties":{"a":R}},{"additionalProperties":R}]}`), deepObject},
		"members that depend":             {recursive(`{"dependentSchemas":{"a":{"properties":{"a":R}}},"properties":{"a":R}}`), deepObject},
		"members by pattern":              {recursive(`{"patternProperties":{"a":R,"^a":R}}`), deepObject},
		"contained":                       {recursive(`{"type":["array","integer"],"contains":R,"items":R}`), deep},
		"the first ones":                  {recursive(`{"prefixItems":[R],"contains":R}`), deep},
		"an older draft":                  {strings.Replace(recursive(`{"anyOf":[{"type":"array","items":R},{"type":"array","items":R}]}`), "{", `{"$schema":"http://json-schema.org/draft-07/schema#",`, 1), deep},
		"a schema with a name":            {strings.Replace(recursive(`{"allOf":[{"items":R},{"items":R}]}`), "{", `{"$id":"https://schema.example/s",`, 1), deep},
		"a part with a name":              {`{"properties":{"x":{"$ref":"https://schema.example/n"}},"$defs":{"n":{"$id":"https://schema.example/n","allOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"n"}}]}}}`, deep},
		"a place with a name":             {`{"properties":{"x":{"$ref":"#n"}},"$defs":{"n":{"$anchor":"n","allOf":[{"items":{"$ref":"#n"}},{"items":{"$ref":"#n"}}]}}}`, deep},
		"a long list of constants":        {schemaOfX(`{"items":{"enum":[` + listed(3000, func(i int) string { return fmt.Sprintf(`{"a":[1,2,3,%d]}`, i) }) + `]}}`), repeatedJSON(12000, `{"a":[1,2,3,-1]}`)},
		"a pattern with many ways":        {schemaOfX(`{"pattern":"(a?){900}(b?){900}c$"}`), `"` + strings.Repeat("ab", 120<<10) + `"`},
		"many patterns for many names":    {schemaOfX(`{"patternProperties":{` + listed(500, func(i int) string { return fmt.Sprintf(`"^(x|y)+%d$":true`, i) }) + `}}`), `{` + listed(12000, func(i int) string { return fmt.Sprintf(`"xyxyxyxyxy%d":1`, i) }) + `}`},
		"many alternatives of many items": {schemaOfX(`{"items":{"anyOf":[` + listed(300, func(i int) string { return fmt.Sprintf(`{"minimum":%d}`, i+10) }) + `]}}`), repeatedJSON(60000, "1")},
	}
}

// G4: arguments can be made so that a schema takes for ever to check them, most of all one that refers to itself. Such a call is refused, and
// the calls beside it are checked.
func TestArgumentsThatTakeForEverAreRefused(t *testing.T) {
	all := bombs()
	schemas := map[string]string{}
	for name, bomb := range all {
		schemas[name] = bomb[0]
	}
	c, r := catalogueOf(t, schemas)
	for name, bomb := range all {
		t.Run(name, func(t *testing.T) {
			args := arguments(t, bomb[1])
			done := make(chan error, 1)
			go func() {
				_, err := c.CheckArguments(r, name, args, 0)
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil {
					t.Error("the arguments are good")
				}
			case <-time.After(time.Minute): // not how fast it is, but whether it ends
				t.Fatal("the check does not end")
			}
		})
	}
}

// A reference whose aim moves cannot be watched, so a schema that has one is refused when it is registered.
func TestReferencesThatMoveAreNotSupported(t *testing.T) {
	for _, text := range []string{`{"$dynamicAnchor":"n","properties":{"x":{"items":{"$dynamicRef":"#n"}}}}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"allOf":[{"items":{"$recursiveRef":"#"}}]}`} {
		var schema map[string]any
		must(t, oauth.DecodeStrict([]byte(text), &schema))
		if err := oauth.CheckInputSchema(schema); err == nil || !strings.Contains(err.Error(), "$ref") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The bound is on what nobody sends: long and deep arguments of usual schemas are checked, by many at the same time.
func TestLargeArgumentsAreChecked(t *testing.T) {
	const tree = `{"type":"object","additionalProperties":false,"required":["op"],"properties":{"op":{"type":"string"},"of":{"type":"array","items":R}}}`
	nested := `{"op":"leaf"}`
	for range 13 {
		nested = `{"op":"and","of":[` + nested + `,{"op":"leaf"}]}`
	}
	schemas := map[string]string{
		"numbers":  schemaOfX(`{"type":"array","items":{"type":"integer","minimum":0,"maximum":9}}`),
		"distinct": schemaOfX(`{"type":"array","uniqueItems":true,"items":{"type":"integer"}}`),
		"text":     schemaOfX(`{"type":"string","maxLength":300000,"pattern":"^[a-z ]+$"}`),
		"choices":  schemaOfX(`{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"integer"},{"type":"null"}]}}`),
		"records":  schemaOfX(`{"type":"array","items":{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},"kind":{"enum":["a","b","c"]},"at":{"type":"string","format":"date"}}}}`),
		"tree":     recursive(tree),
	}
	c, r := catalogueOf(t, schemas)
	var wait sync.WaitGroup
	for name, x := range map[string][2]string{
		"numbers":  {repeatedJSON(60000, "7"), repeatedJSON(60000, "17")},
		"distinct": {"[" + listed(20000, func(i int) string { return fmt.Sprint(i) }) + "]", repeatedJSON(20000, "1")},
		"text":     {`"` + strings.Repeat("ab ", 80<<10) + `"`, `"` + strings.Repeat("ab ", 80<<10) + `!"`},
		"choices":  {repeatedJSON(60000, "null"), repeatedJSON(20000, "true")},
		"records":  {repeatedJSON(5000, `{"id":1,"kind":"c","at":"2026-01-01"}`), repeatedJSON(5000, `{"kind":"d"}`)},
		"tree":     {nested, strings.Replace(nested, `{"op":"leaf"}`, `{"po":"leaf"}`, 1)},
	} {
		good, bad := arguments(t, x[0]), arguments(t, x[1])
		for range 4 {
			wait.Go(func() {
				if checked, err := c.CheckArguments(r, name, good, 0); !checked || err != nil {
					t.Errorf("%s: good arguments: %v, %.300v", name, checked, err)
				}
				if _, err := c.CheckArguments(r, name, bad, 0); err == nil {
					t.Errorf("%s: bad arguments are taken", name)
				}
			})
		}
	}
	wait.Wait()
}

// A check ends when its time is over, however good the arguments are; a short one does not look at the clock.
func TestAChecksTimeHasAnEnd(t *testing.T) {
	c, r := catalogueOf(t, map[string]string{"n": schemaOfX(`{"type":"array","items":{"type":"integer"}}`)})
	for text, good := range map[string]bool{"[1,2,3]": true, repeatedJSON(60000, "7"): false} {
		if _, err := c.CheckArguments(r, "n", arguments(t, text), time.Nanosecond); (err == nil) != good {
			t.Errorf("%.20s: %v", text, err)
		}
	}
}

// A number of a few characters is no long computation.
func TestNumbersWithExponents(t *testing.T) {
	c, r := catalogueOf(t, map[string]string{"n": schemaOfX(`{"items":{"type":"integer","multipleOf":1,"enum":[0,1]}}`)})
	for text, good := range map[string]bool{"0e999999999": true, "1e308": false, "1e-300": false} {
		if _, err := c.CheckArguments(r, "n", map[string]any{"x": []any{json.Number(text)}}, 0); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
