package policy.scopes.people_test

import data.lib.mcp.testing
import data.mcp.authz.scopes

_decision(user) := decision if {
	request := testing.grant_request({"scopes": ["demo:read", "demo:pay"], "user": user})
	decision := scopes.decision with input as request
		with data.servers as testing.servers({"demo": ["demo:read", "demo:pay"]})
		with data.config.people_only as ["demo:pay"]
}

test_a_person_may_have_both if _decision(testing.user({})).granted_scopes == {"demo:read", "demo:pay"}

test_from_a_service_one_is_withheld if {
	decision := _decision(testing.user({"type": "service"}))
	decision.granted_scopes == {"demo:read"}
	testing.withheld(decision) == {"demo:pay"}
}
