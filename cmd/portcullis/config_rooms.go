package main

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"

	"portcullis/oauth"
	"portcullis/oauth/jose"
	"portcullis/policies"
)

// engine is what the policy engine is made of.
func (c *Config) engine(serverKey []byte, catalogue []*oauth.Resource) policies.Config {
	return policies.Config{Dir: string(c.Policies), Defaults: c.Policy.Defaults == "on", Deadline: c.Policy.Deadline, Cache: cmp.Or(int(c.Policy.Cache), -1),
		Catalogue: catalogue, Log: c.log, Record: policies.RecordMode(c.Policy.Record), RecordKey: jose.Derive(serverKey, "decision records")}
}

// adminHosts are the Host names under which the admin listener may be asked, beside those of loopback.
func (c *Config) adminHosts() []string {
	host, _, err := net.SplitHostPort(c.AdminListen)
	if err != nil || host == "" {
		return c.Hosts
	}
	return append([]string{host}, c.Hosts...)
}

// adminOnLoopback tells whether only this machine reaches the admin listener.
func (c *Config) adminOnLoopback() bool {
	host, _, err := net.SplitHostPort(c.AdminListen)
	return err == nil && isLoopback(host)
}

// configured are the objects of the file as oauth stores them. What check has accepted cannot fail here.
func (c *Config) configured() (oauth.Configured, error) {
	var out oauth.Configured
	for _, x := range c.Clients {
		out.Clients = append(out.Clients, x.client())
	}
	for _, x := range c.Users {
		out.Users = append(out.Users, oauth.User{Name: x.Name, Groups: x.Groups, PasswordHash: string(x.PasswordHash)})
	}
	for _, x := range c.Resources {
		r, err := x.resource()
		if err != nil {
			return out, err
		}
		out.Resources = append(out.Resources, r)
	}
	slices.SortFunc(out.Resources, func(a, b oauth.Resource) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func (c ClientConfig) client() oauth.Client {
	return oauth.Client{ID: c.ID, Name: c.Name, RedirectURIs: c.RedirectURIs, AuthMethods: []string{c.AuthMethod},
		GrantTypes: []string{"authorization_code", "refresh_token"}, SecretHashes: hashes(c.Secret)}
}

func (r ResourceConfig) resource() (oauth.Resource, error) {
	id, err := oauth.CanonicalResource(r.ID)
	out := oauth.Resource{ID: id, Key: r.Key, Name: r.Name, SecretHashes: hashes(r.Secret, r.PreviousSecret), Baseline: oauth.NewScopes(r.BaselineScopes...),
		Source: oauth.SourceConfig}
	for _, s := range r.Scopes {
		out.Scopes = append(out.Scopes, oauth.ScopeInfo(s))
	}
	for _, t := range r.Tools {
		out.Tools = append(out.Tools, oauth.Tool{Name: t.Name, Title: t.Title, Description: t.Description, Scopes: oauth.NewScopes(t.Scopes...),
			Annotations: oauth.Annotations(t.Annotations), InputSchema: t.InputSchema})
	}
	return out, err
}

// hashes are the stored forms of secrets; an empty one is none.
func hashes(secrets ...secret) [][]byte {
	var out [][]byte
	for _, s := range secrets {
		if s != "" {
			out = append(out, oauth.HashSecret(string(s)))
		}
	}
	return out
}

// manyBehind are the addresses behind which there may be many: programs of this machine, and the proxies that are trusted.
func (c *Config) manyBehind() []netip.Prefix {
	all := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, text := range c.TrustedProxies {
		if p, err := netip.ParsePrefix(text); err == nil {
			all = append(all, p)
		} else if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		}
	}
	return all
}
