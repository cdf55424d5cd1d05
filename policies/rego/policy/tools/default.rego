# METADATA
# title: The shipped default for MCP calls
# description: >-
#   A catalogued tool needs all the scopes that the catalogue gives it. Methods that only look around are allowed
#   with a valid token for this server. Resources, prompts and tasks have no catalogue, so a valid token for
#   this server is enough for them too; deny them in a package of your own where that is too much. Methods that
#   are not listed here are denied.
package policy.tools.default

# METADATA
# labels:
#   rule: default.catalogued_tool
allow if {
	input.mcp.method == "tools/call"
	input.tool.name != ""
}

# METADATA
# labels:
#   rule: default.method
allow if input.mcp.method in _methods

# METADATA
# labels:
#   rule: default.notification
allow if startswith(input.mcp.method, "notifications/")

# METADATA
# labels:
#   rule: default.tool_scopes
required_scopes contains scope if {
	input.mcp.method == "tools/call"
	some scope in input.tool.scopes
}

_methods := {
	"initialize",
	"server/discover",
	"ping",
	"tools/list",
	"resources/list",
	"resources/templates/list",
	"prompts/list",
	"completion/complete",
	"logging/setLevel",
	"subscriptions/listen",
	"resources/read",
	"resources/subscribe",
	"resources/unsubscribe",
	"prompts/get",
	"tasks/list",
	"tasks/get",
	"tasks/result",
	"tasks/cancel",
}
