package policies

import (
	"bytes"
	"slices"
	"strings"
)

// Changes are the author's files that differ between two generations, each list sorted.
type Changes struct {
	Added     []string `json:"added,omitempty"`
	Changed   []string `json:"changed,omitempty"`
	Removed   []string `json:"removed,omitempty"`
	Shipped   bool     `json:"shipped,omitempty"`   // the shipped files differ: another version of the program, or other defaults
	Catalogue bool     `json:"catalogue,omitempty"` // the catalogue differs
}

// String is one line, such as "changed tools/limit.rego; added tools/hours.rego".
func (c Changes) String() string {
	var parts []string
	for _, list := range []struct {
		word  string
		files []string
	}{{"added", c.Added}, {"changed", c.Changed}, {"removed", c.Removed}} {
		if len(list.files) > 0 {
			parts = append(parts, list.word+" "+strings.Join(list.files, ", "))
		}
	}
	if c.Catalogue {
		parts = append(parts, "the catalogue")
	}
	if c.Shipped {
		parts = append(parts, "the shipped policies")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

// changesBetween compares two sources file by file.
func changesBetween(before, after source) Changes {
	c := Changes{Catalogue: revisionOf(before.fromCatalogue(true)) != revisionOf(after.fromCatalogue(true)),
		Shipped: revisionOf(before.fromCatalogue(false)) != revisionOf(after.fromCatalogue(false))}
	old := map[string][]byte{}
	for _, f := range before.author {
		old[f.path] = f.data
	}
	for _, f := range after.author {
		data, known := old[f.path]
		switch {
		case !known:
			c.Added = append(c.Added, f.path)
		case !bytes.Equal(data, f.data):
			c.Changed = append(c.Changed, f.path)
		}
		delete(old, f.path)
	}
	for path := range old {
		c.Removed = append(c.Removed, path)
	}
	for _, list := range [][]string{c.Added, c.Changed, c.Removed} {
		slices.Sort(list)
	}
	return c
}

// Compare tells what differs between two stored generations.
func Compare(before, after Stored) (Changes, error) {
	a, err := openStored(before.Revision, before.Document)
	if err != nil {
		return Changes{}, err
	}
	b, err := openStored(after.Revision, after.Document)
	if err != nil {
		return Changes{}, err
	}
	return changesBetween(a, b), nil
}

// Stored is a generation as Activation gave it to be kept.
type Stored struct {
	Revision string
	Document []byte
}

// fromCatalogue are the shipped files that the catalogue makes, or the others.
func (s source) fromCatalogue(made bool) []file {
	return slices.DeleteFunc(append([]file{s.served}, s.shipped...), func(f file) bool {
		return (f.path == cataloguePath || f.path == argumentsPath || f.isStale()) != made
	})
}
