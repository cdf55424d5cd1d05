package policies

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portcullis/oauth"
)

// Shadow answers with the policies in force and afterwards, in its own time, asks a candidate directory the same. Nothing that goes
// wrong with the candidate reaches an answer: what does not fit into the queue is counted and forgotten.
type Shadow struct {
	active *Engine
	config Config // of the candidate
	log    *slog.Logger
	write  func(ctx context.Context, flips []ShadowFlip) error

	engine atomic.Pointer[Engine] // nil: the candidate never loaded
	jobs   chan shadowJob
	wake   chan struct{}
	ended  chan struct{} // closed when Run ends; stops evaluations under way
	noting sync.Mutex    // guards the next one

	lastErr error

	evaluated, dropped, unloaded atomic.Uint64
	counts                       flipCounters
	rows                         flipRows
}

// ShadowConfig says what a Shadow is made of.
type ShadowConfig struct {
	Active *Engine
	Dir    string // of the candidate
	Config Config // of the active engine: defaults, deadline, cache, catalogue and log are the candidate's, too

	// Write keeps rows of flips. It is called from Run alone, never while somebody waits for an answer.
	Write func(ctx context.Context, flips []ShadowFlip) error
}

// Bounds of a shadow. One worker: a candidate must not take the cores that answers need.
const (
	shadowQueue   = 32 // a question of the largest size takes 14 MB once it is decoded
	shadowWorkers = 1
)

// ShadowStatus describes the candidate.
type ShadowStatus struct {
	Revision    string     `json:"revision"` // "" = it never loaded
	ActivatedAt *time.Time `json:"activated_at,omitempty"`
	Stale       bool       `json:"stale"` // the last load failed
	Error       string     `json:"error,omitempty"`
	Evaluated   uint64     `json:"evaluated"`
	Dropped     uint64     `json:"dropped"`  // answers that it was not asked about, because it was too slow
	Unloaded    uint64     `json:"unloaded"` // the same, because it never loaded
}

type notLoadedYet struct{}

func (notLoadedYet) Error() string { return "not loaded yet" }

// NewShadow makes a shadow that has loaded nothing yet: Run does.
func NewShadow(c ShadowConfig) *Shadow {
	s := &Shadow{active: c.Active, config: c.Config, log: c.Config.Log, write: c.Write, lastErr: notLoadedYet{},
		jobs: make(chan shadowJob, shadowQueue), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.log = s.log.With(slog.String("policies", "shadow"))
	s.config.Dir, s.config.Log = c.Dir, s.log
	s.config.Record, s.config.Activate, s.config.Last, s.config.Origin = RecordOff, nil, Stored{}, ""
	s.config.Bundle = nil // that is the active engine's
	return s
}

// Run loads the candidate and works until ctx ends. An evaluation under way is stopped, what waits in the queue is forgotten, and flips
// that were counted are written.
func (s *Shadow) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { s.loadWhenWoken(ctx) })
	for range shadowWorkers {
		work.Go(func() { s.evaluateQueue(ctx) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			s.writeRows(ctx, s.rows.due(time.Now()))
		case <-ctx.Done():
		}
	}
	close(s.ended)
	work.Wait()
	s.writeRows(context.WithoutCancel(ctx), s.rows.all(time.Now()))
}

// Wake has the candidate loaded anew, soon. It does not wait.
func (s *Shadow) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is already due
	}
}

func (s *Shadow) loadWhenWoken(ctx context.Context) {
	s.load(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			s.load(ctx)
		}
	}
}

// load reads the candidate. What fails leaves the last good one.
func (s *Shadow) load(ctx context.Context) {
	e := s.engine.Load()
	changed := e == nil
	var err error
	if e == nil {
		if e, err = New(ctx, s.config); err == nil {
			e.ended = s.ended
			s.engine.Store(e)
		}
	} else {
		var r Report
		r, err = e.Reload(ctx, s.config.Catalogue)
		changed = r.Changed
	}
	if ctx.Err() != nil {
		return
	}
	s.noting.Lock()
	s.lastErr = err
	s.noting.Unlock()
	switch {
	case err != nil:
		s.log.Error("shadow policies not loaded", slog.Any("error", err))
	case changed:
		s.log.Info("shadow policies loaded", slog.String("revision", e.Status().Revision))
	}
}

