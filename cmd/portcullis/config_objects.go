package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"portcullis/oauth"
)

// seen finds values that stand in the file twice.
type seen map[string]string

// again is the path where the value stood first, "" if it is new.
func (s seen) again(value, path string) string {
	if value == "" {
		return ""
	}
	if first, ok := s[value]; ok {
		return first
	}
	s[value] = path
	return ""
}

// shortSecret is the length below which a secret draws a warning.
const shortSecret = 16

func checkResources(c *Config, r *report) {
	ids, keys := seen{}, seen{}
	for i := range c.Resources {
		res := &c.Resources[i]
		path := "resources." + strconv.Itoa(i)
		if canonical, err := oauth.CanonicalResource(res.ID); res.ID != "" {
			if err != nil {
				r.at(path+".id", "%s", err)
			} else if first := ids.again(canonical, path+".id"); first != "" {
				r.at(path+".id", "%s is the same resource as %s; remove one of the two", shown(path+".id"), shown(first))
			}
		}
		checkResourceKey(res, path, keys, r)
		checkScopes(res, path, r)
		checkTools(res, path, r)
		if res.PreviousSecret != "" && res.Secret == "" {
			r.at(path+".previous_secret", "%s needs a secret beside it", shown(path+".previous_secret"))
		}
		if n := len(res.Secret); n > 0 && n < shortSecret {
			c.warnings = append(c.warnings, fmt.Sprintf("%s has only %d characters and can be guessed; make a random one", shown(path+".secret"), n))
		}
		if res.Upstream != "" {
			c.warnings = append(c.warnings, shown(path+".upstream")+" has no effect: this version has no guard")
		}
	}
}

