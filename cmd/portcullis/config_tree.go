package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	goccy "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"go.yaml.in/yaml/v3"
)

// kind is what a YAML value is.
type kind string

// The kinds of values. A raw value comes from a variable or a flag and becomes what its key demands.
const (
	kindNull    kind = "nothing"
	kindText    kind = "text"
	kindNumber  kind = "a number"
	kindBool    kind = "true or false"
	kindMapping kind = "a mapping"
	kindList    kind = "a list"
	kindRaw     kind = "a value"
	kindBroken  kind = "broken" // has been reported
)

// node is one value of the configuration, whatever it came from.
type node struct {
	kind  kind
	text  string // of scalars, as it means; numbers as they are written
	pairs []pair
	items []*node
	at    place
}

// pair is one entry of a mapping.
type pair struct {
	key   string
	at    place
	value *node
}

// find is the value of a key, nil if there is none.
func (n *node) find(key string) *node {
	for _, p := range n.pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// parseYAML reads the file into a tree. It is nil when the text is no YAML: then nothing else can be said about it.
func parseYAML(source *sourceText, r *report) *node {
	documents := yaml.NewDecoder(strings.NewReader(source.text))
	var first, second yaml.Node
	err := documents.Decode(&first)
	root := &node{kind: kindMapping, at: place{line: 1, col: 1}}
	if errors.Is(err, io.EOF) {
		return root
	}
	if err == nil {
		err = documents.Decode(&second)
	}
	switch {
	case err == nil:
		r.add("---", placeOf(second.Content[0]), "a second YAML document; one file is one document, remove the line with ---")
	case !errors.Is(err, io.EOF):
		at, why := syntaxFault(source.text, err)
		r.add("", at, "this is no YAML: %s; nothing behind this place was read", why)
		return nil
	}
	b := &treeBuilder{report: r}
	built := b.build("", first.Content[0])
	switch built.kind {
	case kindMapping:
		return built
	case kindNull:
		return root
	case kindBroken:
		return nil
	}
	r.add("", built.at, "the file must hold keys such as issuer: and listen:, this is %s", built.kind)
	return nil
}

// syntaxFault is where a text stops being YAML, and why. The reader names a line only, and often that where the block begins; goccy's
// parser, four times slower, knows the place. Where it finds no fault, the reader's word counts.
func syntaxFault(text string, err error) (place, string) {
	var syntax goccy.Error
	if _, found := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey()); errors.As(found, &syntax) && syntax.GetToken() != nil && syntax.GetToken().Position != nil {
		at := syntax.GetToken().Position
		return place{line: at.Line, col: at.Column}, syntax.GetMessage()
	}
	at := place{line: 1, col: 1}
	why := strings.TrimPrefix(err.Error(), "yaml: ")
	if line, rest, ok := strings.Cut(strings.TrimPrefix(why, "line "), ": "); ok {
		if n, err := strconv.Atoi(line); err == nil && n > 0 {
			at.line, why = n, rest
		}
	}
	return at, why
}

// treeBuilder turns the nodes of YAML into ours and reports what this configuration does not take.
type treeBuilder struct{ report *report }

func (b *treeBuilder) build(path string, n *yaml.Node) *node {
	at := placeOf(n)
	if why := unsupported(n); why != "" {
		b.report.add(path, at, "%s; write the value itself", why)
		return &node{kind: kindBroken, at: at}
	}
	switch n.Kind {
	case yaml.MappingNode:
		return b.mapping(path, n)
	case yaml.SequenceNode:
		out := &node{kind: kindList, at: at}
		for i, v := range n.Content {
			out.items = append(out.items, b.build(join(path, strconv.Itoa(i)), v))
		}
		return out
	}
	return scalar(n)
}

// scalar is text, unless it stands without quotes and is nothing, a number, true or false.
func scalar(n *yaml.Node) *node {
	out := &node{kind: kindText, text: n.Value, at: placeOf(n)}
	switch n.ShortTag() {
	case "!!null":
		out.kind, out.text = kindNull, ""
	case "!!bool":
		out.kind, out.text = kindBool, strings.ToLower(n.Value)
	case "!!int", "!!float":
		if number := jsonNumber(n); number != "" {
			out.kind, out.text = kindNumber, number
		}
	}
	return out
}

// jsonNumber keeps a number as it is written, unless only YAML writes it so (0x1f, 1_000, .5). It is "" for what JSON has no number for.
func jsonNumber(n *yaml.Node) string {
	if json.Valid([]byte(n.Value)) {
		return n.Value
	}
	var value any
	if n.Decode(&value) != nil {
		return ""
	}
	if number, err := json.Marshal(value); err == nil {
		return string(number)
	}
	return ""
}

