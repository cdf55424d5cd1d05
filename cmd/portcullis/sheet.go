package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sheet writes lines of at most lineWidth columns.
type sheet struct{ strings.Builder }

// onScreen keeps text from outside from moving the cursor or turning the line round.
func onScreen(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// item writes a text behind a mark; its further lines stand below the first.
func (s *sheet) item(indent int, mark, text string) {
	mark = onScreen(mark)
	width := utf8.RuneCountInString(mark)
	for i, line := range wrap(onScreen(text), lineWidth-indent-width) {
		if i > 0 {
			mark = strings.Repeat(" ", width)
		}
		fmt.Fprintf(s, "%*s%s%s\n", indent, "", mark, line)
	}
}

// value writes a text letter by letter: its spaces count.
func (s *sheet) value(indent int, mark, text string) {
	mark = onScreen(mark)
	width := max(20, lineWidth-indent-utf8.RuneCountInString(mark))
	for part := range slices.Chunk([]rune(onScreen(text)), width) {
		fmt.Fprintf(s, "%*s%s%s\n", indent, "", mark, string(part))
		mark = strings.Repeat(" ", utf8.RuneCountInString(mark))
	}
}

// code writes lines as they are, cut at the width.
func (s *sheet) code(indent int, lines []string) {
	for _, line := range lines {
		text := []rune(onScreen(strings.ReplaceAll(line, "\t", "    ")))
		if limit := lineWidth - indent; len(text) > limit {
			text = append(text[:limit-1], '…')
		}
		fmt.Fprintf(s, "%*s%s\n", indent, "", string(text))
	}
}

func (s *sheet) title(text string) { fmt.Fprintf(s, "\n%s\n", text) }
