package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// nameServer answers every question for an address from what a test says.
type nameServer struct {
	net.PacketConn
	questions atomic.Int32                           // for IPv4 addresses
	addresses func(question int32) (answer []string) // of the nth question; both families, IPv6 in brackets is not needed
	alias     bool                                   // answer with a CNAME before the addresses
}

const (
	typeA     = 1
	typeCNAME = 5
	typeAAAA  = 28
)

func newNameServer(t *testing.T, alias bool, addresses func(int32) []string) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{PacketConn: conn, addresses: addresses, alias: alias}
	var served sync.WaitGroup
	served.Go(n.serve)
	t.Cleanup(func() { conn.Close(); served.Wait() })
	return n
}

func (n *nameServer) serve() {
	buffer := make([]byte, 1500)
	for {
		size, from, err := n.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer := n.answer(buffer[:size]); answer != nil {
			_, _ = n.WriteTo(answer, from)
		}
	}
}

// answer is a DNS message (RFC 1035 §4.1): the question again and an address record for each address of the family that was asked for.
func (n *nameServer) answer(query []byte) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	if end += 5; end > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[end-4:])
	question := n.questions.Load()
	if kind == typeA {
		question = n.questions.Add(1)
	}
	name, count := []byte{0xc0, 12}, uint16(0)
	var records []byte
	add := func(kind uint16, data []byte) {
		records = append(records, name...)
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // class IN, to be kept for 0 seconds
		records = binary.BigEndian.AppendUint16(records, uint16(len(data)))
		records = append(records, data...)
		count++
	}
	if n.alias {
		alias := []byte("\x05alias\x07example\x00")
		add(typeCNAME, alias)
		name = alias
	}
	for _, text := range n.addresses(question) {
		if addr := netip.MustParseAddr(text); addr.Is4() && kind == typeA {
			add(typeA, addr.AsSlice())
		} else if addr.Is6() && kind == typeAAAA {
			add(typeAAAA, addr.AsSlice())
		}
	}
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1}, byte(count>>8), byte(count), 0, 0, 0, 0)
	return append(append(out, query[12:end]...), records...)
}

var errNoFurther = errors.New("the test goes no further")

// clientOf fetches with the resolver, through the dialer of the program. Addresses that the dialer lets pass are noted, and no connection is made
// to them: tests do not leave this machine.
func clientOf(n *nameServer) (c *Client, passed func() []string) {
	var mu sync.Mutex
	var noted []string
	dialer := publicDialer(5 * time.Second)
	check := dialer.Control
	dialer.Control = func(network, address string, raw syscall.RawConn) error {
		if err := check(network, address, raw); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		noted = append(noted, address)
		return errNoFurther
	}
	dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", n.LocalAddr().String())
	}}
	c = New(Config{Timeout: 5 * time.Second})
	c.public = newHTTP(c.cfg, dialer)
	return c, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(noted)
	}
}

func reason(err error) string {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.Reason
	}
	return ""
}

// insideAddresses lie in networks that no document can lie in.
func insideAddresses() []string {
	return []string{"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.2.1",
		"198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::", "fc00::1", "fd00::1",
		"fe80::1", "fec0::1", "ff02::1"}
}

// M2: whatever a name resolves to, directly or through an alias, no connection is made to an address that is not public.
func TestNamesThatResolveInside(t *testing.T) {
	for _, alias := range []bool{false, true} {
		for _, address := range insideAddresses() {
			n := newNameServer(t, alias, func(int32) []string { return []string{address} })
			client, passed := clientOf(n)
			if _, err := client.Get(t.Context(), "https://client.example:8443/c", Known); reason(err) != ReasonPrivateAddress || len(passed()) != 0 {
				t.Errorf("M2 %s (alias: %v): %v, connections to %v", address, alias, err, passed())
			}
		}
	}
}

const publicAddress = "93.184.215.14"

// M3: a name that is public at one moment and private at the next, or both at once, never leads inside: what is checked is the address of
// the connection. One fetch asks for the name once.
func TestNamesThatChangeTheirMind(t *testing.T) {
	reached := atomic.Int32{}
	inside := httptest.NewUnstartedServer(http.NotFoundHandler())
	inside.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			reached.Add(1)
		}
	}
	inside.StartTLS()
	defer inside.Close()
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		addresses func(int32) []string
		public    int // of 1,000 rounds, connections that would have been made to the public address
	}{
		"public, then private": {func(q int32) []string {
			if q%2 == 1 {
				return []string{publicAddress}
			}
			return []string{"127.0.0.1"}
		}, 500},
		"public and private at once": {func(int32) []string { return []string{publicAddress, "127.0.0.1"} }, 1000},
		"private and public at once": {func(int32) []string { return []string{"127.0.0.1", publicAddress} }, 1000},
		"of both families":           {func(int32) []string { return []string{"::1", "127.0.0.1", publicAddress} }, 1000},
	} {
		t.Run("M3 "+name, func(t *testing.T) {
			n := newNameServer(t, false, row.addresses)
			client, passed := clientOf(n)
			for range 1000 {
				if _, err := client.Get(t.Context(), "https://rebind.example:"+port+"/c", Known); err == nil {
					t.Fatal("something was fetched")
				}
			}
			if got := passed(); len(got) != row.public || slices.ContainsFunc(got, func(a string) bool { return a != publicAddress+":"+port }) {
				t.Errorf("M3: the dialer let %d connections pass, want %d to the public address only", len(got), row.public)
			}
			if n.questions.Load() != 1000 {
				t.Errorf("M3: %d questions for 1,000 fetches", n.questions.Load())
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("M3: %d connections reached this machine", n)
	}
}

// M3: a kept connection would be used again without a look at its address.
func TestConnectionsAreNotKept(t *testing.T) {
	var mu sync.Mutex
	from := map[string]bool{}
	client, u, _ := serve(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
		reply(200, "application/json", "{}")(w, r)
	})
	for range 5 {
		if _, err := client.Get(t.Context(), u, Known); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(from) != 5 {
		t.Errorf("5 fetches used the connections of %v", from)
	}
}
