package policy.tools.stepup_test

import data.lib.mcp.testing
import data.mcp.authz.tools

test_a_destructive_tool_asks_for_a_fresh_login if {
	d := tools.decision with input as testing.tool_call({"name": "delete_account", "auth_time": 1893490000})
	d.require_authn == {{"acr_values": ["pwd"], "max_age": 300}}
}

test_a_fresh_login_is_enough if {
	d := tools.decision with input as testing.tool_call({"name": "delete_account"})
	d.allow
	d.ttl_seconds == 0
}

test_reading_asks_for_nothing if {
	call := testing.tool_call({"name": "show", "annotations": {"readOnlyHint": true, "destructiveHint": false}})
	d := tools.decision with input as call
	d.require_authn == set()
}
