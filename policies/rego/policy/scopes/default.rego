# METADATA
# title: The shipped default for scopes
# description: >-
#   Grants what the resource advertises. Scopes that the catalogue marks as high risk, and scopes that open a
#   destructive tool, go to people only and need their explicit consent.
package policy.scopes.default

import data.lib.mcp

# METADATA
# labels:
#   rule: default.advertised
grant contains scope if some scope, _ in _advertised

# METADATA
# labels:
#   rule: default.person_required
deny_scope contains entry if {
	not mcp.is_person
	some scope, info in _advertised
	_sensitive(info)
	entry := {
		"scope": scope,
		"code": "person_required",
		"message": "this scope is high risk or opens a destructive tool; only a person can grant it",
	}
}

# METADATA
# labels:
#   rule: default.consent
require_consent contains scope if {
	some scope, info in _advertised
	_sensitive(info)
}

# the requested scopes that the catalogue knows, by name or below one of its wildcards
_advertised[scope] := info if {
	some scope in input.requested.scopes
	info := _server.scopes[scope]
}

_advertised[scope] := info if {
	some scope in input.requested.scopes
	not _server.scopes[scope]
	info := [_server.scopes[wide] |
		some wide in _server.wildcard_scopes
		mcp.scope_covers(wide, scope)
	][0]
}

_server := data.servers[input.resource.server]

_sensitive(info) if info.risk == "high"

_sensitive(info) if info.destructive
