package mcp.authz.clients_test

import data.mcp.authz.clients

test_static_is_allowed if {
	decision := clients.decision with input as {"client": {"registration": "static"}}
	decision == {"allow": true, "reasons": set(), "allow_redirects": set(), "scope_ceilings": set(), "ttl": 0}
}

test_a_denial_names_its_package if {
	client := {"registration": "dcr", "redirect_uris": ["custom://x"]}
	decision := clients.decision with input as {"client": client}
	not decision.allow
	some reason in decision.reasons
	reason.code == "redirect_uri_not_allowed"
	reason.policy == "default"
}

test_an_empty_input_is_not_allowed if {
	decision := clients.decision with input as {}
	not decision.allow
	{reason.code | some reason in decision.reasons} == {"not_allowed"}
}
