package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// ResourceDirectory finds the registered resources. Disabled ones are not in it.
type ResourceDirectory interface {
	ResourceByKey(key string) (*Resource, bool)
	ResourceByID(canonical string) (*Resource, bool)
	Resources() []*Resource
}

// AuthenticateResource proves which resource server asks, for introspection and decisions: HTTP Basic with its key or its
// identifier and a secret, or the secret alone as Bearer. Unknown resources and wrong secrets get the same answer after the same work.
func (a *ClientAuthenticator) AuthenticateResource(ctx context.Context, directory ResourceDirectory, authorization string) (*Resource, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	var c credentials
	var find func() *Resource
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		secret := strings.TrimLeft(token, " ")
		c = credentials{scheme: "Bearer", ids: []string{""}, secrets: []string{secret}}
		find = func() *Resource { return resourceBySecret(directory, secret) }
	default:
		c, _ = basicCredentials(authorization)
		find = func() *Resource { return resourceByName(directory, c) }
	}
	if len(c.ids) == 0 || len(c.secrets) == 0 || c.secrets[0] == "" || len(c.secrets[0]) > maxSecretBytes {
		return nil, refuseResource(c.scheme, "resource_credentials_missing")
	}
	if r := find(); r != nil {
		return r, nil
	}
	// The right secret passes whatever strangers behind the same address have tried: a decision point that they can close
	// denies every call. The limit is on wrong ones, counted by address alone, so that no spelling of a name evades it.
	if ok, after := a.failures.Allow("resource " + limitedAddress(ctx)); !ok {
		return nil, SlowDown.Errorf("too many failed authentications; wait before the next one").For("resource_auth_limited").After(after)
	}
	return nil, refuseResource(c.scheme, "resource_credentials_wrong")
}

func refuseResource(scheme, reason string) *Error {
	e := InvalidClient.Errorf("authenticate as a registered resource server: HTTP Basic with its key or identifier and its secret, or Bearer with its secret").For(reason)
	e.Challenge = scheme
	return e
}

// resourceByName looks up both readings of the name and compares the secret also when there is no such resource.
func resourceByName(directory ResourceDirectory, c credentials) *Resource {
	var found *Resource
	for _, name := range c.ids {
		if r, ok := directory.ResourceByKey(name); ok {
			found = r
			break
		}
		if canonical, err := CanonicalResource(name); err == nil {
			if r, ok := directory.ResourceByID(canonical); ok {
				found = r
				break
			}
		}
	}
	hashes := [][]byte{make([]byte, sha256.Size)}
	if found != nil {
		hashes = found.SecretHashes
	}
	if !anySecret(c.secrets, hashes) || found == nil || found.Disabled {
		return nil
	}
	return found
}

// resourceBySecret compares with every secret of every resource, without stopping at a match. A secret that two resources
// share names neither.
func resourceBySecret(directory ResourceDirectory, secret string) *Resource {
	sum := HashSecret(secret)
	var found *Resource
	matches := 0
	for _, r := range directory.Resources() {
		same := 0
		for _, h := range r.SecretHashes {
			same |= subtle.ConstantTimeCompare(sum, h)
		}
		if same == 1 && !r.Disabled {
			found = r
			matches++
		}
	}
	if matches != 1 {
		return nil
	}
	return found
}
