package policies

import (
	"sync"
	"time"

	"portcullis/oauth"
)

// ShadowFlip tells of answers that a candidate would have given otherwise, all of one kind.
type ShadowFlip struct {
	Kind           string // of the question
	Client         string // "" for admissions
	Resource       string
	Tool           string // or the id of what is acted on; "" for grants and admissions
	Action         string // or the stage of a grant or admission
	Rule           string // labels of the rules that make the difference, or the reason without them
	Given          string // allowed or denied
	WouldBe        string
	Granted        oauth.Scopes // of a grant
	WouldGrant     oauth.Scopes
	Example        string // id of the newest such answer
	Revision       string // of the policies that answered
	ShadowRevision string // of the candidate when the row was written
	Count          int    // such answers since the last row about them
}

// Bounds of the rows: at most one a minute for each kind of question, client, tool, rule and direction, and no more than so many of them.
const (
	flipRowEvery = time.Minute
	maxFlipRows  = 200
)

// flipKey is what rows are told apart by.
type flipKey struct{ kind, client, tool, rule, would string }

// flipRows gathers flips for the audit. It is safe for concurrent use.
type flipRows struct {
	mu   sync.Mutex
	rows map[flipKey]*flipRow
}

type flipRow struct {
	flip    ShadowFlip // the newest; Count since it was written
	written time.Time  // zero = never
}

// add notes a flip. Beyond the bound it is in the metrics only.
func (r *flipRows) add(f ShadowFlip) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := flipKey{f.Kind, f.Client, f.Tool, f.Rule, f.WouldBe}
	row := r.rows[key]
	if row == nil {
		if len(r.rows) >= maxFlipRows {
			return
		}
		if r.rows == nil {
			r.rows = map[flipKey]*flipRow{}
		}
		row = &flipRow{}
		r.rows[key] = row
	}
	f.Count = row.flip.Count + 1
	row.flip = f
}

// due are the rows to write now. Those without anything new for a minute are forgotten.
func (r *flipRows) due(now time.Time) []ShadowFlip {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []ShadowFlip
	for key, row := range r.rows {
		switch {
		case now.Sub(row.written) < flipRowEvery:
		case row.flip.Count == 0:
			delete(r.rows, key)
		default:
			list = append(list, row.flip)
			row.flip.Count, row.written = 0, now
		}
	}
	return list
}

// all are the rows that were not written, whatever the time.
func (r *flipRows) all(now time.Time) []ShadowFlip {
	r.mu.Lock()
	for _, row := range r.rows {
		row.written = time.Time{}
	}
	r.mu.Unlock()
	return r.due(now)
}
