package policies

import (
	"context"
	"log/slog"
	"time"

	"portcullis/oauth"
)

// Report says what a reload did.
type Report struct {
	Revision string        // of the policies in force now
	Changed  bool          // false: the files and the catalogue are the same as before
	Changes  Changes       // against what was in force before
	Files    int           // of the author's directory
	Tests    int           // that passed before activation
	Took     time.Duration // of the whole reload
}

// Reload reads the directory or the bundle anew and puts it in force together with the catalogue, or changes nothing and returns
// everything that is wrong. The report tells what is in force either way. While files that an operator gave (Activate, Restore) are in
// force, the directory is not read; the catalogue is.
func (e *Engine) Reload(ctx context.Context, catalogue []*oauth.Resource) (Report, error) {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	return e.swap(ctx, catalogue, e.given)
}

// replace is Reload with other files, or with the directory again (nil).
func (e *Engine) replace(ctx context.Context, catalogue []*oauth.Resource, next *given) (Report, error) {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	return e.swap(ctx, catalogue, next)
}

// swap makes the next generation, has it recorded and puts it in force. The caller holds reloading.
func (e *Engine) swap(ctx context.Context, catalogue []*oauth.Resource, next *given) (Report, error) {
	begin := time.Now()
	old := e.current.Load()
	g, s, err := e.build(ctx, catalogue, next, old)
	var changes Changes
	if err == nil {
		changes = changesBetween(e.source, s)
	}
	moved := err == nil && (g != old || e.given.words() != next.words() || e.source.bundle != s.bundle)
	if moved && e.activate != nil {
		err = e.announce(ctx, g, s, next, changes)
	}
	if next == e.given || err == nil { // what an operator gave and was refused says nothing of what is in force
		e.noteReload(err)
	}
	if moved && err == nil {
		e.source, e.given = s, next
		e.putInForce(g, s.bundle, next, changes)
		e.noteStale(g)
		e.noteWarnings(g)
		e.noteObstacles(g)
	}
	r := e.report(e.current.Load())
	r.Changed, r.Took = moved && err == nil, time.Since(begin)
	if r.Changed {
		r.Changes = changes
	}
	return r, err
}

func (e *Engine) announce(ctx context.Context, g *generation, s source, next *given, changes Changes) error {
	document, err := s.document()
	if err != nil {
		return err
	}
	return e.activate(ctx, Activation{Revision: g.revision, Previous: e.source.revision, Origin: next.words(), Since: g.activated, Bundle: s.bundle, Changes: changes, Files: g.files, Tests: g.tests, Stale: g.stale, Document: document})
}

func (e *Engine) report(g *generation) Report {
	if g == nil {
		return Report{}
	}
	return Report{Revision: g.revision, Files: g.files, Tests: g.tests}
}

func (e *Engine) noteReload(err error) {
	e.noting.Lock()
	defer e.noting.Unlock()
	e.lastErr = err
}

// putInForce lets decisions see the generation, and Status what it is, at the same time.
func (e *Engine) putInForce(g *generation, bundle BundleRevision, next *given, changes Changes) {
	e.noting.Lock()
	defer e.noting.Unlock()
	e.origin, e.bundled, e.changes = next.words(), bundle, changes
	e.current.Store(g)
}

// noteWarnings tells the operator what check would: a folder that nobody checked lets calls through all the same.
func (e *Engine) noteWarnings(g *generation) {
	for _, p := range g.warnings {
		e.log.Warn("policy warning", slog.String("warning", p.String()))
	}
}

// noteObstacles tells the operator which rules cost an evaluation for every question.
func (e *Engine) noteObstacles(g *generation) {
	for _, c := range g.cacheability {
		for _, p := range c.Obstacles {
			e.log.Info("policy not cacheable", slog.String("kind", c.Kind), slog.String("why", p.String()))
		}
	}
}

// build makes the next generation, or returns the old one if nothing has changed.
func (e *Engine) build(ctx context.Context, catalogue []*oauth.Resource, next *given, old *generation) (*generation, source, error) {
	var s source
	var problems []Problem
	var err error
	switch {
	case next != nil:
		s, err = sourceOf(next.files, e.defaults, catalogue)
	case e.bundle != nil:
		s, err = e.bundledSource(ctx, catalogue)
	default:
		s, problems, err = readSource(e.dir, e.defaults, catalogue)
	}
	if err != nil {
		return nil, s, err
	}
	if len(problems) == 0 && old != nil && e.source.base == s.base {
		same := e.source // with what it says of stale tools
		same.bundle = s.bundle
		return old, same, nil
	}
	g, s, err := e.loadFitting(ctx, s, problems, next)
	if err != nil {
		return nil, s, err
	}
	g.maskTree = g.masks.tree(e.records.mode)
	return g, s, nil
}
