package oauth

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeStrictRefusesWhatTwoProgramsWouldReadDifferently(t *testing.T) {
	for _, row := range []struct{ name, text, says string }{
		{"empty", "", "empty"},
		{"blanks only", " \n", "empty"},
		{"repeated member", `{"a":1,"a":2}`, "at /a (byte 7): the member stands twice"},
		{"repeated by escape", `{"a":1,"\u0061":2}`, "twice"},
		{"repeated deep inside", `{"x":[{"a":1,"a":2}]}`, "at /x/0/a"},
		{"other case", `{"tool":"read","Tool":"delete"}`, "at /Tool"},
		{"other case deep inside", `{"x":{"name":1,"NAME":2}}`, "at /x/NAME"},
		{"other case through the Kelvin sign", `{"k":1,"` + "\u212a" + `":2}`, "letter case"},
		{"other case through the long s", `{"s":1,"` + "\u017f" + `":2}`, "letter case"},
		{"bad UTF-8 in a text", "{\"a\":\"\xff\"}", "UTF-8"},
		{"bad UTF-8 in a name", "{\"\xc3\":1}", "UTF-8"},
		{"lone high surrogate", `{"a":"\ud800"}`, "surrogate"},
		{"lone low surrogate", `{"a":"\udc00x"}`, "surrogate"},
		{"NUL in a text", `{"a":"x\u0000y"}`, "U+0000"},
		{"NUL in a name", `{"a\u0000":1}`, "U+0000"},
		{"NUL in a deep name", `{"x":[{"\\\u0000":1}]}`, "U+0000"},
		{"raw NUL", "{\"a\":\"\x00\"}", "no JSON"},
		{"byte order mark", "\ufeff{}", "no JSON"},
		{"second value", `{}{}`, "behind the end"},
		{"second number", `1 2`, "behind the end"},
		{"garbage behind", `{} x`, "no JSON"},
		{"NUL behind", "{}\x00", "no JSON"},
		{"cut short", `{"a":`, "too early"},
		{"comment", `{"a":1/*x*/}`, "no JSON"},
		{"trailing comma", `{"a":1,}`, "no JSON"},
		{"single quotes", `{'a':1}`, "no JSON"},
		{"name without quotes", `{a:1}`, "no JSON"},
		{"number as a name", `{1:1}`, "name must be a text"},
		{"NaN", `{"a":NaN}`, "no JSON"},
		{"leading zero", `{"a":01}`, "no JSON"},
		{"plus sign", `{"a":+1}`, "no JSON"},
		{"infinite number", `{"a":1e400}`, "out of range"},
		{"negative infinite number", `{"a":-1e400}`, "out of range"},
		{"number that becomes zero", `{"a":1e-400}`, "out of range"},
		{"absurd exponent", `{"a":1e999999999}`, "out of range"},
		{"endless digits", `{"a":0.` + strings.Repeat("1", 200) + `}`, "at most 128"},
		{"33 lists", strings.Repeat("[", 33) + strings.Repeat("]", 33), "32 levels"},
		{"33 objects", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), "32 levels"},
		{"a million lists", strings.Repeat("[", 1000000), "32 levels"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var v any
			err := DecodeStrict([]byte(row.text), &v)
			if err == nil {
				t.Fatalf("accepted as %v", v)
			}
			if !strings.Contains(err.Error(), row.says) || len(err.Error()) > 300 {
				t.Errorf("says %q, want something with %q", err, row.says)
			}
		})
	}
}

// TestPlainTextsAreCheckedByTheDecoder: where the tokens are not looked at one by one, the decoder refuses all the same, also in members
// that it skips.
func TestPlainTextsAreCheckedByTheDecoder(t *testing.T) {
	for text, plain := range map[string]bool{
		`{"action":{"name":"x"},"other":{"a":1,"a":2}}`: true, `{"other":[{"a":{"b":1,"b":1}}]}`: true, `{"action":{"name":"x"}}x`: true, `{"action":{"name":"x"}}{}`: true,
		"{\"other\":\"\xff\"}": true, `{"other":01}`: true, `{"other":1.}`: true, `{"other":-}`: true, `{"other":tru}`: true, `{"other":{"a" 1}}`: true, `{"a":1,}`: true, `{"other":"\q"}`: true,
		`{"other":{"a":1,"A":2}}`: false, `{"other":{"k":1,"` + "\u212a" + `":2}}`: false, `{"other":{"a":1,"\u0061":2}}`: false, `{"other":1e400}`: false, `{"other":1E400}`: false, `{"other":"\u0000"}`: false,
		`{"other":"\\\u0000"}`: false, `{"other":{"x\"y":1,"X\"y":1}}`: false, `{"a" : 1, "A"
: 2}`: false, `{"other":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`: false, `{"other":"\ud800"}`: false,
		`{"other":0.` + strings.Repeat("0", 200) + `1}`: false,
	} {
		if got := plainJSON([]byte(text)); got != plain {
			t.Errorf("%s: plain %v", text, got)
		}
		var r EvaluationRequest
		if err := DecodeStrict([]byte(text), &r); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func TestDecodeStrictKeepsValuesExactly(t *testing.T) {
	var v any
	text := `{"amount": 12345678901234567890.10, "list":[1e2, -0, null, true, "é😀"], "deep":{"Name":{"name":9007199254740993}}}`
	if err := DecodeStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"amount": json.Number("12345678901234567890.10"),
		"list":   []any{json.Number("1e2"), json.Number("-0"), nil, true, "é😀"},
		"deep":   map[string]any{"Name": map[string]any{"name": json.Number("9007199254740993")}},
	}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got %#v", v)
	}
	var lists any
	if err := DecodeStrict([]byte(strings.Repeat("[", 32)+strings.Repeat("]", 32)), &lists); err != nil {
		t.Errorf("32 levels: %v", err)
	}
}

