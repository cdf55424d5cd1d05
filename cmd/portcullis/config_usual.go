package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// usualTree reads what nearly every configuration is written in: mappings and lists by indentation, {…} and […], quoted and plain text of
// one line, whole and decimal numbers, true and false, comments. It is nil for everything else, faults too: then goccy's parser reads the
// text, and says what is wrong with it. A catalogue of a thousand tools takes that parser half of a start. Both make the same tree of
// what this one takes: FuzzUsualTree.
func usualTree(source *sourceText) *node {
	if strings.ContainsAny(source.text, "\t\r") || strings.Contains(source.text, " \n") || strings.HasSuffix(source.text, " ") || !utf8.ValidString(source.text) {
		return nil
	}
	u := &usual{ascii: isASCII(source.text), lines: usefulLines(source.lines)}
	if len(u.lines) == 0 || u.lines[0].indent > 0 {
		return nil
	}
	root := u.block(0)
	if u.odd || u.at < len(u.lines) || root.kind != kindMapping {
		return nil
	}
	return root
}

// usual is how far a text was read.
type usual struct {
	ascii bool // a column is a byte
	lines []usualLine
	at    int  // the line that is read
	from  int  // where in it
	depth int  // of collections
	odd   bool // something was met that is not usual: what was read is worth nothing
}

// usualLine is one line with something on it.
type usualLine struct {
	number int // from 1
	indent int
	text   string // the whole line; no blank is at its end
}

const maxUsualDepth = 64

func usefulLines(all []string) []usualLine {
	lines := make([]usualLine, 0, len(all))
	for i, text := range all {
		rest := strings.TrimLeft(text, " ")
		if rest != "" && rest[0] != '#' {
			lines = append(lines, usualLine{number: i + 1, indent: len(text) - len(rest), text: text})
		}
	}
	return lines
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// giveUp is the value where something unusual stands.
func (u *usual) giveUp() *node {
	u.odd = true
	return &node{kind: kindBroken}
}

func (u *usual) place(from int) place {
	line := u.lines[u.at]
	if u.ascii {
		return place{line: line.number, col: from + 1}
	}
	return place{line: line.number, col: utf8.RuneCountInString(line.text[:from]) + 1}
}

// here is the rest of the line.
func (u *usual) here() string { return u.lines[u.at].text[u.from:] }

// indent is that of the line that is read, -1 behind the last one.
func (u *usual) indent() int {
	if u.at == len(u.lines) {
		return -1
	}
	return u.lines[u.at].indent
}

// block reads the mapping or list whose lines begin at an indentation.
func (u *usual) block(indent int) *node {
	if u.depth++; u.depth > maxUsualDepth {
		return u.giveUp()
	}
	defer func() { u.depth-- }()
	u.from = indent
	if strings.HasPrefix(u.here(), "-") {
		return u.list(indent)
	}
	if strings.HasPrefix(u.here(), "{") && u.at == 0 {
		return u.line(-1)
	}
	return u.mapping(indent)
}

func (u *usual) mapping(indent int) *node {
	out := &node{kind: kindMapping, at: u.place(indent)}
	for !u.odd && u.indent() == indent {
		u.from = indent
		at := u.place(indent)
		key, ok := u.key()
		if !ok || out.find(key) != nil {
			return u.giveUp()
		}
		value := u.behindKey(indent)
		out.pairs = append(out.pairs, pair{key: key, at: at, value: value})
	}
	if u.indent() > indent {
		return u.giveUp()
	}
	return out
}

// behindKey reads the value of a key: on its line, or as a block below it.
func (u *usual) behindKey(indent int) *node {
	rest := strings.TrimLeft(u.here(), " ")
	if rest != "" && rest[0] != '#' {
		if rest == u.here() {
			return u.giveUp() // no blank behind the colon
		}
		u.from = len(u.lines[u.at].text) - len(rest)
		return u.line(indent)
	}
	if rest != "" && rest == u.here() {
		return u.giveUp() // a "#" at the colon begins no comment
	}
	u.at++
	switch below := u.indent(); {
	case below > indent:
		return u.block(below)
	case below == indent && strings.HasPrefix(u.lines[u.at].text[indent:], "-"):
		u.from = indent
		return u.list(indent)
	}
	return u.giveUp() // nothing, whose place is not for us to say
}

func (u *usual) list(indent int) *node {
	out := &node{kind: kindList, at: u.place(indent)}
	for !u.odd && u.indent() == indent {
		text := u.lines[u.at].text[indent:]
		if !strings.HasPrefix(text, "- ") {
			break
		}
		item := strings.TrimLeft(text[2:], " ")
		u.from = len(u.lines[u.at].text) - len(item)
		out.items = append(out.items, u.item(indent))
	}
	if u.indent() > indent || len(out.items) == 0 {
		return u.giveUp()
	}
	return out
}

// item reads an entry of a list: a mapping whose first key stands behind the dash, or a value of one line.
func (u *usual) item(indent int) *node {
	from := u.from
	if strings.HasPrefix(u.here(), "-") || strings.HasPrefix(u.here(), "#") {
		return u.giveUp()
	}
	_, isMapping := u.key()
	u.from = from
	if !isMapping {
		return u.line(indent)
	}
	u.lines[u.at].indent = from
	return u.block(from)
}

// key reads a key and its colon. What is none stays unread, but for the place.
func (u *usual) key() (string, bool) {
	rest := u.here()
	if text, length, ok := quoted(rest); ok && strings.HasPrefix(rest[length:], ":") {
		u.from += length + 1
		return text, true
	}
	length := strings.IndexFunc(rest, func(r rune) bool { return !keyRune(r) })
	if length <= 0 || rest[length] != ':' || rest[0] == '-' || rest[0] == '.' {
		return "", false
	}
	u.from += length + 1
	return rest[:length], true
}

func keyRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' || r == '$'
}

