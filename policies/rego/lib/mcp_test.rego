package lib.mcp_test

import data.lib.mcp

test_scope_covers[tc.note] if {
	some tc in [
		{"note": "equal", "held": "a:b", "wanted": "a:b", "want": true},
		{"note": "other", "held": "a:b", "wanted": "a:c", "want": false},
		{"note": "star after colon", "held": "a:*", "wanted": "a:b", "want": true},
		{"note": "star after dot", "held": "m:e:f.*", "wanted": "m:e:f.echo", "want": true},
		{"note": "star after slash", "held": "a:b/*", "wanted": "a:b/c", "want": true},
		{"note": "star over deeper star", "held": "m:e:f.*", "wanted": "m:e:f.a.*", "want": true},
		{"note": "star in the middle of a word", "held": "a:b*", "wanted": "a:bc", "want": false},
		{"note": "bare star", "held": "*", "wanted": "a:b", "want": false},
		{"note": "two stars", "held": "a:*:*", "wanted": "a:*:b", "want": false},
		{"note": "the prefix itself", "held": "a:*", "wanted": "a:", "want": false},
		{"note": "narrower holds less", "held": "a:b", "wanted": "a:*", "want": false},
		{"note": "wanted is no prefix match", "held": "a:b.*", "wanted": "a:bc.d", "want": false},
	]
	_truth(tc) == tc.want
}

_truth(tc) if {
	mcp.scope_covers(tc.held, tc.wanted)
} else := false

test_narrower_scope if {
	mcp.narrower_scope("a:*", "a:b") == "a:b"
	mcp.narrower_scope("a:b", "a:*") == "a:b"
	mcp.narrower_scope("a:b", "a:b") == "a:b"
	not mcp.narrower_scope("a:b", "a:c")
}

test_has_scope_exact if mcp.has_scope("a:b") with input as {"token": {"scopes": ["a:b"]}}

test_has_scope_by_star if mcp.has_scope("a:b") with input as {"token": {"scopes": ["x:y", "a:*"]}}

test_has_no_scope_without_token if not mcp.has_scope("a:b") with input as {}

test_in_group if {
	mcp.in_group("staff") with input as {"subject": {"groups": ["staff"]}}
	not mcp.in_group("staff") with input as {"subject": {"groups": []}}
	not mcp.in_group("staff") with input as {}
}

test_annotations if {
	mcp.read_only with input as {"tool": {"annotations": {"readOnlyHint": true}}}
	not mcp.read_only with input as {"tool": {"annotations": {"readOnlyHint": "true"}}}
	not mcp.read_only with input as {}
	mcp.destructive with input as {"tool": {"annotations": {"destructiveHint": true}}}
	mcp.idempotent with input as {"tool": {"annotations": {"idempotentHint": true}}}
	mcp.open_world with input as {"tool": {"annotations": {"openWorldHint": true}}}
}

test_is_person if {
	mcp.is_person with input as {"subject": {"type": "user"}}
	not mcp.is_person with input as {"subject": {"type": "service"}}
	not mcp.is_person with input as {}
}

test_number_between[note] if {
	some note, value in {
		"null": null,
		"true": true,
		"numeric string": "5",
		"negative": -1,
		"above": 10.1,
		"array": [5],
	}
	not mcp.number_between(value, 0, 10)
}

test_number_between_needs_numbers_as_bounds if {
	not mcp.number_between(5, 0, "10")
	not mcp.number_between(-5, null, 10)
}

test_number_between_holds if {
	mcp.number_between(0, 0, 10)
	mcp.number_between(10, 0, 10)
}

test_https_uri if {
	mcp.https_uri("https://app.example/cb")
	mcp.https_uri("https://app.example:8443/cb?x=1")
	not mcp.https_uri("http://app.example/cb")
	not mcp.https_uri("https://user@app.example/cb")
	not mcp.https_uri("https:///cb")
	not mcp.https_uri("https://app.example/cb#f")
	not mcp.https_uri(`https://app.example\@evil.example/`)
}

test_loopback_uri if {
	mcp.loopback_uri("http://127.0.0.1/callback")
	mcp.loopback_uri("http://127.0.0.1:7777/callback")
	mcp.loopback_uri("http://localhost:33418")
	mcp.loopback_uri("http://[::1]:1/cb?a=b")
	not mcp.loopback_uri("http://127.0.0.1.evil.example/")
	not mcp.loopback_uri("http://127.0.0.1@evil.example/")
	not mcp.loopback_uri("http://127.0.0.1:80@evil.example/")
	not mcp.loopback_uri("http://localhost.evil.example/")
	not mcp.loopback_uri("http://192.168.0.1/")
}
