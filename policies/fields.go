package policies

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// A subject is what a body can be about: the catalogued tools that its conditions leave over.
type subject struct {
	tools  []foundTool
	schema map[string]any // of their arguments together; nil = not known, or anything
	choice choice
}

type foundTool struct {
	server string
	tool   *oauth.Tool
}

// String is server/tool.
func (f foundTool) String() string { return f.server + "/" + f.tool.Name }

// subject finds the tools of the catalogue that a body is about. It is asked for by several checks, and with many tools it is most of their work.
func (g *ruleGraph) subject(b *ruleBody) subject {
	s, known := g.subjects[b]
	if !known {
		s = g.findSubject(b)
		g.subjects[b] = s
	}
	return s
}

func (g *ruleGraph) findSubject(b *ruleBody) subject {
	s := subject{choice: g.context(b)}
	if s.choice.tools == nil {
		return s
	}
	var schemas []any
	open, stale := false, false
	for _, r := range g.program.catalogue {
		if r.Disabled || s.choice.servers != nil && !s.choice.servers[r.Key] {
			continue
		}
		for i := range r.Tools {
			f := foundTool{r.Key, &r.Tools[i]}
			switch {
			case !s.choice.tools[f.tool.Name]:
			case g.program.untyped(f):
				stale = true
			default:
				schema, free := argumentSchema(f.tool)
				open = open || free
				schemas = append(schemas, schema)
				s.tools = append(s.tools, f)
			}
		}
	}
	switch {
	case open || len(schemas) == 0:
	case stale && g.program.asBefore(s.tools): // together with the stale ones it fitted
	case len(schemas) == 1:
		s.schema, _ = schemas[0].(map[string]any)
	default:
		s.schema = map[string]any{"anyOf": schemas}
	}
	return s
}

// names lists the tools for a message: "the tool transfer of demo".
func (s subject) names() string {
	names := make([]string, len(s.tools))
	for i, f := range s.tools {
		names[i] = f.tool.Name + " of " + f.server
	}
	slices.Sort(names)
	word := "the tool "
	if len(names) > 1 {
		word = "the tools "
	}
	return word + strings.Join(names, ", ")
}

// inputSchema is the schema of the whole input that a body sees, with the arguments of its tools in place.
func (g *ruleGraph) inputSchema(b *ruleBody, s subject) map[string]any {
	whole, _ := g.program.inputs[inputSchemaOf(b.own.kind)].(map[string]any)
	if s.schema == nil {
		return whole
	}
	return withArguments(whole, []string{"tool", "arguments"}, s.schema)
}

// inputSchemaOf names the schema of a kind; libraries see what any question knows.
func inputSchemaOf(k kind) string {
	switch k {
	case kindClients:
		return "client_admission"
	case kindScopes:
		return "scope_grant"
	case kindTools:
		return "tool_call"
	case kindAccess:
		return "access"
	}
	return anyInput
}

// withArguments is a copy of an object's schema with another one at a place.
func withArguments(schema map[string]any, path []string, other map[string]any) map[string]any {
	if len(path) == 0 {
		return other
	}
	properties, _ := schema["properties"].(map[string]any)
	child, ok := properties[path[0]].(map[string]any)
	if !ok {
		return schema
	}
	out, members := maps.Clone(schema), maps.Clone(properties)
	members[path[0]] = withArguments(child, path[1:], other)
	out["properties"] = members
	return out
}

// field is what a schema says about a place.
type field struct {
	schema   map[string]any
	known    bool     // it can be there, as far as the schema tells
	always   bool     // it and all around it are required
	missing  int      // the first part of the path that cannot be there
	siblings []string // the names that could stand there instead
}

