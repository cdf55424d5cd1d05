package oauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Challenge is ready to be copied into the MCP server's own answer: its HTTP status and WWW-Authenticate header.
type Challenge struct {
	Status          int    `json:"status"`
	WWWAuthenticate string `json:"www_authenticate"`
}

// challenge writes one Bearer challenge. Clients search it for scope= and error= anywhere, so no text may hold those.
func challenge(status int, pairs ...string) *Challenge {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `%s="%s"`, pairs[i], quotable(pairs[i+1]))
	}
	return &Challenge{Status: status, WWWAuthenticate: "Bearer " + b.String()}
}

// quotable keeps a value inside its quotes (RFC 9110 §5.6.4).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

// tokenChallenge is RFC 6750 §3.1 invalid_token.
func (c *call) tokenChallenge() *Challenge {
	return challenge(http.StatusUnauthorized, "error", "invalid_token", "error_description", "the access token is expired, revoked or not for this server",
		"resource_metadata", c.metadataURL(), "scope", c.e.Caller.Baseline.String())
}

// scopeChallenge names every scope that the operation needs, in one challenge (RFC 6750 §3.1, MCP step-up).
func (c *call) scopeChallenge(d Decision) *Challenge {
	return challenge(http.StatusForbidden, "error", "insufficient_scope", "error_description", "the call needs a permission that was not granted yet",
		"scope", d.RequiredScopes.Union(d.MissingScopes).String(), "resource_metadata", c.metadataURL())
}

// loginChallenge is RFC 9470 §3.
func (c *call) loginChallenge() *Challenge {
	age := ""
	if c.out.Context.MaxAge > 0 {
		age = fmt.Sprint(c.out.Context.MaxAge)
	}
	return challenge(http.StatusUnauthorized, "error", "insufficient_user_authentication", "error_description", "the call needs a fresher or stronger login",
		"acr_values", c.out.Context.ACRValues, "max_age", age, "resource_metadata", c.metadataURL())
}

func (c *call) metadataURL() string { return resourceMetadataURL(c.d.cfg.Issuer, c.e.Caller) }

// resourceMetadataURL is where this server publishes the RFC 9728 document of a resource.
func resourceMetadataURL(issuer string, r *Resource) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + WellKnownProtectedResource + u.Path + "/" + url.PathEscape(r.Key)
}
