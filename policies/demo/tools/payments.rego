# METADATA
# title: Limits for the tool transfer
# description: >-
#   A package can only restrict unless it says allow itself, so these rules stand beside the shipped default: the
#   tool still needs its catalogued scope.
package policy.tools.payments

import data.lib.mcp

# A comparison alone would let null, true and negative numbers through: say what a safe amount is, and deny the rest.
# METADATA
# labels:
#   rule: payments.amount
deny contains {"code": "payments.amount", "message": "the amount must be a number above 0"} if {
	input.tool.name == "transfer"
	not _is_amount
}

# METADATA
# labels:
#   rule: payments.limit
deny contains {"code": "payments.limit", "message": _limit_message} if {
	input.tool.name == "transfer"
	not _within_limit
	not mcp.in_group("treasury")
}

_is_amount if {
	is_number(input.tool.arguments.amount)
	input.tool.arguments.amount > 0
}

_within_limit if {
	_is_amount
	is_number(data.config.transfer_limit) # every number is below every string
	input.tool.arguments.amount <= data.config.transfer_limit
}

_limit_message := sprintf("transfers above %v are for members of the group treasury", [data.config.transfer_limit])
