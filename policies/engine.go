package policies

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"portcullis/oauth"
)

// Config says what an Engine is made of.
type Config struct {
	Dir       string            // the author's directory, or a bundle whose signature does not matter; "" = only the shipped policies
	Defaults  bool              // the shipped defaults (policy.*.default) are part of it
	Deadline  time.Duration     // of one evaluation; 0 = DefaultDeadline
	Cache     int               // answers that each router's cache holds; 0 = DefaultCache, below 0 = none
	Catalogue []*oauth.Resource // data.servers; disabled ones are left out
	Log       *slog.Logger      // nil = slog.Default()
	Record    RecordMode        // "" = off
	RecordKey []byte            // of the digests in records; 32 bytes unless recording is off

	// Last is what was in force last, for Changes and Previous. With an Origin it is put in force again in the place of Dir, as Restore
	// does: what an operator activated survives a restart.
	Last   Stored
	Origin string

	// Bundle gives the bundle that takes the place of Dir, whenever it would be read. It must not wait for others. nil = there is none.
	Bundle func(ctx context.Context) (*Bundle, error)

	// Activate is called with a generation before it is put in force, so that it can be recorded; its error keeps
	// what was in force. nil = nothing is called.
	Activate func(ctx context.Context, a Activation) error
}

// Engine answers with the policies in force. All methods may be called at the same time.
type Engine struct {
	dir      string
	bundle   func(context.Context) (*Bundle, error) // nil = the directory
	defaults bool
	deadline time.Duration
	log      *slog.Logger
	words    *words
	remember int // answers per router; 0 = none
	cache    cacheCounters
	records  recorder

	current   atomic.Pointer[generation]
	slots     chan struct{} // evaluations that run at a time
	abandoned atomic.Int32  // evaluations that went on after the backstop
	lingering atomic.Int32  // the same of packages in mode log_only, which must not keep answers from being made
	flips     flipCounters
	ended     chan struct{} // closed: evaluations under way are stopped; nil = never

	activate  func(ctx context.Context, a Activation) error
	reloading sync.Mutex // one reload at a time; guards the next two
	source    source     // what is in force, as it was read
	given     *given     // nil = the directory
	noting    sync.Mutex // guards what follows, so that Status never waits for a reload
	lastErr   error
	origin    string
	bundled   BundleRevision
	changes   Changes
}

// Status describes the policies in force.
type Status struct {
	Revision    string
	ActivatedAt time.Time
	Origin      string // "" = the directory or the bundle; else how an operator put it in force, and they are not followed
	Bundle      BundleRevision
	Changes     Changes     // against what was in force before
	Stale       bool        // the last reload failed: what is in force is older than what lies in the directory
	LastError   string      // of that reload, one problem per line
	StaleTools  []StaleTool // that are denied, since their entry in the catalogue changed and rules no longer fit it
	Files       int
	Tests       int
	Cache       []Cacheability // of the routers
}

// New loads the policies. A directory with any problem or a failing test is an error, a *LoadError if the
// author can mend it.
func New(ctx context.Context, c Config) (*Engine, error) {
	records, err := newRecorder(c)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		records: records, activate: c.Activate,
		dir: c.Dir, bundle: c.Bundle, defaults: c.Defaults, deadline: c.Deadline, log: c.Log, words: newWords(),
		slots: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
	}
	e.remember = max(0, cmp.Or(c.Cache, DefaultCache))
	if e.deadline <= 0 {
		e.deadline = DefaultDeadline
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if err := e.begin(ctx, c); err != nil {
		return nil, err
	}
	return e, nil
}

// begin puts the first policies in force.
func (e *Engine) begin(ctx context.Context, c Config) error {
	if c.Last.Document != nil {
		var err error
		switch e.source, err = openStored(c.Last.Revision, c.Last.Document); {
		case err != nil && c.Origin != "":
			return err
		case err != nil: // the directory is what counts, but what has changed since then cannot be told
			e.log.Error("the last policies cannot be read back", slog.Any("error", err))
		}
	}
	if c.Origin != "" {
		_, err := e.Restore(ctx, c.Catalogue, c.Last, c.Origin)
		return err
	}
	_, err := e.Reload(ctx, c.Catalogue)
	return err
}

// Status tells what is in force and whether the last reload failed.
func (e *Engine) Status() Status {
	e.noting.Lock()
	defer e.noting.Unlock()
	g := e.current.Load()
	s := Status{Revision: g.revision, ActivatedAt: g.activated, Files: g.files, Tests: g.tests, Cache: g.cacheability,
		Origin: e.origin, Bundle: e.bundled, Changes: e.changes, StaleTools: g.stale}
	if e.lastErr != nil {
		s.Stale, s.LastError = true, e.lastErr.Error()
	}
	return s
}

// IsLoadError tells whether the author of the policies can mend what is wrong.
func IsLoadError(err error) bool {
	var load *LoadError
	return errors.As(err, &load)
}
