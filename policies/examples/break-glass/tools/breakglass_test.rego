package policy.tools.breakglass_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_decision(groups, reason) := d if {
	call := testing.tool_call({
		"name": "production_restart",
		"arguments": {"emergency_reason": reason},
		"user": testing.user({"groups": groups}),
	})
	d := tools.decision with input as call
}

test_people_on_call_just_get_in if {
	d := _decision(["oncall"], "")
	d.allow
	d.obligations == set()
}

test_an_emergency_opens_and_notifies if {
	d := _decision(["engineers"], "the shop is down")
	d.allow
	some o in d.obligations
	o.type == "notification"
}

test_without_a_reason_it_stays_closed[note] if {
	some note, reason in {"empty": "", "blanks": "            ", "too short": "help", "a number": 12345678901}
	testing.codes(_decision(["engineers"], reason)) == {"breakglass.closed"}
}

test_strangers_have_no_emergencies if {
	testing.codes(_decision([], "the shop is down")) == {"breakglass.closed"}
}
