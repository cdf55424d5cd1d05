package policy.tools.transfers_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_decision(amount, groups) := d if {
	call := testing.tool_call({"name": "transfer", "arguments": {"amount": amount}, "user": testing.user({"groups": groups})})
	d := tools.decision with input as call with data.config.limits as {"anyone": 1000, "approvers": 10000}
}

test_amounts[note] if {
	some note, tc in {
		"small": {"amount": 10, "groups": [], "codes": set()},
		"at the limit": {"amount": 1000, "groups": [], "codes": set()},
		"above the limit": {"amount": 1000.01, "groups": [], "codes": {"transfers.limit"}},
		"an approver": {"amount": 5000, "groups": ["approvers"], "codes": set()},
		"above every limit": {"amount": 10001, "groups": ["approvers"], "codes": {"transfers.ceiling"}},
		"negative": {"amount": -1, "groups": ["approvers"], "codes": {"transfers.ceiling"}},
		"a text": {"amount": "10", "groups": [], "codes": {"transfers.ceiling"}},
		"null": {"amount": null, "groups": [], "codes": {"transfers.ceiling"}},
	}
	testing.codes(_decision(tc.amount, tc.groups)) == tc.codes
}

test_a_missing_amount_is_denied if {
	d := tools.decision with input as testing.tool_call({"name": "transfer"})
	"transfers.ceiling" in testing.codes(d)
}

test_a_limit_that_is_no_number_lets_nothing_through if {
	call := testing.tool_call({"name": "transfer", "arguments": {"amount": 1}})
	d := tools.decision with input as call with data.config.limits as {"anyone": "1000", "approvers": "10000"}
	not d.allow
}

test_other_tools_are_left_alone if tools.decision.allow with input as testing.tool_call({"name": "balance"})
