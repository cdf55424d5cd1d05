package main

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// check finds the faults that a value can have though it is of the right type. It reports through r, which keeps
// quiet about values that have a fault already.
func check(c *Config, r *report) {
	checkIssuer(c, r)
	checkListeners(c, r)
	checkFiles(c, r)
	checkBundleToken(c, r)
	checkBundle(c, r)
	checkLifetimes(c, r)
	checkCIMD(c, r)
	oneOf(r, "policy.defaults", c.Policy.Defaults, "on", "none")
	oneOf(r, "policy.record", c.Policy.Record, "off", "masked", "values")
	oneOf(r, "registration.mode", c.Registration.Mode, "off", "open", "token")
	switch {
	case c.Registration.Mode == "token" && c.Registration.Token == "":
		r.at("registration.mode", "registration.mode token needs registration.token, the token that a client shows once to register")
	case c.Registration.Mode != "token" && c.Registration.Token != "":
		r.at("registration.token", "registration.token has no use while registration.mode is %q; write mode: token or remove it", c.Registration.Mode)
	}
	checkResources(c, r)
	checkClients(c, r)
	checkUsers(c, r)
}

func oneOf(r *report, path, got string, want ...string) {
	for _, w := range want {
		if got == w {
			return
		}
	}
	r.at(path, "%s must be one of %s; %q is none of them", shown(path), strings.Join(want, ", "), got)
}

// checkIssuer obeys RFC 8414 §2: https, no query, no fragment; http is for loopback only.
func checkIssuer(c *Config, r *report) {
	const path = "issuer"
	if c.Issuer == "" {
		return
	}
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.at(path, "issuer must be a URL such as https://auth.example.com")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(c.Issuer, "#"):
		r.at(path, "issuer must have no user information, query or fragment (RFC 8414 §2)")
	case strings.HasSuffix(c.Issuer, "/"):
		r.at(path, "issuer must not end with a slash; write %s", strings.TrimRight(c.Issuer, "/"))
	case u.Host != strings.ToLower(u.Host) || u.String() != c.Issuer:
		r.at(path, "issuer must be in its plain spelling: lower-case host, nothing escaped without need; clients compare it letter by letter")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		r.at(path, "issuer with http:// is for loopback only; write https:// (tls or a proxy in front makes it)")
	case u.Scheme == "http" && (c.TLS.Cert != "" || c.TLS.Key != ""):
		r.at("tls", "tls is set but issuer begins with http://; write issuer with https:// or remove tls")
	}
}

// isLoopback tells whether a host name or address stays on this machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func checkListeners(c *Config, r *report) {
	checkAddress(r, "listen", c.Listen)
	checkAddress(r, "admin_listen", c.AdminListen)
	if _, port, _ := net.SplitHostPort(c.Listen); c.Listen == c.AdminListen && port != "0" {
		path := "listen"
		if r.given("admin_listen") {
			path = "admin_listen"
		}
		r.at(path, "listen and admin_listen must differ: the admin pages never stand on the public listener")
	}
	for i, h := range c.Hosts {
		path := "hosts." + strconv.Itoa(i)
		if u, err := url.Parse("//" + h); h == "" || err != nil || u.Host != h || strings.ContainsAny(h, "/@ ") {
			r.at(path, "%s must be a host name, with a port if it is not the usual one, such as auth.example.com:8443", shown(path))
		}
	}
	for i, p := range c.TrustedProxies {
		path := "trusted_proxies." + strconv.Itoa(i)
		_, addrErr := netip.ParseAddr(p)
		_, prefixErr := netip.ParsePrefix(p)
		if addrErr != nil && prefixErr != nil {
			r.at(path, "%s must be an address or a block such as 10.0.0.0/8", shown(path))
		}
	}
	switch {
	case c.TLS.Cert != "" && c.TLS.Key == "" && !r.anyFaulty("tls"):
		r.at("tls.cert", "tls.cert needs tls.key, the file with its private key")
	case c.TLS.Key != "" && c.TLS.Cert == "" && !r.anyFaulty("tls"):
		r.at("tls.key", "tls.key needs tls.cert, the file with the certificate chain")
	}
}

func checkAddress(r *report, path, address string) {
	host, port, err := net.SplitHostPort(address)
	_, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || strings.ContainsAny(host, " /") {
		r.at(path, "%s must be an address with a port, such as 127.0.0.1:8080 or :443", path)
		return
	}
}

