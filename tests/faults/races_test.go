package faults

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// crowd is how many clients want one thing at once.
const crowd = 100

// together runs n calls that start at the same moment.
func together(n int, do func(i int) *call) []*call {
	calls := make([]*call, n)
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-gate
			calls[i] = patiently(func() *call { return do(i) })
		})
	}
	close(gate)
	all.Wait()
	return calls
}

// patiently repeats a call that an overloaded server turned away, as Retry-After says. That it was turned away means that
// it has changed nothing; so this is one more contender and no other race.
func patiently(do func() *call) *call {
	c := do()
	for range 50 {
		if c.err != nil || c.status != http.StatusServiceUnavailable && c.status != http.StatusTooManyRequests || c.header.Get("Retry-After") == "" {
			break
		}
		time.Sleep(200 * time.Millisecond)
		c = do()
	}
	return c
}

// race is one kind of race: every round makes something and lets a crowd have it.
type race struct {
	s      *site
	person *person
}

// inRounds repeats a race.
func inRounds(t *testing.T, round func(race) error) {
	s := newSite(t, 1)
	p := s.start()
	r := race{s, s.person(0)}
	n := number("rounds")
	for i := range n {
		r.person.from = fmt.Sprintf("10.2.%d.%d", i/250, i%250+1)
		if err := round(r); err != nil {
			t.Fatalf("round %d of %d: %v", i+1, n, err)
		}
	}
	s.verify()
	p.stop()
	t.Logf("%d rounds of %d", n, crowd)
}

// grouped counts the answers by status, error and reason.
func grouped(calls []*call) map[string]int {
	kinds := map[string]int{}
	for _, c := range calls {
		kind := fmt.Sprintf("%d %s %s", c.status, c.text("error"), c.text("error_description"))
		if c.err != nil {
			kind = c.err.Error()
		}
		kinds[kind]++
	}
	return kinds
}

func sameCounts(got, want map[string]int) error {
	if fmt.Sprint(got) != fmt.Sprint(want) { // maps are printed in order
		return fmt.Errorf("answers %v, want %v", got, want)
	}
	return nil
}

// dead is nil when an access token of the answer is not active and its refresh token is refused.
func (r race) dead(client string, c *call) error {
	active, err := r.s.active(c.text("access_token"))
	switch {
	case err != nil:
		return err
	case active:
		return fmt.Errorf("the access token lives: %s", c)
	}
	return r.s.refresh(client, c.text("refresh_token")).refused(400, "invalid_grant")
}

const (
	codeReplayed  = "400 invalid_grant the code was redeemed before; every token that came from it has been revoked"
	refreshReused = "400 invalid_grant the refresh token was used before; every token of this login has been revoked"
	familyEnded   = "400 invalid_grant the refresh token was revoked"
	success       = "200  "
)

// TestAHundredRedeemOneCode: C7, then C5: the losers' valid replays end what the winner got.
func TestAHundredRedeemOneCode(t *testing.T) {
	for _, client := range []string{"cli", "web"} {
		t.Run(client, func(t *testing.T) {
			inRounds(t, func(r race) error {
				code, err := r.person.code(client)
				if err != nil {
					return err
				}
				calls := together(crowd, func(int) *call { return r.s.exchange(client, code) })
				if err := sameCounts(grouped(calls), map[string]int{success: 1, codeReplayed: crowd - 1}); err != nil {
					return err
				}
				for _, c := range calls {
					if c.status == http.StatusOK {
						return r.dead(client, c)
					}
				}
				return errors.New("no winner")
			})
		})
	}
}

