package policies

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"go.yaml.in/yaml/v3"

	"portcullis/oauth"
)

// generation is one immutable state of all policies. A request works with one generation from begin to end.
type generation struct {
	revision  string
	activated time.Time
	queries   map[kind]rego.PreparedEvalQuery
	judge     *judge
	trials    map[kind][]trial    // of the packages in mode log_only
	wants     map[kind]*inputTree // what the rules can read of the inputs
	files     int                 // of the author's directory
	tests     int                 // that passed before it was activated

	warnings     []Problem // what check says of them
	cacheability []Cacheability
	memories     map[kind]*memory // of the routers whose answers can be remembered
	lister       *lister

	catalogue string      // digest of data.servers
	places    []firedRule // the exported rules, without their labels, by the number in labelPlace
	recordsND bool        // the policies call some of recordedBuiltins
	countsUse bool        // those about calls ask mcp.usage
	masks     masking
	maskTree  *maskNode // what records keep back, with the constant masks

	stale  []StaleTool                  // that are denied
	bundle func() (ServedBundle, error) // made once, when it is asked for
}

// program is a source that parsed: modules by file name, and the data documents.
type program struct {
	modules   map[string]*ast.Module
	author    []string // names of the author's modules
	tests     map[string]bool
	config    map[string]any
	dataFiles []file                // what config is made of
	trees     map[string]*yaml.Node // of those whose places somebody asked for
	servers   map[string]any
	catalogue []*oauth.Resource    // empty = not known
	tools     map[string]*wordList // the names of a server's tools, and of all under ""
	schemas   *ast.SchemaSet
	inputs    map[string]any      // the input schemas, by name
	places    []firedRule         // the exported rules, by the number in labelPlace
	warnings  []Problem           // what lets calls through by accident
	notes     []Problem           // what was checked, and what could not be
	logOnly   map[ownPackage]bool // the packages in mode log_only
	trials    []Problem           // the same, for people
	stale     map[string]bool     // tools that are denied, by server/tool
	settled   *settled            // nil = nothing is
	partial   bool                // some of the author's modules are missing, since they cannot be read

	documents storage.Store // see store
}

// parse reads all files of a source and checks the author's modules. The program can be compiled even with problems, so that
// they are reported together with those of the compiler.
func (s source) parse() (*program, []Problem, error) {
	boundBuiltins()
	schemas, err := schemaDocuments(s.shipped)
	if err != nil {
		return nil, nil, fmt.Errorf("policies: %w", err)
	}
	p := &program{modules: map[string]*ast.Module{}, tests: map[string]bool{}, stale: map[string]bool{}, settled: s.settled, servers: s.servers, catalogue: s.resources, schemas: ast.NewSchemaSet(), inputs: schemas, trees: map[string]*yaml.Node{}, tools: map[string]*wordList{}}
	for _, tool := range s.stale {
		p.stale[tool.String()] = true
	}
	for name, doc := range schemas {
		p.schemas.Put(ast.MustParseRef("schema."+name), doc)
	}
	var problems []Problem
	p.config, problems = configDocument(s.author)
	for _, f := range s.author {
		if f.isRego() {
			found, ok := p.addAuthor(f)
			problems = append(problems, found...)
			p.partial = p.partial || !ok
		} else {
			p.dataFiles = append(p.dataFiles, f)
		}
	}
	problems = append(append(problems, p.findModes()...), p.checkRules()...)
	if err := p.addShipped(s.shipped, s.shippedTests); err != nil {
		return nil, nil, err
	}
	return p, problems, p.specialise()
}

// checkRules looks at what the author's rules say of the input and of the catalogue, and types the arguments of tools.
func (p *program) checkRules() []Problem {
	problems := p.foreignRefs()
	g := p.graph()
	found, notes := g.typeArguments()
	problems, p.notes = append(problems, found...), append(p.notes, notes...)
	found, warnings := g.checkValues()
	problems, p.warnings = append(problems, found...), append(p.warnings, warnings...)
	p.warnings = slices.Concat(p.warnings, g.checkAbsent(), g.checkUnused(), p.checkMocks())
	return problems
}

func parseModule(f file) (*ast.Module, error) {
	return ast.ParseModuleWithOpts(f.name(), string(f.data), ast.ParserOptions{
		ProcessAnnotation: true, // without it schemas and labels are silently absent
		Capabilities:      capabilities(),
		RegoVersion:       ast.RegoV1,
	})
}

