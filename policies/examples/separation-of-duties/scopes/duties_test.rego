package policy.scopes.duties_test

import data.lib.mcp.testing
import data.mcp.authz.scopes

_decision(given) := d if {
	d := scopes.decision with input as testing.grant_request(given)
		with data.servers as testing.servers({"demo": ["payments:create", "payments:approve"]})
}

test_either_is_granted[scope] if {
	some scope in ["payments:create", "payments:approve"]
	d := _decision({"scopes": [scope]})
	d.granted_scopes == {scope}
}

test_both_are_not if {
	d := _decision({"scopes": ["payments:create", "payments:approve"]})
	d.granted_scopes == {"payments:create"}
	testing.withheld(d) == {"payments:approve"}
}

test_not_later_either if {
	d := _decision({"scopes": ["payments:approve"], "granted": ["payments:create"]})
	testing.withheld(d) == {"payments:approve"}
}
