package oauth

import (
	"context"
	"slices"
	"sync"
	"time"
)

// MaxUsageWindow is how far back calls are counted.
const MaxUsageWindow = 31 * 24 * time.Hour

// UsageReader counts the calls of a tool that were allowed to a holder at or after a time, in whole seconds.
type UsageReader interface {
	Usage(ctx context.Context, holder, tool string, since time.Time) (int64, error)
}

// UsageSeen is one count that a decision stands on.
type UsageSeen struct {
	Since time.Time
	Calls int64
}

// uses counts the calls of one tool for one decision, and keeps what it told. Policies are answered the same as often as they ask.
type uses struct {
	reader       UsageReader
	holder, tool string
	at           time.Time

	mu    sync.Mutex
	seen  []UsageSeen
	own   bool  // this call is counted, or about to be
	fault error // of the storage
}

// usesFor are those of a call. Calls are counted by grant; a token without one by its client, subject and server.
func (d *Decider) usesFor(c *call) *uses {
	u := &uses{reader: d.cfg.Usage, holder: c.claims.GrantID, at: c.out.Context.EvaluatedAt}
	if u.holder == "" {
		u.holder = c.claims.ClientID + "\n" + c.claims.Subject + "\n" + c.e.Caller.ID
	}
	if c.e.Tool != nil {
		u.tool = c.e.Tool.Name
	}
	return u
}

// count is Evaluation.Usage. What is no call of a tool has no calls. Shadow policies may ask after the call was counted; it is not one of those
// before it.
func (u *uses) count(ctx context.Context, window time.Duration) (int64, error) {
	if u.tool == "" {
		return 0, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	since := u.at.Add(-window)
	if i := slices.IndexFunc(u.seen, func(s UsageSeen) bool { return s.Since.Equal(since) }); i >= 0 {
		return u.seen[i].Calls, nil
	}
	calls, err := u.reader.Usage(ctx, u.holder, u.tool, since)
	looking, _ := ctx.Value(onlyLooking{}).(bool)
	if err != nil {
		if !looking {
			u.fault = err
		}
		return 0, err
	}
	if u.own && calls > 0 {
		calls--
	}
	if looking {
		return calls, nil
	}
	u.seen = append(u.seen, UsageSeen{Since: since, Calls: calls})
	return calls, nil
}

type onlyLooking struct{}

// OnlyLooking marks a context in which Evaluation.Usage is asked by policies whose answer nobody gets: no decision stands on what they see,
// and none fails with them.
func OnlyLooking(ctx context.Context) context.Context {
	return context.WithValue(ctx, onlyLooking{}, true)
}

// failed is the storage's fault, if a count could not be read: then nobody can say what the policies would have said.
func (u *uses) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fault
}

// counted is the change that counts this call.
func (u *uses) counted() CountUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.own = true
	return CountUse{Holder: u.holder, Tool: u.tool, At: u.at, Seen: slices.Clone(u.seen)}
}

// maxCounting calls of one tool under one grant may wait until they can be counted.
const maxCounting = 1000

// place is that of one request among the calls of one tool under one grant. They are counted one after the other: parallel ones would else
// all see the same count, and all but one would have decided in vain.
type place struct{ done func() }

// take waits for the place, once for all tries of a request.
func (p *place) take(t *turns, u *uses) error {
	if p.done != nil {
		return nil
	}
	done, ok := t.take(u.holder + "\n" + u.tool)
	if !ok {
		return TemporarilyUnavailable.Errorf("too many calls of this tool wait for their answer; try again").After(time.Second)
	}
	p.done = done
	return nil
}

// leave lets the next one go on.
func (p *place) leave() {
	if p.done != nil {
		p.done()
		p.done = nil
	}
}

// countUses lets the policies ask how often the tool was called, and waits until nobody else is about to change that.
func (c *call) countUses() error {
	if c.d.cfg.Usage == nil {
		return nil
	}
	c.uses = c.d.usesFor(c)
	c.e.Usage = c.uses.count
	if c.e.Tool == nil || !c.d.cfg.Policy.CountsUse() {
		return nil
	}
	return c.place.take(c.d.turns, c.uses)
}

// overtaken denies a call whose count was another one at every commit: a call that nobody could count is not allowed.
func (c *call) overtaken(ctx context.Context) (*EvaluationResponse, error) {
	c.deny("usage_overtaken", "Other calls of this tool were faster and changed how many there were; try again.")
	c.out.Context.Obligations, c.out.Context.TTLSeconds = nil, 0
	if err := c.d.cfg.Ledger.Commit(ctx, c.event); err != nil {
		return nil, err
	}
	return &c.out, nil
}
