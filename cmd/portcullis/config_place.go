package main

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where a value came from: a line and column of the file, or the name of a variable or flag.
type place struct {
	outside   string // "environment variable X", "flag --x"; "" = the file
	line, col int    // from 1
}

// placeOf is where the value at path stands, or the nearest value around it.
func (r *report) placeOf(path string) place {
	at := place{line: 1, col: 1}
	if r.root != nil {
		r.root.follow(path, func(n *node) { at = n.at })
	}
	return at
}

// given tells whether the value at path stands in file, environment or flags.
func (r *report) given(path string) bool {
	return r.root != nil && r.root.follow(path, func(*node) {})
}

// follow goes from value to value along path, as far as there are any, and tells whether it came to the end. Keys may hold dots.
func (n *node) follow(path string, see func(*node)) bool {
	if i, rest, ok := index(path, len(n.items)); ok {
		return n.items[i].step(rest, see)
	}
	var next *pair
	for i := range n.pairs {
		p := &n.pairs[i]
		if (path == p.key || strings.HasPrefix(path, p.key+".")) && (next == nil || len(p.key) > len(next.key)) {
			next = p
		}
	}
	return next != nil && next.value.step(strings.TrimPrefix(path[len(next.key):], "."), see)
}

// step sees a value and goes on. A value of nothing, or one that was reported, is none.
func (n *node) step(rest string, see func(*node)) bool {
	if n.kind == kindNull || n.kind == kindBroken {
		return false
	}
	see(n)
	return rest == "" || n.follow(rest, see)
}

// index is the place in a list that a path begins with.
func index(path string, length int) (i int, rest string, ok bool) {
	first, rest, _ := strings.Cut(path, ".")
	i, err := strconv.Atoi(first)
	return i, rest, err == nil && i >= 0 && i < length
}

// placeOf is where a node of YAML begins.
func placeOf(n *yaml.Node) place { return place{line: max(n.Line, 1), col: max(n.Column, 1)} }
