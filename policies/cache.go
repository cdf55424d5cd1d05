package policies

import (
	"container/list"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"portcullis/oauth"
)

// DefaultCache is how many answers each router's cache holds unless Config says otherwise.
const DefaultCache = 8192

// maxRemembered bounds the text of an answer that is remembered, in bytes: the caches hold many.
const maxRemembered = 4096

// CacheStats counts since the start of the process what became of questions.
type CacheStats struct {
	Hits         uint64 // answered from memory
	Misses       uint64 // evaluated, and remembered unless the policies failed
	NotCacheable uint64 // evaluated, because the answer depends on something that changes; Status says on what
	Entries      int    // remembered at the moment
}

// CacheStats is for metrics.
func (e *Engine) CacheStats() CacheStats {
	s := CacheStats{Hits: e.cache.hits.Load(), Misses: e.cache.misses.Load(), NotCacheable: e.cache.notCacheable.Load()}
	for _, m := range e.current.Load().memories {
		s.Entries += m.len()
	}
	return s
}

// Cacheability says what the answers of one router can depend on beside the revision.
type Cacheability struct {
	Kind      string    `json:"kind"`                // clients, scopes, tools or access
	Inputs    []string  `json:"inputs"`              // the input paths that its rules can read, such as input.tool.name
	Obstacles []Problem `json:"obstacles,omitempty"` // why its answers are not remembered; absent if they are

	paths []inputPath // the same as Inputs
	calls []string    // built-ins whose answers change
}

// cacheabilityOf looks at all routers of a compiled program.
func (p *program) cacheabilityOf(c *ast.Compiler) []Cacheability {
	var list []Cacheability
	for _, k := range kinds() {
		d := p.dependenciesOf(c, append(p.trialQueries(k), k.query())...) // what log_only packages say is remembered with the answer
		entry := Cacheability{Kind: string(k), Inputs: []string{}, Obstacles: d.obstacles, paths: d.paths, calls: d.calls}
		for _, path := range d.paths {
			entry.Inputs = append(entry.Inputs, path.String())
		}
		list = append(list, entry)
	}
	return list
}

// wantsOf are the inputs that the rules of each router can read.
func wantsOf(list []Cacheability) map[kind]*inputTree {
	wants := map[kind]*inputTree{}
	for _, entry := range list {
		wants[kind(entry.Kind)] = treeOf(entry.paths)
	}
	return wants
}

// memoriesFor makes an empty memory for every router whose answers can be remembered.
func memoriesFor(list []Cacheability, limit int) map[kind]*memory {
	memories := map[kind]*memory{}
	for _, entry := range list {
		if len(entry.Obstacles) == 0 && limit > 0 {
			memories[kind(entry.Kind)] = newMemory(entry.paths, limit)
		}
	}
	return memories
}

// cacheCounters belong to an engine; they outlive its generations.
type cacheCounters struct {
	hits, misses, notCacheable atomic.Uint64
}

// cacheKey is the SHA-256 of the values, or absence, of exactly the input paths that the rules can read.
type cacheKey [sha256.Size]byte

// memory remembers the answers of one router in one generation; another generation begins with an empty one. It is
// bounded, and it never holds policy errors. It is safe for concurrent use.
type memory struct {
	tree  *inputTree // what keys are made of
	max   int
	bytes sync.Pool // of *sieve

	mu    sync.Mutex
	order *list.List // of *remembered, most recent first
	found map[cacheKey]*list.Element
}

// remembered is one answer. Nobody changes it.
type remembered struct {
	key    cacheKey
	answer any // the decoded answer of the router
	fired  fired
	tried  []tried
}

func newMemory(paths []inputPath, limit int) *memory {
	m := &memory{tree: treeOf(paths), max: limit, order: list.New(), found: map[cacheKey]*list.Element{}}
	m.bytes.New = func() any { return &sieve{} }
	return m
}

// key sifts an input and adds more texts. ok is false if an evaluation would refuse the input.
func (m *memory) key(write func(*object) error, more ...string) (key cacheKey, ok bool) {
	s := m.bytes.Get().(*sieve)
	defer m.bytes.Put(s)
	s.out = s.out[:0]
	o := s.document(m.tree)
	if err := write(&o); err != nil {
		return key, false
	}
	s.texts(more)
	return sha256.Sum256(s.out), true
}

func (m *memory) get(key cacheKey) (*remembered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.found[key]
	if !ok {
		return nil, false
	}
	m.order.MoveToFront(e)
	return e.Value.(*remembered), true
}

func (m *memory) put(r *remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.found[r.key]; known {
		return // two callers missed at once; the answers are the same
	}
	m.found[r.key] = m.order.PushFront(r)
	if m.order.Len() > m.max {
		last := m.order.Back()
		m.order.Remove(last)
		delete(m.found, last.Value.(*remembered).key)
	}
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.order.Len()
}

