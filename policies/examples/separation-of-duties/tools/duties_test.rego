package policy.tools.duties_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_decision(groups) := d if {
	d := tools.decision with input as testing.tool_call({"name": "approve_payment", "user": testing.user({"groups": groups})})
}

test_an_approver_approves if _decision(["payment-approvers"]).allow

test_a_creator_does_not if testing.codes(_decision(["payment-approvers", "payment-creators"])) == {"duties.both_groups"}
