# METADATA
# title: Scopes for staff only
# description: >-
#   The shipped default grants what the server advertises. This package withholds the scopes that write from
#   everyone who does not belong to the group staff; the message is what the consent page shows.
package policy.scopes.staff

import data.lib.mcp

# METADATA
# labels:
#   rule: staff.only
deny_scope contains {
	"scope": scope,
	"code": "staff_only",
	"message": "only members of the group staff can grant this",
} if {
	some scope in {"tools:crm.write", "tools:payments.transfer"}
	not mcp.in_group("staff")
}
