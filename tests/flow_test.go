package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The transcripts in testdata/flows are conversations with the server, one step after the other.
//
//	GET {issuer}/authorize        a request; {names} are replaced
//	  client_id = cli             a parameter, of the query or the form
//	  Accept: text/html           a header
//	  | {"a": 1}                  a line of the body
//	=> 303                        the status that must come back
//	  Location ~ ^/ui/i/          a header or, with a leading dot, a JSON value: "=" equals, "~" matches, "absent"
//	  query state = abc           a parameter of the Location header
//	  body has Sign in            text of the body; also "body lacks"
//	  keep code = query code      a value for later: "query P", "field INPUT", "action END" (a form's), "header H" or a JSON ".path"
//
// "browser NAME" lets another person's browser go on, "program" a client without cookies.
func TestFlows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/flows/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts:", err)
	}
	s := start(t, "main.yaml", nil)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			play(t, s, file)
		})
	}
}

// flow is one transcript while it is played.
type flow struct {
	t        *testing.T
	s        *server
	file     string
	line     int
	vars     map[string]string
	browsers map[string]*browser
	now      *browser
	next     flowRequest
	got      *answer
}

// flowRequest is the request that is being written down.
type flowRequest struct {
	method, target string
	params         url.Values
	header         http.Header
	body           []string
}

func play(t *testing.T, s *server, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	verifier := "the-verifier-of-a-transcript-is-no-secret-0123456789"
	f := &flow{t: t, s: s, file: filepath.Base(file), browsers: map[string]*browser{}, vars: map[string]string{
		"issuer": s.issuer, "password": password, "verifier": verifier, "challenge": challengeOf(verifier),
		"office": office, "notes": notes, "callback": callback,
		"office_basic": basic(officeKey, officeSecret), "notes_basic": basic("notes", notesSecret),
		"web_basic": basic("web", webSecret),
	}}
	f.now = s.program(t)
	for i, line := range strings.Split(string(text), "\n") {
		f.line = i + 1
		f.play(strings.TrimRight(line, " "))
	}
	if f.next.method != "" {
		f.fail("the last request has no \"=>\"")
	}
}

func (f *flow) fail(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("%s:%d: %s", f.file, f.line, fmt.Sprintf(format, args...))
}

var (
	requestLine = regexp.MustCompile(`^(GET|POST|OPTIONS|HEAD|DELETE) (\S+)$`)
	headerLine  = regexp.MustCompile(`^([A-Z][A-Za-z-]*): (.*)$`)
	paramLine   = regexp.MustCompile(`^([a-z_]+) = ?(.*)$`)
)

func (f *flow) play(line string) {
	inner, indented := strings.CutPrefix(line, "  ")
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
	case indented && f.next.method != "":
		f.describe(inner)
	case indented && f.got != nil:
		f.expect(f.fill(inner))
	case word == "=>":
		f.send(rest)
	case word == "program":
		f.now = f.s.program(f.t)
	case word == "browser":
		if f.browsers[rest] == nil {
			f.browsers[rest] = f.s.browser(f.t)
		}
		f.now = f.browsers[rest]
	case requestLine.MatchString(line):
		m := requestLine.FindStringSubmatch(line)
		f.next = flowRequest{method: m[1], target: f.fill(m[2]), params: url.Values{}, header: http.Header{}}
		f.got = nil
	default:
		f.fail("what does %q mean?", line)
	}
}

// describe reads a line of the request.
func (f *flow) describe(line string) {
	if body, ok := strings.CutPrefix(line, "| "); ok {
		f.next.body = append(f.next.body, f.fill(body))
	} else if m := headerLine.FindStringSubmatch(line); m != nil {
		f.next.header.Set(m[1], f.fill(m[2]))
	} else if m := paramLine.FindStringSubmatch(line); m != nil {
		f.next.params.Add(m[1], f.fill(m[2]))
	} else {
		f.fail("what does %q mean?", line)
	}
}

// fill replaces {names}. A brace that is followed by anything but a name is left alone.
func (f *flow) fill(text string) string {
	return regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllStringFunc(text, func(name string) string {
		value, ok := f.vars[name[1:len(name)-1]]
		if !ok {
			f.fail("nothing was kept as %s", name)
		}
		return value
	})
}

func (f *flow) send(status string) {
	r := f.next
	f.next = flowRequest{}
	if r.method == "" {
		f.fail("there is no request before this line")
	}
	body := strings.Join(r.body, "\n")
	switch {
	case len(r.params) > 0 && r.method == http.MethodGet:
		r.target += "?" + r.params.Encode()
	case r.method == http.MethodPost && len(r.body) == 0:
		body = r.params.Encode()
		r.header.Set("Content-Type", "application/x-www-form-urlencoded")
	case r.method == http.MethodPost:
		r.header.Set("Content-Type", "application/json")
	}
	f.got = f.now.do(r.method, r.target, body, r.header)
	if fmt.Sprint(f.got.status) != status {
		f.fail("status %d, want %s\n%s", f.got.status, status, tail(f.got.body, 2000))
	}
}

// expect checks a line about the answer.
func (f *flow) expect(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "body":
		how, text, _ := strings.Cut(rest, " ")
		if has := strings.Contains(f.got.body, text); how != "has" && how != "lacks" || has != (how == "has") {
			f.fail("the body does not hold to %q\n%s", line, tail(f.got.body, 3000))
		}
	case "keep":
		name, source, ok := strings.Cut(rest, " = ")
		value := f.value(source)
		if !ok || value == nil || textOf(value) == "" {
			f.fail("there is no %s to keep\n%s", source, tail(f.got.body, 2000))
		}
		f.vars[name] = textOf(value)
	case "query":
		name, rest, _ := strings.Cut(rest, " ")
		f.compare("query "+name, rest)
	default:
		f.compare(word, rest)
	}
}

// value is what a source of the answer holds, nil if nothing.
func (f *flow) value(source string) any {
	word, rest, _ := strings.Cut(source, " ")
	text := ""
	switch {
	case strings.HasPrefix(word, "."):
		return f.got.json(strings.TrimPrefix(word, "."))
	case word == "query":
		text = f.got.location().Query().Get(rest)
	case word == "field":
		text = f.got.field(rest)
	case word == "header":
		text = f.got.header.Get(rest)
	case word == "action": // of the form whose address ends so
		if m := regexp.MustCompile(`action="([^"]*` + regexp.QuoteMeta(rest) + `)"`).FindStringSubmatch(f.got.body); m != nil {
			text = m[1]
		}
	default:
		text = f.got.header.Get(word)
	}
	if text == "" {
		return nil
	}
	return text
}

func (f *flow) compare(source, rest string) {
	got := f.value(source)
	how, want, _ := strings.Cut(rest, " ")
	ok := false
	switch how {
	case "=":
		ok = sameJSON(got, want)
	case "~":
		re, err := regexp.Compile(want)
		if err != nil {
			f.fail("%v", err)
		}
		ok = got != nil && re.MatchString(textOf(got))
	case "absent":
		ok = got == nil
	default:
		f.fail("what does %q mean?", rest)
	}
	if !ok {
		f.fail("%s is %q, want %s %s\n%s", source, textOf(got), how, want, tail(f.got.body, 1500))
	}
}
