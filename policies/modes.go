package policies

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/rego"
)

// The modes of a package, in its METADATA: "custom: {mode: log_only}". A package in mode log_only is evaluated beside the answer and
// not combined; what the answer would be with it is told. Without a mode a package is enforced.
const (
	modeEnforce = "enforce"
	modeLogOnly = "log_only"
)

// checkModes holds the METADATA of an author's module to the modes that there are: a mode that is misspelled, or stands where nobody
// looks, would enforce what its author only wants to try.
func checkModes(m *ast.Module, own ownPackage) []Problem {
	var problems []Problem
	fail := func(a *ast.Annotations, format string, args ...any) {
		problems = append(problems, problemAt(a.Location, format, args...))
	}
	for _, a := range m.Annotations {
		for _, key := range slices.Sorted(maps.Keys(a.Custom)) {
			value := a.Custom[key]
			switch {
			case key != "mode" && value == modeLogOnly:
				fail(a, "custom.%s: %s does nothing (did you mean custom.mode?)", key, modeLogOnly)
			case key != "mode":
			case own.kind == "" || own.test:
				fail(a, "custom.mode is for the packages policy.{clients,scopes,tools,access}.NAME; others are not combined anyway")
			case a.Scope != "package":
				fail(a, "custom.mode stands in the METADATA of a %s; it holds for whole packages, so write it above the package line", a.Scope)
			case value != modeEnforce && value != modeLogOnly:
				p := problemAt(a.Location, "custom.mode: %v is no mode of a package", value)
				p.Detail = "want one of: " + modeEnforce + ", " + modeLogOnly
				problems = append(problems, p)
			}
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return unreadModes(m)
}

// unreadModes finds comments that say log_only where nobody reads it: without METADATA, or without custom. The package would be enforced.
func unreadModes(m *ast.Module) (problems []Problem) {
	if mode, _ := modeOf(m); mode != "" {
		return nil
	}
	for _, c := range m.Comments {
		line := strings.ToLower(strings.Join(strings.FieldsFunc(string(c.Text), func(r rune) bool { return strings.ContainsRune(" \t{}\"'", r) }), ""))
		switch strings.TrimPrefix(line, "custom:") {
		case "mode:log_only", "mode:log-only", "mode:logonly":
			problems = append(problems, problemAt(c.Location, "this mode is not read, and the package is enforced; write it above the package line as "+
				"three lines: # METADATA, # custom:, #   mode: %s", modeLogOnly))
		}
	}
	return problems
}

// modeOf is the mode that a module declares, and where; "" = none.
func modeOf(m *ast.Module) (mode string, at *ast.Location) {
	for _, a := range m.Annotations {
		if word, ok := a.Custom["mode"].(string); ok && a.Scope == "package" {
			return word, a.Location
		}
	}
	return "", nil
}

// findModes notes which packages are in mode log_only. The files of one package must agree.
func (p *program) findModes() []Problem {
	p.logOnly = map[ownPackage]bool{}
	modes := map[ownPackage]string{}
	silent := map[ownPackage]*ast.Location{} // a file that says no mode
	var problems []Problem
	for _, name := range p.author {
		m := p.modules[name]
		mode, at := modeOf(m)
		own, ok := shippedPackage(pathOf(m.Package.Path))
		if !ok || own.test {
			continue
		}
		if mode == "" {
			silent[own] = m.Package.Location
			continue
		}
		if modes[own] != "" && modes[own] != mode {
			problems = append(problems, problemAt(at, "another file of package %s has mode %s; the files of a package have one mode", own, modes[own]))
		}
		modes[own] = mode
		if mode == modeLogOnly && !p.logOnly[own] {
			p.logOnly[own] = true
			p.trials = append(p.trials, problemAt(at, "package %s is log_only: it is evaluated and told, and takes no part in any answer", own))
		}
	}
	for _, own := range p.logOnlyPackages() {
		if at := silent[own]; at != nil {
			problems = append(problems, problemAt(at, "another file of package %s has mode %s, which would switch this one off, too; write the mode here as well, or give the rules another package", own, modeLogOnly))
		}
	}
	return problems
}

// String is the package as authors write it.
func (p ownPackage) String() string { return "policy." + string(p.kind) + "." + p.name }

// path is the package's path below data.
func (p ownPackage) path() ast.Ref {
	return ast.MustParseRef("data.policy." + string(p.kind)).Append(ast.StringTerm(p.name))
}

// logOnlyPackages are those in mode log_only, sorted.
func (p *program) logOnlyPackages() []ownPackage {
	return slices.SortedFunc(maps.Keys(p.logOnly), func(a, b ownPackage) int { return cmp.Compare(a.String(), b.String()) })
}

// checkLogOnly refuses rules that read a package in mode log_only: through them it would take part in answers.
func (p *program) checkLogOnly(c *ast.Compiler) []Problem {
	var problems []Problem
	tried := p.logOnlyPackages()
	for _, name := range p.author {
		m := c.Modules[name]
		if m == nil || p.tests[name] || len(tried) == 0 {
			continue
		}
		if own, ok := shippedPackage(pathOf(m.Package.Path)); ok && p.logOnly[own] {
			continue
		}
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if ref, ok := t.Value.(ast.Ref); ok {
				for _, own := range tried {
					if touches(ref, own.path()) {
						problems = append(problems, problemAt(t.Location, "%s reads package %s, which is log_only and takes no part in answers; enforce it, or move what is needed into a package lib.NAME", ref, own))
					}
				}
			}
			return false
		})
	}
	return problems
}