// checkFiles looks whether the files that must be there are there.
func checkFiles(c *Config, r *report) {
	for _, f := range []struct {
		path string
		file filePath
	}{{"tls.cert", c.TLS.Cert}, {"tls.key", c.TLS.Key}, {"cimd.ca_file", c.CIMD.CAFile},
		{"bundle.public_key_file", c.Bundle.PublicKeyFile}, {"bundle.token_file", c.Bundle.TokenFile}, {"bundle.ca_file", c.Bundle.CAFile}, {"policies", c.Policies}} {
		if f.file == "" || f.path == "policies" && c.bundleAt() == bundleURL {
			continue
		}
		info, err := os.Stat(string(f.file))
		switch {
		case err != nil:
			r.at(f.path, "%s: %s cannot be read: %s", f.path, f.file, causeOf(err))
		case (f.path != "policies" || c.bundleAt() == bundleFile) && info.IsDir():
			r.at(f.path, "%s: %s is a folder; name a file", f.path, f.file)
		case f.path == "policies" && c.bundleAt() == noBundle && !info.IsDir():
			r.at(f.path, "%s: %s is a file; name the folder that holds the policies, or an OPA bundle whose name ends with .tar.gz", f.path, f.file)
		}
	}
	for _, f := range []struct {
		path string
		file filePath
	}{{"database", c.Database}, {"admin_socket", c.AdminSocket}} {
		if f.file == "" {
			r.at(f.path, "%s must name a file", f.path)
		}
	}
	if strings.Contains(string(c.Database), "://") {
		r.at("database", "database must be the path of a SQLite file; other databases are not supported yet")
	}
}

func checkLifetimes(c *Config, r *report) {
	t := c.Tokens
	if t.AccessTTL < time.Minute || t.AccessTTL > 30*time.Minute {
		r.at("tokens.access_ttl", "tokens.access_ttl must be from 1m to 30m; longer connections live from refresh tokens")
	}
	if t.RefreshIdle < time.Minute {
		r.at("tokens.refresh_idle", "tokens.refresh_idle must be at least 1m")
	}
	if t.RefreshAbsolute < t.RefreshIdle && !r.isFaulty("tokens.refresh_idle") {
		path := "tokens.refresh_absolute"
		if !r.given(path) {
			path = "tokens.refresh_idle"
		}
		r.at(path, "tokens.refresh_absolute (%s) must not be shorter than tokens.refresh_idle (%s)", t.RefreshAbsolute, t.RefreshIdle)
	}
	if t.ReuseGrace > time.Hour {
		r.at("tokens.reuse_grace", "tokens.reuse_grace must be at most 1h: within it a stolen refresh token goes unnoticed")
	}
	if d := c.Policy.Deadline; d < time.Millisecond || d > 10*time.Second {
		r.at("policy.deadline", "policy.deadline must be from 1ms to 10s")
	}
	if d := c.Policy.RecordKeep; d < time.Minute || d > 366*24*time.Hour {
		r.at("policy.record_keep", "policy.record_keep must be from 1m to 8784h; record: off keeps nothing")
	}
	if n := c.Policy.RecordMax; n < 1 || n > 100_000_000 {
		r.at("policy.record_max", "policy.record_max must be from 1 to 100000000; record: off keeps nothing")
	}
	if n := c.Policy.Generations; n < 1 || n > 1000 {
		r.at("policy.generations", "policy.generations must be from 1 to 1000: the policies in force are always kept")
	}
	if n := c.Policy.Cache; n < 0 || n > 1_000_000 {
		r.at("policy.cache", "policy.cache must be from 0 (nothing is remembered) to 1000000 answers")
	}
}

func checkCIMD(c *Config, r *report) {
	if b := c.CIMD.MaxBytes; b < 1024 || b > 1<<20 {
		r.at("cimd.max_bytes", "cimd.max_bytes must be from 1024 to 1048576")
	}
	for i, raw := range c.CIMD.LoopbackURLs {
		path := "cimd.loopback_urls." + strconv.Itoa(i)
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || !isLoopback(u.Hostname()) {
			r.at(path, "%s must be the exact https:// URL of a client id metadata document on loopback", shown(path))
		}
	}
}
