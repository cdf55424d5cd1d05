package policy.tools.agents_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_planner := "https://planner.example/client.json"

_mailer := {"type": "agent", "id": "https://mailer.example/client.json"}

_decision(annotations, given) := d if {
	call := testing.tool_call(object.union(
		{"name": "search", "annotations": annotations, "client": testing.client({"id": _planner})},
		given,
	))
	d := tools.decision with input as call with data.config.agents as {_planner: [_mailer.id]}
}

_reads := {"readOnlyHint": true, "destructiveHint": false}

test_the_own_agent_is_left_alone if _decision({}, {}).allow

test_a_listed_agent_reads if _decision(_reads, {"actor": _mailer}).allow

test_it_does_not_write if testing.codes(_decision({}, {"actor": _mailer})) == {"agents.destructive"}

test_an_unlisted_agent_does_nothing if {
	testing.codes(_decision(_reads, {"actor": {"type": "agent", "id": "https://evil.example/c.json"}})) == {"agents.listed"}
}

test_a_chain_is_too_long if {
	base := testing.tool_call({"name": "search", "annotations": _reads, "client": testing.client({"id": _planner})})
	d := tools.decision with input as object.union(base, {"actors": [_mailer, _mailer]})
		with data.config.agents as {_planner: [_mailer.id]}
	testing.codes(d) == {"agents.chain"}
}
