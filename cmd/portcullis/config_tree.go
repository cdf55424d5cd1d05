package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
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
	if usual := usualTree(source); usual != nil {
		return usual
	}
	return anyTree(source, r)
}

// anyTree reads all that YAML has.
func anyTree(source *sourceText, r *report) *node {
	file, err := parser.ParseBytes([]byte(source.text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.add("", syntaxPlace(err), "this is no YAML: %s; nothing behind this place was read", syntaxMessage(err))
		return nil
	}
	root := &node{kind: kindMapping, at: place{line: 1, col: 1}}
	documents := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(documents) > 1 {
		r.add("---", tokenPlace(documents[1].Body.GetToken()), "a second YAML document; one file is one document, remove the line with ---")
	}
	if len(documents) == 0 || documents[0].Body.Type() == ast.CommentType {
		return root
	}
	b := &treeBuilder{report: r}
	built := b.build("", documents[0].Body)
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

func syntaxMessage(err error) string {
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		return syntax.GetMessage()
	}
	return err.Error()
}

// treeBuilder turns goccy's nodes into ours and reports what this configuration does not take.
type treeBuilder struct{ report *report }

func (b *treeBuilder) build(path string, n ast.Node) *node {
	at := tokenPlace(n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		return &node{kind: kindNull, at: at}
	case *ast.StringNode:
		return &node{kind: kindText, text: n.Value, at: at}
	case *ast.LiteralNode:
		return &node{kind: kindText, text: n.Value.Value, at: at}
	case *ast.IntegerNode:
		return &node{kind: kindNumber, text: jsonNumber(n.Token.Value, n.Value), at: at}
	case *ast.FloatNode:
		return &node{kind: kindNumber, text: jsonNumber(n.Token.Value, n.Value), at: at}
	case *ast.BoolNode:
		return &node{kind: kindBool, text: strconv.FormatBool(n.Value), at: at}
	case *ast.MappingNode:
		return b.mapping(path, at, n.Values)
	case *ast.MappingValueNode:
		return b.mapping(path, at, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out := &node{kind: kindList, at: at}
		for i, v := range n.Values {
			out.items = append(out.items, b.build(join(path, strconv.Itoa(i)), v))
		}
		return out
	}
	b.report.add(path, at, "%s; write the value itself", unsupported(n))
	return &node{kind: kindBroken, at: at}
}

// jsonNumber keeps a number as it is written, unless only YAML writes it so (0x1f, 1_000, .5).
func jsonNumber(written string, value any) string {
	if json.Valid([]byte(written)) {
		return written
	}
	return fmt.Sprint(value)
}

func unsupported(n ast.Node) string {
	switch n.Type() {
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType:
		return "YAML anchors, aliases and merge keys are not used here"
	case ast.TagType:
		return "YAML tags are not used here"
	}
	return fmt.Sprintf("a YAML %s is not used here", strings.ToLower(n.Type().YAMLName()))
}

func (b *treeBuilder) mapping(path string, at place, values []*ast.MappingValueNode) *node {
	out := &node{kind: kindMapping, at: at}
	if len(values) > 0 && values[0].Key != nil {
		out.at = tokenPlace(values[0].Key.GetToken())
	}
	for _, v := range values {
		keyAt := tokenPlace(v.Key.GetToken())
		key, ok := keyText(v.Key)
		switch {
		case !ok:
			b.report.add(join(path, "?"+strconv.Itoa(keyAt.line)), keyAt, "%s; write the keys themselves", unsupported(v.Key))
			continue
		case out.find(key) != nil:
			b.report.add(join(path, "="+strconv.Itoa(keyAt.line)+":"+strconv.Itoa(keyAt.col)), keyAt, "the key %q stands here a second time; remove one of the two", key)
			continue
		}
		out.pairs = append(out.pairs, pair{key: key, at: keyAt, value: b.build(join(path, key), v.Value)})
	}
	return out
}

func keyText(k ast.MapKeyNode) (string, bool) {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode, *ast.NullNode:
		return k.GetToken().Value, true
	}
	return "", false
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
