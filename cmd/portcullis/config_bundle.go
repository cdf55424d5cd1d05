package main

import (
	"net/url"
	"os"
	"strings"
	"time"

	"portcullis/policies"
)

// Where the policies of a configuration are.
const (
	noBundle   = "a folder"
	bundleFile = "a bundle file"
	bundleURL  = "the URL of a bundle"
)

func (c *Config) bundleAt() string {
	switch {
	case strings.Contains(string(c.Policies), "://"):
		return bundleURL
	case policies.Bundled(string(c.Policies)):
		return bundleFile
	}
	return noBundle
}

// key is what verifies bundles; the zero value if the configuration names none.
func (b BundleConfig) key() (policies.BundleKey, error) {
	if b.PublicKeyFile == "" {
		return policies.BundleKey{}, nil
	}
	text, err := os.ReadFile(string(b.PublicKeyFile))
	if err != nil {
		return policies.BundleKey{}, err
	}
	return policies.NewBundleKey(string(text), b.KeyID, b.Algorithm)
}

func checkBundle(c *Config, r *report) {
	where := c.bundleAt()
	for _, path := range []string{"bundle.public_key_file", "bundle.key_id", "bundle.algorithm", "bundle.poll", "bundle.token_file", "bundle.ca_file"} {
		ofURL := path == "bundle.poll" || path == "bundle.token_file" || path == "bundle.ca_file"
		switch {
		case !r.given(path):
		case where == noBundle:
			r.at(path, "%s has no use while policies is no bundle; remove it, or name an OPA bundle (.tar.gz) as policies", path)
		case where == bundleFile && ofURL:
			r.at(path, "%s has no use while policies is a file, which is watched; remove it, or name the URL of an OPA bundle as policies", path)
		case !ofURL && c.Bundle.PublicKeyFile == "" && !r.isFaulty("bundle.public_key_file"):
			r.at(path, "%s needs bundle.public_key_file, the key that verifies the bundle's signature", path)
		}
	}
	if where == bundleURL {
		checkBundleURL(c, r)
	}
	if r.anyFaulty("bundle") {
		return
	}
	if _, err := c.Bundle.key(); err != nil {
		path := "bundle.public_key_file"
		if strings.Contains(err.Error(), "not for the algorithm") && r.given("bundle.algorithm") {
			path = "bundle.algorithm"
		}
		r.at(path, "%s: %s %v", path, c.Bundle.PublicKeyFile, err)
	}
}

func checkBundleURL(c *Config, r *report) {
	const path = "policies"
	u, err := url.Parse(string(c.Policies))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.at(path, "policies must be a folder, an OPA bundle (.tar.gz), or the https:// URL of one")
	case u.User != nil || strings.Contains(string(c.Policies), "#"):
		r.at(path, "policies must have no user information and no fragment; a bearer token stands in bundle.token_file")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		r.at(path, "policies with http:// is for loopback only; write https://")
	case c.Bundle.PublicKeyFile == "" && !r.anyFaulty("bundle.public_key_file"):
		r.at(path, "policies is a URL, so that bundle.public_key_file must name the public key that the bundle is signed with: bundle: {public_key_file: public.pem}")
	}
	if p := c.Bundle.Poll; p < time.Second || p > 24*time.Hour {
		r.at("bundle.poll", "bundle.poll must be from 1s to 24h")
	}
}