// Status tells what the candidate is.
func (s *Shadow) Status() ShadowStatus {
	s.noting.Lock()
	defer s.noting.Unlock()
	status := ShadowStatus{Evaluated: s.evaluated.Load(), Dropped: s.dropped.Load(), Unloaded: s.unloaded.Load()}
	if e := s.engine.Load(); e != nil {
		now := e.Status()
		at := now.ActivatedAt.UTC().Truncate(time.Second)
		status.Revision, status.ActivatedAt = now.Revision, &at
	}
	if s.lastErr != nil {
		status.Stale, status.Error = true, s.lastErr.Error()
	}
	return status
}

// Flips counts since the start of the process which answers would have been other ones. It is for metrics.
func (s *Shadow) Flips() []FlipCount { return s.counts.list() }

// Decide implements oauth.AccessPolicy.
func (s *Shadow) Decide(ctx context.Context, v oauth.Evaluation) (oauth.Decision, error) {
	v.Context.Time = at(v.Context) // the same for both
	d, err := s.active.Decide(ctx, v)
	q := kindTools
	if v.Token == nil {
		q = kindAccess
	}
	if e := s.engine.Load(); e != nil && q == kindTools && v.Tool != nil && e.CountsUse() {
		d.CountUse = true // or there would be no counts to show it
	}
	job := shadowJob{id: v.ID, kind: q, tool: inRow(cmp.Or(v.Resource.ID, v.Action.Name)), action: inRow(v.Action.Name), revision: d.Revision, given: seenCall(d)}
	if v.Client != nil {
		job.client = v.Client.ID
	}
	if v.Caller != nil {
		job.resource = v.Caller.ID
	}
	s.offer(job, func(e *Engine) sight {
		d, _ := e.Decide(oauth.OnlyLooking(context.Background()), v) // it gives no error
		return seenCall(d)
	})
	return d, err
}

// CountsUse implements oauth.AccessPolicy. Nobody waits for the sake of counts that only the shadow asks for.
func (s *Shadow) CountsUse() bool { return s.active.CountsUse() }

// GrantScopes implements oauth.ScopePolicy.
func (s *Shadow) GrantScopes(ctx context.Context, r oauth.ScopeRequest) (oauth.ScopeDecision, error) {
	r.Context.Time = at(r.Context)
	d, err := s.active.GrantScopes(ctx, r)
	job := shadowJob{id: r.ID, kind: kindScopes, action: string(r.Stage), revision: d.Revision, given: seenGrant(d, r)}
	if r.Client != nil {
		job.client = r.Client.ID
	}
	if r.Resource != nil {
		job.resource = r.Resource.ID
	}
	s.offer(job, func(e *Engine) sight {
		d, _ := e.GrantScopes(context.Background(), r)
		return seenGrant(d, r)
	})
	return d, err
}

// inRow is a name as the audit has it: callers make names up, and those may be as long as a request.
func inRow(name string) string {
	return oauth.Cut(name, 100)
}

// Admit implements oauth.ClientPolicy. Strangers choose what stands in the requests, so their rows tell no clients apart.
func (s *Shadow) Admit(ctx context.Context, r oauth.ClientRequest) (oauth.ClientDecision, error) {
	r.Context.Time = at(r.Context)
	d, err := s.active.Admit(ctx, r)
	s.offer(shadowJob{id: r.ID, kind: kindClients, action: string(r.Stage), revision: d.Revision, given: seenClient(d)}, func(e *Engine) sight {
		d, _ := e.Admit(context.Background(), r)
		return seenClient(d)
	})
	return d, err
}

// shadowJob is an answer that was given, and how to ask again.
type shadowJob struct {
	id, client, resource, tool, action, revision string
	kind                                         kind
	given                                        sight
	ask                                          func(*Engine) sight
}

// sight is what an answer says when it is compared with another.
type sight struct {
	view
	rules  []string
	reason string // the first one's code; "" = none
}

