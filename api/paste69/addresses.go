package paste69

import (
	"net/netip"
	"slices"
)

// refusedPrefixes are never connected to: the node's own host and networks, and
// what no server on the Internet has.
var refusedPrefixes = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "100::/64", "2001::/23", "2001:db8::/32", "fc00::/7", "fe80::/10",
	"fec0::/10", "ff00::/8",
)

// Prefixes of IPv6 addresses that stand for an IPv4 address.
var (
	compatible = netip.MustParsePrefix("::/96") // out of use, but a kernel may know it
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
)

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

// refused reports whether an address, or the IPv4 address inside, is one that
// is never connected to, or lies in one of the operator's prefixes, or is one of own.
func refused(a netip.Addr, deny []netip.Prefix, own []netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return true
	}
	for _, form := range append(inside(a), a.Unmap()) {
		within := func(p netip.Prefix) bool { return p.Contains(form) }
		if slices.ContainsFunc(refusedPrefixes, within) || slices.ContainsFunc(deny, within) || slices.Contains(own, form) {
			return true
		}
	}
	return false
}

// inside returns the IPv4 addresses that an IPv6 address may stand for.
func inside(a netip.Addr) []netip.Addr {
	if !a.Is6() || a.Is4In6() {
		return nil
	}
	b := a.As16()
	last := netip.AddrFrom4([4]byte(b[12:16]))
	switch {
	case nat64.Contains(a), compatible.Contains(a):
		return []netip.Addr{last}
	case sixToFour.Contains(a):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[2:6]))}
	case !nat64Local.Contains(a):
		return nil
	}
	// A network takes a prefix of its own out of this one (RFC 6052): at 96 bits
	// the address is last; at 64 bits it is here, and zeros follow. Those of 48
	// and 56 bits have zeros for last, which are refused.
	if b[13]|b[14]|b[15] == 0 {
		return []netip.Addr{last, netip.AddrFrom4([4]byte(b[9:13]))}
	}
	return []netip.Addr{last}
}
