# METADATA
# title: Helpers for policies about MCP calls
# description: >-
#   Plain Rego, free to use in every policy package: import data.lib.mcp. The rules without arguments read the
#   input; each is undefined, never an error, when the fact is absent, so that an allow rule built on it does
#   not fire by accident.
package lib.mcp

# METADATA
# description: >-
#   Holding one scope is enough where the other is wanted. They are equal, or the held one ends with a star
#   right after a separator and the wanted one begins with what stands before the star.
scope_covers(held, wanted) if held == wanted

scope_covers(held, wanted) if {
	endswith(held, "*")
	prefix := trim_suffix(held, "*")
	not contains(prefix, "*")
	strings.any_suffix_match(prefix, [":", ".", "/"])
	startswith(wanted, prefix)
	wanted != prefix
}

# METADATA
# description: Of two scopes of which one covers the other, the narrower one.
narrower_scope(a, b) := b if {
	scope_covers(a, b)
} else := a if {
	scope_covers(b, a)
}

# METADATA
# description: The token of this call holds the scope, or one that covers it.
has_scope(wanted) if wanted in input.token.scopes

has_scope(wanted) if {
	some held in input.token.scopes
	endswith(held, "*")
	scope_covers(held, wanted)
}

# METADATA
# description: The subject is a person, not a service.
is_person if input.subject.type == "user"

# METADATA
# description: The subject belongs to the group.
in_group(group) if group in input.subject.groups

# METADATA
# description: The catalogue says that the tool only reads.
read_only if input.tool.annotations.readOnlyHint == true

# METADATA
# description: The tool may destroy something. True for a writing tool unless the catalogue says otherwise.
destructive if input.tool.annotations.destructiveHint == true

# METADATA
# description: The catalogue says that calling the tool twice does no more than calling it once.
idempotent if input.tool.annotations.idempotentHint == true

# METADATA
# description: The tool talks to the outside world. True unless the catalogue says otherwise.
open_world if input.tool.annotations.openWorldHint == true

# METADATA
# description: >-
#   The value is a number from low to high, both included. False for null, booleans, strings and absent values,
#   which plain comparisons would let through. False, too, if a bound is no number: every number is below every text, so a limit
#   that the configuration writes as a text would let everything through.
number_between(value, low, high) if {
	is_number(value)
	is_number(low)
	is_number(high)
	value >= low
	value <= high
}

# METADATA
# description: The redirect URI is https with a host and without user information.
https_uri(uri) if regex.match(`^https://[^/?#@\\\s]+(?:[/?][^#\\\s]*)?$`, uri)

# METADATA
# description: The redirect URI is http on this machine (RFC 8252 section 7.3).
loopback_uri(uri) if regex.match(`^http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?(?:[/?][^#\\\s]*)?$`, uri)
