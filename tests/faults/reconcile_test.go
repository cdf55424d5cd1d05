package faults

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
)

// randomSeed is the seed flag, or a new seed; it is logged so that a run can be repeated.
func randomSeed(t testing.TB) uint64 {
	seed := seedFlag()
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	return seed
}

// reconcile compares what the workers know with the audit and with what the server says now.
func (c *crew) reconcile(t testing.TB) {
	t.Helper()
	rows := map[string][]row{}
	issued := map[string]bool{} // request ids of rows that tell of an issued token
	for _, r := range c.s.audit(c.seen) {
		if r.Seq != c.seen+1 {
			t.Errorf("audit row %d follows row %d", r.Seq, c.seen)
		}
		c.seen = r.Seq
		rows[r.RequestID] = append(rows[r.RequestID], r)
		if r.JTI != "" && r.Type != "token.revoked" {
			issued[r.RequestID] = true
		}
	}
	for _, k := range c.workers {
		for _, i := range k.issues {
			delete(issued, i.call.id)
			if err := c.compare(i, rows[i.call.id]); err != nil {
				t.Errorf("%s: %v", k.person.name, err)
			}
		}
		k.issues = nil
	}
	for id := range issued {
		t.Errorf("a token was issued that nobody asked for: %+v", rows[id])
	}
	for what, n := range c.spent {
		if n > 1 {
			t.Errorf("%s was spent %d times", what, n)
		}
	}
	for _, k := range c.workers {
		if k.lost != nil && k.lost.event != "" && has(rows[k.lost.call.id], k.lost.event) {
			c.after[k.lost.call.what]++
		}
	}
	c.each(t, func(k *worker) error {
		if err := k.resolve(rows); err != nil {
			return fmt.Errorf("after a lost answer: %w", err)
		}
		return k.check()
	})
}

func has(rows []row, event string) bool {
	for _, r := range rows {
		if r.Type == event && r.Outcome == "ok" {
			return true
		}
	}
	return false
}

// compare checks that a request has exactly the audit rows that its answer claims: one for a token that was acknowledged, none for a
// refusal, at most one when the answer was lost.
func (c *crew) compare(i *issue, rows []row) error {
	var found []row
	for _, r := range rows {
		if r.JTI != "" {
			found = append(found, r)
		}
	}
	switch {
	case len(found) > 1:
		return fmt.Errorf("%d audit rows for one token: %+v", len(found), found)
	case len(found) == 1 && i.spent != "" && found[0].Type == i.event:
		c.spent[i.spent]++
	}
	switch {
	case i.call.lost() && (len(found) == 0 || found[0].Type == i.event):
		return nil
	case i.call.lost():
		return fmt.Errorf("the lost %s made the row %+v", i.call.what, found[0])
	case i.call.status != http.StatusOK && len(found) == 0:
		return nil
	case i.call.status != http.StatusOK:
		return fmt.Errorf("a refused request issued a token: %+v %s", found[0], i.call)
	case len(found) == 0:
		return fmt.Errorf("a token without audit row: %+v", i.told)
	}
	want := row{Type: i.event, Outcome: "ok", Subject: i.told.Subject, Client: i.told.Client, Grant: i.told.Grant, Family: i.told.Family, JTI: i.told.JTI, RequestID: i.call.id}
	got := found[0]
	got.Seq, got.Username = 0, ""
	if got != want {
		return fmt.Errorf("audit row %+v, want %+v", got, want)
	}
	return nil
}

// resolve finds out what became of the lost request: exactly what its audit row says.
func (k *worker) resolve(rows map[string][]row) error {
	l := k.lost
	if l == nil {
		return nil
	}
	k.lost = nil
	happened := l.event != "" && has(rows[l.call.id], l.event)
	switch {
	case l.event == "consent":
		return k.resolveConsent(l, happened)
	case l.event == "token.issued":
		return k.resolveExchange(l, happened)
	case l.event == "token.refreshed" && happened && k.client == "web":
		return k.reused(l.line) // without a window a retry is reuse
	case l.event == "token.refreshed" && happened:
		return k.rotateAs(l.line, "token.retried")
	case l.event == "token.refreshed", l.event == "token.retried":
		return k.rotateAs(l.line, l.event)
	case l.event == "token.revoked" && l.access != nil:
		l.access.revoked = happened
	case l.event == "token.revoked":
		l.line.ended = happened
	case l.event == "grant.ended" && happened:
		k.endAll()
	}
	return nil
}

