package policies

import (
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// certainty is what can be said of a call while some values are not known.
type certainty int

const (
	uncertain certainty = iota
	untouched           // no rule came to look at them
	denied              // it is denied whatever they are
)

// partialTurn is how long a record waits for its partial evaluation: there is one at a time for each core.
const partialTurn = time.Minute

// certainWithout evaluates a call partially, with the missing values unknown. The rules may be able to read a value and yet not come to
// it, since a condition before it fails.
func (a *reenactment) certainWithout(r *recorded, input map[string]any, missing []hiddenPlace, more ...rego.EvalOption) certainty {
	if r.Kind != kindTools {
		return uncertain // the other routers have no rule for it
	}
	var unknowns []*ast.Term
	for _, h := range missing {
		if slices.ContainsFunc(clampReads(r.Kind), h.path.overlaps) || !isMember(input, h.path) {
			return uncertain
		}
		unknowns = append(unknowns, h.path.term())
	}
	term, err := termOf(input, -inputDepth)
	if err != nil {
		return uncertain
	}
	cancel := topdown.NewCancel()
	timer := time.AfterFunc(a.limit, cancel.Cancel)
	defer timer.Stop()
	saved := &saves{}
	notAsked := false
	left := uncertain
	err = a.lister.partially(usageThen(r.ND, &notAsked).context(), partialTurn, term.Value, func(bodies []ast.Body) { left = r.certainlyDenied(bodies) }, append(more,
		rego.EvalParsedUnknowns(unknowns),
		rego.EvalTime(time.Unix(0, r.At)),
		rego.EvalExternalCancel(cancel),
		rego.EvalQueryTracer(saved))...)
	switch {
	case err != nil:
		return uncertain
	case saved.any:
		return left
	}
	return untouched
}

// isMember tells whether a path leads through objects only: the index of a list is a number for the rules.
func isMember(input map[string]any, path inputPath) bool {
	var v any = input
	for _, key := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return false
		}
		v = object[key]
	}
	return true
}

// certainlyDenied reads what is left of mcp.authz.tools.outlook: a member without conditions is certain.
func (r *recorded) certainlyDenied(queries []ast.Body) certainty {
	login, now := r.authn("token"), time.Unix(0, r.At).Truncate(time.Second)
	for _, body := range queries {
		member := memberOf(body)
		if member == nil || len(body) != 1 {
			continue
		}
		if word, ok := member.(ast.String); ok {
			if word != "permitted" {
				return denied
			}
			continue
		}
		entry := read("requirement", member)
		if q := entry.requirement(); entry.done() == nil && !q.Met(login, now) {
			return denied
		}
	}
	return uncertain
}

// saves notices when an evaluation comes to a value that is not known.
type saves struct{ any bool }

// Enabled is part of topdown.QueryTracer.
func (s *saves) Enabled() bool { return true }

// TraceEvent is part of topdown.QueryTracer.
func (s *saves) TraceEvent(e topdown.Event) { s.any = s.any || e.Op == topdown.SaveOp }

// Config is part of topdown.QueryTracer.
func (s *saves) Config() topdown.TraceConfig { return topdown.TraceConfig{} }
