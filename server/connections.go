package server

import (
	"net"
	"net/netip"
	"sync"

	"portcullis/oauth"
)

// leastShare is how many connections an address may have however few there are in all.
const leastShare = 8

// LimitConnections lets at most n connections of a listener be open at a time. Who comes then waits in the system's queue until
// another one ends; the times of HTTPServer end those that say nothing. One address (of IPv6 a /64) has a quarter of them; what it opens beyond that is
// closed at once, unless it is one of the trusted, behind which there are many. n must be positive.
func LimitConnections(l net.Listener, n int, trusted ...netip.Prefix) net.Listener {
	return &limitedListener{Listener: l, trusted: trusted, share: max(n/4, leastShare), open: map[string]int{}, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	trusted []netip.Prefix
	share   int
	slots   chan struct{}
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	open map[string]int // by address
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		if leave, ok := l.enter(conn.RemoteAddr()); ok {
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { leave(); <-l.slots })}, nil
		}
		_ = conn.Close()
	}
}

// enter counts a connection of an address. It is not ok when the address has its share already.
func (l *limitedListener) enter(from net.Addr) (leave func(), ok bool) {
	addr, err := netip.ParseAddrPort(from.String())
	if err != nil || l.trusts(addr.Addr().Unmap()) {
		return func() {}, true // not from a network, or from our own proxy
	}
	block := oauth.AddressBlock(addr.Addr().String(), 32)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[block] >= l.share {
		return nil, false
	}
	l.open[block]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.open[block]--; l.open[block] == 0 {
			delete(l.open, block)
		}
	}, true
}

func (l *limitedListener) trusts(addr netip.Addr) bool {
	for _, p := range l.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Close also ends an Accept that waits for a slot.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite ends our side only. Without it net/http could not end the writing before the reading, and who is refused in the middle of a
// long request would see a broken connection in place of the answer.
func (c *limitedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