// resolveConsent: an answered page is gone, an unanswered one still asks.
func (k *worker) resolveConsent(l *lost, happened bool) error {
	c := k.person.get("consent page", l.page.path)
	if happened {
		return c.want(http.StatusBadRequest)
	}
	return c.want(http.StatusOK)
}

// resolveExchange: a spent code is refused, and that ends what it had brought; an unspent one still works.
func (k *worker) resolveExchange(l *lost, happened bool) error {
	if !happened {
		return k.redeem(l.line)
	}
	l.line.ended = true
	return k.replay(l.line)
}

// replay presents a spent code again.
func (k *worker) replay(l *line) error {
	c := k.s.exchange(k.client, l.code)
	k.issues = append(k.issues, &issue{call: c, event: "token.issued", spent: l.code})
	return c.refused(http.StatusBadRequest, "invalid_grant")
}

// reused presents the current refresh token of a line, which the server has rotated already.
func (k *worker) reused(l *line) error {
	l.ended = true
	return k.refuses(l.refresh[len(l.refresh)-1])
}

// refuses presents a refresh token that must not work.
func (k *worker) refuses(token string) error {
	c := k.s.refresh(k.client, token)
	k.issues = append(k.issues, &issue{call: c, event: "token.refreshed", spent: token})
	return c.refused(http.StatusBadRequest, "invalid_grant")
}

// check asks the server about everything that the worker knows.
func (k *worker) check() error {
	for _, l := range k.lines {
		if err := k.checkAccess(l); err != nil {
			return err
		}
		if err := k.checkLine(l); err != nil {
			return err
		}
	}
	if k.random.IntN(2) == 0 {
		return nil
	}
	live := k.live()
	if len(live) == 0 {
		return nil
	}
	if err := k.provoke(live[0]); err != nil { // what was spent stays spent, and presenting it again ends the line
		return err
	}
	return k.checkAccess(live[0])
}

func (k *worker) checkAccess(l *line) error {
	for _, a := range l.access {
		active, err := k.s.active(a.token)
		if err != nil {
			return err
		}
		if want := !l.ended && !a.revoked; active != want {
			return fmt.Errorf("token %s of line %s: active is %v, want %v (ended %v, revoked %v)", a.told.JTI, a.told.Family, active, want, l.ended, a.revoked)
		}
	}
	return nil
}

func (k *worker) checkLine(l *line) error {
	switch {
	case !l.redeemed && l.ended:
		l.redeemed = true
		return k.replay(l) // the grant has ended: the code is worth nothing
	case !l.redeemed:
		return k.redeem(l)
	case l.ended && len(l.refresh) > 0:
		return k.refuses(l.refresh[len(l.refresh)-1])
	case l.ended:
		return nil
	}
	if n := len(l.refresh); n > 1 && k.client == "cli" {
		if err := k.retry(l, l.refresh[n-2]); err != nil {
			return err
		}
	}
	return k.rotate(l)
}

// retry presents the parent of the current refresh token: the reuse window gives the same successor once more.
func (k *worker) retry(l *line, parent string) error {
	c := k.s.refresh(k.client, parent)
	i := &issue{call: c, event: "token.retried"}
	k.issues = append(k.issues, i)
	if err := c.want(http.StatusOK); err != nil {
		return err
	}
	if got, want := c.text("refresh_token"), l.refresh[len(l.refresh)-1]; got != want {
		return fmt.Errorf("the retry got the successor %s, want %s", got, want)
	}
	return k.take(l, i)
}

// provoke presents what a live line has spent.
func (k *worker) provoke(l *line) error {
	l.ended = true
	if n := len(l.refresh); n > 2 {
		return k.refuses(l.refresh[n-3])
	}
	return k.replay(l)
}
