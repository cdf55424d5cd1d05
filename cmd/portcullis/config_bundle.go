package main

import (
	"os"
	"strings"

	"portcullis/policies"
)

// Where the policies of a configuration are.
const (
	noBundle   = "a folder"
	bundleFile = "a bundle file"
)

func (c *Config) bundleAt() string {
	if policies.Bundled(string(c.Policies)) {
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
	for _, key := range []string{"public_key_file", "key_id", "algorithm"} {
		path := "bundle." + key
		switch {
		case !r.given(path):
		case where == noBundle:
			r.at(path, "%s has no use while policies is no bundle; remove it, or name an OPA bundle (.tar.gz) as policies", path)
		case c.Bundle.PublicKeyFile == "" && !r.isFaulty("bundle.public_key_file"):
			r.at(path, "%s needs bundle.public_key_file, the key that verifies the bundle's signature", path)
		}
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
