package policy.scopes.default_test

import data.policy.scopes

_servers := {"demo": {
	"scopes": {
		"a:plain": {"destructive": false, "risk": ""},
		"a:destructive": {"destructive": true, "risk": ""},
		"a:risky": {"destructive": false, "risk": "high"},
		"w:*": {"destructive": true, "risk": ""},
	},
	"wildcard_scopes": ["w:*"],
}}

_request(subject) := {
	"subject": subject,
	"resource": {"server": "demo"},
	"requested": {"scopes": ["a:plain", "a:destructive", "a:risky", "w:x", "other:x"]},
}

test_grants_what_is_advertised if {
	granted := scopes["default"].grant with input as _request({"type": "user"}) with data.servers as _servers
	granted == {"a:plain", "a:destructive", "a:risky", "w:x"}
}

test_sensitive_scopes_need_consent if {
	consent := scopes["default"].require_consent with input as _request({"type": "user"}) with data.servers as _servers
	consent == {"a:destructive", "a:risky", "w:x"}
}

test_sensitive_scopes_need_a_person[note] if {
	some note, subject in {"service": {"type": "service"}, "unknown": {}}
	denied := scopes["default"].deny_scope with input as _request(subject) with data.servers as _servers
	{entry.scope | some entry in denied} == {"a:destructive", "a:risky", "w:x"}
}

test_a_person_may_have_them if {
	denied := scopes["default"].deny_scope with input as _request({"type": "user"}) with data.servers as _servers
	denied == set()
}
