package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// worker is one person with one client who connects, rotates, revokes and disconnects, one request after the other. So at most one
// of its requests is without an answer when a fault comes, and everything else about its tokens is known.
type worker struct {
	s      *site
	client string
	person *person
	random *rand.Rand
	lines  []*line
	grant  string   // of the lines
	issues []*issue // since the last reconciliation
	lost   *lost    // the request whose outcome is unknown
	counts map[string]int
	all    *atomic.Int64 // answers of all workers
}

// line is what comes from one consent: a code, and then a chain of tokens.
type line struct {
	code     string
	redeemed bool
	ended    bool
	access   []*access
	refresh  []string // every refresh token that was acknowledged, the current one last
}

// access is an acknowledged access token.
type access struct {
	token   string
	told    claims
	revoked bool
}

// issue is one request that may issue a token.
type issue struct {
	call  *call
	event string // the audit row that it makes
	spent string // the code or refresh token that it spends; "" = none
	told  claims // of the token that was acknowledged
}

// lost is a request whose outcome is unknown.
type lost struct {
	call   *call
	event  string // the audit row that tells that it has happened; "" = it makes none
	line   *line
	access *access
	page   page
}

// errLost ends a worker's work until its unknown outcome is resolved.
var errLost = errors.New("an answer was lost")

// mostLines that live at the same time for one worker; older ones are left alone.
const mostLines = 4

// step does one thing.
func (k *worker) step() error {
	live := k.live()
	switch n := k.random.IntN(100); {
	case len(live) == 0 || n < 25:
		return k.connect()
	case n < 68:
		return k.rotate(live[k.random.IntN(len(live))])
	case n < 78:
		return k.end(live[k.random.IntN(len(live))])
	case n < 92:
		return k.revokeAccess(live[k.random.IntN(len(live))])
	}
	return k.disconnect()
}

func (k *worker) live() []*line {
	var live []*line
	for _, l := range k.lines {
		if l.redeemed && !l.ended {
			live = append(live, l)
		}
	}
	return live
}

// done looks at how a call has ended: as wanted, lost, or wrong.
func (k *worker) done(c *call, status int, unknown lost) error {
	k.counts[c.what]++
	if c.lost() {
		k.counts["lost "+c.what]++
		unknown.call = c
		k.lost = &unknown
		return errLost
	}
	k.all.Add(1)
	return c.want(status)
}

// connect makes a line; one in six keeps its code for later.
func (k *worker) connect() error {
	at, err := k.person.begin(k.client)
	if u := (*unexpected)(nil); errors.As(err, &u) && u.call.lost() {
		return k.done(u.call, 0, lost{})
	} else if err != nil {
		return err
	}
	c := k.person.allow(at)
	if err := k.done(c, http.StatusSeeOther, lost{event: "consent", page: at}); err != nil {
		return err
	}
	l := &line{}
	if l.code, err = codeOf(c); err != nil {
		return err
	}
	k.lines = append(k.lines, l)
	if n := len(k.lines) - mostLines; n > 0 {
		k.lines = slices.Delete(k.lines, 0, n)
	}
	if k.random.IntN(6) == 0 {
		return nil
	}
	return k.redeem(l)
}

// redeem exchanges a line's code.
func (k *worker) redeem(l *line) error {
	c := k.s.exchange(k.client, l.code)
	i := &issue{call: c, event: "token.issued", spent: l.code}
	k.issues = append(k.issues, i)
	l.redeemed = true
	if err := k.done(c, http.StatusOK, lost{event: i.event, line: l}); err != nil {
		return err
	}
	return k.take(l, i)
}

// rotate uses a line's refresh token.
func (k *worker) rotate(l *line) error {
	if len(l.refresh) == 0 {
		return k.redeem(l)
	}
	return k.rotateAs(l, "token.refreshed")
}

// rotateAs uses a line's refresh token and expects one kind of audit row.
func (k *worker) rotateAs(l *line, event string) error {
	current := l.refresh[len(l.refresh)-1]
	c := k.s.refresh(k.client, current)
	i := &issue{call: c, event: event}
	if event == "token.refreshed" {
		i.spent = current
	}
	k.issues = append(k.issues, i)
	if err := k.done(c, http.StatusOK, lost{event: i.event, line: l}); err != nil {
		return err
	}
	return k.take(l, i)
}

