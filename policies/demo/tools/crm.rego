# METADATA
# title: Writing to the CRM
package policy.tools.crm

# The catalogue of the demo says the same. Here it stands as an example of a scope that policy demands.
# METADATA
# labels:
#   rule: crm.write_scope
required_scopes contains "tools:crm.write" if input.tool.name == "crm_update"
