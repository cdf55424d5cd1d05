# METADATA
# title: What a company asks of its agents
# description: The policy of the measurements, with limits on amounts, tenants, read-only agents, blocked tools.
package policy.tools.company

import data.lib.mcp

deny contains {"code": "amount_limit", "message": "The amount is above the limit of the caller's groups."} if {
	_pays
	not _amount_within
}

deny contains {"code": "currency_unknown", "message": "Payments are made in the company's currencies."} if {
	_pays
	not input.tool.arguments.currency in data.config.currencies
}

deny contains {"code": "foreign_tenant", "message": "The tenant belongs to somebody else."} if {
	_writes
	not input.tool.arguments.tenant in _tenants
}

deny contains {"code": "registered_agents_read", "message": "Agents that registered themselves only read."} if {
	input.client.registration == "dcr"
	not mcp.read_only
}

deny contains {"code": "blocked_tool", "message": "The tool is out of use."} if input.tool.name in data.config.blocked

deny contains {"code": "staff_only", "message": "Only staff may destroy."} if {
	_writes
	mcp.destructive
	not mcp.in_group("staff")
}

required_scopes contains "tools:admin" if startswith(input.tool.name, "admin_")

ttl_seconds := 30 if mcp.read_only

_pays if startswith(input.tool.name, "pay_")

_writes if {
	input.mcp.method == "tools/call"
	not mcp.read_only
}

_amount_within if {
	some group in input.subject.groups
	mcp.number_between(input.tool.arguments.amount, 1, data.config.limits[group])
}

_tenants contains tenant if {
	some group in input.subject.groups
	some tenant in data.config.tenants[group]
}
