package lib.mcp

# METADATA
# description: >-
#   The stand-in for the built-in mcp.usage in an export: stock OPA counts no calls. Whoever does gives the counts as the
#   document data.mcp.usage, by seconds: {"86400": 3}. Without a count the answer is larger than every quota, so that rules which
#   allow below one allow nothing.
default usage(_) := 9007199254740991

usage(seconds) := data.mcp.usage[sprintf("%d", [seconds])]
