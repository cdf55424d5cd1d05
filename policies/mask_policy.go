package policies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// masking is what the package system.log of an author keeps out of records, in OPA's own convention:
// mask contains "/input/tool/arguments/password".
type masking struct {
	constant []maskRule              // known at load
	query    *rego.PreparedEvalQuery // asked for each decision; nil = the constants are all there is
}

const maskQuery = "data.system.log.mask"

// prepareMasks evaluates what depends on no decision now, and prepares the rest.
func (p *program) prepareMasks(ctx context.Context, compiler *ast.Compiler) (m masking, err error) {
	rules := compiler.GetRulesExact(ast.MustParseRef(maskQuery))
	if len(rules) == 0 {
		return m, nil
	}
	query, err := rego.New(rego.Query(maskQuery), rego.Compiler(compiler), rego.Store(p.store()), rego.StrictBuiltinErrors(true), usageFunction()).PrepareForEval(ctx)
	if err != nil {
		return m, fmt.Errorf("policies: prepare %s: %w", maskQuery, err)
	}
	if slices.ContainsFunc(rules, dependsOnDecision) {
		m.query = &query
		return m, nil
	}
	r := (&generation{}).run(query, ast.NewObject(), time.Now(), nil, topdown.NewCancel())
	if r.err != nil {
		return m, loadError([]Problem{problemAt(rules[0].Location, "mask cannot be evaluated: %s", r.err)})
	}
	m.constant, err = readMasks(r.value)
	if err != nil {
		return m, loadError([]Problem{problemAt(rules[0].Location, "mask: %s", err)})
	}
	return m, nil
}

// dependsOnDecision tells whether a rule reads anything but data.config and constants.
func dependsOnDecision(r *ast.Rule) bool {
	depends := false
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		builtin := ast.BuiltinMap[ref.String()]
		switch {
		case ref[0].Equal(ast.InputRootDocument), builtin != nil && builtin.Nondeterministic:
			depends = true
		case ref[0].Equal(ast.DefaultRootDocument):
			depends = depends || len(ref) < 2 || !ref[1].Equal(ast.StringTerm("config"))
		}
		return false
	})
	return depends
}

// readMasks reads a whole data.system.log.mask.
func readMasks(v ast.Value) ([]maskRule, error) {
	set, ok := v.(ast.Set)
	if !ok {
		return nil, errors.New("is no set")
	}
	var rules []maskRule
	for _, t := range set.Slice() {
		m, err := readMask(t.Value)
		if err != nil {
			return nil, err
		}
		rules = append(rules, m)
	}
	return rules, nil
}

// tree is what records keep back with the constant masks.
func (m masking) tree(mode RecordMode) *maskNode {
	root := maskTree(mode)
	for _, rule := range m.constant {
		rule.apply(root)
	}
	return root
}

// masksFor is what the record of one decision keeps back; nil = everything, since the masks could not be evaluated. The masks
// see an event with the names of OPA's decision logs.
func (e *Engine) masksFor(g *generation, k kind, id string, write func(*object) error) *maskNode {
	root := g.maskTree
	if g.masks.query == nil {
		return root
	}
	input := e.words.object(12)
	if write(&input) != nil {
		return root // there will be no input to record
	}
	event := ast.NewObject(
		[2]*ast.Term{ast.StringTerm("decision_id"), ast.StringTerm(id)},
		[2]*ast.Term{ast.StringTerm("path"), ast.StringTerm("mcp/authz/" + string(k) + "/decision")},
		[2]*ast.Term{ast.StringTerm("input"), input.term()})
	cancel := topdown.NewCancel()
	r := e.guard(func() result { return g.run(*g.masks.query, event, time.Now(), nil, cancel) }, cancel.Cancel)
	var rules []maskRule
	err := r.err
	if err == nil {
		rules, err = readMasks(r.value)
	}
	if err != nil {
		e.log.Error("decision recorded without its input: data.system.log.mask failed", slog.String("decision", id),
			slog.String("revision", g.revision), slog.Any("error", err))
		return nil
	}
	root = root.clone()
	for _, rule := range rules {
		rule.apply(root)
	}
	return root
}

// checkMask finds a constant of a mask rule that would mask nothing.
func checkMask(r *ast.Rule, schemas map[string]any) *Problem {
	if ruleName(r) != "mask" || r.Head.Key == nil || !r.Head.Key.IsGround() || isComputed(r.Head.Key) {
		return nil
	}
	wrong := checkMaskConstant(r.Head.Key.Value, schemas)
	if wrong == "" {
		return nil
	}
	p := problemAt(r.Head.Location, "mask: %s", wrong)
	return &p
}