// addAuthor parses one module. ok is false if it is left out.
func (p *program) addAuthor(f file) (problems []Problem, ok bool) {
	if strings.HasPrefix(f.path, shippedPrefix) { // one of the two files would be left out without a word
		return []Problem{{File: f.name(), Message: "has a name of the shipped files; put it into another folder than " + shippedPrefix}}, false
	}
	m, err := parseModule(f)
	if err != nil {
		return problemsOf(err), false
	}
	if m == nil || m.Package == nil {
		return []Problem{{File: f.name(), Message: "is empty; a policy file begins with package policy.{clients,scopes,tools,access}.NAME"}}, true
	}
	problems = checkModule(m, p.inputs)
	own, err := parsePackage(pathOf(m.Package.Path))
	if err != nil {
		return problems, false
	}
	if f.isTest() != own.test {
		problems = append(problems, problemAt(m.Package.Location, "tests lie in files NAME_test.rego with a package that ends with _test, and nothing else does"))
	}
	p.warnings = append(p.warnings, warnings(m)...)
	p.add(f.name(), m, own)
	p.author = append(p.author, f.name())
	return problems, true
}

func (p *program) add(name string, m *ast.Module, own ownPackage) {
	if own.kind != "" && !own.test {
		p.labelRules(m, own)
	}
	p.modules[name] = m
	p.tests[name] = own.test
}

// addShipped adds the shipped modules, but for those whose package the author has replaced, with their tests.
func (p *program) addShipped(files []file, tests bool) error {
	replaced := map[string]bool{}
	for _, name := range p.author {
		if path := pathOf(p.modules[name].Package.Path); len(path) == 3 && path[2] == "default" {
			replaced[path[1]] = true
		}
	}
	for _, f := range files {
		if !f.isRego() || !tests && f.isTest() {
			continue
		}
		m, err := parseModule(f)
		if err != nil {
			return fmt.Errorf("policies: %w", err)
		}
		own, ok := shippedPackage(pathOf(m.Package.Path))
		if ok && own.name == "default" && replaced[string(own.kind)] {
			continue
		}
		p.add(f.name(), m, own)
	}
	return nil
}

// testingPackage holds the shipped helpers for tests. It is no part of what a server evaluates.
const testingPackage = "lib.mcp.testing"

// shippedPackage tells kind and test of a shipped package; ok only for policy packages.
func shippedPackage(path []string) (own ownPackage, ok bool) {
	if path[0] == "policy" && len(path) == 3 {
		own, err := parsePackage(path)
		return own, err == nil
	}
	helpers := strings.Join(path, ".") == testingPackage
	return ownPackage{test: helpers || strings.HasSuffix(path[len(path)-1], "_test")}, false
}

// The labels that every exported rule of a policy package carries. A rule's own METADATA label "rule" wins
// over the made one.
const (
	labelRule  = "rule"
	labelPlace = "portcullis.place" // its number in program.places
)

// labelRules lets the evaluator report which exported rules fired, also those without METADATA.
func (p *program) labelRules(m *ast.Module, own ownPackage) {
	for _, r := range m.Rules {
		name := ruleName(r)
		if _, exported := ruleForms(own.kind)[name]; !exported || r.Default {
			continue
		}
		labels := map[string]any{labelPlace: strconv.Itoa(len(p.places))}
		p.places = append(p.places, firedRule{Export: name, Package: own.name, File: r.Location.File, Line: r.Location.Row})
		if !hasRuleLabel(r) {
			labels[labelRule] = own.name + "." + name
		}
		m.Annotations = append(m.Annotations, (&ast.Annotations{Scope: "rule", Location: r.Location, Labels: labels}).Copy(r))
	}
}

func hasRuleLabel(r *ast.Rule) bool {
	for _, a := range r.Annotations {
		if _, ok := a.Labels[labelRule]; ok {
			return true
		}
	}
	return false
}

// compiler is an empty compiler with all the strictness there is.
func (p *program) compiler(withTests bool) *ast.Compiler {
	return ast.NewCompiler().
		WithCapabilities(capabilities()).
		WithStrict(true).
		WithSchemas(p.schemas).
		WithUseTypeCheckAnnotations(true).
		WithEnablePrintStatements(withTests).
		SetErrorLimit(0)
}

