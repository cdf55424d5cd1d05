package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
)

// bundle is the policy bundle that the configuration names. It is looked at from time to time; what the last good look found is held.
type bundle struct {
	source string // a file or a URL, as people may see it
	key    policies.BundleKey
	memory bundleMemory
	read   func(ctx context.Context, tag string) (archive []byte, newTag string, err error) // no archive: it is the one of the tag
	woken  chan struct{}                                                                    // it should be looked at now; nil = nobody waits for that

	mu         sync.Mutex
	tag        string           // of the archive that was looked at last
	allowOlder bool             // the next good one may be older than what was in force: once, by a flag
	held       *policies.Bundle // nil = there was none yet
	digest     [sha256.Size]byte
	fault      error // why the last one is not taken, a *policies.LoadError
	away       error // why the last look found none
	lookedAt   time.Time
}

// bundleMemory tells which bundle was in force last.
type bundleMemory interface {
	PolicyBundle(ctx context.Context) (*oauth.PolicyBundle, error)
}

// bundleStatus is the bundle as operators see it.
type bundleStatus struct {
	Revision string    `json:"revision,omitempty"` // of what is in force; absent if that is no bundle
	Source   string    `json:"source,omitempty"`
	LookedAt time.Time `json:"looked_at"`
	Error    string    `json:"error,omitempty"` // why the last look found nothing
}

// look reads the bundle and says whether the policies have to be loaded anew. An error is the one of reading: what was held stays.
func (b *bundle) look(ctx context.Context) (news bool, err error) {
	b.mu.Lock()
	tag := b.tag
	b.mu.Unlock()
	archive, tag, err := b.read(ctx, tag)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lookedAt = time.Now()
	if err == nil && archive != nil {
		if news, err = b.take(ctx, archive); err == nil {
			b.tag = tag
		}
	}
	b.away = err
	return news, err
}

// take holds an archive, or remembers what is wrong with it. It is looked at once: what was refused stays so until it changes.
func (b *bundle) take(ctx context.Context, archive []byte) (news bool, err error) {
	digest := sha256.Sum256(archive)
	if digest == b.digest {
		return false, nil
	}
	found, fault := policies.ReadBundle(archive, b.key)
	if fault == nil {
		if fault, err = b.checkAge(ctx, found); err != nil {
			return false, err
		}
	}
	if b.digest, b.fault = digest, fault; fault == nil {
		b.held, b.allowOlder = found, false
	}
	return true, nil
}

// checkAge refuses a bundle older than the one that was in force last: an old one is signed as well as a new one.
func (b *bundle) checkAge(ctx context.Context, found *policies.Bundle) (fault, err error) {
	last, err := b.memory.PolicyBundle(ctx)
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if found.Revision.Number >= last.Number || b.allowOlder {
		return nil, nil
	}
	return &policies.LoadError{Problems: []policies.Problem{{Message: fmt.Sprintf(
		"the policy bundle has the revision %s, which is older than %s, taken here at %s; publish a newer one, or start once with serve --allow-older-bundle",
		found.Revision.Name, last.Revision, last.TakenAt.UTC().Format(time.RFC3339))}}}, nil
}

// current is the bundle that should be in force.
func (b *bundle) current(context.Context) (*policies.Bundle, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.fault != nil:
		return nil, b.fault
	case b.held == nil:
		return nil, &bundleAway{b.away}
	}
	return b.held, nil
}

// bundleAway is a bundle that nothing is known of.
type bundleAway struct{ cause error }

func (e *bundleAway) Error() string {
	return fmt.Sprintf("the policy bundle cannot be had: %v", e.cause)
}

func (e *bundleAway) Unwrap() error { return e.cause }

func (b *bundle) status(revision string) *bundleStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &bundleStatus{Revision: revision, Source: b.source, LookedAt: b.lookedAt.UTC().Truncate(time.Second)}
	if b.away != nil {
		s.Error = "the policy bundle cannot be had: " + b.away.Error()
	}
	return s
}

// followBundle prepares the bundle that the configuration names; without one it leaves things as they are.
func (p *parts) followBundle(ctx context.Context, c *policies.Config) error {
	where := p.config.bundleAt()
	if where == noBundle {
		return nil
	}
	key, err := p.config.Bundle.key()
	if err != nil {
		return badConfig("bundle.public_key_file: %w", err)
	}
	p.bundle = &bundle{source: string(p.config.Policies), key: key, memory: p.store, allowOlder: p.config.allowOlderBundle}
	if where == bundleURL {
		if err := p.bundle.fromURL(&p.config); err != nil {
			return err
		}
	} else {
		p.bundle.read = func(context.Context, string) ([]byte, string, error) {
			archive, err := policies.ReadBundleFile(string(p.config.Policies))
			return archive, "", err
		}
	}
	c.Dir, c.Bundle = "", p.bundle.current
	if _, err = p.bundle.look(ctx); errors.Is(err, oauth.ErrUnavailable) {
		return err
	}
	if err != nil && where == bundleURL {
		return p.fallBack(ctx, err)
	}
	return nil
}

// lookAtBundle reads a bundle file anew, or has a URL asked soon. A file that cannot be read leaves the last good one in force.
func (p *parts) lookAtBundle(ctx context.Context) error {
	switch {
	case p.bundle == nil:
		return nil
	case p.bundle.woken != nil:
		p.bundle.wake()
		return nil
	}
	if _, err := p.bundle.look(ctx); err != nil {
		return &bundleAway{err}
	}
	return nil
}

// takenBundle is the change that keeps which bundle policies are made of; those of no bundle have none.
func (p *parts) takenBundle(a policies.Activation, at time.Time) []oauth.Change {
	if a.Bundle == (policies.BundleRevision{}) {
		return nil
	}
	return []oauth.Change{oauth.SavePolicyBundle{Bundle: oauth.PolicyBundle{Revision: a.Bundle.Name, Number: a.Bundle.Number, VerifiedBy: p.bundle.key.Thumbprint(), TakenAt: at}}}
}
