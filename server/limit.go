package server

import (
	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

const limitedAddresses = 10_000 // how many addresses are remembered

// limitBegin limits authorization requests, which write a row for anybody.
func (f *face) limitBegin(c *gin.Context) {
	if ok, after := f.begins.Allow(oauth.AddressBlock(c.ClientIP(), 32)); !ok {
		f.fail(c, oauth.SlowDown.Errorf("too many sign-ins were started from this address").For("authorize_rate").After(after), challengeNone)
	}
}
