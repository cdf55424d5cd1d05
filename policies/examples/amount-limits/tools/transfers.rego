# METADATA
# title: Limits on amounts
# description: >-
#   Everybody may transfer up to one limit, members of the group approvers up to a higher one, and nobody more. Each rule says
#   what is safe and denies the rest, so that null, text and a missing amount are denied too.
package policy.tools.transfers

import data.lib.mcp

# METADATA
# labels:
#   rule: transfers.limit
deny contains {"code": "transfers.limit", "message": "this amount needs a member of the group approvers"} if {
	input.tool.name == "transfer"
	not _safe
	_within(data.config.limits.approvers)
}

# METADATA
# labels:
#   rule: transfers.ceiling
deny contains {"code": "transfers.ceiling", "message": "this amount is not possible here; ask the treasury"} if {
	input.tool.name == "transfer"
	not _within(data.config.limits.approvers)
}

_safe if _within(data.config.limits.anyone)

_safe if {
	mcp.in_group("approvers")
	_within(data.config.limits.approvers)
}

_within(limit) if {
	is_number(limit)
	mcp.number_between(input.tool.arguments.amount, 0.01, limit)
}
