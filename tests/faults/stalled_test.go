//go:build faults

package faults

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// TestSIGTERMWaitsForNobodyForever: connections on which nothing comes, or only half of a request, do not keep the server from ending well.
func TestSIGTERMWaitsForNobodyForever(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing":        "",
		"half a header":  "POST /token HTTP/1.1\r\nHost: 127.0.0.1:1\r\n",
		"half a body":    "POST /token HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type=",
		"a bodyless end": "GET /jwks.json HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 1)
			p := s.start()
			conn, err := net.Dial("tcp", *s.address.Load())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(sent)); err != nil {
				t.Fatal(err)
			}
			if err := s.send(s.http, "jwks", http.MethodGet, "/jwks.json", "10.9.9.9", nil).want(200); err != nil {
				t.Fatal(err) // the server has seen the other connection by now
			}
			code, took := p.terminate()
			if code != 0 || took > 20*time.Second {
				t.Errorf("exit code %d after %v\n%s", code, took, p.said())
			}
			t.Logf("ended in %v", took)
			s.verify()
		})
	}
}
