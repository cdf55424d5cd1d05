package server

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// documentAge is how long a discovery document or key set may be kept, in seconds. New signing keys are published
// long before they are used.
const documentAge = "public, max-age=300"

// document serves a discovery document that is in memory.
func document(read func() []byte) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", documentAge)
		c.Data(http.StatusOK, typeJSON, read())
	}
}

// protectedResource serves the RFC 9728 document of the resource whose well-known path is asked for.
func (f *face) protectedResource(c *gin.Context) {
	data, err := f.endpoints.Metadata.ProtectedResource(c.Request.Context(), c.Request.Host, c.Param("path"))
	if err != nil {
		f.fail(c, err, challengeNone)
		return
	}
	c.Header("Cache-Control", documentAge)
	c.Data(http.StatusOK, typeJSON, data)
}
