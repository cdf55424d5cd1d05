package mcp.authz.tools_test

import data.mcp.authz.tools

_call := {
	"subject": {"type": "user", "id": "usr_1", "groups": []},
	"token": {"scopes": ["tools:weather.read"], "auth_time": 1000, "acr": "pwd"},
	"tool": {"name": "get_weather", "arguments": {}, "scopes": ["tools:weather.read"]},
	"mcp": {"method": "tools/call"},
	"context": {"unix_time": 1300},
}

test_a_held_scope_allows if {
	decision := tools.decision with input as _call
	decision.allow
	decision.required_scopes == {"tools:weather.read"}
	decision.missing_scopes == set()
	decision.reasons == set()
}

test_a_scope_above_is_enough if {
	call := object.union(_call, {"token": {"scopes": ["tools:*"]}})
	tools.decision.allow with input as call
}

test_a_missing_scope_is_no_reason if {
	call := object.union(_call, {"token": {"scopes": []}})
	decision := tools.decision with input as call
	not decision.allow
	decision.missing_scopes == {"tools:weather.read"}
	decision.reasons == set()
}

test_what_nothing_allows_is_not_allowed if {
	decision := tools.decision with input as {"mcp": {"method": "x"}}
	not decision.allow
	{reason.code | some reason in decision.reasons} == {"not_allowed"}
}

test_an_empty_input_is_not_allowed if not tools.decision.allow with input as {}
