# METADATA
# title: Read-only agents
# description: >-
#   An agent that the operator neither registered nor lists may call only what the catalogue marks as reading. The annotation
#   comes from the registered catalogue; what a caller says about a tool counts for nothing.
package policy.tools.readonly

import data.lib.mcp

# METADATA
# labels:
#   rule: readonly.agent
deny contains {"code": "readonly.agent", "message": "this application may only read here"} if {
	input.mcp.method == "tools/call"
	not mcp.read_only
	not _writer
}

_writer if input.client.trusted

_writer if input.client.host in data.config.writers
