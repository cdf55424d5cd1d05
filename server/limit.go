package server

import (
	"net/netip"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

const limitedAddresses = 10_000 // how many addresses are remembered

// limitBegin limits authorization requests, which write a row for anybody.
func (f *face) limitBegin(c *gin.Context) {
	if ok, after := f.begins.Allow(addressBlock(c.ClientIP())); !ok {
		f.fail(c, oauth.SlowDown.Errorf("too many sign-ins were started from this address").For("authorize_rate").After(after), challengeNone)
	}
}

// addressBlock is an IPv4 address, or the /64 that one IPv6 user commands. Anything else shares one block.
func addressBlock(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	block, _ := addr.Prefix(64) // always fits
	return block.String()
}
