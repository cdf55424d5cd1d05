package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
)

// Sessions. On loopback http cookies are not told apart by port, so a session there is short and not remembered.
const (
	sessionTTL         = 12 * time.Hour
	loopbackSessionTTL = 15 * time.Minute
)

// maxDocumentAge is how long the last valid copy of a client's document serves refreshes while its host does not answer: a
// day, so that an outage elsewhere logs nobody out here.
const maxDocumentAge = 24 * time.Hour

func (p *parts) sessionTTL() time.Duration {
	if p.config.loopback() {
		return loopbackSessionTTL
	}
	return sessionTTL
}

// syncConfigured puts the objects of the file into the database and the resources in force.
func (p *parts) syncConfigured(ctx context.Context) error {
	objects, err := p.config.configured()
	if err != nil {
		return err
	}
	if err := oauth.SyncConfigured(ctx, p.store, objects); err != nil {
		return err
	}
	if p.catalogue, err = oauth.NewCatalogue(objects.Resources); err != nil { // the database has the same ones now
		return badConfig("%w", err)
	}
	p.config.Resources = nil // the catalogue has them now, and they may be large
	return nil
}

// loadCertificate reads the TLS files anew. A pair that does not fit leaves the old one in force.
func (p *parts) loadCertificate() error {
	if p.config.TLS.Cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(string(p.config.TLS.Cert), string(p.config.TLS.Key))
	if err != nil {
		return badConfig("tls: %w", err)
	}
	p.certificate.Store(&pair)
	return nil
}

// reload reads policies and certificate anew. What fails leaves the last good one in force; both outcomes of the policies
// are audited.
func (p *parts) reload(ctx context.Context) error {
	if p.shadow != nil {
		p.shadow.Wake() // it loads by itself, so that nobody waits for it
	}
	if err := p.loadCertificate(); err != nil {
		p.config.log.Error("certificate not reloaded, the last good one stays in force", "error", err)
	}
	if err := p.lookAtBundle(ctx); err != nil {
		return err
	}
	return p.reloadPolicies(ctx)
}

func (p *parts) reloadPolicies(ctx context.Context) error {
	report, err := p.engine.Reload(ctx, p.catalogue.Resources())
	if policies.IsLoadError(err) {
		err = errors.Join(err, p.store.Commit(ctx, policyEvent(oauth.EventPolicyRefused, oauth.OutcomeFailed, "policy_load_error", report.Revision)))
	}
	if err == nil && report.Changed {
		p.config.log.Info("policies activated", "revision", report.Revision, "files", report.Files, "tests", report.Tests, "took", report.Took)
	}
	return err
}

func policyEvent(kind, outcome, reason, revision string) oauth.Event {
	return oauth.Event{Time: time.Now().Truncate(time.Second), Type: kind, Outcome: outcome, Reason: reason, Revision: revision}
}

// checks are what /readyz asks.
func (p *parts) checks() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"storage": p.store.Ping,
		"draining": func(context.Context) error {
			if p.draining.Load() {
				return errors.New("the server is ending")
			}
			return nil
		},
		"keys": func(context.Context) error {
			if len(p.keys.JWKS()) == 0 {
				return fmt.Errorf("there is no signing key")
			}
			return nil
		},
	}
}