// line reads a value that begins on this line, up to the next line. outer is the indentation of what it belongs to.
func (u *usual) line(outer int) *node {
	var out *node
	switch rest := u.here(); rest[0] {
	case '{', '[':
		out = u.flow(outer)
	case '"', '\'':
		out = u.quote()
	default:
		end := len(rest)
		if i := strings.Index(rest, " #"); i >= 0 {
			end = i
		}
		out = u.plain(strings.TrimRight(rest[:end], " "))
		u.from += end
	}
	if u.odd {
		return out
	}
	if rest := u.here(); rest != "" && !strings.HasPrefix(strings.TrimLeft(rest, " "), "#") || strings.HasPrefix(rest, "#") {
		return u.giveUp()
	}
	u.at++
	if u.indent() > outer {
		return u.giveUp() // the value goes on
	}
	return out
}

// flow reads {…} or […].
func (u *usual) flow(outer int) *node {
	if u.depth++; u.depth > maxUsualDepth {
		return u.giveUp()
	}
	defer func() { u.depth-- }()
	out := &node{kind: kindList, at: u.place(u.from)}
	end := byte(']')
	if u.here()[0] == '{' {
		out.kind, end = kindMapping, '}'
	}
	u.from++
	for first := true; u.next(outer); first = false {
		c := u.here()[0]
		if c == end {
			u.from++
			return out
		}
		if !first {
			if c != ',' {
				break
			}
			u.from++
			if !u.next(outer) || u.here()[0] == end {
				break
			}
		}
		if !u.entry(out, outer) {
			break
		}
	}
	return u.giveUp()
}

// entry reads one entry of {…} or […].
func (u *usual) entry(out *node, outer int) bool {
	if out.kind == kindList {
		out.items = append(out.items, u.flowValue(outer))
		return !u.odd
	}
	at := u.place(u.from)
	isQuoted := u.here()[0] == '"' || u.here()[0] == '\''
	key, ok := u.key()
	if !ok || out.find(key) != nil {
		return false
	}
	if rest := u.here(); rest != "" && rest[0] != ' ' && !(isQuoted && gluedValue(rest)) || !u.next(outer) {
		return false
	}
	if len(out.pairs) == 0 {
		out.at = at
	}
	out.pairs = append(out.pairs, pair{key: key, at: at, value: u.flowValue(outer)})
	return !u.odd
}

