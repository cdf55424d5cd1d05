package policy.tools.hours_test

import data.lib.mcp.testing
import data.mcp.authz.tools

_decision(at, groups) := d if {
	base := testing.tool_call({"name": "drop_table", "user": testing.user({"groups": groups})})
	call := object.union(base, {"context": {"unix_time": time.parse_rfc3339_ns(at) / 1000000000}})
	d := tools.decision with input as call
		with data.config.hours as {"zone": "Europe/Berlin", "days": ["Monday", "Tuesday"], "from": 8, "to": 18}
}

test_times[note] if {
	some note, tc in {
		"Monday, the first minute": {"at": "2030-01-07T08:00:00+01:00", "codes": set()},
		"Monday, a second too early": {"at": "2030-01-07T07:59:59+01:00", "codes": {"hours.closed"}},
		"Tuesday, the last second": {"at": "2030-01-08T17:59:59+01:00", "codes": set()},
		"Tuesday, closed": {"at": "2030-01-08T18:00:00+01:00", "codes": {"hours.closed"}},
		"Sunday": {"at": "2030-01-06T12:00:00+01:00", "codes": {"hours.closed"}},
		"summer time": {"at": "2030-07-01T06:30:00Z", "codes": set()},
	}
	testing.codes(_decision(tc.at, [])) == tc.codes
}

test_people_on_call_always_may if _decision("2030-01-06T03:00:00Z", ["oncall"]).allow

test_reading_is_always_allowed if {
	call := testing.tool_call({"name": "show_table", "annotations": {"readOnlyHint": true, "destructiveHint": false}})
	tools.decision.allow with input as call
}