// fieldAt follows a path, of which "[]" is any member of a list. Where a schema leaves things open, everything is known and nothing certain.
func fieldAt(schema map[string]any, path inputPath) field {
	f := field{schema: schema, known: true, always: true}
	for i, key := range path {
		if alternatives, ok := f.schema["anyOf"].([]any); ok {
			return fieldOfAny(alternatives, path[i:], f.always, i)
		}
		properties, named := f.schema["properties"].(map[string]any)
		next, found := properties[key].(map[string]any)
		if items, isList := f.schema["items"].(map[string]any); isList && key == "[]" {
			f.schema, f.always = items, false
			continue
		}
		switch {
		case found:
			f.always = f.always && isRequired(f.schema, key)
			f.schema = next
		case named || f.schema["additionalProperties"] == false || isScalar(f.schema):
			return field{missing: i, siblings: slices.Sorted(maps.Keys(properties))}
		default:
			return field{schema: map[string]any{}, known: true}
		}
	}
	return f
}

// fieldOfAny knows a place if one of the alternatives does, and is certain of it if all are.
func fieldOfAny(alternatives []any, path inputPath, always bool, before int) field {
	all := field{always: always, missing: before}
	var values []any
	enumerated := true
	for _, a := range alternatives {
		schema, _ := a.(map[string]any)
		f := fieldAt(schema, path)
		if !f.known {
			all.always = false
			all.missing = max(all.missing, before+f.missing)
			all.siblings = append(all.siblings, f.siblings...)
			continue
		}
		all.known, all.always = true, all.always && f.always
		list, ok := f.schema["enum"].([]any)
		values, enumerated = append(values, list...), enumerated && ok
	}
	slices.Sort(all.siblings)
	all.siblings = slices.Compact(all.siblings)
	all.schema = map[string]any{}
	if enumerated && len(values) > 0 {
		all.schema["enum"] = values
	}
	return all
}

// isScalar tells whether there can be nothing below.
func isScalar(schema map[string]any) bool {
	switch schema["type"] {
	case "string", "number", "integer", "boolean":
		return true
	}
	return false
}

// isRequired tells whether a member is always there. Every rule about tools is silent where there is none, so the tool
// itself counts as there.
func isRequired(schema map[string]any, key string) bool {
	required, _ := schema["required"].([]any)
	return slices.ContainsFunc(required, func(x any) bool { return x == key }) || key == "tool"
}

// walkInput calls f for every constant place of the input that a body reads.
func walkInput(b *ruleBody, f func(path inputPath, at *ast.Location)) { walkReads(b, f, f) }

// walkReads calls named for the places that references name, and got for those that object.get takes.
func walkReads(b *ruleBody, named, got func(path inputPath, at *ast.Location)) {
	var at *ast.Location
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule
		case *ast.Expr:
			if x.IsCall() {
				objectGet(b, x.Operator(), x.Operands(), x.Location, got)
			}
		case *ast.Term:
			if x.Location != nil {
				at = x.Location
			}
			switch v := x.Value.(type) {
			case ast.Ref:
				path, _ := b.inputBeginning(v)
				named(path, at)
			case ast.Call:
				if head, ok := v[0].Value.(ast.Ref); ok {
					objectGet(b, head, v[1:], at, got)
				}
			}
		}
		return false
	}).Walk(b.rule)
}

// objectGet takes object.get(input.tool.arguments, "amount", 0) for a reference to the amount.
func objectGet(b *ruleBody, operator ast.Ref, operands []*ast.Term, at *ast.Location, f func(inputPath, *ast.Location)) {
	if operator.String() != ast.ObjectGet.Name || len(operands) < 2 {
		return
	}
	path, whole := b.inputBeginning(operands[0].Value)
	if !whole {
		return
	}
	if operands[1].Location != nil {
		at = operands[1].Location
	}
	switch key := operands[1].Value.(type) {
	case ast.String:
		f(append(slices.Clone(path), string(key)), at)
	case *ast.Array:
		whole := slices.Clone(path)
		for i := range key.Len() {
			text, ok := key.Elem(i).Value.(ast.String)
			if !ok {
				return
			}
			whole = append(whole, string(text))
		}
		f(whole, at)
	}
}
