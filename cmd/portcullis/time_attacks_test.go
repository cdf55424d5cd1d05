package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// guess posts a password on the login page of a request that was begun.
func (c *clock) guess(path, formToken, name, password string) *answer {
	return c.do(http.MethodPost, path+"/login", url.Values{"form_token": {formToken}, "username": {name}, "password": {password}})
}

// spellings are one user name.
func spellings() []string {
	return []string{"alice", "ALICE", " alice", "Alice\t", "ａｌｉｃｅ", "\u00a0aLiCe\u2003"}
}

// storm guesses n times at once and counts the guesses that were looked at. All others must have been turned away.
func (c *clock) storm(n int) (tried int) {
	c.t.Helper()
	path, formToken := c.page(c.begin())
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			a := c.guess(path, formToken, spellings()[i%len(spellings())], fmt.Sprint("guess ", i))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.status == http.StatusForbidden:
				tried++
			case a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "":
				c.t.Errorf("a guess gets %d %v", a.status, a.header)
			}
		})
	}
	wait.Wait()
	return tried
}

// U19: of two thousand guesses at one moment, in every spelling, exactly as many are tried as the limit allows; then one after each
// delay. From many places together it is no better, and the owner is never locked out.
func TestParallelGuessesAreCountedExactly(t *testing.T) {
	inBubble(t, func(c *clock) {
		if got := c.storm(2000); got != 4 { // three failures are free, the fourth begins the delay
			t.Errorf("%d guesses were tried at once, want 4", got)
		}
		for _, delay := range []time.Duration{1, 2, 4} {
			time.Sleep(delay*time.Second - time.Millisecond)
			if got := c.storm(50); got != 0 {
				t.Errorf("before %d s have passed %d guesses were tried", delay, got)
			}
			time.Sleep(time.Millisecond)
			if got := c.storm(50); got != 1 {
				t.Errorf("after %d s %d guesses were tried, want 1", delay, got)
			}
		}
		tried := 0
		for i := range 20 { // 7 failures so far; a person has 10 free ones from all places together
			c.from = fmt.Sprintf("10.0.%d.1", i)
			tried += c.storm(5)
		}
		if tried != 4 {
			t.Errorf("from twenty other places %d guesses were tried, want 4", tried)
		}
		time.Sleep(5 * time.Second) // the longest delay for a person whom strangers attack
		c.from = "192.0.2.7"
		path, formToken := c.page(c.begin())
		if a := c.guess(path, formToken, "alice", timePassword); a.status != http.StatusSeeOther {
			t.Errorf("the owner at another place does not get in: %d", a.status)
		}
	})
}

// U18: guesses at a name that exists, that does not, and that is disabled are slowed down alike: same statuses, same waits, same pages.
func TestUnknownNamesAreSlowedDownAlike(t *testing.T) {
	inBubble(t, func(c *clock) {
		session := regexp.MustCompile(`name="form_token" value="[^"]*"|/ui/i/[A-Z2-7]+|request_id|value="(alice|nobody|zelda)"`)
		try := func(name string) (shape []string) {
			path, formToken := c.page(c.begin())
			for i := range 9 {
				if i == 6 {
					time.Sleep(2 * time.Second)
				}
				a := c.guess(path, formToken, name, "guess")
				shape = append(shape, fmt.Sprint(a.status, " ", a.header.Get("Retry-After"), " ", session.ReplaceAllString(a.body.String(), "")))
			}
			return shape
		}
		if err := (people{c.parts.store}).disable(t.Context(), c.disabled()); err != nil {
			t.Fatal(err)
		}
		known := try("alice")
		if !strings.HasPrefix(known[3], "403") || !strings.HasPrefix(known[4], "429 1") {
			t.Fatalf("the fourth and fifth guess get %.20s and %.20s", known[3], known[4])
		}
		for _, name := range []string{"nobody", "zelda"} {
			for i, got := range try(name) {
				if got != known[i] {
					t.Errorf("guess %d at %s:\n%s\nat alice:\n%s", i, name, got, known[i])
				}
			}
		}
	})
}

// disabled adds zelda, who is about to be disabled, and returns her name.
func (c *clock) disabled() string {
	c.t.Helper()
	user, err := (people{c.parts.store}).add(c.t.Context(), "zelda", nil, string(c.parts.config.Users[0].PasswordHash))
	if err != nil {
		c.t.Fatal(err)
	}
	return user.Name
}

// I3: a token that has expired is to its server exactly what a token that never was is: status, headers and body.
func TestAnExpiredTokenIsNoOtherThanGarbage(t *testing.T) {
	inBubble(t, func(c *clock) {
		tokens := c.redeem(c.code())
		if got := c.introspection(tokens.Access); !strings.Contains(got, `"active":true`) {
			t.Fatalf("before its end: %s", got)
		}
		if got := c.decision(tokens.Access); !strings.Contains(got, `"decision":true`) {
			t.Fatalf("before its end: %s", got)
		}
		time.Sleep(10*time.Minute + time.Second)
		garbage := c.introspection("garbage")
		for name, token := range map[string]string{"expired": tokens.Access, "a refresh token": tokens.Refresh, "an unknown one": strings.Repeat("A", 52)} {
			if got := c.introspection(token); got != garbage {
				t.Errorf("I3 %s:\n%s\nwant\n%s", name, got, garbage)
			}
		}
		// I5: that the answer for this call is remembered changes nothing.
		if got := c.decision(tokens.Access); !strings.Contains(got, `"decision":false`) || !strings.Contains(got, `"reason":"invalid_token"`) {
			t.Errorf("I5: a remembered answer outlives its token: %s", got)
		}
	})
}

// introspection is everything that the resource server gets to see of an answer, except for the id of the request.
func (c *clock) introspection(token string) string {
	c.t.Helper()
	a := c.do(http.MethodPost, "/introspect", url.Values{"token": {token}}, "Authorization", "Bearer a resource secret")
	a.header.Del("X-Request-Id")
	return fmt.Sprint(a.status, a.header, a.body.String())
}

// decision asks whether the tool notes may be called.
func (c *clock) decision(token string) string {
	c.t.Helper()
	body := `{"action":{"name":"tools/call"},"resource":{"type":"tool","id":"notes"},"context":{"access_token":"` + token + `"}}`
	return c.send(http.MethodPost, "/access/v1/evaluation", body, "Content-Type", "application/json", "Authorization", "Bearer a resource secret").body.String()
}
