package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// words are terms that almost every input repeats: member names, methods, kinds. They are made once and never
// changed.
type words struct {
	terms map[string]*ast.Term
	hints map[[4]bool]*ast.Term // all annotations that there can be
}

func newWords() *words {
	w := &words{terms: map[string]*ast.Term{}, hints: map[[4]bool]*ast.Term{}}
	for word := range strings.FieldsSeq(`1 version id stage grant_type subject actor actors client token action resource
		tool mcp context requested prior authn type username groups properties registration host name trusted redirect_uris
		auth_methods grant_types scopes client_uri software_id server server_id arguments title annotations readOnlyHint
		destructiveHint idempotentHint openWorldHint schema_checked method protocol_version session_id uri prompt task_id time
		unix_time ip user_agent request_id issued_at expires_at auth_time acr amr offline acr_values max_age
		granted_scopes consented_scopes user service identity mcp_server static dcr cimd authorization_code refresh_token
		client_credentials tools/call tools/list resources/read prompts/get authorize refresh probe register url document`) {
		w.terms[word] = ast.StringTerm(word)
	}
	for i := range 16 {
		h := [4]bool{i&1 > 0, i&2 > 0, i&4 > 0, i&8 > 0}
		o := w.object(4)
		o.hints(h)
		w.hints[h] = o.term()
	}
	return w
}

func (o *object) hints(h [4]bool) {
	o.bool("readOnlyHint", h[0])
	o.bool("destructiveHint", h[1])
	o.bool("idempotentHint", h[2])
	o.bool("openWorldHint", h[3])
}

func (w *words) term(text string) *ast.Term {
	if t, known := w.terms[text]; known {
		return t
	}
	return ast.StringTerm(text)
}

// object begins a document of about n members, for an evaluation.
func (w *words) object(n int) object { return object{words: w, pairs: make([][2]*ast.Term, 0, n)} }

// wanted begins a document for rules that can read no more than the paths of a tree. The rest is left out: making it costs more
// than evaluating an ordinary rule.
func (w *words) wanted(tree *inputTree) object {
	return object{words: w, want: tree, pruned: !tree.whole, pairs: make([][2]*ast.Term, 0, 12)}
}

// object collects the members of one object. What is not known is left out: an absent fact makes a condition
// fail, while null would compare (null < 0 is true in Rego). An object makes OPA terms; with a sieve it writes
// the wanted ones of its members into a key (sieve.go), with a page all of them as JSON for a record (record_page.go). So
// input.go is the only description of all three.
type object struct {
	words *words
	name  string // in its parent
	pairs [][2]*ast.Term

	sieve  *sieve     // nil: make terms
	want   *inputTree // what the sieve, or a pruned document, wants of this object; nil = nothing
	pruned bool       // make terms of what is wanted only
	from   int        // where this object begins in the bytes of the sieve or page, with its name,
	begun  int        // and without

	page  *page     // nil: make terms or a key
	masks *maskNode // what the page keeps back of this object; nil = nothing
	muted bool      // the page holds nothing of this object
}

func (o *object) set(key string, value *ast.Term) {
	o.pairs = append(o.pairs, [2]*ast.Term{o.words.term(key), value})
}

// skips tells whether a document is made in which nobody looks at the member.
func (o *object) skips(key string) bool { return o.pruned && !o.want.takes(key) }

// text leaves "" out.
func (o *object) text(key, value string) {
	switch {
	case value == "", o.skips(key):
	case o.page != nil:
		o.pageText(key, value)
	case o.sieve == nil:
		o.set(key, o.words.term(value))
	case o.taken(key) != nil:
		o.sieve.text(value)
	}
}

// list writes an empty list for nil: there are none, and that is known.
func (o *object) list(key string, values []string) {
	switch {
	case o.skips(key):
		return
	case o.page != nil:
		o.pageList(key, values)
		return
	case o.sieve != nil:
		if o.taken(key) != nil {
			o.sieve.texts(values)
		}
		return
	}
	terms := make([]*ast.Term, len(values))
	for i, v := range values {
		terms[i] = o.words.term(v)
	}
	o.set(key, ast.ArrayTerm(terms...))
}

// listIfAny leaves an empty list out: nothing is known.
func (o *object) listIfAny(key string, values []string) {
	if len(values) > 0 {
		o.list(key, values)
	}
}

func (o *object) bool(key string, value bool) {
	switch {
	case o.skips(key):
	case o.page != nil:
		o.pageValue(key, value)
	case o.sieve == nil:
		o.set(key, ast.InternedTerm(value))
	case o.taken(key) != nil:
		o.sieve.bool(value)
	}
}

func (o *object) number(key string, value int64) {
	switch {
	case o.skips(key):
	case o.page != nil:
		o.pageValue(key, value)
	case o.sieve == nil:
		o.set(key, ast.NumberTerm(json.Number(strconv.FormatInt(value, 10))))
	case o.taken(key) != nil:
		o.sieve.integer(value)
	}
}

