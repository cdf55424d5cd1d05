package policies

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/open-policy-agent/opa/v1/ast"
)

// blameHint is what a problem with a name says to who looks for the tool that made it.
type blameHint struct {
	file                 string // of the rule that looks the name up, if the name stands elsewhere
	line                 int
	server, named, meant string // the name of a tool, and the one that is surely meant, on that server if there is such a server
}

// codeCatalogueStale is the reason why a stale tool is denied.
const codeCatalogueStale = "catalogue_stale"

// stalePackage is the shipped package that denies stale tools. It is made for a revision, and there is none without such tools.
const stalePackage = "catalogue_stale"

// What stale tools add to the files of a revision.
const (
	stalePath   = "stale" // the list
	staleModule = "policy/tools/" + stalePackage + ".rego"
)

// StaleTool is a tool whose entry in the catalogue changed, after which a rule about it no longer fits. Every call of it is denied until the rule is
// mended or the entry is as it was; everything else is served by the same rules.
type StaleTool struct {
	Server string   `json:"server"` // its key
	Tool   string   `json:"tool"`
	Rules  []string `json:"rules,omitempty"` // what no longer fits, each as file:line:column: message
}

// String is server/tool.
func (t StaleTool) String() string { return t.Server + "/" + t.Tool }

func compareTools(a, b StaleTool) int {
	return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Tool, b.Tool))
}

// withStale is the source with these tools left untyped and denied.
func (s source) withStale(tools []StaleTool) (source, error) {
	s.stale = slices.SortedFunc(slices.Values(tools), compareTools)
	list, err := json.Marshal(s.stale)
	if err != nil {
		return s, fmt.Errorf("policies: %w", err)
	}
	s.shipped = append(slices.DeleteFunc(slices.Clone(s.shipped), file.isStale),
		file{path: stalePath, data: list, shipped: true}, file{path: staleModule, data: staleRules(s.stale), shipped: true})
	s.name()
	return s, nil
}

func (f file) isStale() bool { return f.shipped && (f.path == stalePath || f.path == staleModule) }

// settled says which rules and tools are as they were when they fitted each other.
type settled struct {
	rules   bool            // all of them
	changed map[string]bool // tools that are not, by server/tool
}

// asBefore tells that nothing is new for these tools, neither they nor the rules.
func (p *program) asBefore(tools []foundTool) bool {
	return p.settled != nil && p.settled.rules && !slices.ContainsFunc(tools, func(f foundTool) bool { return p.settled.changed[f.String()] })
}

// untyped tells whether rules about a tool are not checked against its schema, since it is denied.
func (p *program) untyped(f foundTool) bool { return p.stale[f.String()] }

// staleRules is a package that denies the tools, whatever others allow.
func staleRules(tools []StaleTool) []byte {
	var b bytes.Buffer
	b.WriteString("# Made for one catalogue: the inputSchemas of these tools have changed, and rules about them no longer fit.\npackage policy.tools." + stalePackage + "\n")
	for _, t := range tools { // Go's escapes are those of YAML, too
		fmt.Fprintf(&b, "\n# METADATA\n# labels:\n#   rule: %s\ndeny contains {\"code\": %q, \"message\": _message} if {\n\tinput.resource.server == %s\n\tinput.tool.name == %s\n}\n",
			strconv.QuoteToASCII(stalePackage+"."+t.String()), codeCatalogueStale, regoText(t.Server), regoText(t.Tool))
	}
	b.WriteString("\n_message := \"the definition of this tool has changed and a policy of this server no longer fits it; the operator must mend the policy (portcullis policy status)\"\n")
	return b.Bytes()
}

