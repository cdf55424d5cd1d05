package main

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// usualSamples are texts that must be read in one pass; what the repository says of configurations is among them.
var usualSamples = []string{
	"issuer: http://127.0.0.1:8080\nlisten: 127.0.0.1:8080\n",
	"a: b # why\n\n# more\nc:\n  d: \"x # y\"\n  e: 'z'\nf:\n- g\n- h: 1\n  i: -2.5\n  j:\n    - true\n    - {k: l, \"m\":1, o: [p, \"q\", 3, {r: s}]}\n-  t: u\n",
	"list:\n  - {name: \"tools:read\", description: Read}\n  -   far: in\n      more: of it\nend: 10m\n",
	"schema: {type: object,\n  properties: {a: {type: string}},\n  required: [a,\n    b]}\npolicies: ./policy\n",
	"{\"issuer\": \"http://127.0.0.1\", \"resources\": [{\"id\": \"x\"}]}\n",
	"names: [\"é\", \"ü\", z, aé]\nbehind: {\"ä\": 1, \"ö\": 2, x: z}\n",
	"a: What's \"this\"? It's 100 %, & more!\nb: a|b > c * d @ e ` f\nc: [it's, a?, b!]\n",
	"empty: {}\nnone: []\nhash: \"$argon2id$v=19$m=8,t=1,p=1$abc$def\"\n",
}

func trees(text string) (usual, any *node) {
	if usual = usualTree(newSourceText("x.yaml", text)); usual == nil {
		return nil, nil
	}
	r := &report{source: newSourceText("x.yaml", text)}
	any = anyTree(r.source, r)
	if len(r.problems) > 0 {
		any = nil
	}
	return usual, any
}

func show(b *strings.Builder, n *node, indent string) {
	if n == nil {
		b.WriteString(indent + "nothing\n")
		return
	}
	b.WriteString(indent + string(n.kind) + " " + n.text + " " + showPlace(n.at) + "\n")
	for _, p := range n.pairs {
		b.WriteString(indent + "  " + p.key + " " + showPlace(p.at) + "\n")
		show(b, p.value, indent+"    ")
	}
	for _, item := range n.items {
		show(b, item, indent+"  - ")
	}
}

func showPlace(p place) string {
	return "@" + strings.Join([]string{strconv.Itoa(p.line), strconv.Itoa(p.col)}, ":")
}

// sameTrees fails the test unless both readers make the same of a text that is read in one pass.
func sameTrees(t *testing.T, text string) {
	t.Helper()
	usual, any := trees(text)
	if usual == nil || reflect.DeepEqual(usual, any) {
		return
	}
	var a, b strings.Builder
	show(&a, usual, "")
	show(&b, any, "")
	t.Errorf("%q is\n%sand by goccy\n%s", text, a.String(), b.String())
}

// TestUsualConfigurationsAreReadInOnePass, and nothing of them otherwise than goccy reads it.
func TestUsualConfigurationsAreReadInOnePass(t *testing.T) {
	for _, text := range usualSamples {
		if usual, _ := trees(text); usual == nil {
			t.Errorf("not read in one pass:\n%s", text)
		}
		sameTrees(t, text)
	}
}

// Whatever is read in one pass is what goccy's parser makes of it, places included, and never something that is no YAML.
func FuzzUsualTree(f *testing.F) {
	for _, text := range usualSamples {
		f.Add(text)
	}
	f.Add(tenFaults)
	f.Fuzz(func(t *testing.T, text string) { sameTrees(t, text) })
}
