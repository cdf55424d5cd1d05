# METADATA
# description: Types the input of every package below policy.scopes, so that a misspelled field is a load error.
# scope: subpackages
# schemas:
#   - input: schema.scope_grant
package policy.scopes
