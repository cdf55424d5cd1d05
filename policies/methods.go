package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// mcpMethods are those that the shipped default knows. A test holds the two against each other.
func mcpMethods() []string {
	return strings.Fields(`tools/call initialize server/discover ping tools/list resources/list resources/templates/list prompts/list
		completion/complete logging/setLevel subscriptions/listen resources/read resources/subscribe resources/unsubscribe prompts/get
		tasks/list tasks/get tasks/result tasks/cancel`)
}

// unknownMethod warns of a method that MCP does not have. It is no error: a server may have methods of its own.
func unknownMethod(text string, at *ast.Location) *Problem {
	known := mcpMethods()
	if slices.Contains(known, text) || strings.HasPrefix(text, "notifications/") {
		return nil
	}
	p := problemAt(at, "MCP has no method %q%s", text, didYouMean(text, known))
	if near := nearest(text, known); near == "" {
		p.Message = fmt.Sprintf("MCP has no method %q; policies see it only if a server sends it", text)
	}
	return &p
}
