package policy.tools.amounts_test

import data.lib.mcp.testing
import data.mcp.authz.tools

# The decision about a call of a tool that moves money, as the server would make it.
_decision(arguments) := decision if {
	call := testing.tool_call({"name": "pay", "arguments": arguments})
	decision := tools.decision with input as call with data.config as {"paying_tools": ["pay"], "max_amount": 1000}
}

test_a_small_amount_is_allowed if _decision({"amount": 1000}).allow

# One test for many cases; each is reported by its note.
test_the_rest_is_denied[note] if {
	some note, arguments in {
		"too much": {"amount": 1000.01},
		"negative": {"amount": -1},
		"a text": {"amount": "5"},
		"no amount": {},
	}
	testing.codes(_decision(arguments)) == {"amount"}
}

test_other_tools_are_left_alone if {
	call := testing.tool_call({"name": "get_weather", "arguments": {"city": "Berlin"}})
	tools.decision.allow with input as call with data.config.paying_tools as ["pay"]
}