// touches tells whether a reference may lead to the package or into it.
func touches(ref, path ast.Ref) bool {
	fixed := ref.ConstantPrefix()
	if len(fixed) < 2 && len(ref) < 2 {
		return false // a variable
	}
	return fixed.HasPrefix(path) || len(fixed) > 0 && path.HasPrefix(fixed) && fixed[0].Equal(ast.DefaultRootDocument)
}

// trialPath is the package of the router that combines a package in mode log_only with all that are enforced.
func (p ownPackage) trialPath() ast.Ref {
	return ast.MustParseRef("data.mcp.trial." + string(p.kind)).Append(ast.StringTerm(p.name))
}

// trialQuery asks that router as kind.query asks the other.
func (p ownPackage) trialQuery() string {
	entrypoint := "decision"
	if p.kind == kindTools {
		entrypoint = "judgement"
	}
	return p.trialPath().Append(ast.StringTerm(entrypoint)).String()
}

// addTrials makes a router of its own for every package in mode log_only, from those of the kinds, which must not be specialised yet.
func (p *program) addTrials() error {
	for _, own := range p.logOnlyPackages() {
		name := routerName(own.kind)
		m := p.modules[name].Copy()
		m.Package.Path, m.Annotations, m.Comments = own.trialPath(), nil, nil
		if err := specialiseRouter(m, p.exports(own), own.kind); err != nil {
			return err
		}
		p.modules[name+"#"+own.name] = m
	}
	return nil
}

// trial is the query that tells what the answer would be with a package in mode log_only.
type trial struct {
	own   ownPackage
	query rego.PreparedEvalQuery
}

func (p *program) prepareTrials(ctx context.Context, compiler *ast.Compiler) (map[kind][]trial, error) {
	trials := map[kind][]trial{}
	for _, own := range p.logOnlyPackages() {
		q, err := rego.New(rego.Query(own.trialQuery()), rego.Compiler(compiler), rego.Store(p.store()), rego.StrictBuiltinErrors(true), usageFunction()).PrepareForEval(ctx)
		if err != nil {
			return nil, fmt.Errorf("policies: prepare %s: %w", own.trialQuery(), err)
		}
		trials[own.kind] = append(trials[own.kind], trial{own, q})
	}
	return trials, nil
}

// trialQueries are those of a kind.
func (p *program) trialQueries(k kind) []string {
	var queries []string
	for _, own := range p.logOnlyPackages() {
		if own.kind == k {
			queries = append(queries, own.trialQuery())
		}
	}
	return queries
}

// exportedText is a shipped file as an export has it. A router finds the packages of its kind by itself, and could not know their modes: where one is
// log_only the export has a router that names the packages which take part.
func (p *program) exportedText(f file) ([]byte, error) {
	if f.path == usageFile {
		return embedded.ReadFile("stock/usage.rego")
	}
	var left []string
	for _, own := range p.logOnlyPackages() {
		if routerName(own.kind) == f.name() {
			left = append(left, own.String())
		}
	}
	if len(left) == 0 {
		return f.data, nil
	}
	m := p.modules[f.name()].Copy()
	m.Comments = nil
	text, err := format.AstWithOpts(m, format.Opts{IgnoreLocations: true, RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, fmt.Errorf("policies: %s: %w", f.name(), err)
	}
	return append([]byte("# Made for one set of policies. In mode log_only, and so not combined: "+strings.Join(left, ", ")+"\n"), text...), nil
}
