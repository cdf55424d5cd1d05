package mcp.authz.scopes_test

import data.mcp.authz.scopes

_servers := {"demo": {
	"scopes": {
		"tools:weather.read": {"destructive": false, "risk": ""},
		"tools:transfer": {"destructive": true, "risk": ""},
		"mcp:exec:functions.*": {"destructive": false, "risk": ""},
	},
	"wildcard_scopes": ["mcp:exec:functions.*"],
}}

_decide(requested, subject) := decision if {
	request := {"subject": subject, "resource": {"server": "demo"}, "requested": {"scopes": requested}}
	decision := scopes.decision with input as request with data.servers as _servers
}

test_what_is_advertised_is_granted if {
	decision := _decide(["tools:weather.read"], {"type": "user"})
	decision.allow
	decision.granted_scopes == {"tools:weather.read"}
	decision.denied_scopes == set()
	decision.require_consent == set()
}

test_what_is_unknown_is_withheld_with_a_reason if {
	decision := _decide(["tools:other"], {"type": "user"})
	decision.granted_scopes == set()
	{denied.code | some denied in decision.denied_scopes} == {"not_granted"}
}

test_below_a_wildcard_of_the_catalogue if {
	decision := _decide(["mcp:exec:functions.echo"], {"type": "service"})
	decision.granted_scopes == {"mcp:exec:functions.echo"}
}

test_nothing_asked_nothing_granted if _decide([], {"type": "user"}).granted_scopes == set()

test_an_empty_input_grants_nothing if {
	decision := scopes.decision with input as {}
	decision.granted_scopes == set()
}

test_the_answer_has_every_member if {
	object.keys(_decide([], {"type": "user"})) == {
		"allow", "reasons", "granted_scopes", "denied_scopes", "require_consent",
		"require_authn", "token_ttl_seconds", "refresh", "end_grant",
	}
}
