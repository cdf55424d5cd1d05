package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
)

// X1: at most two are open; the third comes in when one of them has ended, however often that is closed; and closing ends an Accept that waits.
func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitConnections(inner, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	for range 4 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third one was accepted")
	default:
	}
	first.Close()
	first.Close() // frees no second slot
	third := <-accepted
	if err := third.Close(); err != nil {
		t.Error(err)
	}
	fourth := <-accepted
	if _, err := io.WriteString(fourth, "x"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ends with %v", err)
	}
	second.Close()
	fourth.Close()
}

// X1: one address has a share of the connections, so that it cannot keep the others out; the operator's own proxies have none.
func TestAnAddressHasAShareOfTheConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitConnections(inner, 40, netip.MustParsePrefix("127.0.0.8/31"))
	accepted := make(chan net.Conn, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	defer l.Close()
	// dial connects from an address, and tells whether it was let in: who is not reads the end at once.
	dial := func(from string) (net.Conn, bool) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		refused := make(chan bool, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			refused <- err != nil
		}()
		select {
		case ours := <-accepted:
			t.Cleanup(func() { ours.Close() })
			return ours, true
		case <-refused:
			return nil, false
		}
	}
	var open []net.Conn
	for i := range 10 {
		conn, in := dial("127.0.0.2")
		if !in {
			t.Fatalf("connection %d of an address", i+1)
		}
		open = append(open, conn)
	}
	for range 3 {
		if _, in := dial("127.0.0.2"); in {
			t.Error("an address has more than its quarter")
		}
	}
	if _, in := dial("127.0.0.3"); !in {
		t.Error("another address is kept out")
	}
	open[0].Close()
	open[0].Close()
	if _, in := dial("127.0.0.2"); !in {
		t.Error("one has ended, and there is no place for another one")
	}
	if _, in := dial("127.0.0.2"); in {
		t.Error("one has ended, and there is place for two")
	}
	for i := range 20 {
		if _, in := dial("127.0.0.9"); !in {
			t.Fatalf("connection %d of a proxy", i+1)
		}
	}
}
