# METADATA
# title: Separation of duties
# description: >-
#   Whoever creates payments does not approve them. One consent never holds both scopes: approving is withheld where creating is
#   asked for, or was granted before.
package policy.scopes.duties

# METADATA
# labels:
#   rule: duties.one_of_two
deny_scope contains {
	"scope": "payments:approve",
	"code": "duties.one_of_two",
	"message": "the same connection cannot create and approve payments",
} if {
	"payments:create" in _held
}

_held contains scope if some scope in input.requested.scopes

_held contains scope if some scope in input.prior.granted_scopes
