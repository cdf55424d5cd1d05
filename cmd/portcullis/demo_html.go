package main

import (
	"encoding/xml"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
)

// element is one element of a page, or a piece of its text when name is empty.
type element struct {
	name       string
	attributes map[string]string // one without a value has its own name as value
	content    string            // of a piece of text
	children   []*element
}

// parseElements reads a page of ours. They are well-formed but for the void elements of HTML, so that the standard library's XML
// reader in its lenient mode understands them.
func parseElements(r io.Reader) (*element, error) {
	d := xml.NewDecoder(r)
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	root := &element{}
	open := []*element{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		parent := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: strings.ToLower(token.Name.Local), attributes: map[string]string{}}
			for _, a := range token.Attr {
				e.attributes[strings.ToLower(a.Name.Local)] = a.Value
			}
			parent.children = append(parent.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:max(len(open)-1, 1)]
		case xml.CharData:
			parent.children = append(parent.children, &element{content: string(token)})
		}
	}
}

// all are the elements with one of the names below this one, in the order of the page.
func (e *element) all(names ...string) iter.Seq[*element] {
	return func(yield func(*element) bool) { e.visit(names, yield) }
}

func (e *element) visit(names []string, yield func(*element) bool) bool {
	for _, child := range e.children {
		if slices.Contains(names, child.name) && !yield(child) || !child.visit(names, yield) {
			return false
		}
	}
	return true
}

// text is all text below the element, with single blanks.
func (e *element) text() string {
	var b strings.Builder
	e.write(&b)
	return strings.Join(strings.Fields(b.String()), " ")
}

func (e *element) write(b *strings.Builder) {
	b.WriteString(e.content)
	for _, child := range e.children {
		child.write(b)
	}
}
