//go:build faults && linux

package faults

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestADiskThatFails: F3, F4, F5, F16, I7: while the disk refuses to be written nothing is acknowledged and nothing happens by half; what only reads
// goes on. When the disk works again the server goes on by itself.
func TestADiskThatFails(t *testing.T) {
	for name, fault := range map[string]struct{ calls, how string }{
		"fsync fails":               {"fsync,fdatasync", "error=EIO"},
		"every third fsync fails":   {"fsync,fdatasync", "error=EIO:when=1+3"},
		"writes fail":               {"pwrite64", "error=EIO"},
		"every seventh write fails": {"pwrite64", "error=EIO:when=3+7"},
		"the disk is full":          {"pwrite64", "error=ENOSPC"},
		"the quota is used up":      {"pwrite64,fsync,fdatasync", "error=EDQUOT"},
		"a file grows too large":    {"pwrite64", "error=EFBIG"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 6)
			p := s.start()
			c := newCrew(s, 6)
			c.until(t, 60, func() {})
			for i := range 3 {
				x := p.attach(t, fault.calls, fault.how)
				c.work(t, nil) // until everybody has lost an answer
				c.unavailable(t)
				if last := i == 2; last { // what failed may have happened: the next start tells
					p.kill()
					p = s.start()
				}
				x.detach()
				waitFor(t, "the server is ready again", p.ready)
				c.reconcile(t)
				c.until(t, 40, func() {})
				c.reconcile(t)
				s.verify()
				if t.Failed() {
					t.Fatalf("the server's log:\n%s", p.said())
				}
			}
			p.kill() // what nobody knew may not change any more
			p = s.start()
			c.reconcile(t)
			s.verify()
			p.stop()
			t.Logf("of the lost ones these had happened: %s", counted(c.after))
		})
	}
}