// regoText is a string of Rego in plain ASCII: raw, not every character may stand in a module.
func regoText(text string) string {
	quoted, _ := json.Marshal(text) // a string always marshals
	var b strings.Builder
	for _, c := range string(quoted) {
		if ' ' <= c && c <= '~' {
			b.WriteRune(c)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, c) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// fitted are the tools of a catalogue that rules have been checked against.
type fitted struct {
	schemas map[string][sha256.Size]byte // digests of inputSchemas by server/tool; zero = it has none
	stale   []StaleTool
}

// fitted reads what the rules of a source were checked against; nil = they never were.
func (s source) fitted() (*fitted, error) {
	if s.revision == "" {
		return nil, nil
	}
	was := &fitted{schemas: map[string][sha256.Size]byte{}, stale: s.stale}
	for key, server := range s.servers {
		document, _ := server.(map[string]any)
		tools, _ := document["tools"].(map[string]any)
		for name := range tools {
			was.schemas[key+"/"+name] = [sha256.Size]byte{}
		}
	}
	for _, f := range s.shipped {
		if f.path != argumentsPath {
			continue
		}
		var schemas map[string]json.RawMessage
		if err := json.Unmarshal(f.data, &schemas); err != nil {
			return nil, fmt.Errorf("policies: the tools of revision %s: %w", s.revision, err)
		}
		for id, schema := range schemas {
			was.schemas[id] = sha256.Sum256(schema)
		}
	}
	return was, nil
}

// maxStaleRules is how much is told of one tool.
const maxStaleRules = 8

// maxBlames bounds how often more tools are blamed, since some problems are only seen behind others.
const maxBlames = 8

// loadFitting loads a source. Where that fails only because tools have changed since rules were checked against them, those tools are left
// untyped and denied; the source that is returned says so. Any other problem is an error with everything that is wrong.
func (e *Engine) loadFitting(ctx context.Context, s source, problems []Problem, next *given) (*generation, source, error) {
	g, err := load(ctx, s, problems, e.remember)
	var failed *LoadError
	if err == nil || !errors.As(err, &failed) || len(problems) > 0 {
		return g, s, err
	}
	was, wasErr := e.source.fitted()
	if wasErr != nil {
		return nil, s, wasErr
	}
	changed, faults := changesSince(s, was, next.fitted()), failed.Problems
	s.settled = &settled{rules: next.fitted() != nil || revisionOf(s.author) == revisionOf(e.source.author), changed: changed.tools}
	for range maxBlames {
		around, grew, blameErr := s.blame(changed, faults)
		if blameErr != nil {
			return nil, s, blameErr
		}
		if !grew {
			break
		}
		g, loadErr := load(ctx, around, nil, e.remember)
		if loadErr == nil {
			return g, around, nil
		}
		var more *LoadError
		if !errors.As(loadErr, &more) {
			return nil, s, loadErr
		}
		s, faults = around, more.Problems
	}
	return nil, s, loadError(append(slices.Clone(failed.Problems), faults...))
}

// changedTools are those of a catalogue that are not what rules were checked against.
type changedTools struct {
	tools map[string]bool // by server/tool: another schema, new, or stale already
	gone  []StaleTool     // that were there
}

// changesSince compares the tools of a source with those of before. Without any before nothing has changed.
func changesSince(s source, before ...*fitted) changedTools {
	there := map[string][sha256.Size]byte{}
	for _, r := range s.resources {
		for i := range r.Tools {
			t := &r.Tools[i]
			var digest [sha256.Size]byte
			if t.InputSchema != nil {
				schema, _ := json.Marshal(t.InputSchema) // it did for the revision
				digest = sha256.Sum256(schema)
			}
			if !r.Disabled {
				there[foundTool{r.Key, t}.String()] = digest
			}
		}
	}
	c := changedTools{tools: map[string]bool{}}
	for _, was := range before {
		if was == nil {
			continue
		}
		for id, schema := range there {
			if before, known := was.schemas[id]; !known || before != schema {
				c.tools[id] = true
			}
		}
		for _, t := range was.stale {
			c.tools[t.String()] = true
		}
		for id := range was.schemas {
			if _, still := there[id]; !still {
				server, tool, _ := strings.Cut(id, "/")
				c.gone = append(c.gone, StaleTool{Server: server, Tool: tool})
			}
		}
	}
	return c
}

// blame makes those changed tools stale that type the rules which the problems are about. Of a problem that is about none of them nobody can say
// which tool made it, so all are blamed that type any rule: a doubt denies. grew is false if there is none left to blame.
func (s source) blame(changed changedTools, problems []Problem) (next source, grew bool, err error) {
	if len(changed.tools)+len(changed.gone) == 0 {
		return s, false, nil
	}
	p, _, err := s.parse()
	if err != nil {
		return s, false, err
	}
	g := p.graph()
	blamed := map[string]*StaleTool{}
	for _, t := range s.stale {
		one := t
		blamed[t.String()] = &one
	}
	for _, problem := range problems {
		tools := append(changed.typing(g, g.behind(problem)), changed.meant(p, problem.about)...)
		if len(tools) == 0 {
			tools = changed.typing(g, g.bodies)
		}
		for _, f := range append(tools, changed.foreign(p)...) {
			one := blamed[f.String()]
			if one == nil {
				one = &StaleTool{Server: f.server, Tool: f.tool.Name}
				blamed[f.String()], grew = one, true
			}
			if text := problem.Short(); !slices.Contains(one.Rules, text) && len(one.Rules) < maxStaleRules {
				one.Rules = append(one.Rules, text)
			}
		}
	}
	if !grew {
		return s, false, nil
	}
	var all []StaleTool
	for _, t := range blamed {
		all = append(all, *t)
	}
	next, err = s.withStale(all)
	return next, true, err
}

// typing are the changed tools whose schemas type the arguments in some of the bodies. A body about a tool that has gone is typed by those that are left.
func (c changedTools) typing(g *ruleGraph, bodies []*ruleBody) (tools []foundTool) {
	for _, b := range bodies {
		if uses, _ := g.argumentUses(b); len(uses) == 0 {
			continue
		}
		s := g.subject(b)
		lost := slices.ContainsFunc(c.gone, func(t StaleTool) bool {
			return s.choice.tools[t.Tool] && (s.choice.servers == nil || s.choice.servers[t.Server])
		})
		for _, f := range s.tools {
			if (lost || c.tools[f.String()]) && !g.program.untyped(f) {
				tools = append(tools, f)
			}
		}
	}
	return tools
}

// meant are the tools that a rule surely means where it has the name of none: the tool has another name now, and what the rule is about is served without it.
func (c changedTools) meant(p *program, about blameHint) (tools []foundTool) {
	for _, r := range p.catalogue {
		for i := range r.Tools {
			f := foundTool{r.Key, &r.Tools[i]}
			if r.Disabled || about.meant == "" || f.tool.Name != about.meant || p.hasServer(about.server) && about.server != r.Key {
				continue
			}
			gone := slices.ContainsFunc(c.gone, func(t StaleTool) bool { return t.Tool == about.named })
			if (gone || c.tools[f.String()]) && !p.untyped(f) {
				tools = append(tools, f)
			}
		}
	}
	return tools
}

// denies tells whether all tools of a name are denied, on the server if there is such a server: then no rule about them can be missed.
func (p *program) denies(server, name string) bool {
	found := false
	for _, r := range p.catalogue {
		for i := range r.Tools {
			if r.Disabled || r.Tools[i].Name != name || p.hasServer(server) && server != r.Key {
				continue
			}
			if found = true; !p.untyped(foundTool{r.Key, &r.Tools[i]}) {
				return false
			}
		}
	}
	return found
}

// foreign are the changed tools whose schemas refer to somewhere else: they type nothing, and nothing loads with them.
func (c changedTools) foreign(p *program) (tools []foundTool) {
	for _, r := range p.catalogue {
		for i := range r.Tools {
			f := foundTool{r.Key, &r.Tools[i]}
			if !r.Disabled && c.tools[f.String()] && !p.untyped(f) && foreignRef(f.tool.InputSchema) != "" {
				tools = append(tools, f)
			}
		}
	}
	return tools
}

// behind are the bodies of the rule that a problem lies in, and of all rules that it refers to.
func (g *ruleGraph) behind(p Problem) []*ruleBody {
	if p.about.file != "" {
		p.File, p.Line = p.about.file, p.about.line
	}
	m := g.program.modules[p.File]
	if m == nil {
		return nil
	}
	seen := map[*ruleBody]bool{}
	for r := ruleAt(m, p.Line); r != nil; r = r.Else {
		for _, b := range g.bodies {
			if b.rule == r {
				g.reach(b, seen)
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(g.bodies), func(b *ruleBody) bool { return !seen[b] })
}

func (g *ruleGraph) reach(b *ruleBody, seen map[*ruleBody]bool) {
	if seen[b] {
		return
	}
	seen[b] = true
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Rule:
			return x != b.rule // else branches are bodies of their own
		case ast.Ref, ast.Var:
			for _, d := range g.rules[g.resolve(b.module, x.(ast.Value))] {
				g.reach(d, seen)
			}
		}
		return false
	}).Walk(b.rule)
}

// isStale tells whether a tool is denied whatever is asked.
func (g *generation) isStale(server, tool string) bool {
	return slices.ContainsFunc(g.stale, func(t StaleTool) bool { return t.Server == server && t.Tool == tool })
}

// noteStale tells the operator which tools are denied, and why.
func (e *Engine) noteStale(g *generation) {
	for _, t := range g.stale {
		e.log.Error("tool denied: its entry in the catalogue has changed and rules no longer fit it", slog.String("code", codeCatalogueStale), slog.String("server", t.Server),
			slog.String("tool", t.Tool), slog.String("revision", g.revision), slog.String("rules", strings.Join(t.Rules, "; ")))
	}
}
