package faults

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSIGTERMUnderLoad: F13: no answer is cut off, whoever got no answer was not served at all, the log is emptied into the database,
// and the exit code is 0.
func TestSIGTERMUnderLoad(t *testing.T) {
	s := newSite(t, 12)
	c := newCrew(s, 12)
	for range 4 {
		p := s.start()
		if c.seen > 0 {
			c.reconcile(t)
		}
		c.until(t, 50+c.random.IntN(50), func() {
			if code, took := p.terminate(); code != 0 || took > 20*time.Second {
				t.Errorf("exit code %d after %v\n%s", code, took, p.said())
			}
		})
		if info, err := os.Stat(s.path("portcullis.db-wal")); err == nil && info.Size() > 0 {
			t.Errorf("%d bytes are left in the log", info.Size())
		}
		rows := map[string]bool{}
		for _, r := range s.audit(c.seen) {
			rows[r.RequestID] = true
		}
		for _, k := range c.workers {
			switch l := k.lost; {
			case l == nil:
			case l.call.err == nil:
				t.Errorf("an answer of a server that ends: %s", l.call)
			case l.call.torn():
				t.Errorf("an answer was cut off: %s", l.call)
			case rows[l.call.id]:
				t.Errorf("a request was served and got no answer: %s", l.call)
			}
		}
		s.verify()
	}
	t.Logf("requests: %s", counted(c.total()))
}

// TestASecondSIGTERMEndsAtOnce: an operator who cannot wait loses nothing that was acknowledged.
func TestASecondSIGTERMEndsAtOnce(t *testing.T) {
	s := newSite(t, 3)
	c := newCrew(s, 3)
	p := s.start()
	conn, err := net.Dial("tcp", *s.address.Load())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("POST /token HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	c.each(t, (*worker).connect)
	go func() {
		for range 100 { // the handler of the first signal must have run before the second has its effect
			time.Sleep(50 * time.Millisecond)
			select {
			case <-p.ended:
				return
			default:
				p.cmd.Process.Signal(os.Interrupt)
			}
		}
	}()
	if _, took := p.terminate(); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if strings.Contains(p.log.String(), "goroutine ") {
		t.Errorf("a panic:\n%s", p.said())
	}
	s.start()
	c.reconcile(t)
	s.verify()
}
