# METADATA
# description: Types the input of every package below policy.tools, so that a misspelled field is a load error.
# scope: subpackages
# schemas:
#   - input: schema.tool_call
package policy.tools
