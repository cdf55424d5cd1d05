package oauth

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// oddTexts are texts in which encoders differ.
func oddTexts() []string {
	return []string{"", "plain", `"quoted" \ <b>&amp;</b>`, "a\tb\nc\x00\x1f\x7f", "é€😀", "\u2028\u2029", "\xff\xc3", strings.Repeat("long ", 50), "\ufffd", "\b\f\r"}
}

func marshalled(t *testing.T, v any, escapeHTML bool) string {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(escapeHTML)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func TestAppendedTextIsThatOfEncodingJSON(t *testing.T) {
	for _, text := range oddTexts() {
		for _, escape := range []bool{true, false} {
			if got, want := string(AppendJSONText([]byte("x"), text, escape)), "x"+marshalled(t, text, escape); got != want {
				t.Errorf("%q: %s, want %s", text, got, want)
			}
		}
	}
}

func TestAppendedArgumentsAreThoseOfEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	texts := oddTexts()
	for range 2000 {
		v := map[string]any{texts[r.IntN(len(texts))]: texts[r.IntN(len(texts))], "more": randomArgument(r, 4), "Z": randomArgument(r, 2), "odd": 3}
		if got, want := string(appendJSON(nil, v)), marshalled(t, v, true); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

// Every member is absent, empty and filled in turn, and with odd texts.
func TestAppendedAnswersAreThoseOfEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	texts := oddTexts()
	text := func() string { return texts[r.IntN(len(texts))] }
	list := func() []string { return [][]string{nil, {}, {text()}, {text(), text()}}[r.IntN(4)] }
	number := func() int64 { return []int64{0, 1, -1, 1 << 60}[r.IntN(4)] }
	for range 5000 {
		a := EvaluationResponse{Decision: r.IntN(2) == 0, Context: EvaluationContext{EvaluationID: text(), EvaluatedAt: time.Unix(number(), number()%1000).UTC(), Reason: text(),
			ReasonUser: text(), RequiredScopes: list(), MissingScopes: list(), ACRValues: text(), MaxAge: number(), TTLSeconds: number(), PolicyRevision: text(), Rules: list(),
			Subject: text(), Scope: text(), Tools: list()}}
		if a.Context.EvaluatedAt.Year() > 9999 {
			a.Context.EvaluatedAt = time.Time{}
		}
		if r.IntN(3) == 0 {
			a.Context.Challenge = &Challenge{Status: 401, WWWAuthenticate: text()}
			a.Context.WouldFlip = []WouldFlip{{Package: text(), WouldBe: text()}}
			a.Context.Obligations = []Obligation{{ID: text(), Type: text(), Properties: []map[string]any{nil, {}, {"a": text()}}[r.IntN(3)]}}
		}
		got, err := a.AppendJSON(nil)
		if want := marshalled(t, a, false); err != nil || string(got) != want {
			t.Fatalf("%v %s, want %s", err, got, want)
		}
	}
	if n := reflect.TypeFor[EvaluationContext]().NumField(); n != 17 {
		t.Errorf("the answer has %d members; appendJSON and this test know 17", n)
	}
	unwritable := EvaluationResponse{Context: EvaluationContext{Obligations: []Obligation{{Properties: map[string]any{"f": func() {}}}}}}
	if _, err := unwritable.AppendJSON(nil); err == nil {
		t.Error("an answer that cannot be written is no error")
	}
}
