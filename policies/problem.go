package policies

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Problem is one thing that is wrong with a policy directory.
type Problem struct {
	File    string `json:"file,omitempty"` // relative to the directory; "shipped/…" for the built-in files
	Line    int    `json:"line,omitempty"` // from 1; 0 = the file as a whole
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"` // more lines, such as a caret and "want (one of)"

	about blameHint
}

// String is file:line:column: message, with the detail on lines of its own.
func (p Problem) String() string {
	if p.Detail != "" {
		return p.Short() + "\n\t" + strings.ReplaceAll(p.Detail, "\n", "\n\t")
	}
	return p.Short()
}

// Short is file:line:column: message.
func (p Problem) Short() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// LoadError is everything that keeps a policy directory from being activated, in file and line order.
type LoadError struct{ Problems []Problem }

func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// loadError sorts the problems; no problems are no error.
func loadError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &LoadError{sortProblems(problems)}
}

func sortProblems(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(problems, func(a, b Problem) bool {
		a.about = b.about // two rules look up one name: it is wrong once
		return a == b
	})
}

// withCompiled adds the compiler's problems. What it says of shipped files follows from a value in the author's: it is
// left out when there are other problems, and explained when there are none.
func withCompiled(problems, compiled []Problem) []Problem {
	var own, shipped []Problem
	for _, p := range compiled {
		if saidAlready(problems, p) {
			continue
		}
		if strings.HasPrefix(p.File, shippedPrefix) {
			p.Message += " (some package of yours gives a value that this router cannot take)"
			shipped = append(shipped, p)
			continue
		}
		own = append(own, p)
	}
	if problems = append(problems, own...); len(problems) == 0 {
		return shipped
	}
	return problems
}

// saidAlready tells whether our own check of arguments has found what the type checker finds, too.
func saidAlready(problems []Problem, p Problem) bool {
	return strings.HasPrefix(p.Message, "undefined ref: input.tool.arguments") && slices.ContainsFunc(problems, func(q Problem) bool {
		return q.File == p.File && q.Line == p.Line && strings.HasPrefix(q.Message, "input.tool.arguments")
	})
}

// maxCaretLine is how much of a line is shown above a caret.
const maxCaretLine = 90

// withCarets shows the line of each problem that does not show it yet, with a caret below the place.
func withCarets(problems []Problem, files []file) []Problem {
	lines := map[string][]string{}
	for _, f := range files {
		lines[f.name()] = strings.Split(string(f.data), "\n")
	}
	for i := range problems {
		p := &problems[i]
		if text := lines[p.File]; p.Line > 0 && p.Line <= len(text) && !strings.Contains(p.Detail, "^") {
			p.Detail = strings.TrimSuffix(caret(text[p.Line-1], p.Column)+"\n"+p.Detail, "\n")
		}
	}
	return problems
}

// caret is a line, without what stands before its first word, and a caret below one column (in bytes, from 1).
func caret(line string, column int) string {
	line = strings.TrimRight(line, "\r")
	at := min(max(column-1, 0), len(line))
	before := strings.TrimLeft(line[:at], " \t")
	after := []rune(strings.ReplaceAll(line[at:], "\t", " "))
	head := []rune(strings.ReplaceAll(before, "\t", " "))
	if len(head) > maxCaretLine/2 {
		head = append([]rune("…"), head[len(head)-maxCaretLine/2:]...)
	}
	if room := maxCaretLine - len(head); len(after) > room {
		after = append(after[:room-1], '…')
	}
	return string(head) + string(after) + "\n" + strings.Repeat(" ", len(head)) + "^"
}

// problemAt makes a problem at a place in a Rego file.
func problemAt(at *ast.Location, format string, args ...any) Problem {
	p := Problem{Message: fmt.Sprintf(format, args...)}
	if at != nil {
		p.File, p.Line, p.Column = at.File, at.Row, at.Col
	}
	return p
}

// problemsOf turns OPA's errors into problems, one each.
func problemsOf(err error) []Problem {
	var many ast.Errors
	if !errors.As(err, &many) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return []Problem{{Message: err.Error()}}
		}
		many = ast.Errors{one}
	}
	problems := make([]Problem, len(many))
	for i, e := range many {
		problems[i] = problemAt(e.Location, "%s", explain(e))
		if e.Details != nil {
			problems[i].Detail = strings.Join(e.Details.Lines(), "\n")
		}
	}
	return problems
}

// explain adds to OPA's message what the author can do about it.
func explain(e *ast.Error) string {
	name, found := strings.CutPrefix(e.Message, "undefined function ")
	if !found {
		return e.Message
	}
	if reason, removed := removedBuiltins()[name]; removed {
		return fmt.Sprintf("the built-in %s is not offered: %s", name, reason)
	}
	var known []string
	for _, b := range capabilities().Builtins {
		known = append(known, b.Name)
	}
	return e.Message + didYouMean(name, known)
}