// TestAHundredRefreshWithAReuseWindow: T2, T5: one successor, and everybody gets it; each access token works.
func TestAHundredRefreshWithAReuseWindow(t *testing.T) {
	inRounds(t, func(r race) error {
		code, err := r.person.code("cli")
		if err != nil {
			return err
		}
		first := r.s.exchange("cli", code).text("refresh_token")
		calls := together(crowd, func(int) *call { return r.s.refresh("cli", first) })
		if err := sameCounts(grouped(calls), map[string]int{success: crowd}); err != nil {
			return err
		}
		jtis := map[string]bool{}
		for _, c := range calls {
			if got := c.text("refresh_token"); got == "" || got == first || got != calls[0].text("refresh_token") {
				return fmt.Errorf("successors %q and %q of %q", got, calls[0].text("refresh_token"), first)
			}
			told, err := claimsOf(c.text("access_token"))
			if err != nil || jtis[told.JTI] {
				return fmt.Errorf("access token %v: %w", told, err)
			}
			jtis[told.JTI] = true
		}
		for _, c := range []*call{calls[0], calls[crowd/2], calls[crowd-1]} {
			if active, err := r.s.active(c.text("access_token")); err != nil || !active {
				return fmt.Errorf("active %v, %v: %s", active, err, c)
			}
		}
		next := r.s.refresh("cli", calls[0].text("refresh_token"))
		if err := next.want(200); err != nil {
			return err
		}
		// The window is closed once the successor was used (T3): now the same token is reuse.
		if err := sameCounts(grouped([]*call{r.s.refresh("cli", first)}), map[string]int{refreshReused: 1}); err != nil {
			return err
		}
		return r.dead("cli", next)
	})
}

// TestAHundredRefreshWithoutAReuseWindow: a confidential client has no window, so all but one are reuse and end the family.
func TestAHundredRefreshWithoutAReuseWindow(t *testing.T) {
	inRounds(t, func(r race) error {
		code, err := r.person.code("web")
		if err != nil {
			return err
		}
		first := r.s.exchange("web", code).text("refresh_token")
		calls := together(crowd, func(int) *call { return r.s.refresh("web", first) })
		kinds := grouped(calls)
		// Who comes after the family has ended hears that; who read the used token before hears of the reuse.
		if kinds[success] != 1 || kinds[refreshReused] < 1 || kinds[refreshReused]+kinds[familyEnded] != crowd-1 {
			return fmt.Errorf("answers %v", kinds)
		}
		for _, c := range calls {
			if c.status == http.StatusOK {
				return r.dead("web", c)
			}
		}
		return errors.New("no winner")
	})
}

// TestRefreshesRaceWithARevocation: T4: once the revocation is acknowledged nothing of the family works, whoever won.
func TestRefreshesRaceWithARevocation(t *testing.T) {
	inRounds(t, func(r race) error {
		code, err := r.person.code("cli")
		if err != nil {
			return err
		}
		first := r.s.exchange("cli", code)
		token := first.text("refresh_token")
		calls := together(20, func(i int) *call {
			if i == 10 {
				return r.s.revoke("cli", token)
			}
			return r.s.refresh("cli", token)
		})
		kinds := grouped(calls)
		if kinds[success]+kinds[familyEnded] != len(calls) || calls[10].status != 200 {
			return fmt.Errorf("answers %v", kinds)
		}
		for i, c := range append(calls, first) {
			if c.status == http.StatusOK && i != 10 {
				if err := r.dead("cli", c); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// TestRedemptionsRaceWithADisconnection: once the person has disconnected the agent no code and no token of the grant works.
func TestRedemptionsRaceWithADisconnection(t *testing.T) {
	inRounds(t, func(r race) error {
		code, err := r.person.code("cli")
		if err != nil {
			return err
		}
		told, err := claimsOf(r.s.exchange("cli", code).text("access_token"))
		if err != nil {
			return err
		}
		var codes []string
		for range 8 {
			if code, err = r.person.code("cli"); err != nil {
				return err
			}
			codes = append(codes, code)
		}
		calls := together(len(codes)+1, func(i int) *call {
			if i == len(codes) {
				return r.person.disconnect(told.Grant)
			}
			return r.s.exchange("cli", codes[i])
		})
		if err := calls[len(codes)].want(http.StatusSeeOther); err != nil {
			return err
		}
		for _, c := range calls[:len(codes)] {
			if c.status == http.StatusOK {
				err = r.dead("cli", c)
			} else {
				err = c.refused(400, "invalid_grant")
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// TestManyClicksOnOneConsent: the page may be sent by a hundred clicks; all lead to one code.
func TestManyClicksOnOneConsent(t *testing.T) {
	inRounds(t, func(r race) error {
		at, err := r.person.begin("cli")
		if err != nil {
			return err
		}
		codes := map[string]bool{}
		for _, c := range together(crowd, func(int) *call { return r.person.allow(at) }) {
			code, err := codeOf(c)
			if err != nil {
				return err
			}
			codes[code] = true
		}
		if len(codes) != 1 {
			return fmt.Errorf("%d codes", len(codes))
		}
		return nil
	})
}
