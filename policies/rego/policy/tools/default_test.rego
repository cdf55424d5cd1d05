package policy.tools.default_test

import data.policy.tools

test_a_catalogued_tool_is_allowed_and_needs_its_scopes if {
	call := {"mcp": {"method": "tools/call"}, "tool": {"name": "t", "scopes": ["a:b", "c:d"]}}
	tools["default"].allow with input as call
	tools["default"].required_scopes == {"a:b", "c:d"} with input as call
}

test_a_tool_without_catalogue_entry_is_not_allowed if {
	not tools["default"].allow with input as {"mcp": {"method": "tools/call"}}
}

test_methods[method] if {
	some method, want in {
		"initialize": true,
		"tools/list": true,
		"resources/read": true,
		"notifications/cancelled": true,
		"tools/Call": false,
		"sampling/createMessage": false,
		"": false,
	}
	_allowed(method) == want
}

_allowed(method) if {
	tools["default"].allow with input as {"mcp": {"method": method}}
} else := false

test_other_methods_need_no_scope if {
	tools["default"].required_scopes == set() with input as {"mcp": {"method": "tools/list"}, "tool": {"scopes": ["a:b"]}}
}
