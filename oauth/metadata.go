package oauth

import "context"

// MetadataEndpoint serves the documents that clients discover us by.
type MetadataEndpoint struct{}

// AuthorizationServer is the RFC 8414 document, marshalled once.
func (e *MetadataEndpoint) AuthorizationServer() []byte { return nil }

// JWKS is the key set (RFC 7517 §5), from memory.
func (e *MetadataEndpoint) JWKS() []byte { return nil }

// ProtectedResource is the RFC 9728 document of the resource whose well-known path is asked for: path is what
// stands behind WellKnownProtectedResource ("" or "/mcp"), host the Host header. NotFound if there is none.
// Resources on other hosts are found under the path "/<key>".
func (e *MetadataEndpoint) ProtectedResource(ctx context.Context, host, path string) ([]byte, error) {
	return nil, NotFound.Errorf("not built yet")
}

// AuthZEN is the decision point's metadata (Authorization API 1.0 §9).
func (e *MetadataEndpoint) AuthZEN() []byte { return nil }
