# METADATA
# title: Agents acting for agents
# description: >-
#   A token can say who acts for the person (RFC 8693 act): input.actors, the nearest first. An agent acts for another only
#   where this list says so, through one agent at most, and never with a tool that may destroy something. A call
#   without actors is the person's own agent and is left alone.
package policy.tools.agents

import data.lib.mcp

# METADATA
# labels:
#   rule: agents.listed
deny contains {"code": "agents.listed", "message": "this agent may not act for the one that called it"} if {
	some actor in _chain
	not _listed(actor)
}

# METADATA
# labels:
#   rule: agents.chain
deny contains {"code": "agents.chain", "message": "agents may act through one other agent at most"} if not _short

# METADATA
# labels:
#   rule: agents.destructive
deny contains {"code": "agents.destructive", "message": "this needs the person's own agent"} if {
	not _direct
	not mcp.read_only
}

default _chain := []

_chain := input.actors

_direct if count(_chain) == 0

_short if count(_chain) <= 1

_listed(actor) if actor.id in data.config.agents[input.client.id]
