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
	Files    int           // of the author's directory
	Tests    int           // that passed before activation
	Took     time.Duration // of the whole reload
}

// Reload reads the directory anew and puts it in force together with the catalogue, or changes nothing and returns
// everything that is wrong. The report tells what is in force either way.
func (e *Engine) Reload(ctx context.Context, catalogue []*oauth.Resource) (Report, error) {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	begin := time.Now()
	old := e.current.Load()
	g, document, err := e.build(ctx, catalogue, old)
	if err == nil && g != old && e.activate != nil {
		err = e.activate(ctx, Activation{Revision: g.revision, Files: g.files, Tests: g.tests, Document: document})
	}
	e.setFailure(err)
	if err == nil && g != old {
		e.current.Store(g)
		e.noteObstacles(g)
	}
	var r Report
	if now := e.current.Load(); now != nil {
		r = Report{Revision: now.revision, Changed: now != old, Files: now.files, Tests: now.tests}
	}
	r.Took = time.Since(begin)
	return r, err
}

func (e *Engine) setFailure(err error) {
	e.failure.Lock()
	defer e.failure.Unlock()
	e.lastErr = err
}

// noteObstacles tells the operator which rules cost an evaluation for every question.
func (e *Engine) noteObstacles(g *generation) {
	for _, c := range g.cacheability {
		for _, p := range c.Obstacles {
			e.log.Info("policy not cacheable", slog.String("kind", c.Kind), slog.String("why", p.String()))
		}
	}
}

// build makes the next generation with its document, or returns the old one if nothing has changed.
func (e *Engine) build(ctx context.Context, catalogue []*oauth.Resource, old *generation) (*generation, []byte, error) {
	s, problems, err := readSource(e.dir, e.defaults, catalogue)
	if err != nil {
		return nil, nil, err
	}
	if len(problems) == 0 && old != nil && old.revision == s.revision {
		return old, nil, nil
	}
	g, err := load(ctx, s, problems, e.remember)
	if err != nil {
		return nil, nil, err
	}
	g.maskTree = g.masks.tree(e.records.mode)
	document, err := s.document()
	return g, document, err
}
