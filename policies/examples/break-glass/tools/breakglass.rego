# METADATA
# title: Break-glass
# description: >-
#   Production is closed but for the people on call. In an emergency others get in as well, if they give a reason; the answer then
#   obliges the MCP server to notify, and a server that cannot must not run the tool. Every package's deny still counts: a
#   deny of another package is not overridden by this one.
package policy.tools.breakglass

import data.lib.mcp

# METADATA
# labels:
#   rule: breakglass.closed
deny contains {"code": "breakglass.closed", "message": "production is closed; give emergency_reason to get in anyway"} if {
	startswith(input.tool.name, "production_")
	not mcp.in_group("oncall")
	not _emergency
}

# METADATA
# labels:
#   rule: breakglass.notify
obligations contains {
	"id": "breakglass",
	"type": "notification",
	"properties": {"to": "security@example.org", "topic": "break-glass"},
} if {
	startswith(input.tool.name, "production_")
	not mcp.in_group("oncall")
	_emergency
}

_emergency if {
	mcp.in_group("engineers")
	is_string(input.tool.arguments.emergency_reason)
	count(trim_space(input.tool.arguments.emergency_reason)) >= 10
}
