package policies

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// checkReferences refuses references into data that lead nowhere. Rego calls them undefined, which makes a
// condition fail without a word: a deny rule that compares with a misspelled data.config key would never fire.
func (p *program) checkReferences(c *ast.Compiler) []Problem {
	var problems []Problem
	for _, name := range p.author {
		m := c.Modules[name]
		if m == nil {
			continue // a test, in a program without tests
		}
		visitor := ast.NewGenericVisitor(func(x any) bool {
			switch x := x.(type) {
			case *ast.With: // a mock may set anything
				return true
			case *ast.Term:
				if ref, ok := x.Value.(ast.Ref); ok {
					if wrong := p.checkReference(c, ref); wrong != "" {
						problems = append(problems, problemAt(x.Location, "%s", wrong))
					}
				}
			}
			return false
		})
		visitor.Walk(m)
	}
	return problems
}

// checkReference says what is wrong with one reference, or "".
func (p *program) checkReference(c *ast.Compiler, ref ast.Ref) string {
	if len(ref) < 2 || !ref[0].Equal(ast.DefaultRootDocument) {
		return ""
	}
	root, ok := ref[1].Value.(ast.String)
	if !ok {
		return ""
	}
	switch root {
	case "servers":
		return p.checkServersReference(ref)
	case "config":
		return checkConfigReference(ref, p.config)
	case "policy", "lib", "mcp", "system":
		if p.partial {
			return "" // it may lie in what could not be read
		}
		return checkRuleReference(c, ref)
	}
	return fmt.Sprintf("%s leads nowhere; want one of: data.config, data.lib, data.policy, data.servers", ref)
}

func checkConfigReference(ref ast.Ref, config map[string]any) string {
	at := config
	for i := 2; i < len(ref); i++ {
		key, ok := ref[i].Value.(ast.String)
		if !ok {
			return ""
		}
		next, found := at[string(key)]
		if !found {
			if len(config) == 0 {
				return fmt.Sprintf("%s has no value; there is no config.yaml, config.json or config/ in the directory", ref[:i+1])
			}
			keys := slices.Sorted(maps.Keys(at))
			return fmt.Sprintf("%s is not in the configuration files; want one of: %s", ref[:i+1], strings.Join(keys, ", "))
		}
		if at, ok = next.(map[string]any); !ok {
			return belowValue(ref, i, next)
		}
	}
	return ""
}

// belowValue says what is wrong with a reference that goes on below a value that is no object.
func belowValue(ref ast.Ref, at int, value any) string {
	if at+1 >= len(ref) {
		return ""
	}
	kind := "a text"
	switch value.(type) {
	case []any:
		if _, named := ref[at+1].Value.(ast.String); !named {
			return ""
		}
		kind = "a list, whose elements have numbers"
	case bool:
		kind = "a boolean"
	case json.Number, int, int64, uint64, float64:
		kind = "a number"
	case nil:
		kind = "null"
	}
	return fmt.Sprintf("%s leads nowhere; %s is %s", ref[:at+2], ref[:at+1], kind)
}

// serverForm is the form of data.servers: nil stands for a value, "*" for any name.
func serverForm() map[string]any {
	hints := map[string]any{"readOnlyHint": nil, "destructiveHint": nil, "idempotentHint": nil, "openWorldHint": nil}
	return map[string]any{
		"id": nil, "name": nil, "wildcard_scopes": map[string]any{"*": nil},
		"scopes": map[string]any{"*": map[string]any{"description": nil, "risk": nil, "destructive": nil}},
		"tools":  map[string]any{"*": map[string]any{"title": nil, "scopes": map[string]any{"*": nil}, "annotations": hints}},
	}
}

// checkServersReference holds a reference to the form of the catalogue, and its constant names to the servers, tools and
// scopes that there are.
func (p *program) checkServersReference(ref ast.Ref) string {
	form := map[string]any{"*": serverForm()}
	var value any = p.servers
	known := len(p.servers) > 0
	for i, t := range ref[2:] {
		key, constant := t.Value.(ast.String)
		next, named := form[string(key)]
		free, open := form["*"]
		switch {
		case open:
			next = free
		case constant && !named:
			return fmt.Sprintf("%s leads nowhere; want one of: %s", ref[:i+3], strings.Join(slices.Sorted(maps.Keys(form)), ", "))
		case !constant:
			return ""
		}
		if object, ok := value.(map[string]any); known && ok && constant {
			if value, ok = object[string(key)]; !ok {
				return fmt.Sprintf("%s leads nowhere; want one of: %s", ref[:i+3], strings.Join(slices.Sorted(maps.Keys(object)), ", "))
			}
		} else {
			known = false
		}
		var more bool
		if form, more = next.(map[string]any); !more {
			if i+3 < len(ref) {
				return fmt.Sprintf("%s leads nowhere; %s is a value", ref[:i+4], ref[:i+3])
			}
			return ""
		}
	}
	return ""
}

func checkRuleReference(c *ast.Compiler, ref ast.Ref) string {
	node := c.RuleTree.Child(ref[0].Value)
	for i, t := range ref[1:] {
		if _, ok := t.Value.(ast.String); !ok {
			return ""
		}
		child := node.Child(t.Value)
		if child == nil {
			return fmt.Sprintf("%s leads nowhere; there is no such package or rule%s", ref[:i+2], childHint(node, t))
		}
		if len(child.Values) > 0 || child.Children == nil {
			return ""
		}
		node = child
	}
	return ""
}

// childHint names what a misspelled part of a reference to a rule most likely means.
func childHint(node *ast.TreeNode, t *ast.Term) string {
	name, _ := t.Value.(ast.String)
	var known []string
	for key := range node.Children {
		if text, ok := key.(ast.String); ok && !strings.HasPrefix(string(text), "_") {
			known = append(known, string(text))
		}
	}
	slices.Sort(known)
	return nearestHint(string(name), known)
}

// checkMocks warns of tests that put a value where no input has one: they prove nothing, and the compiler does not look there.
func (p *program) checkMocks() []Problem {
	schema, _ := p.inputs[anyInput].(map[string]any)
	var found []Problem
	for _, name := range p.author {
		if !p.tests[name] {
			continue
		}
		ast.NewGenericVisitor(func(x any) bool {
			with, ok := x.(*ast.With)
			if !ok {
				return false
			}
			target, ok := with.Target.Value.(ast.Ref)
			if !ok || !target[0].Equal(ast.InputRootDocument) {
				return false
			}
			path := fixedPath(target)
			if f := fieldAt(schema, path); !f.known {
				found = append(found, problemAt(with.Target.Location, "%s is in no input%s", path, didYouMean(path[f.missing], f.siblings)))
			}
			return false
		}).Walk(p.modules[name])
	}
	return found
}
