package oauth

import "net/netip"

// AddressBlock is what an address is counted under: of IPv4 the first bits4 bits, of IPv6 the /64, because one household
// has that many. Everything that is no address shares one block.
func AddressBlock(ip string, bits4 int) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	bits := 64
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = bits4
	}
	block, err := addr.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return block.String()
}
