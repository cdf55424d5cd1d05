package policy.tools.payments_test

import data.mcp.authz.tools

_call(amount, groups) := {
	"subject": {"type": "user", "id": "usr_1", "username": "alice", "groups": groups},
	"token": {"scopes": ["tools:payments.transfer"]},
	"tool": {
		"name": "transfer",
		"arguments": {"amount": amount, "to": "ACME"},
		"annotations": {"destructiveHint": true},
		"scopes": ["tools:payments.transfer"],
	},
	"mcp": {"method": "tools/call"},
}

_codes(call) := codes if {
	decision := tools.decision with input as call
		with data.config.transfer_limit as 1000
	codes := {reason.code | some reason in decision.reasons}
}

test_up_to_the_limit_is_allowed if {
	call := _call(1000, ["staff"])
	tools.decision.allow with input as call with data.config.transfer_limit as 1000
}

test_above_the_limit_is_denied if _codes(_call(1000.01, ["staff"])) == {"payments.limit"}

test_treasury_has_no_limit if _codes(_call(5000, ["treasury"])) == set()

test_the_limit_comes_from_the_configuration if {
	call := _call(900, ["staff"])
	not tools.decision.allow with input as call with data.config.transfer_limit as 800
}

test_a_limit_that_is_no_number_lets_nothing_through if {
	call := _call(1, ["staff"])
	not tools.decision.allow with input as call with data.config.transfer_limit as "1000"
}

test_what_is_not_an_amount_is_denied[note] if {
	some note, amount in {
		"null": null,
		"true": true,
		"numeric string": "5",
		"negative": -1,
		"zero": 0,
	}
	"payments.amount" in _codes(_call(amount, ["treasury"]))
}

test_a_missing_amount_is_denied if {
	call := json.remove(_call(1, ["treasury"]), ["/tool/arguments/amount"])
	"payments.amount" in _codes(call)
}

test_other_tools_are_left_alone if {
	call := object.union(_call(null, []), {"tool": {"name": "get_weather"}})
	_codes(call) == set()
}
