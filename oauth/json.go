package oauth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxJSONDepth       = 32
	maxJSONNumberBytes = 128 // longer ones are no numbers that anyone means, and exact arithmetic on them is expensive
	maxJSONErrorPath   = 100
)

// DecodeStrict decodes one JSON value from outside so that no two programs can read it differently. It refuses repeated
// members and members that differ only by case, bad UTF-8, lone surrogates, the character U+0000, numbers outside the
// range of a float64, text behind the value, and more than 32 levels. Struct fields match by their exact name, unknown
// members are ignored. Numbers in an any are encoding/json.Number, digit for digit. The error says where and what in words
// that may be sent back; it holds no value of the input. v must point to an empty value.
func DecodeStrict(data []byte, v any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("the text is empty; a JSON value is expected")
	}
	plain := plainJSON(data)
	if !plain {
		if err := checkJSON(data); err != nil {
			return plainJSONError(err)
		}
	}
	err := json.Unmarshal(data, v, exactNumbers)
	if err != nil && plain { // the words of the check are for people, and it stops earlier
		if problem := checkJSON(data); problem != nil {
			err = problem
		}
	}
	return plainJSONError(err)
}

// exactNumbers is made once: the decoder keeps in it what it has learned of types.
var exactNumbers = json.WithUnmarshalers(freeValues())

// maxPlainNumber is the length of a number without exponent that is in range whatever its digits are.
const maxPlainNumber = 18

// plainJSON tells whether checkJSON could find nothing in the text that the decoder does not refuse as well: no name that has
// another spelling, no large number, no escaped U+0000, no depth. Most texts are like that, and a look at each byte is cheap. Whether the text is
// JSON is the decoder's to say.
func plainJSON(data []byte) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			end, plain := plainText(data, i+1)
			if i = end; !plain {
				return false
			}
		case c == '{', c == '[':
			if depth++; depth > maxJSONDepth {
				return false
			}
		case c == '}', c == ']':
			depth--
		case c == '-', '0' <= c && c <= '9':
			begin := i
			for i+1 < len(data) && (data[i+1] == '.' || '0' <= data[i+1] && data[i+1] <= '9') {
				i++
			}
			if i-begin >= maxPlainNumber {
				return false
			}
		case c == 'E', c == 'e' && i > 0 && '0' <= data[i-1] && data[i-1] <= '9': // an exponent; true and false have their e elsewhere
			return false
		}
	}
	return true
}

// plainText goes from behind a quote to the one that ends the text. A name, which a colon follows, is plain if it has no other
// spelling; any other text if it has no escapes, or none that could be U+0000.
func plainText(data []byte, i int) (end int, plain bool) {
	name, zero := true, false
	for ; i < len(data) && data[i] != '"'; i++ {
		c := data[i]
		name = name && ' ' <= c && c <= '~' && c != '\\' && (c < 'A' || c > 'Z')
		if c == '\\' {
			if i++; i < len(data) {
				zero = zero || data[i] == 'u'
			}
		}
	}
	next := i + 1
	for next < len(data) && (data[next] == ' ' || data[next] == '\t' || data[next] == '\r' || data[next] == '\n') {
		next++
	}
	isName := next < len(data) && data[next] == ':'
	return i, !zero && (name || !isName)
}

