# METADATA
# description: Cursor may use its own scheme.
package policy.clients.cursor

allow_redirect contains "cursor://anysphere.cursor-mcp/oauth/callback"
