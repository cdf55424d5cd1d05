package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"portcullis/oauth"
	"portcullis/server"
	"portcullis/storage"
)

// Bounds of the token that reads the policies.
const (
	minBundleToken   = 32 // bytes: it is compared by a fast hash, so that it must be random and long
	maxBundleToken   = 1024
	minBundleLetters = 8 // different ones: 32 random digits of base 16 have fewer once in ten million times
)

const makeToken = "make one with: openssl rand -hex 32"

// readBundleToken gives the hash of the token in a file.
func readBundleToken(file string) ([]byte, error) {
	if err := storage.CheckPrivate(file); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	token := strings.TrimRight(string(text), "\r\n")
	letters := map[rune]bool{}
	for _, letter := range token {
		letters[letter] = true
		if letter <= ' ' || letter > '~' {
			return nil, fmt.Errorf("%s holds more than one line of printable ASCII without blanks; %s", file, makeToken)
		}
	}
	switch {
	case len(token) < minBundleToken:
		return nil, fmt.Errorf("%s holds %d characters, and the token needs at least %d random ones; %s", file, len(token), minBundleToken, makeToken)
	case len(token) > maxBundleToken:
		return nil, fmt.Errorf("%s holds %d characters, and the token has at most %d; %s", file, len(token), maxBundleToken, makeToken)
	case len(letters) < minBundleLetters:
		return nil, fmt.Errorf("%s holds only %d different characters, so that it can be guessed; %s", file, len(letters), makeToken)
	}
	return oauth.HashSecret(token), nil
}

// checkBundleToken looks at the token when the configuration is read, also by commands of people who may not read it: then the server itself looks.
func checkBundleToken(c *Config, r *report) {
	const path = "admin_bundle_token_file"
	if c.BundleToken == "" {
		return
	}
	if _, err := readBundleToken(string(c.BundleToken)); err != nil && !errors.Is(err, fs.ErrPermission) {
		r.at(path, "%s: %s", path, err)
	}
	if !c.adminOnLoopback() {
		c.warnings = append(c.warnings, path+": the admin listener speaks http, so that the token and the policies travel in the clear; put TLS in front of it, or write a loopback admin_listen")
	}
}

// servedBundle lets the admin listener serve the policies in force; nil without a token.
func (p *parts) servedBundle() (*server.BundleConfig, error) {
	if p.config.BundleToken == "" {
		return nil, nil
	}
	hash, err := readBundleToken(string(p.config.BundleToken))
	if err != nil {
		return nil, badConfig("admin_bundle_token_file: %w", err)
	}
	return &server.BundleConfig{TokenHash: hash, Active: func() (string, []byte, error) {
		b, err := p.engine.ServedBundle()
		return b.Tag, b.Data, err
	}}, nil
}
