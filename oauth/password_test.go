package oauth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPasswordHashes(t *testing.T) {
	hash, err := HashPassword("correct horse")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	p := newPasswords()
	for name, c := range map[string]struct {
		stored, password string
		want             bool
	}{
		"right":                  {hash, "correct horse", true},
		"wrong":                  {hash, "correct horsE", false},
		"empty":                  {hash, "", false},
		"unknown user":           {"", "correct horse", false},
		"longer than the limit":  {hash, strings.Repeat("x", 2000), false},
		"empty and unknown user": {"", "", false},
	} {
		if ok, err := p.verify(context.Background(), c.stored, c.password); ok != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	for _, bad := range []string{"plain", "$argon2i$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA", "$argon2id$v=16$m=8,t=1,p=1$c2FsdA$aGFzaA", "$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=19$m=8,t=1,p=1$*$aGFzaGhhc2hoYXNoaGFzaA"} {
		if CheckPasswordHash(bad) == nil {
			t.Errorf("%q accepted", bad)
		}
		if ok, err := p.verify(context.Background(), bad, "x"); ok || err == nil {
			t.Errorf("%q verified: %v, %v", bad, ok, err)
		}
	}
}

func TestLoginDelayGrowsAndEnds(t *testing.T) {
	for _, c := range []struct {
		failures, counter int
		want              time.Duration
	}{
		{0, 0, 0}, {3, 0, 0}, {4, 0, time.Second}, {5, 0, 2 * time.Second}, {8, 0, 16 * time.Second}, {1000, 0, 15 * time.Minute},
		{10, 1, 0}, {11, 1, time.Second}, {1000, 1, 5 * time.Second},
	} {
		if got := loginDelay(c.failures, c.counter); got != c.want {
			t.Errorf("loginDelay(%d, %d) = %v, want %v", c.failures, c.counter, got, c.want)
		}
	}
}

func TestFailureKeysShareOneSpelling(t *testing.T) {
	a := failureKeys(CanonicalUsername(" Alice "), "203.0.113.7")
	b := failureKeys(CanonicalUsername("ALICE"), "203.0.113.99")
	if a != b {
		t.Error("two spellings of one name from one network count apart")
	}
	if c := failureKeys("alice", "203.0.114.7"); c[0] == a[0] || c[1] != a[1] {
		t.Error("another network must have its own counter, and share the person's")
	}
	if c := failureKeys("alice", "::ffff:203.0.113.7"); c != a {
		t.Error("an IPv4-mapped address counts apart")
	}
}

// U19: guesses from one address, for however many names, wait in a part of the queue only: others still log in.
func TestOneAddressDoesNotFillTheQueueOfLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPasswords()
		for range cap(p.slots) {
			p.slots <- struct{}{} // all cores are busy
		}
		answers := map[string]chan error{"203.0.113.7": make(chan error, 100), "203.0.113.8": make(chan error, 100), "2001:db8::1": make(chan error, 100)}
		login := func(ip, from string) {
			ctx := WithRequest(t.Context(), RequestContext{IP: from})
			go func() {
				_, err := p.verify(ctx, "", "guess")
				answers[ip] <- err
			}()
		}
		for i := range 40 {
			login("203.0.113.7", "203.0.113.7")
			login("2001:db8::1", fmt.Sprintf("2001:db8::%x", i+1)) // one household
		}
		synctest.Wait()
		login("203.0.113.8", "203.0.113.8")
		synctest.Wait()
		for ip, refused := range map[string]int{"203.0.113.7": 40 - hashShare, "2001:db8::1": 40 - hashShare, "203.0.113.8": 0} {
			if n := len(answers[ip]); n != refused {
				t.Errorf("%s: %d are refused at once, want %d", ip, n, refused)
			}
			for range len(answers[ip]) {
				if e := AsError(<-answers[ip]); e.Code != SlowDown || e.RetryAfter <= 0 {
					t.Errorf("%s: %v", ip, e)
				}
			}
		}
		for range cap(p.slots) {
			<-p.slots
		}
		if err := <-answers["203.0.113.8"]; err != nil {
			t.Errorf("the other one: %v", err)
		}
		for range 2 * hashShare {
			select {
			case err := <-answers["203.0.113.7"]:
				if err != nil {
					t.Error(err)
				}
			case err := <-answers["2001:db8::1"]:
				if err != nil {
					t.Error(err)
				}
			}
		}
		if len(p.waiting) != 0 {
			t.Errorf("nobody waits, but %v are counted", p.waiting)
		}
	})
}

// failureCounts are counted failures by key, all of them just now.
type failureCounts map[string]int

func (f failureCounts) Failures(_ context.Context, key string) (int, time.Time, error) {
	return f[key], time.Now(), nil
}

// U19: who has to wait anyway takes no place among those who wait for their turn with an account, or a stranger could fill these places for ever and
// keep the owner out.
func TestWhoIsDelayedTakesNoTurn(t *testing.T) {
	delayed := failureKeys("alice", "203.0.113.7")[0]
	e := NewLogin(LoginConfig{Failures: failureCounts{delayed: 9}, ServerKey: make([]byte, 32)})
	done, _ := e.turns.take("alice") // somebody's login takes its time
	defer done()
	b := Browser{ID: strings.Repeat("b", 26), IP: "203.0.113.7"}
	answer := make(chan error, 1)
	go func() {
		_, err := e.Login(t.Context(), b, LoginForm{FormToken: e.forms.make("login", b.ID), Username: "Alice", Password: "guess"})
		answer <- err
	}()
	select {
	case err := <-answer:
		if e := AsError(err); e.Code != SlowDown || e.Reason != "login_delay" || e.RetryAfter <= 0 {
			t.Errorf("%v", e)
		}
	case <-time.After(20 * time.Second): // not how fast it is, but whether it waits for the other one
		t.Error("it waits for its turn")
	}
}
