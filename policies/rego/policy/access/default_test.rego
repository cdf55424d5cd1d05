package policy.access.default_test

test_it_allows_nothing if {
	not data.policy.access["default"].allow with input as {"subject": {"type": "user", "id": "alice"}}
}
