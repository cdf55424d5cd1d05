package policies

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"portcullis/oauth"
)

// activations collects what an engine puts in force.
func activations(to *[]Activation) func(context.Context, Activation) error {
	return func(_ context.Context, a Activation) error { *to = append(*to, a); return nil }
}

func TestAGenerationIsMadeAgainFromItsDocument(t *testing.T) {
	for dir, defaults := range map[string]bool{demoDir(t): true, dirWith(t, map[string]string{"a.rego": "package policy.tools.a\n\nallow if input.tool.name\n"}): false} {
		var seen []Activation
		e := engineFrom(t, Config{Dir: dir, Defaults: defaults, Catalogue: []*oauth.Resource{demoResource()}, Activate: activations(&seen)})
		g := e.current.Load()
		if len(seen) != 1 || seen[0].Revision != g.revision || seen[0].Files != g.files || seen[0].Tests != g.tests {
			t.Fatalf("%+v", seen)
		}
		s, err := openStored(g.revision, seen[0].Document)
		if err != nil {
			t.Fatal(err)
		}
		again, err := load(context.Background(), s, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if again.revision != g.revision || again.catalogue != g.catalogue || fmt.Sprint(again.places) != fmt.Sprint(g.places) {
			t.Errorf("it is another one: %+v", again)
		}
		other := &Engine{deadline: e.deadline, log: e.log, words: e.words, slots: e.slots}
		other.current.Store(again)
		for _, v := range []oauth.Evaluation{call("transfer", nil, "tools:payments.transfer"), call("get_weather", nil, "tools:weather.read"), call("get_weather", nil)} {
			if a, b := decide(t, e, v), decide(t, other, v); fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
				t.Errorf("then %+v\nnow  %+v", a, b)
			}
		}
	}
}

func TestADocumentThatDoesNotMakeUpItsRevisionIsRefused(t *testing.T) {
	var seen []Activation
	engineFrom(t, Config{Dir: demoDir(t), Defaults: true, Catalogue: []*oauth.Resource{demoResource()}, Activate: activations(&seen)})
	plain := unpacked(t, seen[0].Document)
	for name, tc := range map[string]struct{ revision, document, want string }{
		"another revision":               {"0123456789abcdef", plain, "make up revision"},
		"a changed file":                 {seen[0].Revision, strings.Replace(plain, `"data":"`, `"data":"IyB4`, 1), "damaged"},
		"a file less":                    {seen[0].Revision, strings.Replace(plain, `"path":"config.yaml"`, `"path":"x/config.yaml"`, 1), "make up revision"},
		"no JSON":                        {seen[0].Revision, "{", "damaged"},
		"a newer form":                   {seen[0].Revision, strings.Replace(plain, `"v":1`, `"v":2`, 1), "the form 2"},
		"a shipped file of the author's": {seen[0].Revision, strings.Replace(plain, `"shipped":true,`, ``, 1), "damaged"},
	} {
		if tc.document == plain && tc.revision == seen[0].Revision {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := openStored(tc.revision, packed(t, tc.document)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := openStored(seen[0].Revision, seen[0].Document[:40]); err == nil {
		t.Error("half a document")
	}
}

func unpacked(t *testing.T, document []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
