package lib.mcp_test

# Without the import, mcp.usage is the built-in itself.

test_usage_is_the_built_in if data.lib.mcp.usage(60) == 7 with mcp.usage as 7

test_usage_hands_the_seconds_on if {
	data.lib.mcp.usage(60) == 1 with mcp.usage as _in_a_minute
	not data.lib.mcp.usage(61) with mcp.usage as _in_a_minute
}

_in_a_minute(60) := 1
