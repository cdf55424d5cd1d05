package policy.tools.crm_test

import data.mcp.authz.tools

_call(scopes) := {
	"token": {"scopes": scopes},
	"tool": {"name": "crm_update", "arguments": {}, "scopes": []},
	"mcp": {"method": "tools/call"},
}

test_without_the_scope_it_is_missing if {
	decision := tools.decision with input as _call(["tools:weather.read"])
	not decision.allow
	decision.missing_scopes == {"tools:crm.write"}
	decision.reasons == set()
}

test_with_the_scope_it_is_allowed if {
	tools.decision.allow with input as _call(["tools:crm.write"])
}
