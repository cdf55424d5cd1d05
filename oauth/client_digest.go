package oauth

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
)

// clientDigest is the SHA-256 (hex) of what a person agrees to when consenting to a client: its name and where codes may go, how
// it authenticates and what it declares. The rest of a document may change without asking again.
func clientDigest(c *Client) string {
	parts, err := json.Marshal([]any{c.ID, c.Name, slices.Sorted(slices.Values(c.RedirectURIs)), c.AuthMethods, c.GrantTypes, c.Scope, c.ClientURI})
	if err != nil {
		panic("oauth: texts have no JSON: " + err.Error())
	}
	return fmt.Sprintf("%x", sha256.Sum256(parts))
}

// metadataDigest is the SHA-256 (hex) of what was registered; order and ports of loopback redirects do not count.
func metadataDigest(m ClientMetadata) string {
	m.RedirectURIs = slices.Clone(m.RedirectURIs)
	for i, raw := range m.RedirectURIs {
		if host, rest, ok := splitLoopback(raw); ok {
			m.RedirectURIs[i] = "http://" + host + rest
		}
	}
	slices.Sort(m.RedirectURIs)
	m.RedirectURIs = slices.Compact(m.RedirectURIs)
	text, err := json.Marshal(m)
	if err != nil {
		panic("oauth: texts have no JSON: " + err.Error())
	}
	return hexOf(HashSecret(string(text)))
}
