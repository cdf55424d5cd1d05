package policies

import (
	"slices"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"go.yaml.in/yaml/v3"
)

// placeOfConfig is where a key or value of data.config is written. What cannot be found in its file, such as a key that a merge
// of YAML brought in, is placed at the nearest thing around it.
func (p *program) placeOfConfig(path []string, isKey bool) ast.Location {
	var where ast.Location
	deepest := -1
	for _, f := range p.dataFiles {
		keys, ok := configKeys(f.path)
		if !ok || len(keys) > len(path) || !slices.Equal(keys, path[:len(keys)]) {
			continue
		}
		if found, depth := placeIn(p.tree(f), path[len(keys):], isKey); len(keys)+depth > deepest {
			found.File = f.name()
			where, deepest = found, len(keys)+depth
		}
	}
	return where
}

// tree is a data file with the places of its values; nil if it cannot be had.
func (p *program) tree(f file) *yaml.Node {
	tree, known := p.trees[f.path]
	if !known {
		tree = &yaml.Node{}
		if err := yaml.Unmarshal(f.data, tree); err != nil || len(tree.Content) == 0 { // JSON is YAML, too
			tree = nil
		} else {
			tree = tree.Content[0]
		}
		p.trees[f.path] = tree
	}
	return tree
}

// placeIn goes down a path as far as it can, and tells how far that was.
func placeIn(node *yaml.Node, path []string, isKey bool) (where ast.Location, depth int) {
	for i, step := range path {
		key, value := childNode(node, step)
		if key == nil {
			return where, i
		}
		if node = value; isKey && i == len(path)-1 {
			value = key
		}
		where.Row, where.Col = value.Line, value.Column
	}
	return where, len(path)
}

// childNode is what lies below a key or index, and where it begins.
func childNode(node *yaml.Node, step string) (key, value *yaml.Node) {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node == nil {
		return nil, nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	}
	return nil, nil
}
