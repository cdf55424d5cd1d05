# METADATA
# description: Types the input of every package below policy.clients, so that a misspelled field is a load error.
# scope: subpackages
# schemas:
#   - input: schema.client_admission
package policy.clients
