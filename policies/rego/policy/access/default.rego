# METADATA
# title: The shipped default for plain AuthZEN evaluations
# description: >-
#   No rule, and so no allow: everything is denied until a package below policy.access allows something. Replace
#   this package, or add one beside it.
package policy.access.default