// unavailable checks the server while it cannot write: what was lost was answered 503, and reading goes on.
func (c *crew) unavailable(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/office"} {
		if err := c.s.send(c.s.http, path, http.MethodGet, path, "10.9.9.9", nil).want(http.StatusOK); err != nil {
			t.Error(err)
		}
	}
	c.each(t, func(k *worker) error {
		if k.lost == nil {
			return errors.New("everything worked")
		}
		if err := k.lost.checkUnavailable(); err != nil {
			return err
		}
		for _, l := range k.lines {
			if l == k.lost.line || k.lost.access != nil || k.lost.event == "grant.ended" {
				continue
			}
			if err := k.checkAccess(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkUnavailable is what a lost answer must look like when the server lives and only its storage fails.
func (l *lost) checkUnavailable() error {
	c := l.call
	err := c.want(http.StatusServiceUnavailable)
	switch {
	case err != nil:
		return err
	case c.header.Get("Retry-After") == "":
		return fmt.Errorf("no Retry-After: %w", &unexpected{c})
	case strings.HasPrefix(c.header.Get("Content-Type"), "text/html"):
		return nil
	case c.text("error") != "temporarily_unavailable":
		return fmt.Errorf("the error is not temporarily_unavailable: %w", &unexpected{c})
	}
	return nil
}

// TestADiskThatFailsIsNotReady: F3: /readyz says so, until it works again.
func TestADiskThatFailsIsNotReady(t *testing.T) {
	s := newSite(t, 1)
	p := s.start()
	c := newCrew(s, 1)
	c.each(t, (*worker).hold)
	x := p.attach(t, "fsync,fdatasync", "error=EIO")
	c.work(t, nil)
	for range 5 {
		if p.ready() {
			t.Error("/readyz says 200 while nothing can be stored")
		}
	}
	if d := s.decide(c.workers[0].lines[0].access[0].token); d.status != http.StatusServiceUnavailable {
		t.Errorf("a decision without its audit row: %s", d)
	}
	x.detach()
	waitFor(t, "the server is ready again", p.ready)
	c.reconcile(t)
	s.verify()
}

// decide asks for the decision about a call of the tool look.
func (s *site) decide(token string) *call {
	body := `{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"look"},"context":{"access_token":"` + token + `"}}`
	return s.sendBody(s.http, "decide", http.MethodPost, "/access/v1/evaluation", "10.9.9.9", "application/json", body)
}

// slow is how long fsync takes in the tests of a slow disk.
const slow = 1500 * time.Millisecond

// TestNoAnswerLeavesBeforeItsRowIsOnDisk: DESIGN §4: with a slow fsync each answer that has a row is as slow, and one that has none is not.
func TestNoAnswerLeavesBeforeItsRowIsOnDisk(t *testing.T) {
	s := newSite(t, 1)
	p := s.start()
	person := s.person(0)
	code, err := person.code("cli")
	if err != nil {
		t.Fatal(err)
	}
	other, err := person.code("cli")
	if err != nil {
		t.Fatal(err)
	}
	at, err := person.begin("cli")
	if err != nil {
		t.Fatal(err)
	}
	tokens := s.exchange("cli", other)
	token, next := tokens.text("access_token"), tokens.text("refresh_token")
	told, err := claimsOf(token)
	if err != nil {
		t.Fatal(err)
	}
	x := p.attach(t, "fsync,fdatasync", "delay_enter=1500000")
	for _, test := range []struct {
		name   string
		status int
		do     func() *call
	}{
		{"exchange", 200, func() *call { return s.exchange("cli", code) }},
		{"refresh", 200, func() *call { return s.refresh("cli", next) }},
		{"retry", 200, func() *call { return s.refresh("cli", next) }},
		{"decision", 200, func() *call { return s.decide(token) }},
		{"consent", 303, func() *call { return person.allow(at) }},
		{"revocation of an access token", 200, func() *call { return s.revoke("cli", token) }},
		{"replay of a code", 400, func() *call { return s.exchange("cli", code) }},
		{"revocation", 200, func() *call { return s.revoke("cli", next) }},
		{"disconnection", 303, func() *call { return person.disconnect(told.Grant) }},
	} {
		if err := s.isSlow(test.status, test.do, token); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	x.detach()
	s.verify()
}

// isSlow is nil when a call waits for the slow disk while introspections beside it do not.
func (s *site) isSlow(status int, do func() *call, token string) error {
	begun := time.Now()
	answer := make(chan *call, 1)
	go func() { answer <- do() }()
	var problems []error
	for range 3 {
		problems = append(problems, s.introspect(token).want(200))
	}
	if reads := time.Since(begun); reads > slow {
		problems = append(problems, fmt.Errorf("three introspections beside it took %v", reads))
	}
	problems = append(problems, (<-answer).want(status))
	if took := time.Since(begun); took < slow {
		problems = append(problems, fmt.Errorf("it was answered after %v, before fsync can have ended", took))
	}
	return errors.Join(problems...)
}

// hold makes one line with tokens.
func (k *worker) hold() error {
	if err := k.connect(); err != nil || k.lines[0].redeemed {
		return err
	}
	return k.redeem(k.lines[0])
}

// TestAWriterThatIsTooSlowSheds: F6: who would wait too long is refused at once when that is known, and nothing of it is stored.
func TestAWriterThatIsTooSlowSheds(t *testing.T) {
	s := newSite(t, 6)
	p := s.start()
	c := newCrew(s, 6)
	c.each(t, (*worker).hold)
	x := p.attach(t, "fsync,fdatasync", "delay_enter=3000000")
	first := make(chan *call, 1)
	go func() { first <- s.revoke("cli", c.workers[0].lines[0].refresh[0]) }()
	time.Sleep(300 * time.Millisecond)
	c.workers[0].lines[0].ended = true
	c.each(t, func(k *worker) error {
		if k == c.workers[0] {
			return nil
		}
		if err := k.rotate(k.lines[0]); !errors.Is(err, errLost) {
			return errors.Join(errors.New("it was not shed"), err)
		}
		return k.lost.checkUnavailable()
	})
	if err := (<-first).want(200); err != nil {
		t.Error(err)
	}
	x.detach()
	waitFor(t, "the server is ready again", p.ready)
	c.reconcile(t)
	if len(c.after) != 0 {
		t.Errorf("what was shed has happened: %v", c.after)
	}
	s.verify()
}

// TestSIGTERMWaitsForTheDisk: an answer under way is sent although the disk is slow.
func TestSIGTERMWaitsForTheDisk(t *testing.T) {
	s := newSite(t, 1)
	p := s.start()
	code, err := s.person(0).code("cli")
	if err != nil {
		t.Fatal(err)
	}
	x := p.attach(t, "fsync,fdatasync", "delay_enter=1500000")
	answer := make(chan *call, 1)
	go func() { answer <- s.exchange("cli", code) }()
	time.Sleep(500 * time.Millisecond)
	if exit, took := p.terminate(); exit != 0 || took > 20*time.Second {
		t.Errorf("exit code %d after %v\n%s", exit, took, p.said())
	}
	c := <-answer
	if err := c.want(200); err != nil {
		t.Fatal(err)
	}
	x.detach()
	s.start()
	if active, err := s.active(c.text("access_token")); err != nil || !active {
		t.Errorf("active %v, %v", active, err)
	}
	s.verify()
}