func checkResourceKey(res *ResourceConfig, path string, keys seen, r *report) {
	keyPath := path + ".key"
	if res.Key == "" {
		res.Key = slug(res.Name)
		if res.Key == "" && res.Name != "" {
			r.at(path+".name", "no key can be made from this name; write key: with letters, digits and dashes")
			return
		}
	} else if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`).MatchString(res.Key) {
		r.at(keyPath, "%s must be 1 to 64 letters, digits, dashes or underscores", shown(keyPath))
		return
	}
	if first := keys.again(res.Key, path); first != "" {
		r.at(keyPath, "the key %q belongs to %s already; write another key", res.Key, shown(first))
	}
}

// slug makes a key from a name: "Everything server" becomes "everything-server".
func slug(name string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimRight(b.String()[:min(b.Len(), 64)], "-")
}

func checkScopes(res *ResourceConfig, path string, r *report) {
	names := seen{}
	for i, s := range res.Scopes {
		at := path + ".scopes." + strconv.Itoa(i)
		if s.Name == "" || s.Description == "" {
			continue // reported as missing
		}
		if err := oauth.CheckCatalogueScope(oauth.ScopeInfo{Name: s.Name, Description: s.Description, Risk: s.Risk}); err != nil {
			r.at(at+".name", "%s", err)
			continue
		}
		if s.Risk != "" {
			oneOf(r, at+".risk", s.Risk, "low", "high")
		}
		if first := names.again(s.Name, at); first != "" {
			r.at(at+".name", "the scope %q stands at %s already; remove one of the two", s.Name, shown(first))
		}
	}
	known := catalogueOf(res, path, r)
	for i, name := range res.BaselineScopes {
		known.check(path+".baseline_scopes."+strconv.Itoa(i), name, r)
	}
}

// scopeCatalogue are the scopes that a resource lists, as far as they can be known.
type scopeCatalogue struct {
	names   []string
	scopes  oauth.Scopes
	unknown bool // some scope of the list has a fault
	add     string
}

func catalogueOf(res *ResourceConfig, path string, r *report) scopeCatalogue {
	c := scopeCatalogue{unknown: r.isFaulty(path+".scopes") || r.isFaulty(path), add: shown(path + ".scopes")}
	for _, s := range res.Scopes {
		c.unknown = c.unknown || s.Name == ""
		c.names = append(c.names, s.Name)
	}
	c.scopes = oauth.NewScopes(c.names...)
	return c
}

// check reports a scope that the resource does not list. It keeps quiet when the list cannot be known.
func (c scopeCatalogue) check(at, name string, r *report) {
	if name == "" && !r.isFaulty(at) {
		r.at(at, "%s is empty; write a scope", shown(at))
		return
	}
	if c.unknown || c.scopes.Has(name) {
		return
	}
	hint := "add it to " + c.add + " with a description"
	if best := nearest(name, c.names); best != "" {
		hint = fmt.Sprintf("did you mean %q?", best)
	}
	r.at(at, "the scope %q is not in the catalogue of this resource; %s", name, hint)
}

func checkTools(res *ResourceConfig, path string, r *report) {
	names, known := seen{}, catalogueOf(res, path, r)
	for i := range res.Tools {
		tool := &res.Tools[i]
		at := path + ".tools." + strconv.Itoa(i)
		if first := names.again(tool.Name, at); first != "" {
			r.at(at+".name", "the tool %q stands at %s already; remove one of the two", tool.Name, shown(first))
		}
		for j, s := range tool.Scopes {
			known.check(at+".scopes."+strconv.Itoa(j), s, r)
		}
		if below, ref := foreignRef(tool.InputSchema); ref != "" {
			r.at(at+".inputSchema."+below, "the schema refers to %q; only references inside the schema (#/$defs/…) are followed", ref)
		} else if tool.InputSchema != nil {
			if err := oauth.CheckInputSchema(tool.InputSchema); err != nil {
				r.at(at+".inputSchema", "%s", strings.Join(strings.Fields(err.Error()), " "))
			}
		}
	}
}

// foreignRef finds a reference that leaves the schema, the first by its path, and where in the schema it is. Nothing is ever fetched for one.
func foreignRef(v any) (at, ref string) {
	found := func(below, text string) {
		if text != "" && (ref == "" || below < at) {
			at, ref = below, text
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			text, isText := value.(string)
			if isText && (key == "$ref" || key == "$dynamicRef" || key == "$recursiveRef") && !strings.HasPrefix(text, "#") {
				found(key, text)
				continue
			}
			if below, text := foreignRef(value); text != "" {
				found(join(key, below), text)
			}
		}
	case []any:
		for i, item := range v {
			if below, text := foreignRef(item); text != "" {
				found(join(strconv.Itoa(i), below), text)
			}
		}
	}
	return at, ref
}

func checkClients(c *Config, r *report) {
	ids := seen{}
	for i := range c.Clients {
		client := &c.Clients[i]
		path := "clients." + strconv.Itoa(i)
		if first := ids.again(client.ID, path+".id"); first != "" {
			r.at(path+".id", "the client id %q stands at %s already; remove one of the two", client.ID, shown(first))
		}
		checkAuthMethod(client, path, r)
		uris := seen{}
		for j, uri := range client.RedirectURIs {
			at := path + ".redirect_uris." + strconv.Itoa(j)
			if err := oauth.CheckRedirectURI(uri); err != nil {
				r.at(at, "this redirect URI cannot be used: %s", err)
			} else if first := uris.again(uri, at); first != "" {
				r.at(at, "%s stands here a second time; remove one of the two", shown(at))
			}
		}
	}
}

func checkAuthMethod(client *ClientConfig, path string, r *report) {
	at := path + ".token_endpoint_auth_method"
	switch {
	case client.AuthMethod == "" && client.Secret == "":
		client.AuthMethod = oauth.AuthMethodNone
	case client.AuthMethod == "":
		client.AuthMethod = oauth.AuthMethodBasic
	}
	oneOf(r, at, client.AuthMethod, oauth.AuthMethodNone, oauth.AuthMethodBasic, oauth.AuthMethodPost)
	switch {
	case r.isFaulty(at) || r.isFaulty(path+".secret"):
	case client.AuthMethod == oauth.AuthMethodNone && client.Secret != "":
		r.at(path+".secret", "a client with token_endpoint_auth_method: none has no secret; remove it or write client_secret_basic")
	case client.AuthMethod != oauth.AuthMethodNone && client.Secret == "":
		r.at(at, "%s needs a secret; write one, or token_endpoint_auth_method: none for a public client", client.AuthMethod)
	}
}

func checkUsers(c *Config, r *report) {
	names := seen{}
	for i, u := range c.Users {
		path := "users." + strconv.Itoa(i)
		if first := names.again(oauth.CanonicalUsername(u.Name), path+".name"); first != "" {
			r.at(path+".name", "the user %q stands at %s already; remove one of the two", u.Name, shown(first))
		}
		if err := oauth.CheckPasswordHash(string(u.PasswordHash)); err != nil {
			r.at(path+".password_hash", "%s must be what portcullis user hash prints: %s", shown(path+".password_hash"), err)
		}
	}
}
