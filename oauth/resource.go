package oauth

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Source tells who owns an object: "config" objects are upserted from the file at start and read-only elsewhere.
type Source string

// The owners of objects.
const (
	SourceConfig Source = "config"
	SourceAPI    Source = "api"  // command line, admin socket
	SourceSelf   Source = "self" // dynamic registration, client id metadata documents
)

// Resource is a protected MCP server (RFC 8707 "resource", RFC 9728).
type Resource struct {
	ID           string // the RFC 8707 identifier in its one canonical spelling; the aud of its tokens
	Key          string // its user name at introspection and the decision endpoint; data.servers[Key]
	Name         string
	SecretHashes [][]byte // SHA-256 of its secrets; two may be valid at a time
	Scopes       []ScopeInfo
	Baseline     Scopes // what a client that asks for no scope is offered
	Tools        []Tool
	Source       Source
	Disabled     bool

	toolAt map[string]int // where each tool of a catalogue stands; a hint
}

// ScopeInfo is one catalogued scope.
type ScopeInfo struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Risk        string `json:"risk,omitempty"` // "", "low", "high": free for policies
}

// Tool is one catalogued tool of a resource. Only the catalogue vouches for annotations, never the caller.
type Tool struct {
	Name        string         `json:"name"`
	Title       string         `json:"title,omitempty"`
	Description string         `json:"description,omitempty"`
	Scopes      Scopes         `json:"scopes,omitempty"` // all are needed
	Annotations Annotations    `json:"annotations"`
	InputSchema map[string]any `json:"inputSchema,omitempty"` // JSON Schema 2020-12, numbers as json.Number; nil = any object
}

// Annotations are the tool hints of MCP, with the defaults of the specification when a value is nil.
type Annotations struct {
	ReadOnlyHint    *bool `json:"readOnlyHint,omitempty"`
	DestructiveHint *bool `json:"destructiveHint,omitempty"`
	IdempotentHint  *bool `json:"idempotentHint,omitempty"`
	OpenWorldHint   *bool `json:"openWorldHint,omitempty"`
}

// ReadOnly is false unless the catalogue says so.
func (a Annotations) ReadOnly() bool { return a.ReadOnlyHint != nil && *a.ReadOnlyHint }

// Destructive is true for a writing tool unless the catalogue says otherwise (the default of MCP).
func (a Annotations) Destructive() bool {
	return !a.ReadOnly() && (a.DestructiveHint == nil || *a.DestructiveHint)
}

// Idempotent is false unless the catalogue says so.
func (a Annotations) Idempotent() bool { return a.IdempotentHint != nil && *a.IdempotentHint }

// OpenWorld is true unless the catalogue says otherwise.
func (a Annotations) OpenWorld() bool { return a.OpenWorldHint == nil || *a.OpenWorldHint }

// ScopeNames are the catalogued scopes.
func (r *Resource) ScopeNames() Scopes {
	names := make([]string, len(r.Scopes))
	for i, s := range r.Scopes {
		names[i] = s.Name
	}
	return NewScopes(names...)
}

// ScopeInfo finds a catalogued scope by its exact name.
func (r *Resource) ScopeInfo(name string) (ScopeInfo, bool) {
	for _, s := range r.Scopes {
		if s.Name == name {
			return s, true
		}
	}
	return ScopeInfo{Name: name}, false
}

// Tool finds a catalogued tool by its exact name.
func (r *Resource) Tool(name string) (*Tool, bool) {
	if i, ok := r.toolAt[name]; ok && i < len(r.Tools) && r.Tools[i].Name == name {
		return &r.Tools[i], true
	}
	for i := range r.Tools {
		if r.Tools[i].Name == name {
			return &r.Tools[i], true
		}
	}
	return nil, false
}

// toolsBehind are the tools that a scope opens.
func (r *Resource) toolsBehind(scope string) []*Tool {
	var behind []*Tool
	for i := range r.Tools {
		if slices.ContainsFunc(r.Tools[i].Scopes, func(needed string) bool { return ScopeCovers(scope, needed) }) {
			behind = append(behind, &r.Tools[i])
		}
	}
	return behind
}

// CanonicalResource spells a resource identifier in the one way in which two are compared: scheme and host in
// lower case, no default port, no single trailing slash (RFC 8707 §2, MCP "Canonical Server URI").
func CanonicalResource(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || !u.IsAbs() || u.Host == "" || u.Opaque != "" {
		return "", fmt.Errorf("resource %q must be an absolute URI with a host", raw)
	}
	if u.User != nil || u.Fragment != "" || strings.Contains(raw, "#") {
		return "", fmt.Errorf("resource %q must have no fragment and no user information", raw)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("resource %q must begin with https:// or http://", raw)
	}
	u.Host = strings.ToLower(u.Host)
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	out := u.Scheme + "://" + u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		out += "?" + u.RawQuery
	}
	return out, nil
}
