package mcp.authz.shape_test

import data.mcp.authz.shape

test_a_string_is_a_reason if {
	shape.reason("p", "no") == {"code": "denied", "message": "no", "policy": "p"}
}

test_a_code_and_a_message_are_a_reason if {
	shape.reason("p", {"code": "c", "message": "m"}) == {"code": "c", "message": "m", "policy": "p"}
}

test_anything_else_is_a_policy_error[note] if {
	some note, entry in {
		"empty": "",
		"number": 5,
		"null": null,
		"no message": {"code": "c"},
		"one more member": {"code": "c", "message": "m", "more": 1},
		"number as code": {"code": 5, "message": "m"},
	}
	shape.reason("p", entry).code == "policy_error"
}

test_authn_requirement if {
	shape.authn_requirement({"acr_values": ["mfa"]})
	shape.authn_requirement({"acr_values": {"mfa"}, "max_age": 300})
	not shape.authn_requirement({})
	not shape.authn_requirement({"max_age": 0})
	not shape.authn_requirement({"acr_values": []})
	not shape.authn_requirement({"max_age": 5, "other": 1})
	not shape.authn_requirement("mfa")
}

test_seconds if {
	shape.seconds(0, 0)
	shape.seconds(60, 1)
	not shape.seconds(0, 1)
	not shape.seconds(1.5, 0)
	not shape.seconds(-1, 0)
	not shape.seconds("60", 0)
	not shape.seconds(null, 0)
	not shape.seconds(1e12, 0)
}

test_texts if {
	shape.texts(["a"])
	shape.texts({"a"})
	shape.texts([])
	not shape.texts("a")
	not shape.texts([""])
	not shape.texts([1])
}

test_obligation if {
	shape.obligation({"id": "o", "type": "t"})
	shape.obligation({"id": "o", "type": "t", "properties": {}})
	not shape.obligation({"id": "o"})
	not shape.obligation({"id": "o", "type": "t", "properties": []})
}

test_denied_scope if {
	shape.denied_scope({"scope": "a:b", "code": "c", "message": "m"})
	not shape.denied_scope({"scope": "a:b", "code": "c"})
	not shape.denied_scope("a:b")
}