func seenCall(d oauth.Decision) sight {
	return sight{view{allow: d.Allow}, slices.Clone(d.Rules), cmp.Or(firstReason(d.Reasons), missingWord(d))}
}

func seenGrant(d oauth.ScopeDecision, r oauth.ScopeRequest) sight {
	return sight{grantView(ownScopeDecision(d), r), slices.Clone(d.Rules), firstReason(d.Reasons)}
}

func seenClient(d oauth.ClientDecision) sight {
	return sight{clientView(d), slices.Clone(d.Rules), firstReason(d.Reasons)}
}

func firstReason(reasons []oauth.Reason) string {
	if len(reasons) == 0 {
		return ""
	}
	return reasons[0].Code
}

func missingWord(d oauth.Decision) string {
	switch {
	case len(d.MissingScopes) > 0:
		return "insufficient_scope"
	case len(d.RequireAuthn) > 0:
		return "insufficient_user_authentication"
	}
	return ""
}

// offer puts a question into the queue, or drops it. It never waits.
func (s *Shadow) offer(j shadowJob, ask func(*Engine) sight) {
	if s.engine.Load() == nil {
		s.unloaded.Add(1)
		return
	}
	j.ask = ask
	select {
	case s.jobs <- j:
	default:
		s.dropped.Add(1)
	}
}

func (s *Shadow) evaluateQueue(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case j := <-s.jobs:
			begin := time.Now()
			s.evaluate(ctx, j)
			s.rest(ctx, time.Since(begin))
		case <-ctx.Done():
		}
	}
}

// shadowRest is how many times as long as a slow evaluation the worker rests after it.
const shadowRest = 9

// rest leaves the cores to answers after an evaluation that came near the deadline: a candidate that never ends would keep one of them busy.
func (s *Shadow) rest(ctx context.Context, took time.Duration) {
	if took < cmp.Or(s.config.Deadline, DefaultDeadline)/2 {
		return
	}
	select {
	case <-time.After(shadowRest * took):
	case <-ctx.Done():
	}
}

// evaluate asks the candidate and notes a flip.
func (s *Shadow) evaluate(ctx context.Context, j shadowJob) {
	now := j.ask(s.engine.Load())
	if ctx.Err() != nil {
		return // the evaluation was stopped
	}
	s.evaluated.Add(1)
	flips := now.differs(j.given.view)
	count := FlipCount{Mode: "shadow", Kind: string(j.kind), WouldBe: now.word()}
	switch {
	case now.reason == codePolicyError:
		count.WouldBe = wouldFail
		s.counts.add(count)
	case flips:
		s.counts.add(count)
	}
	if flips {
		s.rows.add(j.flip(now))
	}
}

// flip describes the difference.
func (j shadowJob) flip(now sight) ShadowFlip {
	f := ShadowFlip{Kind: string(j.kind), Client: j.client, Resource: j.resource, Tool: j.tool, Action: j.action, Given: j.given.word(), WouldBe: now.word(),
		Granted: j.given.granted, WouldGrant: now.granted, Example: j.id, Revision: j.revision}
	blame, other := now, j.given // what the candidate has against it
	if !j.given.allow && now.allow || len(without(now.granted, j.given.granted)) > 0 {
		blame, other = other, blame
	}
	rules := slices.DeleteFunc(slices.Clone(blame.rules), func(rule string) bool { return slices.Contains(other.rules, rule) })
	if len(rules) == 0 {
		rules = blame.rules
	}
	if f.Rule = strings.Join(rules, ","); f.Rule == "" || blame.reason == codePolicyError {
		f.Rule = cmp.Or(blame.reason, "no rule")
	}
	f.Rule = oauth.Cut(f.Rule, 200)
	return f
}

func (s *Shadow) writeRows(ctx context.Context, rows []ShadowFlip) {
	if len(rows) == 0 {
		return
	}
	if e := s.engine.Load(); e != nil {
		revision := e.Status().Revision
		for i := range rows {
			rows[i].ShadowRevision = revision
		}
	}
	if err := s.write(ctx, rows); err != nil {
		s.log.Error("flips of shadow policies not written", slog.Int("rows", len(rows)), slog.Any("error", err))
	}
}
