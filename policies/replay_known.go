package policies

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// knowledge is what the digests in records tell of masked values without anybody having the values: which of the texts
// that the policies themselves hold it is, or that it is none of them. Two equal values have equal digests.
type knowledge struct {
	digests *digests
	texts   map[string]string // by digest: the texts in the policies and in data.config
}

// maxTexts bounds how many texts are tried.
const maxTexts = 100_000

func (a *reenactment) knowledge(key []byte) *knowledge {
	k := &knowledge{digests: newDigests(key), texts: map[string]string{}}
	add := func(text string) {
		if len(k.texts) < maxTexts {
			k.texts[k.of(text)] = text
		}
	}
	for _, m := range a.compiler.Modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if text, ok := t.Value.(ast.String); ok {
				add(string(text))
			}
			return false
		})
	}
	eachText(a.program.config, add)
	return k
}

func (k *knowledge) of(v any) string { return string(k.digests.append(nil, v, nil)) }

func eachText(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case map[string]any:
		for key, member := range v {
			visit(key)
			eachText(member, visit)
		}
	case []any:
		for _, element := range v {
			eachText(element, visit)
		}
	}
}

// fill gives the input with what is known at its masked places, and the places that the rules can read and nobody knows.
func (k *knowledge) fill(r *recorded, d dependencies) (input map[string]any, missing []hiddenPlace) {
	input = r.input
	for _, h := range r.hiddenFrom(d.paths) {
		value, ok := k.value(h, d.tested)
		if !ok {
			missing = append(missing, h)
			continue
		}
		input = withValue(input, h.path, value)
	}
	return input, missing
}

// value is the value at a masked place, or one that the rules cannot tell from it. A number is never known: the digest does not
// keep how it was written, and rules can print it.
func (k *knowledge) value(h hiddenPlace, tested map[string][]test) (value any, ok bool) {
	if h.why != "masked" {
		return nil, false
	}
	switch h.kind {
	case "null":
		return nil, true
	case "boolean":
		for _, b := range []bool{true, false} {
			if h.digest == k.of(b) {
				return b, true
			}
		}
		return nil, false
	case "string":
	default:
		return nil, false
	}
	if text, found := k.texts[h.digest]; found {
		return text, true
	}
	tests, only := tested[h.path.String()]
	if !only {
		return nil, false
	}
	for _, t := range tests {
		if t.op != ast.Equality.Name || h.digest == k.of(t.with) {
			return nil, false
		}
	}
	other := "some other text"
	for slices.ContainsFunc(tests, func(t test) bool { return t.with == other }) {
		other += "."
	}
	return other, true
}

// withValue is a copy of a document with another value at a path that is there.
func withValue(document map[string]any, path inputPath, value any) map[string]any {
	c := maps.Clone(document)
	if len(path) == 1 {
		c[path[0]] = value
		return c
	}
	below, _ := document[path[0]].(map[string]any)
	c[path[0]] = withValue(below, path[1:], value)
	return c
}
