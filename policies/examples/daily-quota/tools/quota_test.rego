package policy.tools.quota_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_transfer := testing.tool_call({"name": "transfer"})

test_a_call_is_allowed_until_the_quota_is_used_up[note] if {
	some note, tc in {
		"the first": {"used": 0, "codes": set()},
		"the last": {"used": 9, "codes": set()},
		"one more": {"used": 10, "codes": {"quota.daily"}},
		"after the limit was lowered": {"used": 300, "codes": {"quota.daily"}},
	}
	d := tools.decision with input as _transfer with mcp.usage as tc.used with data.config.quota as {"transfer": 10}
	testing.codes(d) == tc.codes
}

_asked(seconds) := 0 if seconds == 86400

test_a_day_is_asked_for if {
	tools.decision.allow with input as _transfer with mcp.usage as _asked
}

test_a_limit_that_is_no_number_lets_nothing_through if {
	not tools.decision.allow with input as _transfer with mcp.usage as 0 with data.config.quota as {"transfer": "10"}
}

test_other_tools_are_left_alone if {
	tools.decision.allow with input as testing.tool_call({"name": "balance"}) with mcp.usage as 1000
}