// take notes what an answer brought.
func (k *worker) take(l *line, i *issue) (err error) {
	token, next := i.call.text("access_token"), i.call.text("refresh_token")
	if i.told, err = claimsOf(token); err != nil || next == "" {
		return fmt.Errorf("%w: %w", errors.Join(err, errors.New("want two tokens")), &unexpected{i.call})
	}
	l.access = append(l.access, &access{token: token, told: i.told})
	if !slices.Contains(l.refresh, next) {
		l.refresh = append(l.refresh, next)
	}
	k.grant = i.told.Grant
	return nil
}

// end revokes a line's refresh token and so the whole line.
func (k *worker) end(l *line) error {
	if len(l.refresh) == 0 {
		return k.redeem(l)
	}
	c := k.s.revoke(k.client, l.refresh[len(l.refresh)-1])
	if err := k.done(c, http.StatusOK, lost{event: "token.revoked", line: l}); err != nil {
		return err
	}
	l.ended = true
	return nil
}

// revokeAccess revokes one access token and nothing else.
func (k *worker) revokeAccess(l *line) error {
	if len(l.access) == 0 {
		return k.redeem(l)
	}
	a := l.access[k.random.IntN(len(l.access))]
	if a.revoked {
		return nil
	}
	c := k.s.revoke(k.client, a.token)
	c.what = "revoke access"
	if err := k.done(c, http.StatusOK, lost{event: "token.revoked", access: a}); err != nil {
		return err
	}
	a.revoked = true
	return nil
}

// disconnect ends the grant with all lines, and codes that were not redeemed.
func (k *worker) disconnect() error {
	c := k.person.disconnect(k.grant)
	if c.what != "disconnect" { // the page before the form
		return k.done(c, http.StatusOK, lost{})
	}
	if err := k.done(c, http.StatusSeeOther, lost{event: "grant.ended"}); err != nil {
		return err
	}
	k.endAll()
	return nil
}

func (k *worker) endAll() {
	for _, l := range k.lines {
		l.ended = true
	}
}

// crew is all workers of one server, and what is known of its audit.
type crew struct {
	s       *site
	workers []*worker
	random  *rand.Rand
	seen    int64          // the last audit row that was looked at
	spent   map[string]int // how often a code or refresh token was spent, by the audit
	after   map[string]int // lost requests that had happened, by kind
	answers atomic.Int64
}

func newCrew(s *site, size int) *crew {
	seed := randomSeed(s.t)
	c := &crew{s: s, random: rand.New(rand.NewPCG(seed, 0)), spent: map[string]int{}, after: map[string]int{}}
	for i := range size {
		client := []string{"cli", "cli", "web"}[i%3]
		c.workers = append(c.workers, &worker{s: s, client: client, person: s.person(i), random: rand.New(rand.NewPCG(seed, uint64(i+1))), counts: map[string]int{}, all: &c.answers})
	}
	return c
}

// each lets all workers do something at the same time and reports what went wrong.
func (c *crew) each(t testing.TB, do func(*worker) error) {
	t.Helper()
	var all sync.WaitGroup
	for _, k := range c.workers {
		all.Go(func() {
			if err := do(k); err != nil {
				t.Errorf("%s with %s: %v", k.person.name, k.client, err)
			}
		})
	}
	all.Wait()
}

// mostSteps of a worker without a lost answer: more would be no fault at all.
const mostSteps = 5000

// work lets all workers go on until stop is closed, or until the answer of each is lost.
func (c *crew) work(t testing.TB, stop <-chan struct{}) {
	t.Helper()
	c.each(t, func(k *worker) error {
		for range mostSteps {
			select {
			case <-stop:
				return nil
			default:
			}
			k.person.from = fmt.Sprintf("10.%d.%d.1", 20+k.random.IntN(200), k.random.IntN(250))
			switch err := k.step(); {
			case errors.Is(err, errLost):
				return nil
			case err != nil:
				return err
			}
		}
		return errors.New("it went on and on")
	})
}

// until lets all workers go on and does something to the server after so many answers, and a random moment. It returns
// when that is done.
func (c *crew) until(t testing.TB, answers int, end func()) {
	t.Helper()
	stop := make(chan struct{})
	target := c.answers.Load() + int64(answers)
	go func() {
		defer close(stop)
		for deadline := time.Now().Add(time.Minute); c.answers.Load() < target && time.Now().Before(deadline); {
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Duration(c.random.IntN(3000)) * time.Microsecond)
		end()
	}()
	c.work(t, stop)
	<-stop
}

// total sums the workers' counts.
func (c *crew) total() map[string]int {
	sum := map[string]int{}
	for _, k := range c.workers {
		for what, n := range k.counts {
			sum[what] += n
		}
	}
	return sum
}
