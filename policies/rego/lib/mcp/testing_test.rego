package lib.mcp.testing_test

import data.lib.mcp.testing
import data.mcp.authz.scopes
import data.mcp.authz.tools

test_a_call_is_allowed_with_its_scopes if {
	call := testing.tool_call({"name": "transfer", "tool_scopes": ["a:pay"]})
	tools.decision.allow with input as call
}

test_a_call_without_its_scopes_is_not if {
	call := testing.tool_call({"name": "transfer", "tool_scopes": ["a:pay"], "scopes": []})
	tools.decision.missing_scopes == {"a:pay"} with input as call
}

test_a_call_carries_what_is_given if {
	call := testing.tool_call({
		"name": "transfer",
		"arguments": {"amount": 5},
		"annotations": {"readOnlyHint": true},
		"user": testing.user({"groups": ["staff"]}),
		"client": testing.client({"registration": "static"}),
		"server": "bank",
		"acr": "mfa",
		"actor": {"type": "agent", "id": "a"},
	})
	call.tool.arguments.amount == 5
	call.tool.annotations == {"readOnlyHint": true, "destructiveHint": true, "idempotentHint": false, "openWorldHint": true}
	call.subject.groups == ["staff"]
	call.client.trusted
	not call.client.host
	call.resource == {"type": "tool", "id": "transfer", "server": "bank", "server_id": "https://bank.example/mcp"}
	call.token.acr == "mfa"
	call.actors == [{"type": "agent", "id": "a"}]
}

test_another_method_has_no_tool if {
	call := testing.tool_call({"method": "resources/read", "uri": "file:///x"})
	not call.tool
	call.mcp == {"method": "resources/read", "uri": "file:///x"}
	call.resource.type == "mcp_server"
}

test_unknown_names_make_it_undefined[note] if {
	some note, given in {"misspelled": {"nmae": "x", "name": "y"}, "a method of its own": {"name": "x", "tool": {}}}
	not _made(given)
}

_made(given) if testing.tool_call(given)

test_unknown_names_of_the_others_make_them_undefined if {
	not testing.grant_request({"scope": []})
	not testing.user({"group": []})
	not testing.client({"registraton": "dcr"})
	not testing.client({"registration": "other"})
}

test_a_call_without_a_tool_is_undefined if not testing.tool_call({"arguments": {}})

test_a_grant if {
	request := testing.grant_request({"scopes": ["a:read", "b:read"], "server": "bank"})
	decision := scopes.decision with input as request with data.servers as testing.servers({"bank": ["a:read"]})
	decision.granted_scopes == {"a:read"}
	testing.withheld(decision) == {"b:read"}
	decision.allow
}

test_a_grant_carries_what_is_given if {
	request := testing.grant_request({"stage": "refresh", "granted": ["a:b"], "user": testing.user({"type": "service"}), "max_age": 60})
	request.stage == "refresh"
	request.prior.granted_scopes == ["a:b"]
	request.requested == {"scopes": [], "offline": true, "max_age": 60}
	request.subject == {"type": "service", "id": "svc_batch", "groups": []}
}

test_codes if {
	decision := {"reasons": {{"code": "limit", "message": "no", "policy": "a"}, {"code": "denied", "message": "no", "policy": "b"}}}
	testing.codes(decision) == {"limit", "denied"}
}

test_wildcards_are_listed if testing.servers({"bank": ["a:*", "b:c"]}).bank.wildcard_scopes == ["a:*"]
