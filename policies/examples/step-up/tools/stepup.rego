# METADATA
# title: Step-up for destructive tools
# description: >-
#   A tool that may destroy something needs a login of the last five minutes. An older one is answered with the challenge of RFC
#   9470; the client sends the person through the login again and repeats the call. Where an upstream login offers classes,
#   add them, such as "acr_values": ["urn:example:mfa"].
package policy.tools.stepup

import data.lib.mcp

# METADATA
# labels:
#   rule: stepup.fresh_login
require_authn contains {"acr_values": ["pwd"], "max_age": 300} if mcp.destructive

# Nobody may reuse the answer for another call.
# METADATA
# labels:
#   rule: stepup.no_reuse
ttl_seconds := 0 if mcp.destructive
