package lib.mcp

# METADATA
# description: >-
#   How many calls of this tool under this grant were allowed in the last seconds, this call not among them: the
#   built-in mcp.usage, which a file that imports data.lib.mcp finds here. A whole number of seconds, at most 31 days. In
#   a test say: with mcp.usage as 3.
usage(seconds) := mcp.usage(seconds)
