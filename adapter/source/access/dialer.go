package access

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errLinkLocal is why an address is not dialed.
var errLinkLocal = errors.New("link-local addresses are not asked: clouds give out machines' credentials there")

// metadata are addresses of the same use that are not link-local: of AWS over IPv6,
// Alibaba and Oracle.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
}

// Dialer is how sources of every protocol connect, within timeout where it is not 0:
// to no address at which a cloud gives out its machines' credentials, whoever resolves
// to it.
func Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: refuseLinkLocal}
}

// refuseLinkLocal keeps an object's author from reading a cloud's metadata
// through the adapter.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // no address of IP
	}
	if addr := at.Addr().Unmap().WithZone(""); addr.IsLinkLocalUnicast() || slices.Contains(metadata, addr) {
		return errLinkLocal
	}
	return nil
}
