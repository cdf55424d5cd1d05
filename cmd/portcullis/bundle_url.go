package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"portcullis/oauth"
	"portcullis/oauth/fetch"
	"portcullis/policies"
)

// bundleTimeout is how long a fetch may take as a whole.
const bundleTimeout = 30 * time.Second

// fromURL has the bundle fetched from the URL of the configuration.
func (b *bundle) fromURL(c *Config) error {
	roots, err := trustedRoots(string(c.Bundle.CAFile))
	if err != nil {
		return badConfig("bundle.ca_file: %w", err)
	}
	address := fetch.SourceConfig{URL: string(c.Policies), RootCAs: roots, MaxBytes: policies.MaxBundle, Timeout: bundleTimeout}
	if file := string(c.Bundle.TokenFile); file != "" {
		address.Token = func() (string, error) { return publisherToken(file) }
	}
	source, err := fetch.NewSource(address)
	if err != nil {
		return badConfig("policies: %w", err)
	}
	b.source, b.woken = withoutQuery(string(c.Policies)), make(chan struct{}, 1)
	b.read = func(ctx context.Context, tag string) ([]byte, string, error) {
		document, err := source.Fetch(ctx, tag)
		if err != nil {
			return nil, "", hinted(err)
		}
		if document == nil {
			return nil, tag, nil
		}
		return document.Body, document.Header.Get("ETag"), nil
	}
	return nil
}

// withoutQuery is a URL that may be shown: a query may hold a signature that opens it.
func withoutQuery(address string) string {
	before, _, cut := strings.Cut(address, "?")
	if cut {
		return before + "?…"
	}
	return before
}

// publisherToken reads a token anew, as those who issue short ones replace the file.
func publisherToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("%s must hold one token of printable ASCII without blanks", file)
	}
	return token, nil
}

// hinted says what an operator can do about a fetch that failed.
func hinted(err error) error {
	var failed *fetch.Error
	if !errors.As(err, &failed) {
		return err
	}
	switch {
	case failed.Reason == fetch.ReasonRedirect:
		return fmt.Errorf("%w; redirects are not followed: write the address that it leads to", err)
	case failed.Status == http.StatusUnauthorized || failed.Status == http.StatusForbidden:
		return fmt.Errorf("%w; bundle.token_file names the file with the bearer token that is shown", err)
	case failed.Reason == fetch.ReasonTLS:
		return fmt.Errorf("%w; bundle.ca_file names certificates beside those of the system", err)
	}
	return err
}

// wake has a URL asked soon. It does not wait.
func (b *bundle) wake() {
	select {
	case b.woken <- struct{}{}:
	default: // it is already due
	}
}

// fallBack holds the bundle that was in force last, if the publisher cannot be reached at the start. It must have been verified with the
// key of now: a key is changed because the old one is no longer trusted.
func (p *parts) fallBack(ctx context.Context, away error) error {
	last, err := p.store.PolicyBundle(ctx)
	if errors.Is(err, oauth.ErrNotFound) || err == nil && last.VerifiedBy != p.bundle.key.Thumbprint() {
		return nil // nothing is held, so that the engine refuses to start
	} else if err != nil {
		return err
	}
	kept, err := p.store.PolicyGenerations(ctx)
	if err != nil {
		return err
	}
	for _, g := range kept {
		if g.Bundle != last.Revision || g.Origin != "" {
			continue
		}
		whole, err := p.store.PolicyGeneration(ctx, g.Revision)
		if err != nil {
			return err
		}
		p.bundle.held, err = policies.BundleOf(policies.Stored{Revision: whole.Revision, Document: whole.Document}, policies.BundleRevision{Name: last.Revision, Number: last.Number})
		p.config.log.Warn("policy bundle not fetched, the one that was taken last is held", "revision", last.Revision, "error", away)
		return err
	}
	return nil
}

// pollBundle asks for the bundle from time to time, and sooner after a failure. It goes on until ctx ends.
func (p *parts) pollBundle(ctx context.Context) {
	failures, again, said := 0, false, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause(p.config.Bundle.Poll, failures)):
		case <-p.bundle.woken:
		}
		news, err := p.bundle.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if said != "" {
				p.config.log.Info("policy bundle fetched again", "source", p.bundle.source)
			}
			failures, said = 0, ""
		default:
			failures++
			if text := err.Error(); text != said {
				said = text
				p.config.log.Warn("policy bundle not fetched, what is in force stays", "source", p.bundle.source, "error", text)
			}
		}
		if news || again { // a fault of the publisher lasts until the next bundle, one of ours does not
			err := p.reloadPolicies(ctx)
			again = err != nil && !policies.IsLoadError(err)
			if err != nil {
				p.config.log.Error("policies not reloaded, the last good ones stay in force", "cause", "bundle", "error", err)
			}
		}
	}
}

// firstRetry is the pause after the first failure; it doubles with each further one.
const firstRetry = time.Second

// pause is how long to wait. Servers that were started together do not ask together.
func pause(poll time.Duration, failures int) time.Duration {
	wait := poll
	if failures > 0 {
		wait = min(poll, firstRetry<<min(failures-1, 20))
	}
	return wait + rand.N(wait/10+1)
}
