package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
)

// policyAdmin is what the command line may do with the policies of a running server, through its socket.
type policyAdmin interface {
	status() policyStatus
	activate(ctx context.Context, b activateBody) (policyStatus, error)
	rollback(ctx context.Context, revision string) (policyStatus, error)
}

// activateBody is what the socket takes: whole files, or nothing to follow the folder of the configuration again.
type activateBody struct {
	Files  []policies.AuthorFile `json:"files,omitzero"`
	Folder string                `json:"folder,omitzero"` // as the operator named it, for the record
}

type rollbackBody struct {
	Revision string `json:"revision,omitzero"` // "" = the one before
}

// policyStatus is what is in force, for people and for /readyz.
type policyStatus struct {
	Revision    string           `json:"revision"`
	ActivatedAt time.Time        `json:"activated_at"`
	Origin      string           `json:"origin"` // "folder", "bundle REVISION", or how it was put in force
	Changes     policies.Changes `json:"changes"`
	Files       int              `json:"files"`
	Tests       int              `json:"tests_passed"`
	Stale       bool             `json:"stale"`
	Error       string           `json:"error,omitempty"`
	Instance    string           `json:"instance"`

	Bundle     *bundleStatus          `json:"bundle,omitempty"`      // absent unless policies is a bundle
	StaleTools []policies.StaleTool   `json:"stale_tools,omitempty"` // denied until they fit the rules again
	Shadow     *policies.ShadowStatus `json:"shadow,omitempty"`      // absent without policies_shadow

	byHand bool
}

// generations is policyAdmin of the running server.
type generations struct{ p *parts }

func (g generations) status() policyStatus {
	s := g.p.engine.Status()
	out := policyStatus{Revision: s.Revision, ActivatedAt: s.ActivatedAt.UTC().Truncate(time.Second), Origin: originWord(s.Origin, s.Bundle.Name), byHand: s.Origin != "", Changes: s.Changes,
		Files: s.Files, Tests: s.Tests, Stale: s.Stale, Error: s.LastError, Instance: g.p.store.Instance(), StaleTools: s.StaleTools}
	if g.p.bundle != nil {
		out.Bundle = g.p.bundle.status(s.Bundle.Name)
		if out.Bundle.Error != "" && !out.byHand && !out.Stale { // nobody knows whether there is a newer one
			out.Stale, out.Error = true, out.Bundle.Error
		}
	}
	if g.p.shadow != nil {
		shadow := g.p.shadow.Status()
		out.Shadow = &shadow
	}
	return out
}

// public is the status as everybody on this machine may see it: without what names folders or quotes rules.
func (s policyStatus) public() policyStatus {
	if s.byHand {
		s.Origin = "by hand"
	}
	s.Error, s.StaleTools = "", slices.Clone(s.StaleTools)
	for i := range s.StaleTools {
		s.StaleTools[i].Rules = nil
	}
	if s.Bundle != nil {
		s.Bundle = &bundleStatus{Revision: s.Bundle.Revision, LookedAt: s.Bundle.LookedAt}
	}
	if s.Shadow != nil {
		shadow := *s.Shadow
		shadow.Error = ""
		s.Shadow = &shadow
	}
	return s
}

// originWord is how policies were put in force, in words.
func originWord(origin, bundle string) string {
	switch {
	case origin != "":
		return origin
	case bundle != "":
		return "bundle " + bundle
	}
	return "folder"
}

// activate puts files in force that the operator sent, or the folder or bundle again.
func (g generations) activate(ctx context.Context, b activateBody) (policyStatus, error) {
	catalogue := g.p.catalogue.Resources()
	var err error
	if b.Files == nil {
		_, err = g.p.engine.Follow(ctx, catalogue)
	} else {
		_, err = g.p.engine.Activate(ctx, catalogue, b.Files, "activated from "+b.Folder)
	}
	return g.status(), g.refused(ctx, err)
}

