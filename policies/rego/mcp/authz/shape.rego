# METADATA
# title: What the routers accept from a package
# description: >-
#   A value of a wrong shape is never ignored: it becomes a reason with the code policy_error, and a reason denies.
package mcp.authz.shape

# METADATA
# description: One entry of a deny set as a reason.
reason(policy, entry) := {"code": "denied", "message": entry, "policy": policy} if {
	is_string(entry)
	entry != ""
} else := {"code": entry.code, "message": entry.message, "policy": policy} if {
	is_object(entry)
	object.keys(entry) == {"code", "message"}
	text(entry.code)
	text(entry.message)
} else := malformed(policy, "deny")

# METADATA
# description: The reason for a rule whose value has a wrong shape.
malformed(policy, rule) := {
	"code": "policy_error",
	"message": sprintf("%s.%s has a wrong shape", [policy, rule]),
	"policy": policy,
}

# METADATA
# description: Why a call that nothing denies is denied all the same.
not_allowed := {"code": "not_allowed", "message": "no policy allows this", "policy": "default deny"}

# METADATA
# description: A string that is not empty.
text(value) if {
	is_string(value)
	value != ""
}

# METADATA
# description: An authentication requirement (RFC 9470) names accepted acr values, a greatest age in seconds, or both.
authn_requirement(entry) if {
	is_object(entry)
	count(entry) > 0
	object.keys(entry) - {"acr_values", "max_age"} == set()
	_acr_values(object.get(entry, "acr_values", ["any"]))
	seconds(object.get(entry, "max_age", 1), 1)
}

_acr_values(values) if {
	_is_collection(values)
	count(values) > 0
	every value in values {
		text(value)
	}
}

_is_collection(value) if is_array(value)

_is_collection(value) if is_set(value)

# METADATA
# description: A whole number of seconds, from the given least value up to ten years.
seconds(value, least) if {
	is_number(value)
	value >= least
	value <= 315360000
	floor(value) == value
}

# METADATA
# description: An array or a set of strings that are not empty.
texts(values) if {
	_is_collection(values)
	every value in values {
		text(value)
	}
}

# METADATA
# description: An obligation of the AuthZEN obligations draft.
obligation(entry) if {
	is_object(entry)
	object.keys(entry) - {"id", "type", "properties"} == set()
	text(entry.id)
	text(entry.type)
	is_object(object.get(entry, "properties", {}))
}

# METADATA
# description: A scope that is withheld, and why.
denied_scope(entry) if {
	is_object(entry)
	object.keys(entry) == {"scope", "code", "message"}
	text(entry.scope)
	text(entry.code)
	text(entry.message)
}
