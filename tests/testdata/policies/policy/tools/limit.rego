# METADATA
# description: A transfer stays below a limit.
package policy.tools.limit

deny contains {"code": "limit_exceeded", "message": "Transfers end at 1000."} if {
	input.tool.name == "transfer"
	not _within
}

_within if {
	amount := input.tool.arguments.amount
	is_number(amount)
	amount > 0
	amount <= 1000
}
