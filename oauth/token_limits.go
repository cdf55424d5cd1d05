package oauth

import (
	"context"
	"time"
)

// Limits of the token endpoint (DESIGN §9, "lockout"): per client, family or grant, and never per address, because hosted clients share few of them.
const (
	wrongCodes    = 20  // per client in a minute; three times as many at once
	refreshBurst  = 300 // per family at once: agents that share a login all refresh when its token has run out
	refreshes     = 60  // per family in a minute
	refusals      = 6   // by policy, per family or grant in a minute; five times as many at once
	limitedKeys   = 20_000
	alarmInterval = 10 * time.Minute // one audit row of the same limit in this time
	limitedClient = 4_096            // clients and families whose last alarm is remembered
)

// tokenLimits slow down what cannot be a client at work. A public client only names itself, so everybody can use up what is counted for it:
// therefore nothing that is right is refused for what was wrong before. What is limited is the answer to wrong requests, and how often one login may
// ask, which only its owner and a thief can. A refresh token that is unknown is no guess but a client that was forgotten
// here; it must always hear invalid_grant, or it would never begin anew.
type tokenLimits struct {
	codes     *Limiter // codes and verifiers that a client got wrong
	refreshes *Limiter // refreshes of a family
	refusals  *Limiter // what policy refused to a family or a grant
	alarms    *Limiter
}

func newTokenLimits() *tokenLimits {
	return &tokenLimits{codes: NewLimiter(wrongCodes, time.Minute, 3*wrongCodes, limitedKeys), refreshes: NewLimiter(refreshes, time.Minute, refreshBurst, limitedKeys),
		refusals: NewLimiter(refusals, time.Minute, 5*refusals, limitedKeys), alarms: newAlarms()}
}

// newAlarms lets one alarm of a key through in its window.
func newAlarms() *Limiter { return NewLimiter(1, alarmInterval, 1, limitedClient) }

// wrong slows down the answers to guesses. What a wrong verifier costs its code, it costs beyond the limit, too.
func (l *tokenLimits) wrong(ctx context.Context, c *Client, err error) error {
	e := AsError(err)
	switch e.Reason {
	case "code_unknown", "code_of_another_client", "pkce_mismatch":
	default:
		return err
	}
	ok, after := l.codes.Allow(c.ID)
	if ok {
		return err
	}
	slow := SlowDown.Errorf("too many wrong codes; wait before the next one").For("code_limited").After(after)
	return slow.Costing(e.Costs()...).Costing(alarm(ctx, l.alarms, "code "+c.ID, Event{ClientID: c.ID, Reason: slow.Reason})...)
}

// proven counts what a family asks for. It costs nothing beyond the limit but one alarm: nothing is rotated, so the client's
// token stays good.
func (l *tokenLimits) proven(ctx context.Context, a *Authorization) error {
	if a.Stage != StageRefresh {
		return nil
	}
	ok, after := l.refreshes.Allow(a.Family.ID)
	if ok {
		return nil
	}
	return l.slowed(ctx, a, a.Family.ID, "refresh_limited", "this login refreshes too often; use the access token until it expires", after)
}

// refused passes a refusal by policy on, with its row, some times a minute. One that ends the grant always passes.
func (l *tokenLimits) refused(ctx context.Context, a *Authorization, d ScopeDecision, e *Error) error {
	key := ""
	switch {
	case d.EndGrant:
		return a.refused(ctx, d, e)
	case a.Stage == StageRefresh:
		key = a.Family.ID
	case a.Grant != nil:
		key = a.Grant.ID
	}
	if ok, after := l.refusals.Allow(key); !ok {
		return l.slowed(ctx, a, key, "refusals_limited", "this was refused many times; wait before the next try", after)
	}
	return a.refused(ctx, d, e)
}

func (l *tokenLimits) slowed(ctx context.Context, a *Authorization, key, reason, text string, after time.Duration) error {
	ev := a.row(ctx, ScopeDecision{})
	ev.Reason = reason
	if a.Stage != StageRefresh {
		ev.FamilyID = "" // it is none before the code is redeemed
	}
	return SlowDown.Errorf("%s", text).For(reason).After(after).Costing(alarm(ctx, l.alarms, reason+" "+key, ev)...)
}

// alarm is the audit row of a limit that was reached: one in a window, so that nobody fills the audit by pushing against it.
func alarm(ctx context.Context, alarms *Limiter, key string, ev Event) []Change {
	if ok, _ := alarms.Allow(key); !ok {
		return nil
	}
	rc := RequestFrom(ctx)
	ev.Time, ev.Type, ev.Outcome, ev.IP, ev.RequestID = rc.Time, EventTokenLimited, OutcomeDenied, rc.IP, rc.RequestID
	return []Change{ev}
}
