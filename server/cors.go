package server

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// What browser clients may send and read (facts: AS-15). Credentials are never allowed, so any origin may be.
const (
	corsAllowHeaders  = "Authorization, Content-Type, DPoP, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, X-Request-ID"
	corsExposeHeaders = "WWW-Authenticate, DPoP-Nonce, Mcp-Session-Id, Retry-After, X-Request-ID"
)

// open registers a route that scripts of any origin may call, with its preflight. GET routes answer HEAD too.
func (f *face) open(r *gin.Engine, path, method string, handler gin.HandlerFunc) {
	methods := []string{method}
	if method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	allowed := strings.Join(append(methods, http.MethodOptions), ", ")
	r.Match(methods, path, anyOrigin, handler)
	r.OPTIONS(path, anyOrigin, func(c *gin.Context) {
		c.Header("Allow", allowed)
		c.Header("Access-Control-Allow-Methods", allowed)
		c.Header("Access-Control-Allow-Headers", corsAllowHeaders)
		c.Header("Access-Control-Max-Age", "600")
		c.AbortWithStatus(http.StatusNoContent)
	})
}

func anyOrigin(c *gin.Context) {
	c.Header("Access-Control-Allow-Origin", "*")
	c.Header("Access-Control-Expose-Headers", corsExposeHeaders)
}