// question is how one kind of answer is read, copied and looked at.
type question[D any] struct {
	kind    kind
	decode  func(ast.Value) (D, error)
	own     func(D) D // a copy that shares nothing that can be changed
	reasons func(D) []oauth.Reason
}

// ask gives the answer of a router: from memory if it can depend on nothing that differs, else by evaluating. write makes
// the input. What goes beside the answer into a decision, such as its id and time, is the caller's. The result tells what happened
// on the way: the rules that fired, and what a record needs.
func ask[D any](e *Engine, g *generation, q question[D], at time.Time, u usage, write func(*object) error) (D, result, error) {
	var key cacheKey
	m := g.memories[q.kind]
	sifted := false
	if m == nil {
		e.cache.notCacheable.Add(1)
	} else if key, sifted = m.key(write); sifted {
		if r, hit := m.get(key); hit {
			e.cache.hits.Add(1)
			return q.own(r.answer.(D)), result{fired: r.fired, tried: r.tried}, nil
		}
		e.cache.misses.Add(1)
	}
	var none D
	input := e.words.wanted(g.wants[q.kind])
	if err := write(&input); err != nil {
		return none, result{}, err
	}
	r := e.evaluate(g, q.kind, input.value(), at, u)
	if r.err != nil {
		return none, r, r.err
	}
	d, err := q.decode(r.value)
	if err != nil {
		return none, r, err
	}
	whole := q.readTried(&r)
	if sifted && whole && r.size <= maxRemembered && !failed(q.reasons(d)) {
		m.put(&remembered{key: key, answer: q.own(d), fired: r.fired, tried: r.tried})
	}
	return d, r, nil
}

// failed tells whether the router found a package's value malformed.
func failed(reasons []oauth.Reason) bool {
	return slices.ContainsFunc(reasons, func(r oauth.Reason) bool { return r.Code == codePolicyError })
}

func toolsQuestion() question[oauth.Decision] {
	return question[oauth.Decision]{kindTools, decodeTools, ownDecision, decisionReasons}
}

func accessQuestion() question[oauth.Decision] {
	return question[oauth.Decision]{kindAccess, decodeAccess, ownDecision, decisionReasons}
}

func scopesQuestion() question[oauth.ScopeDecision] {
	return question[oauth.ScopeDecision]{kindScopes, decodeScopes, ownScopeDecision,
		func(d oauth.ScopeDecision) []oauth.Reason { return d.Reasons }}
}

func clientsQuestion() question[oauth.ClientDecision] {
	return question[oauth.ClientDecision]{kindClients, decodeClients, ownClientDecision,
		func(d oauth.ClientDecision) []oauth.Reason { return d.Reasons }}
}

func decisionReasons(d oauth.Decision) []oauth.Reason { return d.Reasons }

func ownDecision(d oauth.Decision) oauth.Decision {
	d.Reasons = slices.Clone(d.Reasons)
	d.RequiredScopes = slices.Clone(d.RequiredScopes)
	d.MissingScopes = slices.Clone(d.MissingScopes)
	d.RequireAuthn = ownRequirements(d.RequireAuthn)
	d.Obligations = slices.Clone(d.Obligations)
	for i := range d.Obligations {
		if p := d.Obligations[i].Properties; p != nil {
			d.Obligations[i].Properties = ownValue(p).(map[string]any)
		}
	}
	return d
}

func ownScopeDecision(d oauth.ScopeDecision) oauth.ScopeDecision {
	d.Reasons, d.Denied = slices.Clone(d.Reasons), slices.Clone(d.Denied)
	d.Granted, d.RequireConsent = slices.Clone(d.Granted), slices.Clone(d.RequireConsent)
	d.RequireAuthn = ownRequirements(d.RequireAuthn)
	if d.Refresh != nil {
		refresh := *d.Refresh
		d.Refresh = &refresh
	}
	return d
}

func ownClientDecision(d oauth.ClientDecision) oauth.ClientDecision {
	d.Reasons = slices.Clone(d.Reasons)
	d.AllowRedirects, d.Ceiling = slices.Clone(d.AllowRedirects), slices.Clone(d.Ceiling)
	return d
}

func ownRequirements(list []oauth.AuthnRequirement) []oauth.AuthnRequirement {
	list = slices.Clone(list)
	for i := range list {
		list[i].ACRValues = slices.Clone(list[i].ACRValues)
	}
	return list
}

func ownValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, member := range v {
			m[key] = ownValue(member)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = ownValue(element)
		}
		return list
	}
	return v
}