// checkJSON looks at every token of data for what a decoder would let pass.
func checkJSON(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	var names memberNames
	escapedNUL := bytes.Contains(data, []byte(`\u0000`)) // a raw one is a syntax error anyway
	for {
		token, err := d.ReadToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if d.StackDepth() > maxJSONDepth {
			return jsonProblem(d, fmt.Sprintf("nested more than %d levels deep", maxJSONDepth))
		}
		if escapedNUL && token.Kind() == '"' && strings.IndexByte(token.String(), 0) >= 0 {
			return jsonProblem(d, "the character U+0000 is not allowed")
		}
		if problem := names.check(d, token); problem != "" {
			return jsonProblem(d, problem)
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if token, err := d.ReadToken(); err != io.EOF {
		if err != nil {
			return err
		}
		return jsonProblem(d, fmt.Sprintf("text %s stands behind the end of the value", token.Kind()))
	}
	return nil
}

// memberNames holds, per level, the folded names of the members read so far.
type memberNames []map[string]struct{}

// check says what is wrong with the token that d has just read, or "".
func (n *memberNames) check(d *jsontext.Decoder, token jsontext.Token) string {
	depth := d.StackDepth()
	switch token.Kind() {
	case '{', '[':
		for len(*n) <= depth {
			*n = append(*n, nil)
		}
		clear((*n)[depth])
	case '"':
		if kind, count := d.StackIndex(depth); kind == '{' && count%2 == 1 {
			return n.add(depth, token.String())
		}
	case '0':
		return numberProblem(token.String())
	}
	return ""
}

func (n *memberNames) add(depth int, name string) string {
	if (*n)[depth] == nil {
		(*n)[depth] = map[string]struct{}{}
	}
	folded := foldCase(name)
	if _, seen := (*n)[depth][folded]; seen {
		return "another member of the object has the same name in other letter case"
	}
	(*n)[depth][folded] = struct{}{}
	return ""
}

// foldCase gives all spellings that strings.EqualFold takes for equal one form. Plain lower-case names stay as they are.
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		return least
	}, s)
}

// numberProblem refuses what other programs would round to infinity or to zero.
func numberProblem(text string) string {
	if len(text) > maxJSONNumberBytes {
		return fmt.Sprintf("a number may have at most %d characters", maxJSONNumberBytes)
	}
	f, err := strconv.ParseFloat(text, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	if err != nil || math.IsInf(f, 0) || f == 0 && strings.ContainsAny(mantissa, "123456789") {
		return "the number is out of range"
	}
	return ""
}

// jsonError is a fault of the text at a place.
type jsonError struct {
	pointer jsontext.Pointer
	offset  int64
	problem string
}

func (e *jsonError) Error() string {
	if e.pointer == "" {
		return fmt.Sprintf("at byte %d: %s", e.offset, e.problem)
	}
	pointer := CleanText(string(e.pointer), maxJSONErrorPath)
	return fmt.Sprintf("at %s (byte %d): %s", pointer, e.offset, e.problem)
}

func jsonProblem(d *jsontext.Decoder, problem string) error {
	return &jsonError{pointer: d.StackPointer(), offset: d.InputOffset(), problem: problem}
}

// plainJSONError puts the errors of the library into words.
func plainJSONError(err error) error {
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntactic):
		return &jsonError{syntactic.JSONPointer, syntactic.ByteOffset, syntaxProblem(syntactic.Err)}
	case errors.As(err, &semantic):
		problem := fmt.Sprintf("%s is expected, not %s", wantedJSON(semantic.GoType), foundJSON(semantic.JSONKind))
		return &jsonError{semantic.JSONPointer, semantic.ByteOffset, problem}
	}
	return err
}

func syntaxProblem(err error) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "the member stands twice in the object"
	case errors.Is(err, jsontext.ErrNonStringName):
		return "a member's name must be a text in double quotes"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the text ends too early"
	case err == nil:
		return "this is no JSON"
	}
	// The library's words quote the input, so they are not passed on.
	switch words := err.Error(); {
	case strings.Contains(words, "UTF-8"):
		return "the text is not valid UTF-8"
	case strings.Contains(words, "surrogate"):
		return "the text has half of a surrogate pair"
	}
	return "this is no JSON"
}

func wantedJSON(t reflect.Type) string {
	if t == nil {
		return "another value"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number in range"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0 in range"
	case reflect.Float32, reflect.Float64:
		return "a number in range"
	case reflect.Pointer:
		return wantedJSON(t.Elem())
	}
	return "another value"
}

func foundJSON(k jsontext.Kind) string {
	switch k {
	case '"':
		return "this text"
	case '0':
		return "this number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "this value"
}
