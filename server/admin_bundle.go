package server

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// pathBundle is where OPA elsewhere finds the policies in force.
const pathBundle = "/bundles/active.tar.gz"

// BundleConfig is about that route of the admin listener.
type BundleConfig struct {
	TokenHash []byte                                         // oauth.HashSecret of the read token, which opens this route and nothing else
	Active    func() (tag string, archive []byte, err error) // tag names exactly these bytes; it holds no quotes
}

// bundle serves the policies to who holds the read token. OPA asks with the tag that it has, and is told when nothing has changed (RFC 9110 §13.1.2).
func (f *face) bundle(cfg BundleConfig) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := mayReadBundle(c.Request, cfg.TokenHash); err != nil {
			f.fail(c, err, challengeBearer)
			return
		}
		tag, archive, err := cfg.Active()
		if err != nil {
			f.fail(c, oauth.ServerError.Errorf("the policies cannot be made into a bundle; the log says why").For("bundle").Because(err), challengeNone)
			return
		}
		c.Header("Content-Type", "application/gzip")
		c.Header("Cache-Control", "private, no-cache") // to be kept, and asked for again each time
		c.Header("ETag", `"`+tag+`"`)
		http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(archive))
	}
}

// mayReadBundle proves the read token (RFC 6750 §2.1).
func mayReadBundle(r *http.Request, hash []byte) error {
	authorization, err := authorizationHeader(r)
	if err != nil {
		return err
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || !oauth.SameSecret(token, [][]byte{hash}) {
		return oauth.InvalidToken.Errorf("send the read token of admin_bundle_token_file as Authorization: Bearer").For("bundle_token")
	}
	return nil
}
