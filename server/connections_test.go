package server

import (
	"errors"
	"io"
	"net"
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
