package oauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// M1.
func TestCheckClientIDURL(t *testing.T) {
	for raw, good := range map[string]bool{
		"https://claude.ai/oauth/claude-code-client-metadata": true,
		"https://chatgpt.com/oauth/abc/client.json":           true,
		"https://vscode.dev/oauth/client-metadata.json":       true,
		"https://client.example:8443/c.json?v=1":              true,
		"https://127.0.0.1:9000/c.json":                       true,
		"https://[2001:db8::1]/c.json":                        true,
		"https://xn--bcher-kva.example/c":                     true,
		"https://client.example/c/":                           true,
		"https://client.example/a%20b":                        true,
		"":                                                    false,
		"client":                                              false,
		"http://client.example/c.json":                        false,
		"http://127.0.0.1/c.json":                             false,
		"HTTPS://client.example/c.json":                       false,
		"https://CLIENT.example/c.json":                       false, // a rule about the host must see it
		"https://client.example:443/c.json":                   false,
		"https://client.example./c.json":                      false,
		"https://client.example":                              false,
		"https://client.example/":                             false,
		"https://client.example?x=1":                          false,
		"https://client.example/?x=1":                         false,
		"https:///c.json":                                     false,
		"https:/client.example/c.json":                        false,
		"https:client.example/c.json":                         false,
		"https://client.example/./c.json":                     false,
		"https://client.example/a/../c.json":                  false,
		"https://client.example/..":                           false,
		"https://client.example/%2e%2e/c.json":                false,
		"https://client.example/%2E/c.json":                   false,
		"https://client.example/c.json#":                      false,
		"https://client.example/c.json#x":                     false,
		"https://user@client.example/c.json":                  false,
		"https://user:pw@client.example/c.json":               false,
		"https://@client.example/c.json":                      false,
		"https://good.example\\@client.example/c":             false,
		"https://client.example\\c.json":                      false,
		"https://client.example/c.json ":                      false,
		" https://client.example/c.json":                      false,
		"https://client.example/c\n":                          false,
		"https://client.example/c\x00":                        false,
		"https://bücher.example/c":                            false,
		"https://client.example/ü":                            false,
		"https://client.example/%zz":                          false,
		"https://client.example:0/c":                          false,
		"https://client.example:99999/c":                      false,
		"https://client.example:/c":                           false,
		"https://client..example/c":                           false,
		"https://client.example/<c>":                          false,
		"javascript:alert(1)":                                 false,
		"https://client.example/" + strings.Repeat("a", 512):  false,
	} {
		if err := CheckClientIDURL(raw); (err == nil) != good {
			t.Errorf("%.60q: %v", raw, err)
		}
	}
}

