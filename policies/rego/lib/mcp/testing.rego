# METADATA
# title: Helpers for tests of policies
# description: >-
#   For *_test packages only: import data.lib.mcp.testing. Each helper makes a whole input, or a part of one, with
#   every field that is always there, so that a test says only what it is about. A name that a helper does not know makes
#   it undefined, and the test fails on that line.
package lib.mcp.testing

# METADATA
# description: >-
#   The input of policy.tools for one call. The given object may hold the tool's name, arguments, annotations and
#   tool_scopes (what the catalogue asks for), the token's scopes, acr, amr and auth_time, and user, client, server, actor,
#   ip. Give method, uri or prompt for MCP methods other than tools/call; there is no tool then.
tool_call(given) := object.union(_call(given), _tool(given)) if {
	_known(given, {
		"name", "arguments", "annotations", "tool_scopes", "scopes", "acr", "amr", "auth_time",
		"user", "client", "server", "actor", "ip", "method", "uri", "prompt",
	})
}

# METADATA
# description: >-
#   The input of policy.scopes for one grant. The given object may hold scopes (what is requested), stage, grant_type,
#   acr_values, max_age, offline, granted and consented (scopes of before), acr, amr, auth_time, and user, client, server,
#   actor, ip.
grant_request(given) := object.union_n([
	{
		"version": "1",
		"id": "dec_test",
		"stage": object.get(given, "stage", "authorize"),
		"grant_type": object.get(given, "grant_type", "authorization_code"),
		"subject": object.get(given, "user", user({})),
		"client": object.union({"redirect_uris": ["https://agent.example/cb"], "auth_methods": ["none"]}, object.get(given, "client", client({}))),
		"resource": _resource(given, {"type": "mcp_server", "id": _server_id(given), "name": object.get(given, "server", "demo")}),
		"requested": object.union(
			{"scopes": object.get(given, "scopes", []), "offline": object.get(given, "offline", true)},
			object.filter(given, {"acr_values", "max_age"}),
		),
		"prior": {
			"granted_scopes": object.get(given, "granted", []),
			"consented_scopes": object.get(given, "consented", []),
		},
		"authn": object.union({"auth_time": _now - 60, "acr": "pwd"}, object.filter(given, {"acr", "amr", "auth_time"})),
	},
	_context(given),
	_actors(given),
]) if {
	_known(given, {
		"scopes", "stage", "grant_type", "acr_values", "max_age", "offline", "granted", "consented",
		"acr", "amr", "auth_time", "user", "client", "server", "actor", "ip",
	})
}

# METADATA
# description: >-
#   A person, for user in the other helpers. The given object may hold id, username, groups and properties. With
#   type "service" it is a service, which has no user name.
user(given) := object.union({"type": "user", "id": "usr_alice", "username": "alice", "groups": []}, given) if {
	_known(given, {"type", "id", "username", "groups", "properties"})
	object.get(given, "type", "user") == "user"
} else := object.union({"id": "svc_batch", "groups": []}, given) if {
	_known(given, {"type", "id", "groups", "properties"})
	given.type == "service"
}

# METADATA
# description: >-
#   A client, for client in the other helpers. The given object may hold what input.client may. It is one with a metadata
#   document unless registration says otherwise ("static": the operator registered it; "dcr").
client(given) := object.union(
	{
		"id": "https://agent.example/client.json",
		"registration": "cimd",
		"host": "agent.example",
		"name": "Agent",
		"trusted": false,
	},
	given,
) if {
	_known(given, _client_fields)
	object.get(given, "registration", "cimd") == "cimd"
} else := object.union({"id": "client_1", "name": "Agent", "trusted": given.registration == "static"}, given) if {
	_known(given, _client_fields)
	given.registration in {"static", "dcr"}
}

# METADATA
# description: >-
#   A catalogue for "with data.servers as": scopes by server key, such as {"demo": ["tools:weather.read"]}. Nothing in it
#   is high risk or destructive.
servers(scopes) := {key: {
	"id": sprintf("https://%s.example/mcp", [key]),
	"name": key,
	"scopes": {scope: {"description": scope, "risk": "", "destructive": false} | some scope in names},
	"wildcard_scopes": [scope | some scope in names; endswith(scope, "*")],
	"tools": {},
} |
	some key, names in scopes
}

# METADATA
# description: The codes of a decision's reasons; a deny without a code of its own has the code "denied".
codes(decision) := {reason.code | some reason in decision.reasons}

# METADATA
# description: The names of the scopes that a decision about a grant withholds.
withheld(decision) := {entry.scope | some entry in decision.denied_scopes}

_known(given, names) if object.keys(given) - names == set()

_client_fields := {
	"id", "registration", "host", "name", "trusted", "redirect_uris", "auth_methods", "grant_types", "scopes",
	"client_uri", "software_id",
}

# 2030-01-01, a Tuesday
_now := 1893499200

_call(given) := object.union_n([
	{
		"version": "1",
		"id": "dec_test",
		"subject": object.get(given, "user", user({})),
		"client": object.get(given, "client", client({})),
		"token": object.union(
			{
				"id": "tok_test",
				"scopes": object.get(given, "scopes", object.get(given, "tool_scopes", [])),
				"issued_at": _now - 60,
				"expires_at": _now + 540,
				"auth_time": _now - 60,
				"acr": "pwd",
				"grant_type": "authorization_code",
			},
			object.filter(given, {"acr", "amr", "auth_time"}),
		),
		"action": {"name": _method(given)},
		"resource": _resource(given, _named(given)),
		"mcp": object.union({"method": _method(given)}, object.filter(given, {"uri", "prompt"})),
	},
	_context(given),
	_actors(given),
])

_method(given) := object.get(given, "method", "tools/call")

_named(given) := {"type": "tool", "id": given.name} if {
	_method(given) == "tools/call"
} else := {"type": "mcp_server", "id": _server_id(given)} if {
	_method(given) != "tools/call"
}

_tool(given) := {"tool": {
	"name": given.name,
	"arguments": object.get(given, "arguments", {}),
	"annotations": object.union(
		{"readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": true},
		object.get(given, "annotations", {}),
	),
	"scopes": object.get(given, "tool_scopes", []),
	"schema_checked": true,
}} if {
	_method(given) == "tools/call"
} else := {} if {
	_method(given) != "tools/call"
}

_server_id(given) := sprintf("https://%s.example/mcp", [object.get(given, "server", "demo")])

_resource(given, more) := object.union({"server": object.get(given, "server", "demo"), "server_id": _server_id(given)}, more)

_context(given) := {"context": {
	"time": "2030-01-01T12:00:00Z",
	"unix_time": _now,
	"ip": object.get(given, "ip", "192.0.2.1"),
	"request_id": "req_test",
}}

_actors(given) := {"actor": given.actor, "actors": [given.actor]} if {
	given.actor
} else := {}
