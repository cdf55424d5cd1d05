# METADATA
# title: Plain AuthZEN evaluations
# description: >-
#   Combines the packages below policy.access. They see what the asking server says and no verified token, so
#   nothing here is allowed unless a package says allow == true.
package mcp.authz.access

import data.mcp.authz.shape

# METADATA
# description: The answer for one evaluation.
# entrypoint: true
decision := {
	"allow": _allow,
	"reasons": _reasons,
}

default _allow := false

_allow if count(_reasons) == 0

_reasons := _denials if {
	count(_denials) > 0
} else := set() if {
	_permitted
} else := {shape.not_allowed}

_permitted if data.policy.access[_].allow == true

_denials contains shape.reason(policy, entry) if {
	some policy
	some entry in data.policy.access[policy].deny
}

_denials contains shape.malformed(policy, "allow") if {
	some policy
	value := data.policy.access[policy].allow
	not is_boolean(value)
}
