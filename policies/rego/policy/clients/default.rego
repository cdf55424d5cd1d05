# METADATA
# title: The shipped default for clients
# description: >-
#   Clients that the operator registered are admitted. So are clients with a metadata document and clients that
#   register themselves, if all their redirect URIs are https or http on loopback. Another redirect URI, such as
#   one with a private-use scheme, must be listed by some package's allow_redirect.
package policy.clients.default

import data.lib.mcp

# METADATA
# labels:
#   rule: default.static
allow if input.client.registration == "static"

# METADATA
# labels:
#   rule: default.self_registered
allow if input.client.registration in {"cimd", "dcr"}

# METADATA
# labels:
#   rule: default.redirect_uri
deny contains {
	"code": "redirect_uri_not_allowed",
	"message": "redirect URIs must be https, or http on loopback; the operator's policy may list others",
} if {
	input.client.registration != "static"
	some uri in input.client.redirect_uris
	not _acceptable(uri)
}

_acceptable(uri) if mcp.https_uri(uri)

_acceptable(uri) if mcp.loopback_uri(uri)

_acceptable(uri) if uri in data.policy.clients[_].allow_redirect