// unsupported says what of YAML a node has that is not used here, if anything.
func unsupported(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "" || n.ShortTag() == "!!merge":
		return "YAML anchors, aliases and merge keys are not used here"
	case n.Style&yaml.TaggedStyle != 0:
		return "YAML tags are not used here"
	}
	return ""
}

func (b *treeBuilder) mapping(path string, n *yaml.Node) *node {
	out := &node{kind: kindMapping, at: placeOf(n)}
	if len(n.Content) > 0 {
		out.at = placeOf(n.Content[0])
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at, why := placeOf(key), unsupported(key)
		if why == "" && key.Kind != yaml.ScalarNode {
			why = "keys that are lists or mappings are not used here"
		}
		switch {
		case why != "":
			b.report.add(join(path, "?"+strconv.Itoa(at.line)), at, "%s; write the keys themselves", why)
			continue
		case out.find(key.Value) != nil:
			b.report.add(join(path, "="+strconv.Itoa(at.line)+":"+strconv.Itoa(at.col)), at, "the key %q stands here a second time; remove one of the two", key.Value)
			continue
		}
		out.pairs = append(out.pairs, pair{key: key.Value, at: at, value: b.build(join(path, key.Value), value)})
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// envPrefix begins every variable that is part of the configuration.
const envPrefix = "PORTCULLIS_"

// envConfigFile names the configuration file and is no key of it.
const envConfigFile = envPrefix + "CONFIG"

// overlayEnvironment lays variables over the file: PORTCULLIS_TOKENS__ACCESS_TTL is tokens.access_ttl,
// PORTCULLIS_RESOURCES__0__SECRET the secret of the first resource. NAME_FILE reads the value of NAME from a file.
func overlayEnvironment(root *node, environ []string, r *report) {
	sorted := slices.Sorted(slices.Values(environ))
	for _, entry := range sorted {
		name, value, _ := strings.Cut(entry, "=")
		rest, ok := strings.CutPrefix(name, envPrefix)
		if !ok || rest == "" || name == envConfigFile {
			continue
		}
		at := place{outside: "environment variable " + name}
		path := strings.Split(strings.ToLower(rest), "__")
		if !knownKey(path) {
			last := len(path) - 1
			inner, isFile := strings.CutSuffix(path[last], "_file")
			path[last] = inner
			if !isFile || !knownKey(path) {
				r.add("env "+name, at, "there is no such setting%s", suggestPath(strings.ToLower(rest)))
				continue
			}
			text, err := os.ReadFile(value)
			if err != nil {
				r.add("env "+name, at, "the file %s cannot be read: %s", value, causeOf(err))
				continue
			}
			value = strings.TrimRight(string(text), "\r\n")
		}
		put(root, properKeys(path), &node{kind: kindRaw, text: value, at: at})
	}
}

// overlayFlags lays the command line over everything; the keys are dotted paths.
func overlayFlags(root *node, flags map[string]string) {
	for key, value := range flags {
		at := place{outside: "flag --" + flagName(key)}
		put(root, strings.Split(key, "."), &node{kind: kindRaw, text: value, at: at})
	}
}

// put replaces or adds the value at path. A list index one past the end adds an entry; a larger one counts as that.
func put(n *node, path []string, value *node) {
	key := path[0]
	if i, err := strconv.Atoi(key); err == nil && n.kind == kindList {
		i = min(i, len(n.items))
		if i == len(n.items) {
			n.items = append(n.items, &node{kind: kindNull, at: value.at})
		}
		n.items[i] = putInto(n.items[i], path[1:], value)
		return
	}
	for i := range n.pairs {
		if n.pairs[i].key == key {
			n.pairs[i].value = putInto(n.pairs[i].value, path[1:], value)
			return
		}
	}
	n.pairs = append(n.pairs, pair{key: key, at: value.at, value: putInto(&node{kind: kindNull, at: value.at}, path[1:], value)})
}

func putInto(old *node, rest []string, value *node) *node {
	if len(rest) == 0 {
		return value
	}
	if _, err := strconv.Atoi(rest[0]); err == nil && old.kind != kindList {
		old = &node{kind: kindList, at: value.at}
	} else if err != nil && old.kind != kindMapping {
		old = &node{kind: kindMapping, at: value.at}
	}
	put(old, rest, value)
	return old
}
