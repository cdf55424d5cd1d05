# METADATA
# title: Business hours
# description: >-
#   Tools that may destroy something run in business hours only, but for members of the group oncall. The time is the server's own,
#   never one that the caller sends.
package policy.tools.hours

import data.lib.mcp

# METADATA
# labels:
#   rule: hours.closed
deny contains {"code": "hours.closed", "message": "this tool runs in business hours only; ask the people on call"} if {
	mcp.destructive
	not _open
	not mcp.in_group("oncall")
}

_open if {
	hours := data.config.hours
	now := [input.context.unix_time * 1000000000, hours.zone]
	time.weekday(now) in hours.days
	[hour, _, _] := time.clock(now)
	hour >= hours.from
	hour < hours.to
}
