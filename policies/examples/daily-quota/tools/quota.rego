# METADATA
# title: Daily quota
# description: >-
#   A connection may call a tool so many times in 24 hours. Calls that were denied do not count. Counting begins when these
#   policies are activated, and answers that rest on a count are not remembered.
package policy.tools.quota

_day := 86400

# METADATA
# labels:
#   rule: quota.daily
deny contains {"code": "quota.daily", "message": sprintf("this tool may be called %v times a day; try again later", [limit])} if {
	some tool, limit in data.config.quota
	tool == input.tool.name
	not _left(limit)
}

_left(limit) if {
	is_number(limit)
	mcp.usage(_day) < limit
}
