package policies

import (
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// firedBuiltin is called at the end of every exported rule's body in the compiler of a judge, with the rule's number in
// generation.places. OPA's own tracker merges the annotations of every rule that succeeds anew, which took a third of an evaluation.
const firedBuiltin = "portcullis.fired"

// instrument makes a compiler of its own for evaluations whose rules tell that they fired, and the labels of those rules by place.
func (p *program) instrument() (*ast.Compiler, map[int]string, []Problem) {
	c, problems := p.compile(false)
	if len(problems) > 0 {
		return nil, nil, problems
	}
	useHelpers(c)
	labels, annotations := map[int]string{}, c.GetAnnotationSet()
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			merged, _ := annotations.MergedLabels(r)
			place, label, ok := placeOf(merged)
			if !ok || place >= len(p.places) {
				continue
			}
			labels[place] = label
			call := ast.NewExpr([]*ast.Term{ast.RefTerm(ast.VarTerm("portcullis"), ast.StringTerm("fired")), ast.InternedTerm(place)})
			call.Location, call.Index = r.Location, len(r.Body)
			r.Body = append(slices.Clip(r.Body), call)
		}
	}
	return c, labels, nil
}

// witnesses note which rules fire, one witness per evaluation.
type witnesses struct{ pool sync.Pool }

type witness struct {
	places   []int
	input    ast.Value
	builtins map[string]*topdown.Builtin
}

func newWitnesses() *witnesses {
	decl := &ast.Builtin{Name: firedBuiltin, Decl: types.NewFunction(types.Args(types.N), types.B), CanSkipBctx: true}
	return &witnesses{sync.Pool{New: func() any {
		w := &witness{}
		w.builtins = map[string]*topdown.Builtin{firedBuiltin: {Decl: decl, Func: w.note}, usageBuiltin: usageImplementation()}
		for _, h := range helpers() {
			w.builtins[h.builtin()] = h.implementation(w)
		}
		return w
	}}}
}

func (w *witness) note(_ topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
	n, _ := operands[0].Value.(ast.Number)
	place, _ := n.Int()
	if !slices.Contains(w.places, place) {
		w.places = append(w.places, place)
	}
	return iter(ast.InternedTerm(true))
}

// begin gives a witness that has seen nothing but the input; end gives it back.
func (ws *witnesses) begin(input ast.Value) *witness {
	w := ws.pool.Get().(*witness)
	w.places, w.input = w.places[:0], input
	return w
}

func (ws *witnesses) end(w *witness) {
	w.input = nil
	ws.pool.Put(w)
}