func TestDecodeStrictMatchesFieldsByExactName(t *testing.T) {
	var r EvaluationRequest
	text := `{"Subject":{"type":"x"},"action":{"name":"tools/call","NOTE":1},"resource":{"type":"tool","id":"t","properties":{"arguments":{"n":0.10}}},"extra":[{}]}`
	if err := DecodeStrict([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if r.Subject != nil || r.Action == nil || r.Action.Name != "tools/call" {
		t.Errorf("got %+v", r)
	}
	if n := r.Resource.Properties["arguments"].(map[string]any)["n"]; n != json.Number("0.10") {
		t.Errorf("n is %#v", n)
	}
}

func TestDecodeStrictNamesTheWrongType(t *testing.T) {
	for _, row := range []struct{ text, says string }{
		{`[]`, "an object is expected, not a list"},
		{`"x"`, "an object is expected, not this text"},
		{`{"redirect_uris":"https://x.example/"}`, "at /redirect_uris (byte 17): a list is expected, not this text"},
		{`{"redirect_uris":[1]}`, "at /redirect_uris/0 (byte 18): a text is expected, not this number"},
		{`{"client_name":{"a":"b"}}`, "at /client_name (byte 15): a text is expected, not an object"},
		{`{"client_name":["secret"]}`, "a text is expected, not a list"},
	} {
		var m ClientMetadata
		err := DecodeStrict([]byte(row.text), &m)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", row.text, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error holds a value: %v", err)
		}
	}
}

func FuzzFoldCase(f *testing.F) {
	f.Add("Kk\u212a", "kK\u212a")
	f.Add("\u017fS", "sS")
	f.Add("ΣσςΑ", "σςΣα")
	f.Fuzz(func(t *testing.T, a, b string) {
		if utf8.ValidString(a) && utf8.ValidString(b) && strings.EqualFold(a, b) != (foldCase(a) == foldCase(b)) {
			t.Errorf("%q and %q: EqualFold %v, folded %q and %q", a, b, strings.EqualFold(a, b), foldCase(a), foldCase(b))
		}
	})
}

// G8: what DecodeStrict accepts means the same to the standard library, the loosest reader around.
func FuzzDecodeStrict(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"A":2}`, `{"method":"tools/call","METHOD":"tools/list"}`, `[1e400]`, `{"a":"\ud800\udc00"}`, "\"\xff\"", `{}{}`,
		`{"list":[1,-0.0,1e2,null,true,"é"],"deep":{"x":{}}}`, ` 1 `, "\"\\u0000\"", `"` + "\u212a" + `"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want any
		if DecodeStrict(data, &got) != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("accepted %q, the standard library says %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v here and %#v there", data, got, want)
		}
		if a, b := namesThatAreOne(got); a != b {
			t.Errorf("%q has the members %q and %q", data, a, b)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := DecodeStrict(again, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q does not survive: %v", data, err)
		}
	})
}

// namesThatAreOne are two member names of one object that some programs take for one, or two empty texts.
func namesThatAreOne(v any) (string, string) {
	switch v := v.(type) {
	case map[string]any:
		for a, member := range v {
			for b := range v {
				if a != b && strings.EqualFold(a, b) {
					return a, b
				}
			}
			if a, b := namesThatAreOne(member); a != b {
				return a, b
			}
		}
	case []any:
		for _, element := range v {
			if a, b := namesThatAreOne(element); a != b {
				return a, b
			}
		}
	}
	return "", ""
}

// What is taken for plain would pass the check of every token, if the decoder takes it at all, into an any or a struct.
func FuzzPlainJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1,"A":2}`, `{"a":"\u0000"}`, `[1e400,12345678901234567890]`, `{"subject":{"type":"x","type":"y"}}`, `{"a\"":1}`, `{"x":{"a":1,"a":2}}`, `"a" : `, `-0.e5`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		var r EvaluationRequest
		if !plainJSON(data) || DecodeStrict(data, &v) != nil && DecodeStrict(data, &r) != nil {
			return
		}
		if err := checkJSON(data); err != nil {
			t.Errorf("%q was accepted: %v", data, err)
		}
	})
}

func BenchmarkDecodeStrict(b *testing.B) {
	text := []byte(`{"subject":{"type":"identity","id":"alice"},"action":{"name":"tools/call"},"resource":{"type":"tool","id":"transfer",` +
		`"properties":{"arguments":{"amount":5000,"to":"DE89370400440532013000","note":"rent"}}},"context":{"access_token":"` + strings.Repeat("x", 700) + `"}}`)
	b.ReportAllocs()
	for b.Loop() {
		var r EvaluationRequest
		if err := DecodeStrict(text, &r); err != nil {
			b.Fatal(err)
		}
	}
}
