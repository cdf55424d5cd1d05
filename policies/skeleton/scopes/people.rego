# METADATA
# title: Which scopes may this client obtain
# description: >-
#   Packages policy.scopes.NAME are asked before consent, when a code or refresh token is exchanged, and when a service
#   asks for a token. The shipped policy.scopes.default grants what the server's catalogue lists; this package withholds some
#   of it. All fields of input are in .portcullis/schemas/scope_grant.jsonschema.
package policy.scopes.people

import data.lib.mcp

# METADATA
# labels:
#   rule: people.only
deny_scope contains {"scope": scope, "code": "people_only", "message": "only a person can have this"} if {
	some scope in data.config.people_only
	not mcp.is_person
}
