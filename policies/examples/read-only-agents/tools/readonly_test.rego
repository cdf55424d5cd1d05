package policy.tools.readonly_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_reads := {"readOnlyHint": true, "destructiveHint": false}

_decision(annotations, client) := d if {
	call := testing.tool_call({"name": "crm_update", "annotations": annotations, "client": client})
	d := tools.decision with input as call with data.config.writers as ["agent.example"]
}

test_everybody_reads if _decision(_reads, testing.client({"host": "unknown.example"})).allow

test_an_unknown_agent_does_not_write if {
	testing.codes(_decision({}, testing.client({"host": "unknown.example"}))) == {"readonly.agent"}
}

test_a_listed_host_writes if _decision({}, testing.client({"host": "agent.example"})).allow

test_a_registered_client_writes if _decision({}, testing.client({"registration": "static"})).allow

test_dynamic_registration_has_no_host_and_only_reads if {
	testing.codes(_decision({}, testing.client({"registration": "dcr"}))) == {"readonly.agent"}
}
