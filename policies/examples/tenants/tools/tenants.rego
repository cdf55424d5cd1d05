# METADATA
# title: Data per tenant
# description: >-
#   A call that names an account needs a person of the tenant that owns it. A call of these tools that names none is denied,
#   because nobody could say whose data it touches.
package policy.tools.tenants

import data.lib.mcp

# METADATA
# labels:
#   rule: tenants.account
deny contains {"code": "tenants.account", "message": "this account does not belong to your organisation"} if {
	startswith(input.tool.name, "account_")
	not _own_account
}

_own_account if {
	some tenant in data.config.tenants
	tenant.accounts[input.tool.arguments.account] == true
	mcp.in_group(tenant.group)
}
