package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// dependencies is what the answer to one query can depend on beside the generation: the values at these paths of the
// input, and nothing else, unless there are obstacles.
type dependencies struct {
	paths     []inputPath // sorted; none begins with another
	obstacles []Problem   // why the answers cannot be remembered, with their places; none: they can

	// tested holds the paths whose values only ever go through these tests: values with equal results make no difference.
	tested map[string][]test

	servers bool     // data.servers is among what the answer depends on
	calls   []string // built-ins whose answers change, sorted
}

// dependenciesOf walks all rules that the queries can reach. Whatever it cannot tell exactly it widens: a reference with a
// variable in it counts as its fixed beginning, an object that is handed on counts as a whole, and a value that a
// "with" replaces counts as read.
func (p *program) dependenciesOf(c *ast.Compiler, queries ...string) dependencies {
	w := &dependencyWalk{
		compiler: c, config: p.config, queued: map[*ast.Rule]bool{}, places: map[string]*ast.Location{}, clocks: map[string]*ast.Location{},
		changing: changingBuiltins(), tested: map[string][]test{}, used: map[string]bool{}, tests: map[*ast.Expr]bool{},
		members: map[*ast.Expr]inputPath{}, mockedGet: mocksGet(c),
	}
	for _, query := range queries {
		w.reference(ast.MustParseRef(query), nil)
	}
	for len(w.queue) > 0 {
		rule := w.queue[0]
		w.queue = w.queue[1:]
		for ; rule != nil; rule = rule.Else {
			w.rule(rule)
		}
	}
	return w.result()
}

// dependencyWalk is one walk over the rules.
type dependencyWalk struct {
	compiler *ast.Compiler
	config   map[string]any // data.config
	queue    []*ast.Rule
	queued   map[*ast.Rule]bool
	paths    []inputPath
	places   map[string]*ast.Location // first place of each path
	clocks   map[string]*ast.Location // first place of each built-in whose answer changes
	changing map[string]bool          // those built-ins
	tested   map[string][]test        // by path
	used     map[string]bool          // paths that are read in another way, too
	tests    map[*ast.Expr]bool       // expressions that do nothing but test an input
	uses     map[ast.Var]int          // of the rule at hand
	mocks    bool                     // somewhere "with" replaces rules or data
	servers  bool                     // data.servers is read
	at       *ast.Location            // of the rule or expression at hand

	members   map[*ast.Expr]inputPath // what calls of object.get take out of the input
	mockedGet bool                    // see mocksGet
}

// rule walks one rule. A body that contains a plain false ends there: what stands behind it never runs. The routers have such
// rules for names that no package defines (router.go).
func (w *dependencyWalk) rule(r *ast.Rule) {
	w.uses = map[ast.Var]int{}
	ast.WalkVars(r, func(v ast.Var) bool { w.uses[v]++; return false })
	w.at = r.Location
	end := slices.IndexFunc(r.Body, isFalse)
	if end >= 0 {
		w.walk(r.Body[:end])
		return
	}
	w.walk(r.Body)
	w.at = r.Location
	w.walk(r.Head)
	for _, t := range r.Head.Reference[min(1, len(r.Head.Reference)):] { // the keys of p[x][y]
		w.walk(t)
	}
}

func isFalse(e *ast.Expr) bool {
	t, ok := e.Terms.(*ast.Term)
	return ok && !e.Negated && len(e.With) == 0 && ast.Boolean(false).Equal(t.Value)
}

func (w *dependencyWalk) walk(x any) { ast.NewGenericVisitor(w.visit).Walk(x) }

// visit is called for every node; true means that it has seen what is below.
func (w *dependencyWalk) visit(x any) bool {
	switch x := x.(type) {
	case *ast.Expr:
		if x.Location != nil {
			w.at = x.Location
		}
		if w.tests[x] {
			for _, with := range x.With {
				w.walk(with)
			}
			return true
		}
		if path := w.members[x]; path != nil {
			w.input(path, w.at)
			for _, operand := range x.Operands()[2:] {
				w.walk(operand)
			}
			for _, with := range x.With {
				w.walk(with)
			}
			return true
		}
	case ast.Body:
		w.findTests(x)
		w.findMembers(x)
	case *ast.With:
		target, ok := x.Target.Value.(ast.Ref)
		w.mocks = w.mocks || ok && target[0].Equal(ast.DefaultRootDocument)
		w.walk(x.Value) // the target is not read
		return true
	case ast.Ref:
		w.reference(x, w.at)
		for _, t := range x[1:] {
			w.walk(t)
		}
		return true
	case ast.Var:
		if x.Equal(ast.InputRootDocument.Value) {
			w.input(nil, w.at)
		}
		w.servers = w.servers || x.Equal(ast.DefaultRootDocument.Value)
	}
	return false
}

