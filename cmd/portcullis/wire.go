package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"sync/atomic"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/server"
	"portcullis/storage"
)

// parts is the running whole, from the bottom to the top.
type parts struct {
	config      Config
	store       *storage.Store
	catalogue   *oauth.Catalogue
	engine      *policies.Engine
	bundle      *bundle          // nil = the policies are a folder
	shadow      *policies.Shadow // nil = none
	keys        *oauth.Keys
	public      http.Handler
	admin       http.Handler
	certificate atomic.Pointer[tls.Certificate] // nil = no TLS
	hangup      <-chan os.Signal                // a reload is asked for; nil = never
	draining    atomic.Bool
}

// wire builds everything from the configuration, bottom up. What it returns is ready to serve; the caller ends it with run
// or closes the store.
func wire(ctx context.Context, c Config) (p *parts, err error) {
	key, err := serverKey(&c)
	if err != nil {
		return nil, err
	}
	store, err := storage.Open(ctx, storage.Config{Path: string(c.Database), ServerKey: key, Demo: c.demo, AllowClockBack: c.allowClockBack,
		KeepDecisions: c.Policy.RecordKeep, MaxDecisions: int(c.Policy.RecordMax)})
	if err != nil {
		return nil, openError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	p = &parts{config: c, store: store}
	if err = p.loadCertificate(); err != nil {
		return nil, err
	}
	if err = p.syncConfigured(ctx); err != nil {
		return nil, err
	}
	engine, err := p.policyConfig(ctx, key)
	if err != nil {
		return nil, err
	}
	if p.engine, err = policies.New(ctx, engine); err != nil {
		return nil, policyError(err)
	}
	p.mountShadow(engine)
	if p.keys, err = oauth.NewKeys(ctx, oauth.KeysConfig{Reader: p.store, Ledger: p.store, ServerKey: key}); err != nil {
		return nil, err
	}
	endpoints, err := p.endpoints(key)
	if err != nil {
		return nil, err
	}
	metrics := p.metrics()
	p.public, err = server.New(server.Config{Issuer: c.Issuer, Endpoints: endpoints, Hosts: c.Hosts, TrustedProxies: c.TrustedProxies, Log: c.log, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	p.admin, err = p.adminFace(metrics)
	return p, err
}

// adminFace is the handler of the admin listener.
func (p *parts) adminFace(metrics *server.Metrics) (http.Handler, error) {
	admin := server.AdminConfig{Checks: p.checks(), Hosts: p.config.adminHosts(), Log: p.config.log}
	if p.config.adminOnLoopback() { // DESIGN §9: metrics and detail are open on loopback only
		admin.Metrics, admin.Detail = metrics, func() any { return generations{p}.status().public() }
	}
	var err error
	if admin.Bundle, err = p.servedBundle(); err != nil {
		return nil, err
	}
	return server.NewAdmin(admin)
}

// metrics counts for /metrics; the figures of other rooms are read when somebody asks.
func (p *parts) metrics() *server.Metrics {
	return server.NewMetrics(server.MetricsConfig{
		Commits:  func() float64 { return float64(p.store.Stats().Commits) },
		Groups:   func() float64 { return float64(p.store.Stats().Groups) },
		Revision: func() string { return p.engine.Status().Revision },
		Stale:    func() float64 { return float64(len(p.engine.Status().StaleTools)) },
		Flips:    p.flips,
		Shadow:   p.shadowCounts(),
		Cache: func() (hits, misses, notCacheable uint64) {
			s := p.engine.CacheStats()
			return s.Hits, s.Misses, s.NotCacheable
		},
	})
}

// policyError tells policies that do not load, which the operator must cure, from a storage that fails meanwhile.
func policyError(err error) error {
	var away *bundleAway
	if errors.Is(err, oauth.ErrUnavailable) || errors.As(err, &away) {
		return err
	}
	return badConfig("policies do not load:\n%w", err)
}

// endpoints are the parts of the protocol that are on. A grant type is on when it stands in the list.
func (p *parts) endpoints(key []byte) (e oauth.Endpoints, err error) {
	c, store := &p.config, p.store
	clients, err := p.clients()
	if err != nil {
		return e, err
	}
	issuer, err := oauth.NewIssuer(oauth.IssuerConfig{Issuer: c.Issuer, Keys: p.keys, ServerKey: key,
		RefreshIdle: c.Tokens.RefreshIdle, RefreshAbsolute: c.Tokens.RefreshAbsolute, ReuseGrace: c.Tokens.ReuseGrace})
	if err != nil {
		return e, err
	}
	authenticator := oauth.NewClientAuthenticator()
	tokens := oauth.NewTokenChecker(issuer, store)
	e.Authorization = oauth.NewAuthorization(oauth.AuthorizationConfig{Issuer: c.Issuer, Clients: clients, Resources: p.catalogue, Users: store, Sessions: store,
		Interactions: store, Grants: store, Policy: p.policy(), Ledger: store, AccessTTL: c.Tokens.AccessTTL, RefreshAbsolute: c.Tokens.RefreshAbsolute})
	e.Login = oauth.NewLogin(oauth.LoginConfig{Users: store, Sessions: store, Interactions: store, Failures: store, Ledger: store,
		ServerKey: key, SessionTTL: p.sessionTTL()})
	e.Account = oauth.NewAccount(oauth.AccountConfig{Login: e.Login, Users: store, Sessions: store, Grants: store, Clients: store, Resources: p.catalogue, Ledger: store})
	if e.Token, err = oauth.NewToken(oauth.TokenConfig{Clients: clients, Auth: authenticator, Resources: p.catalogue, Policy: p.policy(), Issuer: issuer, Ledger: store, AccessTTL: c.Tokens.AccessTTL,
		MaxStale: maxDocumentAge, Grants: []oauth.GrantType{
			oauth.AuthorizationCode{Codes: store, Users: store, Resources: p.catalogue, RefreshAbsolute: c.Tokens.RefreshAbsolute},
			oauth.RefreshToken{Refreshes: store, Users: store, Resources: p.catalogue, Issuer: issuer},
		}}); err != nil {
		return e, err
	}
	e.Registration = p.registration(e.Token.GrantTypes())
	e.Revocation = oauth.NewRevocation(oauth.RevocationConfig{Clients: clients, Auth: authenticator, Refreshes: store, States: store, Issuer: issuer, Ledger: store})
	e.Introspection = oauth.NewIntrospection(oauth.IntrospectionConfig{Resources: p.catalogue, Auth: authenticator, Tokens: tokens})
	e.Decision = oauth.NewDecider(oauth.DeciderConfig{Issuer: c.Issuer, Catalogue: p.catalogue, Auth: authenticator, Tokens: tokens, Clients: clients,
		Policy: p.policy(), Tools: p.engine, Scopes: p.policy(), Usage: store, Ledger: store, ServerKey: key, Deadline: c.Policy.Deadline})
	e.Metadata, err = oauth.NewMetadata(oauth.MetadataConfig{Issuer: c.Issuer, Keys: p.keys, Resources: p.catalogue, CIMD: true}, e)
	return e, err
}
