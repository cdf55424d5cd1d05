package mcp.authz.access_test

import data.mcp.authz.access

test_everything_is_denied if {
	decision := access.decision with input as {"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}}
	decision == {"allow": false, "reasons": {{
		"code": "not_allowed",
		"message": "no policy allows this",
		"policy": "default deny",
	}}}
}
