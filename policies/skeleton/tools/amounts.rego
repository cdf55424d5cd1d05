# METADATA
# title: May this MCP call happen
# description: >-
#   Packages policy.tools.NAME are asked for every call. The shipped policy.tools.default allows a registered tool to
#   those who hold its scopes; this package stands beside it and restricts. All fields of input are in
#   .portcullis/schemas/tool_call.jsonschema; a misspelled one is an error of portcullis policy check.
package policy.tools.amounts

import data.lib.mcp

# Say what is safe in a rule of its own, and deny the rest. A rule such as "deny … if amount > 1000" would let a call
# without an amount through, since a comparison with something absent fails.
# METADATA
# labels:
#   rule: amounts.limit
deny contains {"code": "amount", "message": _message} if {
	input.tool.name in data.config.paying_tools
	not _small
}

_small if mcp.number_between(input.tool.arguments.amount, 0, data.config.max_amount)

_message := sprintf("the amount must be a number from 0 to %v", [data.config.max_amount])
