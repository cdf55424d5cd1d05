package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"portcullis/oauth"
	"portcullis/storage"
)

// printer writes the demo's lines: at most 100 columns, the same text with and without colour.
type printer struct {
	w      io.Writer
	colour bool
	err    error // the first error of w
}

// The columns of a step's line.
const (
	lineWidth    = 100
	labelWidth   = 14
	verdictWidth = 9
	detailIndent = 3 + labelWidth + verdictWidth
)

// Styles, as SGR parameters (ECMA-48 §8.3.117).
const (
	styleBold   = "1"
	styleDim    = "2"
	styleRed    = "31"
	styleGreen  = "32"
	styleYellow = "33"
	styleCyan   = "36"
)

// newPrinter colours only what a person reads on a terminal, unless NO_COLOR says no (no-color.org).
func newPrinter(w io.Writer) *printer {
	file, ok := w.(*os.File)
	colour := ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &printer{w: w, colour: colour}
}

func (p *printer) paint(style, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// line writes one line as it is.
func (p *printer) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); err != nil && p.err == nil {
		p.err = err
	}
}

// chapter begins a part of the walk.
func (p *printer) chapter(title, note string) {
	p.line("")
	text := " " + p.paint(styleBold, title)
	if note != "" {
		text += "  " + p.paint(styleDim, note)
	}
	p.line("%s", text)
}

// outcome is how a step ended.
type outcome int

const (
	passed outcome = iota
	refused
)

// step writes one step: what was tried, how it ended, and why. A detail that is too long goes on below itself.
func (p *printer) step(end outcome, label, verdict, detail string) {
	mark, style := "✓", styleGreen
	if end == refused {
		mark, style = "✗", styleYellow
	}
	lines := wrap(detail, lineWidth-detailIndent)
	p.line(" %s %s%s%s", p.paint(style, mark), pad(label, labelWidth), p.paint(style, pad(verdict, verdictWidth)), lines[0])
	for _, more := range lines[1:] {
		p.line("%s%s", strings.Repeat(" ", detailIndent), more)
	}
}

// more writes a further line of the step above.
func (p *printer) more(verdict, detail string) {
	lines := wrap(detail, lineWidth-detailIndent)
	p.line("%s%s%s", strings.Repeat(" ", 3+labelWidth), p.paint(styleDim, pad(verdict, verdictWidth)), lines[0])
	for _, line := range lines[1:] {
		p.line("%s%s", strings.Repeat(" ", detailIndent), line)
	}
}

// fact writes a name and its value.
func (p *printer) fact(name, value string) {
	p.line("   %s%s", p.paint(styleDim, pad(name, labelWidth)), value)
}

// pad fills with blanks up to the width in runes, and leaves at least one behind a text that is too long.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(text)))
}

// wrap breaks a text between words. A word that is longer than a line stays whole, so that it can be copied.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// audit writes a row of the audit: when, what, how it ended, for whom, and why.
func (p *printer) audit(row storage.AuditRow) {
	e := row.Event
	style := styleGreen
	if e.Outcome != oauth.OutcomeOK && e.Outcome != oauth.OutcomeAllowed {
		style = styleYellow
	}
	head := fmt.Sprintf("%4d %s %s", row.Seq, e.Time.Local().Format(time.TimeOnly), pad(e.Type, 18))
	who := pad(oauth.CleanText(e.Username, 6), 7)
	indent := utf8.RuneCountInString(head) + verdictWidth + utf8.RuneCountInString(who)
	what, why := auditSubject(e)
	lines := []string{strings.TrimSpace(what + " " + why)}
	if utf8.RuneCountInString(lines[0]) > lineWidth-indent {
		lines = append(wrap(what, lineWidth-indent), wrap(why, lineWidth-indent)...)
	}
	end, rest := pad(e.Outcome, verdictWidth), strings.TrimRight(who+lines[0], " ")
	if rest == "" {
		end = e.Outcome
	}
	p.line("%s%s%s", head, p.paint(style, end), rest)
	for _, more := range lines[1:] {
		p.line("%s%s", strings.Repeat(" ", indent), more)
	}
}

// auditSubject is what an event is about with the reason of its outcome, and the rules behind it.
func auditSubject(e oauth.Event) (what, why string) {
	var parts []string
	switch {
	case e.Tool != "":
		parts = append(parts, e.Tool)
	case e.Action != "":
		parts = append(parts, e.Action)
	case len(e.Scopes) > 0:
		parts = append(parts, shortScopes(e.Scopes...))
	case e.ClientID != "":
		parts = append(parts, e.ClientID)
	}
	if e.Reason != "" && e.Reason != e.Outcome && !slices.Contains(e.Rules, e.Reason) {
		parts = append(parts, e.Reason)
	}
	if len(e.Rules) > 0 {
		why = "by " + strings.Join(e.Rules, ", ")
	}
	return oauth.CleanText(strings.Join(parts, " "), 400), oauth.CleanText(why, 400)
}

// scopeDomain is what all scopes of the demo begin with. The lines leave it out, and the introduction says so.
const scopeDomain = "tools:"

func shortScopes(names ...string) string {
	short := oauth.NewScopes(names...)
	for i, name := range short {
		short[i] = strings.TrimPrefix(name, scopeDomain)
	}
	return short.String()
}