// rollback puts a generation in force that was in force before.
func (g generations) rollback(ctx context.Context, revision string) (policyStatus, error) {
	if revision == "" {
		var err error
		if revision, err = g.before(ctx); err != nil {
			return policyStatus{}, err
		}
	}
	kept, err := g.p.store.PolicyGeneration(ctx, revision)
	if errors.Is(err, oauth.ErrNotFound) {
		return policyStatus{}, oauth.NotFound.Errorf("the revision %s is not kept; see portcullis policy history", revision)
	} else if err != nil {
		return policyStatus{}, err
	}
	_, err = g.p.engine.Restore(ctx, g.p.catalogue.Resources(), policies.Stored{Revision: kept.Revision, Document: kept.Document}, "rolled back to "+kept.Revision)
	return g.status(), g.refused(ctx, err)
}

// before is the revision that was in force before the present one.
func (g generations) before(ctx context.Context) (string, error) {
	list, err := g.p.store.PolicyGenerations(ctx)
	if err != nil {
		return "", err
	}
	if len(list) < 2 {
		return "", oauth.NotFound.Errorf("no other policies were in force here, so there is nothing to go back to")
	}
	return list[1].Revision, nil
}

// refused records policies that did not load, and gives their problems to the operator.
func (g generations) refused(ctx context.Context, err error) error {
	var away *bundleAway
	if errors.As(err, &away) {
		return oauth.InvalidRequest.Errorf("%v; what was in force stays", away)
	}
	if !policies.IsLoadError(err) {
		return err
	}
	event := policyEvent(oauth.EventPolicyRefused, oauth.OutcomeFailed, "policy_load_error", g.p.engine.Status().Revision)
	if err := g.p.store.Commit(ctx, event); err != nil {
		return err
	}
	return oauth.InvalidRequest.Errorf("these policies do not load, and what was in force stays:\n%v", err)
}

// policyConfig is the configuration of the engine: what an operator put in force by hand stays so after a restart.
func (p *parts) policyConfig(ctx context.Context, key []byte) (policies.Config, error) {
	c := p.config.engine(key, p.catalogue.Resources())
	c.Activate = p.activated
	if err := p.followBundle(ctx, &c); err != nil {
		return c, err
	}
	last, err := p.store.NewestPolicyGeneration(ctx)
	if errors.Is(err, oauth.ErrNotFound) {
		return c, nil
	} else if err != nil {
		return c, err
	}
	c.Last = policies.Stored{Revision: last.Revision, Document: last.Document}
	if !p.config.followFolder {
		c.Origin = last.Origin
	}
	return c, nil
}

// activated records new policies, and keeps their files, before they are put in force.
func (p *parts) activated(ctx context.Context, a policies.Activation) error {
	event := policyEvent(oauth.EventPolicyActivated, oauth.OutcomeOK, "", a.Revision)
	event.Detail = map[string]string{"origin": originWord(a.Origin, a.Bundle.Name), "previous": a.Previous}
	for word, files := range map[string][]string{"added": a.Changes.Added, "changed": a.Changes.Changed, "removed": a.Changes.Removed} {
		if len(files) > 0 {
			event.Detail[word] = shortList(files, 1000)
		}
	}
	if len(a.Stale) > 0 {
		event.Detail["stale_tools"] = shortList(staleWords(a.Stale), 1000)
	}
	changes := append([]oauth.Change{event, oauth.SavePolicyGeneration{Keep: int(p.config.Policy.Generations), Generation: oauth.PolicyGeneration{
		Revision: a.Revision, ActivatedAt: a.Since, Origin: a.Origin, Bundle: a.Bundle.Name, Document: a.Document}}}, p.takenBundle(a, event.Time)...)
	return p.store.Commit(ctx, changes...)
}

// staleWords are stale tools, each with what no longer fits.
func staleWords(tools []policies.StaleTool) []string {
	words := make([]string, len(tools))
	for i, t := range tools {
		words[i] = t.String() + " (" + strings.Join(t.Rules, "; ") + ")"
	}
	return words
}

// shortList joins names up to so many bytes.
func shortList(names []string, most int) string {
	return oauth.Cut(strings.Join(names, ", "), most)
}
