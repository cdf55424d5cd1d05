# METADATA
# description: Types the input of every package below policy.access, so that a misspelled field is a load error.
# scope: subpackages
# schemas:
#   - input: schema.access
package policy.access
