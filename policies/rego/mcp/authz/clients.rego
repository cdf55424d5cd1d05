# METADATA
# title: May this client register or be admitted
# description: >-
#   Combines the packages below policy.clients. Allowed iff some package says allow == true and none denies. Scope
#   ceilings of several packages meet: only what all of them cover is left.
package mcp.authz.clients

import data.mcp.authz.shape

# METADATA
# description: The answer for one client.
# entrypoint: true
decision := {
	"allow": _allow,
	"reasons": _reasons,
	"allow_redirects": _redirects,
	"scope_ceilings": _ceilings,
	"ttl": _ttl,
}

default _allow := false

_allow if count(_reasons) == 0

_reasons := _denials if {
	count(_denials) > 0
} else := set() if {
	_permitted
} else := {shape.not_allowed}

_permitted if data.policy.clients[_].allow == true

_denials contains shape.reason(policy, entry) if {
	some policy
	some entry in data.policy.clients[policy].deny
}

_denials contains shape.malformed(policy, "allow") if {
	some policy
	value := data.policy.clients[policy].allow
	not is_boolean(value)
}

_denials contains shape.malformed(policy, "allow_redirect") if {
	some policy
	some value in data.policy.clients[policy].allow_redirect
	not shape.text(value)
}

_denials contains shape.malformed(policy, "scope_ceiling") if {
	some policy
	value := data.policy.clients[policy].scope_ceiling
	not shape.texts(value)
}

_denials contains shape.malformed(policy, "ttl") if {
	some policy
	value := data.policy.clients[policy].ttl
	not shape.seconds(value, 1)
}

_redirects contains uri if some uri in data.policy.clients[_].allow_redirect

_ceilings contains ceiling if ceiling := data.policy.clients[_].scope_ceiling

default _ttl := 0

_ttl := min(_ttls)

_ttls contains ttl if ttl := data.policy.clients[_].ttl
