# METADATA
# title: Risk by registration
# description: >-
#   A client id metadata document is fetched only from a listed host. The question is asked before the fetch (stage url), so an unlisted
#   host never learns of it. A client that registered itself is admitted with a ceiling and for one day.
package policy.clients.hosts

# METADATA
# labels:
#   rule: hosts.listed
deny contains {"code": "hosts.listed", "message": "this application is not on the list of this server"} if {
	input.client.registration == "cimd"
	not _listed
}

_listed if input.client.host in data.config.client_hosts

# METADATA
# labels:
#   rule: hosts.ceiling
scope_ceiling := data.config.registered_ceiling if input.client.registration == "dcr"

# METADATA
# labels:
#   rule: hosts.ttl
ttl := 86400 if input.client.registration == "dcr"