func TestFreshnessFollowsCacheHeadersWithinBounds(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, row := range []struct {
		name    string
		headers []string
		want    time.Duration
	}{
		{"nothing said", nil, time.Hour},
		{"max-age", []string{"Cache-Control", "public, max-age=600"}, 10 * time.Minute},
		{"quoted", []string{"Cache-Control", `max-age="600"`}, 10 * time.Minute},
		{"another case", []string{"Cache-Control", "Max-Age=600"}, 10 * time.Minute},
		{"two headers", []string{"Cache-Control", "public", "Cache-Control", "max-age=600"}, 10 * time.Minute},
		{"shared caches count more", []string{"Cache-Control", "max-age=60, s-maxage=600"}, 10 * time.Minute},
		{"age is taken off", []string{"Cache-Control", "max-age=600", "Age", "240"}, 6 * time.Minute},
		{"older than fresh", []string{"Cache-Control", "max-age=600", "Age", "86400"}, time.Minute},
		{"too short", []string{"Cache-Control", "max-age=0"}, time.Minute},
		{"M7 ten years", []string{"Cache-Control", "max-age=315360000"}, 24 * time.Hour},
		{"ten years, two days old", []string{"Cache-Control", "max-age=315360000", "Age", "172800"}, 24 * time.Hour},
		{"more than a number holds", []string{"Cache-Control", "max-age=99999999999999999999999"}, 24 * time.Hour},
		{"negative", []string{"Cache-Control", "max-age=-1"}, time.Minute},
		{"nonsense", []string{"Cache-Control", "max-age=soon"}, time.Minute},
		{"no-store", []string{"Cache-Control", "no-store, max-age=600"}, time.Minute},
		{"no-cache", []string{"Cache-Control", "no-cache, max-age=600"}, time.Minute},
		{"expires", []string{"Expires", at(20 * time.Minute)}, 20 * time.Minute},
		{"expired", []string{"Expires", at(-time.Hour)}, time.Minute},
		{"expires 0", []string{"Expires", "0"}, time.Minute},
		{"max-age beats expires", []string{"Cache-Control", "max-age=600", "Expires", at(time.Hour)}, 10 * time.Minute},
	} {
		h := http.Header{}
		for i := 0; i < len(row.headers); i += 2 {
			h.Add(row.headers[i], row.headers[i+1])
		}
		if got := documentFresh(h, now); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestMethodsOfADocument(t *testing.T) {
	const id = "https://client.example/c.json"
	for body, reason := range map[string]string{
		``:                                     "",
		`,"token_endpoint_auth_method":"none"`: "",
		`,"token_endpoint_auth_methods_supported":["none"]`:                                                                  "",
		`,"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["none","private_key_jwt"]`: "", // ChatGPT
		`,"token_endpoint_auth_methods_supported":["private_key_jwt"]`:                                                       "cimd_auth_method",
		`,"token_endpoint_auth_method":"none","token_endpoint_auth_methods_supported":["private_key_jwt"]`:                   "cimd_auth_method",
		`,"token_endpoint_auth_method":"private_key_jwt"`:                                                                    "cimd_auth_method",
		`,"token_endpoint_auth_method":"client_secret_basic"`:                                                                "cimd_auth_method",
		`,"token_endpoint_auth_methods_supported":["none","client_secret_jwt"]`:                                              "cimd_auth_method",
		`,"jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b"}]}`:                                                      "",
		`,"jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"c"}]}`:                                              "cimd_private_key",
		`,"jwks":{"keys":[{"kty":"oct","k":"c"}]}`:                                                                           "cimd_private_key",
		`,"grant_types":["authorization_code","urn:ietf:params:oauth:grant-type:device_code"]`:                               "", // VS Code
		`,"grant_types":["client_credentials"]`:                                                                              "cimd_grant_types",
		`,"response_types":["token"]`:                                                                                        "cimd_grant_types",
		`,"client_secret":null`:                                                                                              "cimd_client_secret",
		`,"jwks_uri":"http://client.example/jwks"`:                                                                           "cimd_uri",
		`,"logo_uri":"https://cdn.example/logo.png","tos_uri":"https://client.example/tos"`:                                  "",
	} {
		c, e := readClientDocument(id, []byte(`{"client_id":"`+id+`","client_name":"x","redirect_uris":["https://client.example/cb"]`+body+`}`))
		switch {
		case reason == "" && e != nil:
			t.Errorf("%s: %v", body, e)
		case reason == "" && !c.Public():
			t.Errorf("%s: methods %v", body, c.AuthMethods)
		case reason != "" && (e == nil || e.Reason != reason):
			t.Errorf("%s: %v, want %s", body, e, reason)
		}
	}
}

func TestDigestCoversWhatAPersonAgreesTo(t *testing.T) {
	base := Client{ID: "i", Name: "n", RedirectURIs: []string{"https://a.example/", "https://b.example/"}, AuthMethods: []string{"none"}, GrantTypes: []string{"authorization_code"}}
	seen := map[string]string{clientDigest(&base): "base"}
	for name, change := range map[string]func(*Client){
		"id":       func(c *Client) { c.ID = "j" },
		"name":     func(c *Client) { c.Name = "m" },
		"redirect": func(c *Client) { c.RedirectURIs = []string{"https://a.example/"} },
		"joined":   func(c *Client) { c.RedirectURIs = []string{"https://a.example/,https://b.example/"} },
		"methods":  func(c *Client) { c.AuthMethods = nil },
		"grants":   func(c *Client) { c.GrantTypes = append(c.GrantTypes, "refresh_token") },
		"scope":    func(c *Client) { c.Scope = Scopes{"a"} },
		"uri":      func(c *Client) { c.ClientURI = "https://a.example/" },
	} {
		c := base
		change(&c)
		if other, same := seen[clientDigest(&c)]; same {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[clientDigest(&c)] = name
	}
	reordered := base
	reordered.RedirectURIs = []string{"https://b.example/", "https://a.example/"}
	reordered.Document, reordered.FetchedAt = []byte("x"), time.Now()
	if clientDigest(&reordered) != clientDigest(&base) {
		t.Error("order of redirect URIs or the fetch changes the digest")
	}
}

// FuzzClientIDURL (M1): an accepted URL has one host in one spelling, and a path without detours.
func FuzzClientIDURL(f *testing.F) {
	for _, seed := range []string{"https://client.example/c.json", "https://a@b/c", "https://a/%2e%2e/b", "https://[::1]:1/x", "https://a:443/c?x#"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if CheckClientIDURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" || len(u.Path) < 2 || u.Port() == "443" {
			t.Fatalf("accepted %q: %v", raw, err)
		}
		if u.Host != strings.ToLower(u.Host) || !strings.HasPrefix(raw, "https://"+u.Host+"/") {
			t.Errorf("accepted %q, whose host has another spelling: %q", raw, u.Host)
		}
		if clean := path.Clean(u.Path); clean != strings.TrimSuffix(u.Path, "/") && !strings.Contains(u.Path, "//") {
			t.Errorf("accepted %q, whose path means %q", raw, clean)
		}
		if host := (&Client{ID: raw, Registration: RegistrationCIMD}).Host(); host == "" || host != u.Hostname() {
			t.Errorf("%q has the host %q", raw, host)
		}
	})
}

// FuzzClientDocument: an accepted document says of itself what the client is, also to the standard library, the loosest reader around.
func FuzzClientDocument(f *testing.F) {
	const id = "https://client.example/c.json"
	f.Add([]byte(`{"client_id":"` + id + `","client_name":"x","redirect_uris":["https://client.example/cb"]}`))
	f.Add([]byte(`{"client_id":"` + id + `","client_name":"x","redirect_uris":["http://localhost/cb"],"jwks":{"keys":[{"d":1}]},"scope":"a b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, e := readClientDocument(id, body)
		if e != nil {
			return
		}
		if c.ID != id || c.Name == "" || !c.Public() || len(c.RedirectURIs) == 0 || !c.MayUse("authorization_code") {
			t.Errorf("%q gives %+v", body, c)
		}
		var doc map[string]any
		if err := json.Unmarshal(body, &doc); err != nil || doc["client_id"] != id || doc["client_name"] != c.Name || doc["client_secret"] != nil {
			t.Errorf("%q: %v", body, err)
		}
		listed, _ := doc["redirect_uris"].([]any)
		for _, uri := range c.RedirectURIs {
			if CheckRedirectURI(uri) != nil || !slices.Contains(listed, any(uri)) {
				t.Errorf("accepted the redirect %q", uri)
			}
		}
		for i, name := range doc {
			for other := range doc {
				if i != other && strings.EqualFold(i, other) {
					t.Errorf("two readings of %q: %v", i, name)
				}
			}
		}
		if again, e := readClientDocument(id, body); e != nil || again.Digest != c.Digest {
			t.Errorf("%q is another client when it is read again: %v", body, e)
		}
	})
}
