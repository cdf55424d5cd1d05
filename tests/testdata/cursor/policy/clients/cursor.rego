# METADATA
# description: Cursor may use its own scheme.
package policy.clients.cursor

allow_redirect contains "cursor://anysphere.cursor-mcp/oauth/callback"

# Not even an author's rule makes these schemes usable.
allow_redirect contains "javascript:alert(1)"

allow_redirect contains "data:text/html,x"