// reference takes note of one reference: into the input, to rules or functions, or to a built-in.
func (w *dependencyWalk) reference(ref ast.Ref, at *ast.Location) {
	switch {
	case ref[0].Equal(ast.InputRootDocument):
		w.input(fixedPath(ref), at)
	case ref[0].Equal(ast.DefaultRootDocument):
		w.servers = w.servers || len(ref) < 2 || !ast.IsConstant(ref[1].Value) || ref[1].Equal(ast.StringTerm("servers"))
		for _, r := range w.compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}) {
			if !w.queued[r] {
				w.queued[r] = true
				w.queue = append(w.queue, r)
			}
		}
	default:
		if name := ref.String(); w.changing[name] {
			w.clocks[name] = earlier(w.clocks[name], at)
		}
	}
}

// fixedPath is the beginning of an input reference that holds no variables.
func fixedPath(ref ast.Ref) inputPath {
	var path inputPath
	for _, t := range ref[1:] {
		key, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		path = append(path, string(key))
	}
	return path
}

// input takes note of a path that is read in any way.
func (w *dependencyWalk) input(path inputPath, at *ast.Location) {
	w.used[path.String()] = true
	w.note(path, at)
}

func (w *dependencyWalk) note(path inputPath, at *ast.Location) {
	name := path.String()
	before, known := w.places[name]
	if !known {
		w.paths = append(w.paths, path)
	}
	w.places[name] = earlier(before, at)
}

// earlier keeps the message about a policy the same from load to load; the order of the walk is not.
func earlier(a, b *ast.Location) *ast.Location {
	if a == nil || b != nil && b.Compare(a) < 0 {
		return b
	}
	return a
}

// changingBuiltins are those that may answer differently tomorrow. OPA marks them, but for the certificates' clock.
func changingBuiltins() map[string]bool {
	names := map[string]bool{
		"crypto.x509.parse_and_verify_certificates":              true,
		"crypto.x509.parse_and_verify_certificates_with_options": true,
	}
	for _, b := range capabilities().Builtins {
		if b.Nondeterministic {
			names[b.Name] = true
		}
	}
	return names
}

// volatile are the inputs that differ in every request; whoever reads them gets no second answer from a cache.
func volatile() map[string]string {
	return map[string]string{
		"input.id":                 "is another one for every decision",
		"input.context.request_id": "is another one for every request",
		"input.context.time":       "is the time of the request",
		"input.context.unix_time":  "is the time of the request",
	}
}

func (w *dependencyWalk) result() dependencies {
	var d dependencies
	slices.SortFunc(w.paths, func(a, b inputPath) int { return slices.Compare(a, b) })
	for _, path := range w.paths {
		if n := len(d.paths); n == 0 || !path.begins(d.paths[n-1]) {
			d.paths = append(d.paths, path)
		}
	}
	for name, at := range w.clocks {
		why := "with time"
		if name == usageBuiltin {
			why = "with every call"
		}
		d.obstacles = append(d.obstacles, obstacle(at, "it calls %s, whose answer changes %s", name, why))
	}
	for _, path := range w.paths {
		for input, why := range volatile() {
			name := path.String()
			switch {
			case name == input || strings.HasPrefix(name, input+"."):
				d.obstacles = append(d.obstacles, obstacle(w.places[name], "it reads %s, which %s", name, why))
			case strings.HasPrefix(input, name+"."):
				d.obstacles = append(d.obstacles, obstacle(w.places[name], "it hands on or searches %s as a whole, and in it %s, which %s", name, input, why))
			}
		}
	}
	d.obstacles = sortProblems(d.obstacles)
	d.servers, d.calls = w.servers, slices.Sorted(maps.Keys(w.clocks))
	d.tested = map[string][]test{}
	for _, path := range d.paths {
		read := func(p inputPath) bool {
			return p.begins(path) && (len(p) > len(path) || w.used[p.String()])
		}
		if !w.mocks && !slices.ContainsFunc(w.paths, read) {
			d.tested[path.String()] = w.tested[path.String()]
		}
	}
	return d
}

func obstacle(at *ast.Location, format string, args ...any) Problem {
	return problemAt(at, "policy not cacheable because %s", fmt.Sprintf(format, args...))
}

// begins tells whether the path is the other one or lies below it.
func (p inputPath) begins(with inputPath) bool {
	return len(p) >= len(with) && slices.Equal(p[:len(with)], with)
}
