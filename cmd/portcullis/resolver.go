package main

import (
	"crypto/x509"
	"errors"
	"os"

	"portcullis/oauth"
	"portcullis/oauth/fetch"
)

// clients finds clients of every kind; it alone reaches addresses that strangers choose, for client id metadata documents.
func (p *parts) clients() (oauth.ClientResolver, error) {
	c := &p.config.CIMD
	roots, err := trustedRoots(string(c.CAFile))
	if err != nil {
		return nil, badConfig("cimd.ca_file: %w", err)
	}
	fetcher := fetch.New(fetch.Config{RootCAs: roots, LoopbackURLs: c.LoopbackURLs, MaxBytes: c.MaxBytes})
	return oauth.NewClientMetadataDocuments(oauth.ClientMetadataDocumentsConfig{Clients: p.store, Ledger: p.store, Policy: p.policy(), Fetch: fetcher}), nil
}

// trustedRoots are the system's certificates and those of the file. Without a file it is nil: the system's alone.
func trustedRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without certificates trusts the file alone
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("the file holds no certificate in PEM form")
	}
	return roots, nil
}

// registration is the endpoint of RFC 7591, nil when it is off.
func (p *parts) registration(grantTypes []string) *oauth.RegistrationEndpoint {
	c := &p.config.Registration
	if c.Mode == "off" {
		return nil
	}
	return oauth.NewRegistration(oauth.RegistrationConfig{TokenHashes: hashes(c.Token), GrantTypes: grantTypes, Clients: p.store, Policy: p.policy(), Ledger: p.store})
}
