package policies

import (
	"cmp"
	"slices"
	"sync"

	"portcullis/oauth"
)

// ReplayReport says what a candidate would have answered differently.
type ReplayReport struct {
	Candidate string `json:"candidate"` // revision
	Decisions int64  `json:"decisions"` // that were asked again
	Same      int64  `json:"same"`
	Flipped   int64  `json:"flipped"`
	Unknown   int64  `json:"unknown"`   // nobody can say
	Elsewhere int64  `json:"elsewhere"` // asked again with the catalogue of then, which is not today's

	Denied      ReplayFlips     `json:"allowed_to_denied"`
	Allowed     ReplayFlips     `json:"denied_to_allowed"`
	UnknownOver []ReplayUnknown `json:"unknown_because"`
}

// ReplayFlips are the flips in one direction. A grant that loses one scope and gains another is in both.
type ReplayFlips struct {
	Count  int64         `json:"count"`
	Groups []ReplayGroup `json:"groups"` // the largest first
}

// ReplayGroup are the flips by one rule, of one client, about one tool or scope.
type ReplayGroup struct {
	Rule     string       `json:"rule"` // that denies: of the candidate, or of then
	Client   string       `json:"client"`
	Server   string       `json:"server,omitempty"`
	What     string       `json:"what"`             // the tool, the method or the stage of a grant
	Scopes   oauth.Scopes `json:"scopes,omitempty"` // of a grant: lost or gained
	Count    int64        `json:"count"`
	Examples []string     `json:"examples"` // evaluation ids
}

// ReplayUnknown are the decisions of which nobody can say what the candidate would have answered.
type ReplayUnknown struct {
	Why      string   `json:"why"`
	Count    int64    `json:"count"`
	Examples []string `json:"examples"`
}

// tally adds verdicts up.
type tally struct {
	examples int

	mu              sync.Mutex
	sum             ReplayReport
	denied, allowed map[groupKey]*ReplayGroup
	unknown         map[string]*ReplayUnknown
}

type groupKey struct{ rule, client, server, what, scopes string }

func newTally(examples int) *tally {
	return &tally{examples: examples, denied: map[groupKey]*ReplayGroup{}, allowed: map[groupKey]*ReplayGroup{}, unknown: map[string]*ReplayUnknown{}}
}

// tell reports how far it is.
func (t *tally) tell(progress func(done int64)) {
	if progress == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	progress(t.sum.Decisions)
}

func (t *tally) add(v verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Decisions++
	if v.elsewhere {
		t.sum.Elsewhere++
	}
	switch {
	case v.unknown != "":
		t.sum.Unknown++
		u := t.unknown[v.unknown]
		if u == nil {
			u = &ReplayUnknown{Why: v.unknown}
			t.unknown[v.unknown] = u
		}
		u.Count++
		u.Examples = t.example(u.Examples, v.id)
		return
	case !v.lost && !v.gained:
		t.sum.Same++
		return
	}
	t.sum.Flipped++
	if v.lost {
		t.sum.Denied.Count++
		t.group(t.denied, v, v.losing, v.lostScopes)
	}
	if v.gained {
		t.sum.Allowed.Count++
		t.group(t.allowed, v, v.gaining, v.gainedScopes)
	}
}

func (t *tally) group(groups map[groupKey]*ReplayGroup, v verdict, rule string, scopes oauth.Scopes) {
	key := groupKey{rule, v.client, v.server, v.what, scopes.String()}
	g := groups[key]
	if g == nil {
		g = &ReplayGroup{Rule: rule, Client: v.client, Server: v.server, What: v.what, Scopes: scopes}
		groups[key] = g
	}
	g.Count++
	g.Examples = t.example(g.Examples, v.id)
}

func (t *tally) example(list []string, id string) []string {
	if len(list) < t.examples {
		list = append(list, id)
	}
	return list
}

func (t *tally) report(candidate string) *ReplayReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.sum
	r.Candidate, r.Denied.Groups, r.Allowed.Groups = candidate, sorted(t.denied), sorted(t.allowed)
	r.UnknownOver = []ReplayUnknown{}
	for _, u := range t.unknown {
		r.UnknownOver = append(r.UnknownOver, *u)
	}
	slices.SortFunc(r.UnknownOver, func(a, b ReplayUnknown) int { return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Why, b.Why)) })
	return &r
}

func sorted(groups map[groupKey]*ReplayGroup) []ReplayGroup {
	list := []ReplayGroup{}
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b ReplayGroup) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Client, b.Client),
			cmp.Compare(a.Server, b.Server), cmp.Compare(a.What, b.What), cmp.Compare(a.Scopes.String(), b.Scopes.String()))
	})
	return list
}