// time writes Unix seconds and leaves the zero time out.
func (o *object) time(key string, t time.Time) {
	if !t.IsZero() {
		o.number(key, t.Unix())
	}
}

// free writes an object from outside and leaves nil out.
func (o *object) free(key string, value map[string]any) error {
	if value == nil {
		return nil
	}
	if o.page != nil {
		if err := (&sieve{}).check(value, 0); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		o.pageValue(key, value)
		return nil
	}
	if o.sieve != nil {
		if err := o.sift(key, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	}
	t, err := o.termOf(key, value)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if t != nil {
		o.set(key, t)
	}
	return nil
}

// termOf makes what is wanted of a value from outside, nil = nothing. What would be refused elsewhere in the value is refused all the
// same.
func (o *object) termOf(key string, value map[string]any) (*ast.Term, error) {
	if !o.pruned || o.want.takesWhole(key) {
		return termOf(value, 0)
	}
	if err := (&sieve{}).check(value, 0); err != nil || o.skips(key) {
		return nil, err
	}
	return parts(value, o.want.below[key])
}

// parts is what a tree takes of an object.
func parts(value map[string]any, tree *inputTree) (*ast.Term, error) {
	pairs := make([][2]*ast.Term, 0, len(tree.keys))
	for _, key := range tree.keys {
		member, has := value[key]
		if !has {
			continue
		}
		var t *ast.Term
		var err error
		if next := tree.below[key]; next.whole {
			t, err = termOf(member, 0)
		} else if object, ok := member.(map[string]any); ok { // else there is nothing at the path
			t, err = parts(object, next)
		}
		if err != nil {
			return nil, err
		}
		if t != nil {
			pairs = append(pairs, [2]*ast.Term{ast.StringTerm(key), t})
		}
	}
	return ast.ObjectTerm(pairs...), nil
}

// child begins an object of about n members in this one; close ends it.
func (o *object) child(key string, n int) object {
	if o.page != nil {
		return o.pageChild(key)
	}
	if o.sieve != nil {
		return o.sieveChild(key)
	}
	child := object{words: o.words, name: key}
	switch {
	case o.skips(key):
		child.pruned = true
		return child
	case o.pruned && !o.want.takesWhole(key):
		child.pruned, child.want = true, o.want.below[key]
		n = min(n, len(child.want.keys))
	}
	child.pairs = make([][2]*ast.Term, 0, n)
	return child
}

// needs tells whether anybody looks at a member, where making its value takes time.
func (o *object) needs(key string) bool {
	return o.sieve == nil && !o.muted && !o.pruned || o.want.takes(key)
}

// close ends a child. An empty one is left out.
func (o *object) close(child object) {
	switch {
	case o.page != nil:
		child.pageClose()
	case o.sieve != nil:
		child.sieveClose()
	case len(child.pairs) > 0:
		o.set(child.name, child.term())
	}
}

func (o *object) term() *ast.Term  { return ast.ObjectTerm(o.pairs...) }
func (o *object) value() ast.Value { return ast.NewObject(o.pairs...) }

// Bounds of values from outside. The decision endpoint bounds the whole request before.
const (
	maxDepth        = 32
	maxNumberLength = 400 // digits, sign, point and exponent
	maxExponent     = 400
)

// termOf turns a decoded value into a term, without JSON between: numbers stay as they were written.
func termOf(v any, depth int) (*ast.Term, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return ast.NullTerm(), nil
	case bool:
		return ast.InternedTerm(v), nil
	case string:
		return ast.StringTerm(v), nil
	case json.Number:
		return ast.NumberTerm(v), checkNumber(v)
	case map[string]any:
		pairs := make([][2]*ast.Term, 0, len(v))
		for key, member := range v {
			t, err := termOf(member, depth+1)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, [2]*ast.Term{ast.StringTerm(key), t})
		}
		return ast.ObjectTerm(pairs...), nil
	case []any:
		terms := make([]*ast.Term, len(v))
		for i, element := range v {
			t, err := termOf(element, depth+1)
			if err != nil {
				return nil, err
			}
			terms[i] = t
		}
		return ast.ArrayTerm(terms...), nil
	}
	return nil, fmt.Errorf("a value of type %T cannot be decided on; numbers must be json.Number", v)
}

// checkNumber bounds a number: comparing 1e999999999 exactly would take gigabytes.
func checkNumber(n json.Number) error {
	text := string(n)
	if len(text) > maxNumberLength {
		return errors.New("a number is too long")
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e > maxExponent || e < -maxExponent {
			return errors.New("a number is out of range")
		}
	}
	if !json.Valid([]byte(text)) {
		return errors.New("a number is malformed")
	}
	return nil
}
