package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// A maskNode says what a record holds of one place in the input. A nil node, and one that says nothing, keeps what is there.
type maskNode struct {
	path     string // such as /tool/arguments, each part escaped
	digest   bool   // type and keyed digest instead of the value
	address  bool   // the same for a text that is an address with a query, or with something else that may be secret
	members  bool   // the same for each member of this object
	removed  bool
	replaced bool
	value    []byte // JSON of a replaced one
	children map[string]*maskNode
}

// child is the node of a member, nil if nothing is said about it.
func (n *maskNode) child(name string) *maskNode {
	if n == nil {
		return nil
	}
	return n.children[name]
}

// at makes the node of a place.
func (n *maskNode) at(path []string) *maskNode {
	for _, name := range path {
		next := n.children[name]
		if next == nil {
			next = &maskNode{path: n.path + "/" + url.PathEscape(name)}
			if n.children == nil {
				n.children = map[string]*maskNode{}
			}
			n.children[name] = next
		}
		n = next
	}
	return n
}

func (n *maskNode) clone() *maskNode {
	c := *n
	c.children = maps.Clone(n.children)
	for name, child := range c.children {
		c.children[name] = child.clone()
	}
	return &c
}

// maskTree is what records keep back before an author says more. Arguments and properties come from the caller and
// may hold anything; whoever knows a session id can speak in that session.
func maskTree(mode RecordMode) *maskNode {
	root := &maskNode{}
	root.at([]string{"mcp", "session_id"}).digest = true
	if mode == RecordValues {
		return root
	}
	root.at([]string{"tool", "arguments"}).members = true
	root.at([]string{"mcp", "uri"}).address, root.at([]string{"resource", "id"}).address = true, true
	for _, part := range []string{"subject", "action", "resource", "context"} {
		root.at([]string{part, "properties"}).members = true
	}
	return root
}

// maskRule is one member of data.system.log.mask, in OPA's own convention: a path to remove, or {op, path, value}.
type maskRule struct {
	path    []string // below /input; empty = all of it
	input   bool     // it is about the input at all
	replace []byte   // JSON; nil = it is removed
}

// readMask reads one member of the set.
func readMask(v ast.Value) (m maskRule, err error) {
	path, ok := v.(ast.String)
	if obj, isObject := v.(ast.Object); isObject {
		op, _ := valueOf(obj, "op").(ast.String)
		path, ok = valueOf(obj, "path").(ast.String)
		value := valueOf(obj, "value")
		switch {
		case op == "upsert" && value != nil:
			if m.replace, err = jsonOf(value); err != nil {
				return m, err
			}
		case op == "upsert":
			return m, errors.New("op \"upsert\" needs a value")
		case op != "remove":
			return m, errors.New("op must be \"remove\" or \"upsert\"")
		}
	}
	if !ok {
		return m, errors.New("must be a path such as \"/input/tool/arguments/password\", or {\"op\": \"remove\" or \"upsert\", \"path\": …, \"value\": …}")
	}
	first, rest, found := strings.Cut(strings.TrimPrefix(string(path), "/"), "/")
	if !strings.HasPrefix(string(path), "/") || !slices.Contains([]string{"input", "result", "nd_builtin_cache"}, first) {
		return m, fmt.Errorf("the path %q must begin with /input/", string(path))
	}
	m.input = first == "input"
	if !found {
		return m, nil
	}
	for part := range strings.SplitSeq(rest, "/") {
		name, err := url.PathUnescape(part)
		if err != nil || name == "" {
			return m, fmt.Errorf("the path %q has an empty or badly escaped part", string(path))
		}
		m.path = append(m.path, name)
	}
	return m, nil
}

func jsonOf(v ast.Value) ([]byte, error) {
	plain, err := ast.JSON(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}

func valueOf(obj ast.Object, key string) ast.Value {
	if t := obj.Get(ast.InternedTerm(key)); t != nil {
		return t.Value
	}
	return nil
}

// apply adds the rule to a tree. Removal wins over replacement. Records hold no values of results.
func (m maskRule) apply(root *maskNode) {
	if !m.input {
		return
	}
	n := root.at(m.path)
	if m.replace == nil {
		n.removed = true
		return
	}
	n.replaced, n.value = true, m.replace
}

// checkMaskConstant finds what is wrong with a path that the compiler can see: a misspelled one would mask nothing.
func checkMaskConstant(v ast.Value, schemas map[string]any) string {
	m, err := readMask(v)
	if err != nil {
		return err.Error()
	}
	if !m.input || len(m.path) == 0 {
		return ""
	}
	for _, schema := range schemas {
		if leadsSomewhere(schema, m.path) {
			return ""
		}
	}
	return fmt.Sprintf("the path /input/%s is in no input document; the schemas of portcullis policy export list what there is", strings.Join(m.path, "/"))
}

// leadsSomewhere tells whether a document of the schema can have the path.
func leadsSomewhere(schema any, path []string) bool {
	s, ok := schema.(map[string]any)
	if !ok || len(path) == 0 {
		return true
	}
	if items, isArray := s["items"]; isArray {
		return leadsSomewhere(items, path[1:])
	}
	properties, closed := s["properties"].(map[string]any)
	if next, known := properties[path[0]]; known {
		return leadsSomewhere(next, path[1:])
	}
	open, _ := s["additionalProperties"].(bool)
	return open || !closed && s["type"] == "object"
}
