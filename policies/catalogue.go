package policies

import (
	"encoding/json"
	"fmt"
	"strings"

	"portcullis/oauth"
)

// serversDocument is data.servers: what policies may know of the registered servers, by key. Input schemas and
// tool descriptions stay out, since no rule decides by them.
func serversDocument(catalogue []*oauth.Resource) (map[string]any, error) {
	servers := map[string]any{}
	for _, r := range catalogue {
		if r.Disabled {
			continue
		}
		if r.Key == "" {
			return nil, fmt.Errorf("resource %q has no key", r.ID)
		}
		if _, twice := servers[r.Key]; twice {
			return nil, fmt.Errorf("two resources have the key %q", r.Key)
		}
		servers[r.Key] = serverDocument(r)
	}
	return servers, nil
}

func serverDocument(r *oauth.Resource) map[string]any {
	tools := make(map[string]any, len(r.Tools))
	destructive := map[string]bool{} // scopes that a destructive tool needs
	for i := range r.Tools {
		t := &r.Tools[i]
		tools[t.Name] = map[string]any{
			"title":       t.Title,
			"scopes":      texts(t.Scopes),
			"annotations": annotationsDocument(t.Annotations),
		}
		for _, s := range t.Scopes {
			destructive[s] = destructive[s] || t.Annotations.Destructive()
		}
	}
	scopes := make(map[string]any, len(r.Scopes))
	wide := []any{}
	for _, s := range r.Scopes {
		opens := destructive[s.Name]
		if strings.HasSuffix(s.Name, "*") {
			wide = append(wide, s.Name)
			for needed, is := range destructive {
				opens = opens || is && oauth.ScopeCovers(s.Name, needed)
			}
		}
		scopes[s.Name] = map[string]any{"description": s.Description, "risk": s.Risk, "destructive": opens}
	}
	return map[string]any{"id": r.ID, "name": r.Name, "scopes": scopes, "wildcard_scopes": wide, "tools": tools}
}

func annotationsDocument(a oauth.Annotations) map[string]any {
	return map[string]any{
		"readOnlyHint":    a.ReadOnly(),
		"destructiveHint": a.Destructive(),
		"idempotentHint":  a.Idempotent(),
		"openWorldHint":   a.OpenWorld(),
	}
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// argumentsFile makes the tools' input schemas part of the revision: rules are checked against them. There is none without
// schemas.
func argumentsFile(catalogue []*oauth.Resource) ([]file, error) {
	schemas := map[string]map[string]any{}
	for _, r := range catalogue {
		for i := range r.Tools {
			if t := &r.Tools[i]; t.InputSchema != nil && !r.Disabled {
				schemas[foundTool{r.Key, t}.String()] = t.InputSchema
			}
		}
	}
	if len(schemas) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(schemas)
	return []file{{path: argumentsPath, data: data, shipped: true}}, err
}

// foreignRefs refuses references that leave a tool's schema. Nothing is ever fetched for one.
func (p *program) foreignRefs() []Problem {
	var problems []Problem
	for _, r := range p.catalogue {
		for i := range r.Tools {
			f := foundTool{r.Key, &r.Tools[i]}
			if ref := foreignRef(f.tool.InputSchema); ref != "" && !r.Disabled && !p.untyped(f) {
				problems = append(problems, Problem{Message: fmt.Sprintf("the inputSchema of %s refers to %q; only references inside the schema (#/$defs/…) are followed", f, ref)})
			}
		}
	}
	return problems
}

// catalogueFile makes the catalogue part of the revision, as if it were a file.
func catalogueFile(servers map[string]any) (file, error) {
	data, err := json.Marshal(servers) // map keys come out sorted
	return file{path: cataloguePath, data: data, shipped: true}, err
}
