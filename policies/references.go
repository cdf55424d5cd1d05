package policies

import (
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
					if wrong := checkReference(c, ref, p.config); wrong != "" {
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
func checkReference(c *ast.Compiler, ref ast.Ref, config map[string]any) string {
	if len(ref) < 2 || !ref[0].Equal(ast.DefaultRootDocument) {
		return ""
	}
	root, ok := ref[1].Value.(ast.String)
	if !ok {
		return ""
	}
	switch root {
	case "servers":
		return ""
	case "config":
		return checkConfigReference(ref, config)
	case "policy", "lib", "mcp", "system":
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
			return fmt.Sprintf("%s leads nowhere; there is no such package or rule", ref[:i+2])
		}
		if len(child.Values) > 0 || child.Children == nil {
			return ""
		}
		node = child
	}
	return ""
}
