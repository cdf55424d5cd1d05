# METADATA
# description: >-
#   Types the input of every library: what one of the four questions knows. A field that none of them knows is a load
#   error; a field of another question is undefined.
# scope: subpackages
# schemas:
#   - input: schema.any_input
package lib
