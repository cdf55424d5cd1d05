package policies

import (
	"slices"
	_ "time/tzdata" // policies name time zones, and a machine may have none of its own

	"github.com/open-policy-agent/opa/v1/ast"
)

// removedBuiltins says why a built-in of OPA is not offered. An allow list would lose new harmless ones; a test
// compares OPA's whole list with the one that was looked through, so that a new built-in is a decision.
func removedBuiltins() map[string]string {
	const (
		outside    = "it reaches outside the server"
		deadline   = "it does not stop at the evaluation deadline"
		repeatable = "its result cannot be repeated, so a recorded decision could not be checked again"
		pointless  = "decisions have no use for it"
	)
	return map[string]string{
		"http.send":               outside,
		"net.lookup_ip_addr":      outside,
		"opa.runtime":             "it shows the server's environment",
		"json.match_schema":       outside + ": a $ref in the schema is fetched or read from a file",
		"json.verify_schema":      outside + ": a $ref in the schema is fetched or read from a file",
		"strings.render_template": deadline,
		"graph.reachable_paths":   deadline,
		"bits.lsh":                deadline,
		"bits.rsh":                deadline,
		"rand.intn":               repeatable,
		"uuid.rfc4122":            repeatable,
		"io.jwt.encode_sign":      pointless,
		"io.jwt.encode_sign_raw":  pointless,
		"providers.aws.sign_req":  pointless,
		"rego.parse_module":       pointless,
		"trace":                   pointless,
	}
}

// capabilities are the built-ins and features that policies may use. The empty list of hosts means no host; nil
// would mean any.
func capabilities() *ast.Capabilities {
	removed := removedBuiltins()
	caps := ast.CapabilitiesForThisVersion()
	caps.AllowNet = []string{}
	caps.Builtins = slices.DeleteFunc(caps.Builtins, func(b *ast.Builtin) bool {
		_, found := removed[b.Name]
		return found
	})
	caps.Builtins = append(caps.Builtins, usageDeclaration())
	return caps
}
