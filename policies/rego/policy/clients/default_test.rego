package policy.clients.default_test

import data.policy.clients

test_registrations[registration] if {
	some registration, want in {"static": true, "cimd": true, "dcr": true, "other": false}
	_allowed(registration) == want
}

_allowed(registration) if {
	clients["default"].allow with input as {"client": {"registration": registration}}
} else := false

test_redirect_uris[uri] if {
	some uri, want in {
		"https://app.example/cb": set(),
		"http://127.0.0.1:9/cb": set(),
		"http://app.example/cb": {"redirect_uri_not_allowed"},
		"cursor://x/cb": {"redirect_uri_not_allowed"},
		"javascript:alert(1)": {"redirect_uri_not_allowed"},
	}
	_codes("dcr", [uri]) == want
}

_codes(registration, uris) := codes if {
	client := {"registration": registration, "redirect_uris": uris}
	denied := clients["default"].deny with input as {"client": client}
	codes := {entry.code | some entry in denied}
}

test_one_bad_uri_is_enough if {
	_codes("cimd", ["https://app.example/cb", "http://app.example/cb"]) == {"redirect_uri_not_allowed"}
}

test_the_operator_may_register_anything if _codes("static", ["custom://x"]) == set()