// gluedValue tells whether a value may stand behind the colon of a quoted key without a blank, as JSON is written.
func gluedValue(rest string) bool {
	return strings.ContainsRune("\"[{-0123456789", rune(rest[0])) || strings.HasPrefix(rest, "true") || strings.HasPrefix(rest, "false")
}

func (u *usual) flowValue(outer int) *node {
	rest := u.here()
	switch rest[0] {
	case '{', '[':
		return u.flow(outer)
	case '"', '\'':
		return u.quote()
	}
	end := strings.IndexAny(rest, ",[]{}:")
	if end < 0 {
		end = len(rest)
	}
	if end < len(rest) && rest[end] == ':' {
		return u.giveUp() // it may be a pair
	}
	out := u.plain(strings.TrimRight(rest[:end], " "))
	u.from += end
	return out
}

// next goes to the next character that is no blank, over the ends of lines. Lines of {…} stand further in than what it belongs to.
func (u *usual) next(outer int) bool {
	for {
		rest := u.here()
		if trimmed := strings.TrimLeft(rest, " "); trimmed != "" {
			u.from += len(rest) - len(trimmed)
			return trimmed[0] != '#'
		}
		if u.at+1 == len(u.lines) || u.lines[u.at+1].number != u.lines[u.at].number+1 || u.lines[u.at+1].indent <= outer {
			return false
		}
		u.at++
		u.from = u.lines[u.at].indent
	}
}

func (u *usual) quote() *node {
	text, length, ok := quoted(u.here())
	if !ok {
		return u.giveUp()
	}
	at := u.place(u.from)
	u.from += length
	return &node{kind: kindText, text: text, at: at}
}

// quoted is the text in quotes that a line begins with, and how long it is with them. Escapes are not usual.
func quoted(rest string) (text string, length int, ok bool) {
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return "", 0, false
	}
	end := strings.IndexByte(rest[1:], rest[0])
	if end < 0 {
		return "", 0, false
	}
	text, length = rest[1:1+end], end+2
	if strings.HasPrefix(rest[length:], "'") || rest[0] == '"' && strings.Contains(text, `\`) {
		return "", 0, false
	}
	return text, length, true
}

// plain is a text without quotes.
func (u *usual) plain(text string) *node {
	at := u.place(u.from)
	switch {
	case text == "true" || text == "false":
		return &node{kind: kindBool, text: text, at: at}
	case usualNumber(text):
		return &node{kind: kindNumber, text: text, at: at}
	case usualText(text):
		return &node{kind: kindText, text: text, at: at}
	}
	return u.giveUp()
}

// usualNumber tells whether a text is a number in YAML and in JSON alike, and not so long that it would be rounded.
func usualNumber(text string) bool {
	whole, fraction, decimal := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if len(text) > 15 || !digits(whole) || len(whole) > 1 && whole[0] == '0' || decimal && !digits(fraction) {
		return false
	}
	return !strings.HasPrefix(text, "-0")
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// usualText tells whether a text without quotes surely is text: no word and no number that YAML knows, and no sign that means
// something there.
func usualText(text string) bool {
	if text == "" || strings.ContainsAny(text, "[]{}") || strings.Contains(text, ": ") || strings.Contains(text, " #") || strings.HasSuffix(text, ":") {
		return false
	}
	switch c := text[0]; {
	case c >= '0' && c <= '9':
		return strings.ContainsAny(text, "ghijklmnpqrstuvwyz:/")
	case strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") || c == '/' || c == '$':
		return true
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"}, strings.ToLower(text))
	}
	return false
}
