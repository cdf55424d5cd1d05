package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// sourceText is the configuration file as it was read.
type sourceText struct {
	name  string // "" = there is no file
	text  string
	lines []string
}

func newSourceText(name, text string) *sourceText {
	text = strings.TrimPrefix(text, "\ufeff")
	return &sourceText{name: name, text: text, lines: strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")}
}

// folder is where relative paths of the file begin: the file's own folder.
func (s *sourceText) folder() string {
	if s.name == "" {
		return "."
	}
	return filepath.Dir(s.name)
}

// problem is one fault of the configuration.
type problem struct {
	at      place
	path    string // "resources.0.id"
	message string // what is wrong and what to do
}

// report gathers all faults of a configuration, at most one for each value.
type report struct {
	source   *sourceText
	problems []problem
	root     *node           // everything that was given
	secrets  []string        // texts that no message may show
	faulty   map[string]bool // paths with a problem
}

// add reports a fault of the value at path, unless that value, or one around it, has one already: what follows from
// a fault is no fault of its own.
func (r *report) add(path string, at place, format string, args ...any) {
	if r.isFaulty(path) {
		return
	}
	if r.faulty == nil {
		r.faulty = map[string]bool{}
	}
	r.faulty[path] = true
	r.problems = append(r.problems, problem{at: at, path: path, message: fmt.Sprintf(format, args...)})
}

// at reports a fault of a value that was decoded.
func (r *report) at(path, format string, args ...any) {
	r.add(path, r.placeOf(path), format, args...)
}

// isFaulty tells whether the value at path, or one around it, has a fault.
func (r *report) isFaulty(path string) bool {
	for p := path; ; {
		if r.faulty[p] {
			return true
		}
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			return false
		}
		p = p[:i]
	}
}

// anyFaulty tells whether a fault lies at path, around it or below it.
func (r *report) anyFaulty(path string) bool {
	if r.isFaulty(path) {
		return true
	}
	for p := range r.faulty {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// err is nil, or a *configError with all problems in line order, those from outside the file last.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.at.outside, b.at.outside), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.col, b.at.col))
	})
	return &configError{source: r.source, problems: r.problems, secrets: r.secrets}
}

// configError is a configuration that cannot be used. It ends the program with exit code 78.
type configError struct {
	source   *sourceText
	problems []problem
	secrets  []string
}

// Error lists every problem with its line and a caret under the place.
func (e *configError) Error() string {
	texts := make([]string, len(e.problems))
	for i, p := range e.problems {
		texts[i] = e.format(p)
	}
	return strings.Join(texts, "\n")
}

func (e *configError) format(p problem) string {
	message := p.message
	switch {
	case p.at.outside != "":
		return p.at.outside + ": " + message
	case e.source == nil || p.at.line == 0:
		return message
	case e.source.name == "":
		return message + " (there is no configuration file; name one with --config)"
	}
	head := fmt.Sprintf("%s:%d:%d: %s", e.source.name, p.at.line, p.at.col, message)
	if p.at.line > len(e.source.lines) {
		return head
	}
	line := e.source.lines[p.at.line-1]
	line, col := maskSecrets(line, p.at.col, append(soundSecret(line), e.secrets...))
	if strings.TrimSpace(line) == "" {
		return head
	}
	gutter := fmt.Sprintf("%5d | ", p.at.line)
	return head + "\n" + gutter + line + "\n" + strings.Repeat(" ", len(gutter)-2) + "| " + indentLike(line, col) + "^"
}

// indentLike is blank text as wide as the first col-1 characters of the line, tabs kept.
func indentLike(line string, col int) string {
	var b strings.Builder
	for i, c := range []rune(line) {
		if i >= col-1 {
			break
		}
		if c != '\t' {
			c = ' '
		}
		b.WriteRune(c)
	}
	return b.String()
}

// soundSecret finds the values behind keys that sound secret. A line is shown also when the faults around it kept its values
// from being read.
func soundSecret(line string) []string {
	var out []string
	pattern := regexp.MustCompile(`(?i)(?:secret|passw(?:or)?d|token|hash)["']?\s*:\s*("[^"]+"|'[^']+'|[^\s,}\]"']+)`)
	for _, m := range pattern.FindAllStringSubmatch(line, -1) {
		out = append(out, m[1])
	}
	return out
}

// maskSecrets replaces every secret of the line by *** and moves the column along.
func maskSecrets(line string, col int, secrets []string) (string, int) {
	for _, s := range secrets {
		for from := 0; ; {
			i := strings.Index(line[from:], s)
			if i < 0 {
				break
			}
			start := len([]rune(line[:from+i]))
			width := len([]rune(s))
			if col-1 >= start+width {
				col += 3 - width
			}
			line = line[:from+i] + "***" + line[from+i+len(s):]
			from += i + 3
		}
	}
	return line, col
}
