# METADATA
# title: Which scopes may this client obtain
# description: >-
#   Combines the packages below policy.scopes. A deny denies everything. Otherwise a requested scope is granted iff
#   some package grants it and no deny_scope touches it; of a grant and a request that cover each other the
#   narrower one counts. The granted set may be empty: then no token is issued.
package mcp.authz.scopes

import data.lib.mcp
import data.mcp.authz.shape

# METADATA
# description: The answer for one grant.
# entrypoint: true
decision := {
	"allow": _allow,
	"reasons": _reasons,
	"granted_scopes": _granted,
	"denied_scopes": _denied,
	"require_consent": _consent,
	"require_authn": _authn,
	"token_ttl_seconds": _token_ttl_seconds,
	"refresh": _refresh,
	"end_grant": _end_grant,
}

default _allow := false

_allow if count(_reasons) == 0

_reasons contains shape.reason(policy, entry) if {
	some policy
	some entry in data.policy.scopes[policy].deny
}

_reasons contains {"policy": policy, "code": "grant_ended", "message": "the policy has ended this grant"} if {
	some policy
	data.policy.scopes[policy].end_grant == true
}

_reasons contains shape.malformed(policy, "grant") if {
	some policy
	some value in data.policy.scopes[policy].grant
	not shape.text(value)
}

_reasons contains shape.malformed(policy, "deny_scope") if {
	some policy
	some value in data.policy.scopes[policy].deny_scope
	not shape.denied_scope(value)
}

_reasons contains shape.malformed(policy, "require_consent") if {
	some policy
	some value in data.policy.scopes[policy].require_consent
	not shape.text(value)
}

_reasons contains shape.malformed(policy, "require_authn") if {
	some policy
	some value in data.policy.scopes[policy].require_authn
	not shape.authn_requirement(value)
}

_reasons contains shape.malformed(policy, "token_ttl_seconds") if {
	some policy
	value := data.policy.scopes[policy].token_ttl_seconds
	not shape.seconds(value, 1)
}

_reasons contains shape.malformed(policy, "refresh") if {
	some policy
	value := data.policy.scopes[policy].refresh
	not is_boolean(value)
}

_reasons contains shape.malformed(policy, "end_grant") if {
	some policy
	value := data.policy.scopes[policy].end_grant
	not is_boolean(value)
}

_grants contains scope if {
	some scope in data.policy.scopes[_].grant
	is_string(scope)
}

_wide_grants contains scope if {
	some scope in _grants
	endswith(scope, "*")
}

# what the packages grant of what is asked for, before anything is withheld
_offered contains scope if {
	some scope in input.requested.scopes
	scope in _grants
}

_offered contains scope if {
	some scope in input.requested.scopes
	some grant in _wide_grants
	mcp.scope_covers(grant, scope)
}

_offered contains grant if {
	some scope in input.requested.scopes
	endswith(scope, "*")
	some grant in _grants
	mcp.scope_covers(scope, grant)
}

_withheld contains object.union(entry, {"scope": scope}) if {
	some entry in data.policy.scopes[_].deny_scope
	shape.denied_scope(entry)
	some scope in _offered
	mcp.narrower_scope(entry.scope, scope)
}

_withheld_names contains entry.scope if some entry in _withheld

default _granted := set()

_granted := _offered - _withheld_names if _allow

_denied contains entry if some entry in _withheld

_denied contains {"scope": scope, "code": "not_granted", "message": "no policy grants this scope"} if {
	some scope in input.requested.scopes
	not _partly_offered(scope)
}

_partly_offered(scope) if {
	some offer in _offered
	mcp.scope_covers(scope, offer)
}

_consent contains scope if {
	some wanted in data.policy.scopes[_].require_consent
	is_string(wanted)
	some scope in _granted
	mcp.narrower_scope(wanted, scope)
}

_authn contains requirement if some requirement in data.policy.scopes[_].require_authn

default _token_ttl_seconds := 0

_token_ttl_seconds := min(_ttls)

_ttls contains ttl if ttl := data.policy.scopes[_].token_ttl_seconds

default _refresh := true

_refresh := false if data.policy.scopes[_].refresh == false

default _end_grant := false

_end_grant if data.policy.scopes[_].end_grant == true
