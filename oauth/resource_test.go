package oauth

import "testing"

func TestCanonicalResource(t *testing.T) {
	for raw, want := range map[string]string{
		"https://mcp.example/mcp":       "https://mcp.example/mcp",
		"https://MCP.Example/mcp/":      "https://mcp.example/mcp",
		"HTTPS://mcp.example:443":       "https://mcp.example",
		"https://mcp.example/":          "https://mcp.example",
		"http://127.0.0.1:80/mcp":       "http://127.0.0.1/mcp",
		"http://127.0.0.1:3001/mcp":     "http://127.0.0.1:3001/mcp",
		"https://mcp.example/a//":       "https://mcp.example/a/",
		"https://mcp.example/MCP":       "https://mcp.example/MCP",
		"https://mcp.example/mcp?a=b":   "https://mcp.example/mcp?a=b",
		"https://mcp.example/a%2Fb":     "https://mcp.example/a%2Fb",
		"https://mcp.example:8443/mcp/": "https://mcp.example:8443/mcp",
	} {
		if got, err := CanonicalResource(raw); err != nil || got != want {
			t.Errorf("%q → %q, %v; want %q", raw, got, err, want)
		}
	}
	for _, bad := range []string{"", "/mcp", "mcp.example/mcp", "https://", "https://a@b/mcp", "https://mcp.example/#", "https://mcp.example/mcp#x", "ftp://mcp.example/", "urn:mcp", "https:mcp", "https://mcp.example/\x7f"} {
		if got, err := CanonicalResource(bad); err == nil {
			t.Errorf("%q accepted as %q", bad, got)
		}
	}
}
