package policy.scopes.staff_test

import data.mcp.authz.scopes

_servers := {"demo": {
	"scopes": {
		"tools:weather.read": {"destructive": false},
		"tools:payments.transfer": {"destructive": true},
	},
	"wildcard_scopes": [],
}}

_grant(groups) := decision if {
	decision := scopes.decision with input as {
		"stage": "authorize",
		"subject": {"type": "user", "id": "usr_1", "groups": groups},
		"resource": {"server": "demo"},
		"requested": {"scopes": ["tools:weather.read", "tools:payments.transfer"]},
	}
		with data.servers as _servers
}

test_staff_may_have_transfer if {
	decision := _grant(["staff"])
	decision.granted_scopes == {"tools:weather.read", "tools:payments.transfer"}
	decision.require_consent == {"tools:payments.transfer"}
}

test_from_others_transfer_is_withheld_with_a_reason if {
	decision := _grant([])
	decision.allow
	decision.granted_scopes == {"tools:weather.read"}
	some denied in decision.denied_scopes
	denied.scope == "tools:payments.transfer"
	denied.code == "staff_only"
}
