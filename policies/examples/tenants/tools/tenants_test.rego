package policy.tools.tenants_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_decision(arguments, groups) := d if {
	call := testing.tool_call({"name": "account_show", "arguments": arguments, "user": testing.user({"groups": groups})})
	d := tools.decision with input as call
}

test_accounts[note] if {
	some note, tc in {
		"own": {"arguments": {"account": "A-1"}, "groups": ["acme-staff"], "codes": set()},
		"another tenant's": {"arguments": {"account": "G-1"}, "groups": ["acme-staff"], "codes": {"tenants.account"}},
		"of both": {"arguments": {"account": "G-1"}, "groups": ["acme-staff", "globex-staff"], "codes": set()},
		"nobody's": {"arguments": {"account": "X-1"}, "groups": ["acme-staff"], "codes": {"tenants.account"}},
		"none": {"arguments": {}, "groups": ["acme-staff"], "codes": {"tenants.account"}},
		"not a text": {"arguments": {"account": ["A-1"]}, "groups": ["acme-staff"], "codes": {"tenants.account"}},
		"no groups": {"arguments": {"account": "A-1"}, "groups": [], "codes": {"tenants.account"}},
	}
	testing.codes(_decision(tc.arguments, tc.groups)) == tc.codes
}

test_other_tools_are_left_alone if tools.decision.allow with input as testing.tool_call({"name": "weather"})