// chosen are the modules with or without the tests. Tests say what the author's rules do, so that a stale tool is denied outside of them only.
func (p *program) chosen(withTests bool) map[string]*ast.Module {
	modules := make(map[string]*ast.Module, len(p.modules))
	for name, m := range p.modules {
		if withTests || !p.tests[name] {
			modules[name] = m
		}
	}
	if withTests {
		delete(modules, shippedPrefix+staleModule)
	}
	return modules
}

// compile type-checks all modules at once: module by module would take quadratic time.
func (p *program) compile(withTests bool) (*ast.Compiler, []Problem) {
	modules := p.chosen(withTests)
	c := p.compiler(withTests)
	if c.Compile(modules); c.Failed() {
		return nil, p.withFunctionHints(p.compileRest(withTests, modules, c.Errors))
	}
	return c, append(p.checkReferences(c), p.checkLogOnly(c)...)
}

// store holds data.config and data.servers as AST values, once for all queries: with many tools it is the largest part of a
// generation. It is never written to again: a waiting write would block every evaluation.
func (p *program) store() storage.Store {
	if p.documents == nil {
		p.documents = p.newStore()
	}
	return p.documents
}

// newStore holds the documents in terms of its own.
func (p *program) newStore() storage.Store {
	data := map[string]any{"config": p.config, "servers": p.servers}
	return inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))
}

// load makes a generation that remembers this many answers per router, or says everything that is wrong.
func load(ctx context.Context, s source, found []Problem, remember int) (*generation, error) {
	p, problems, err := s.parse()
	if err != nil {
		return nil, err
	}
	problems = append(found, problems...)
	compiler, more := p.compile(false)
	if problems = withCompiled(problems, more); len(problems) > 0 {
		return nil, loadError(withCarets(problems, s.author))
	}
	report, err := p.test(ctx, TestOptions{}, p.author)
	if err != nil {
		return nil, err
	}
	if err := report.failure(); err != nil {
		return nil, err
	}
	g, err := p.generation(ctx, s, compiler, remember)
	if err != nil {
		return nil, err
	}
	g.tests, g.warnings = report.Passed, p.warnings
	return g, nil
}

// generation prepares everything that a compiled program is asked.
func (p *program) generation(ctx context.Context, s source, compiler *ast.Compiler, remember int) (g *generation, err error) {
	g = &generation{revision: s.revision, files: len(s.author), catalogue: s.catalogue, places: p.places, stale: s.stale, bundle: sync.OnceValues(s.servedBundle)}
	if g.queries, err = p.prepare(ctx, compiler); err != nil {
		return nil, err
	}
	if g.judge, err = p.newJudge(ctx); err != nil {
		return nil, err
	}
	if g.trials, err = p.prepareTrials(ctx, compiler); err != nil {
		return nil, err
	}
	if g.masks, err = p.prepareMasks(ctx, compiler); err != nil {
		return nil, err
	}
	g.cacheability = p.cacheabilityOf(compiler)
	for _, entry := range g.cacheability {
		g.recordsND = g.recordsND || slices.ContainsFunc(recordedBuiltins(), func(name string) bool { return slices.Contains(entry.calls, name) })
		g.countsUse = g.countsUse || entry.Kind == string(kindTools) && slices.Contains(entry.calls, usageBuiltin)
	}
	g.memories, g.wants = memoriesFor(g.cacheability, remember), wantsOf(g.cacheability)
	if g.lister, err = p.newLister(ctx, compiler, remember); err != nil {
		return nil, err
	}
	g.activated = time.Now()
	return g, nil
}

// prepare makes the one query of each router.
func (p *program) prepare(ctx context.Context, compiler *ast.Compiler) (map[kind]rego.PreparedEvalQuery, error) {
	queries := map[kind]rego.PreparedEvalQuery{}
	store := p.store()
	for _, k := range kinds() {
		q, err := rego.New(rego.Query(k.query()), rego.Compiler(compiler), rego.Store(store), rego.StrictBuiltinErrors(true), usageFunction()).PrepareForEval(ctx)
		if err != nil {
			return nil, fmt.Errorf("policies: prepare %s: %w", k.query(), err)
		}
		queries[k] = q
	}
	return queries, nil
}
