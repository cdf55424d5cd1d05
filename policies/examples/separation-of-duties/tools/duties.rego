# METADATA
# title: Separation of duties, for each call
# description: >-
#   People who are in both groups are an accident of the directory. Here it has no effect: they approve nothing.
package policy.tools.duties

import data.lib.mcp

# METADATA
# labels:
#   rule: duties.both_groups
deny contains {"code": "duties.both_groups", "message": "people who create payments do not approve them"} if {
	input.tool.name == "approve_payment"
	mcp.in_group("payment-creators")
}
