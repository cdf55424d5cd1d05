# METADATA
# title: May this MCP call happen
# description: >-
#   Combines the packages below policy.tools. Allowed iff some package says allow == true, none denies, no
#   required scope is missing and no login requirement is unmet.
package mcp.authz.tools

import data.lib.mcp
import data.mcp.authz.shape

# METADATA
# description: The answer for one call.
# entrypoint: true
decision := {
	"allow": _allow,
	"reasons": _reasons,
	"required_scopes": _required_scopes,
	"missing_scopes": _missing_scopes,
	"require_authn": _unmet_authn,
	"obligations": _obligations,
	"ttl_seconds": _ttl_seconds,
}

# METADATA
# description: >-
#   The answer before the age of the login is looked at: require_authn holds met requirements, too, and allow
#   says nothing about them. It does not change with time unless a package reads the clock. The server asks for this
#   one, so that it can remember the answer, and compares the login itself.
# entrypoint: true
judgement := {
	"allow": _judged,
	"reasons": _reasons,
	"required_scopes": _required_scopes,
	"missing_scopes": _missing_scopes,
	"require_authn": _login_requirements,
	"obligations": _obligations,
	"ttl_seconds": _ttl_seconds,
}

# METADATA
# description: >-
#   What can be said of a call before its arguments are known. The server evaluates this partially, with the arguments
#   unknown: the call can happen under some arguments if "permitted" is possible, and nothing else is certain.
outlook contains "permitted" if _permitted

outlook contains "denied" if some _ in _denials

outlook contains "missing scope" if some _ in _missing_scopes

outlook contains requirement if some requirement in _login_requirements

default _allow := false

_allow if {
	_judged
	count(_unmet_authn) == 0
}

default _judged := false

_judged if {
	count(_reasons) == 0
	count(_missing_scopes) == 0
}

_reasons := _denials if {
	count(_denials) > 0
} else := set() if {
	_permitted
} else := {shape.not_allowed}

_permitted if data.policy.tools[_].allow == true

_denials contains shape.reason(policy, entry) if {
	some policy
	some entry in data.policy.tools[policy].deny
}

_denials contains shape.malformed(policy, "allow") if {
	some policy
	value := data.policy.tools[policy].allow
	not is_boolean(value)
}

_denials contains shape.malformed(policy, "required_scopes") if {
	some policy
	some value in data.policy.tools[policy].required_scopes
	not shape.text(value)
}

_denials contains shape.malformed(policy, "require_authn") if {
	some policy
	some value in data.policy.tools[policy].require_authn
	not shape.authn_requirement(value)
}

_denials contains shape.malformed(policy, "obligations") if {
	some policy
	some value in data.policy.tools[policy].obligations
	not shape.obligation(value)
}

_denials contains shape.malformed(policy, "ttl_seconds") if {
	some policy
	value := data.policy.tools[policy].ttl_seconds
	not shape.seconds(value, 0)
}

_required_scopes contains scope if {
	some scope in data.policy.tools[_].required_scopes
	is_string(scope)
}

# most calls hold what they need by name; only the rest is compared with wildcards
_missing_scopes contains scope if {
	some scope in (_required_scopes - {held | some held in input.token.scopes})
	not mcp.has_scope(scope)
}

_login_requirements contains requirement if some requirement in data.policy.tools[_].require_authn

_unmet_authn contains requirement if {
	some requirement in _login_requirements
	not _met(requirement)
}

_met(requirement) if {
	_acr_met(requirement)
	_age_met(requirement)
}

_acr_met(requirement) if not requirement.acr_values

_acr_met(requirement) if input.token.acr in requirement.acr_values

_age_met(requirement) if not requirement.max_age

_age_met(requirement) if input.context.unix_time - input.token.auth_time <= requirement.max_age

_obligations contains obligation if some obligation in data.policy.tools[_].obligations

default _ttl_seconds := 0

_ttl_seconds := min(_ttls)

_ttls contains ttl if ttl := data.policy.tools[_].ttl_seconds
