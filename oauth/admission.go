package oauth

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// unusedTTL is how long a client stays that registered itself and never obtained a token, unless policy says otherwise.
const unusedTTL = 24 * time.Hour

// maxClientNameBytes bounds what a client calls itself.
const maxClientNameBytes = 200

// admitClient asks policy.clients about a client that registers itself or presents its document. Private-use redirect URIs stay only if
// policy lists them (allow_redirect) and the client is public; the others are dropped one by one, so that a client that
// registers several kinds of them (Cursor does) is not refused for one. The last answer of policy is always about exactly the client as it is left.
func admitClient(ctx context.Context, policy ClientPolicy, stage ClientStage, c *Client) (ClientDecision, error) {
	sent := c.RedirectURIs
	var plain, private []string
	for _, uri := range sent {
		if RedirectKindOf(uri) == RedirectPrivate {
			private = append(private, uri)
		} else {
			plain = append(plain, uri)
		}
	}
	d, err := askAdmission(ctx, policy, stage, c)
	if err != nil || len(private) == 0 || d.Allow && c.Public() && listsAll(d, private) {
		return concludeAdmission(c, d, err)
	}
	c.RedirectURIs = plain
	for _, uri := range private {
		if !c.Public() {
			break
		}
		c.RedirectURIs = append(slices.Clone(plain), uri)
		if d, err = askAdmission(ctx, policy, stage, c); err != nil {
			return concludeAdmission(c, d, err)
		}
		if d.Allow && slices.Contains(d.AllowRedirects, uri) {
			plain = c.RedirectURIs
		}
	}
	c.RedirectURIs = plain
	if len(plain) == 0 && len(sent) > 0 {
		return d, InvalidRedirectURI.Errorf("none of the redirect URIs is allowed here; use https, http on loopback, or ask the operator to list the URI in policy.clients").For("redirect_uri_not_allowed")
	}
	d, err = askAdmission(ctx, policy, stage, c)
	return concludeAdmission(c, d, err)
}

func askAdmission(ctx context.Context, policy ClientPolicy, stage ClientStage, c *Client) (ClientDecision, error) {
	d, err := policy.Admit(ctx, ClientRequest{ID: NewID("dec_"), Stage: stage, Client: c, Context: RequestFrom(ctx)})
	if err != nil {
		return d, ServerError.Errorf("the policy could not be asked").For("policy_error").Because(err)
	}
	return d, nil
}

// concludeAdmission keeps the ceiling, or turns a denial into an error with policy's words.
func concludeAdmission(c *Client, d ClientDecision, err error) (ClientDecision, error) {
	if err != nil {
		return d, err
	}
	if !d.Allow {
		e := AccessDenied.Errorf("the operator's policy does not admit this client").For("client_denied")
		if len(d.Reasons) > 0 {
			first := d.Reasons[0]
			e.Description += ": " + first.Message
			e.Reason = cmp.Or(first.Code, e.Reason)
		}
		return d, e
	}
	c.Ceiling = d.Ceiling
	return d, nil
}

func listsAll(d ClientDecision, uris []string) bool {
	for _, uri := range uris {
		if !slices.Contains(d.AllowRedirects, uri) {
			return false
		}
	}
	return true
}

// neverUsedUntil is the end of a registration that nobody uses.
func neverUsedUntil(now time.Time, d ClientDecision) time.Time {
	if d.TTL > 0 {
		return now.Add(d.TTL)
	}
	return now.Add(unusedTTL)
}

// expiredClient tells whether a registration that was never used has run out. Use ends the expiry.
func expiredClient(c *Client, now time.Time) bool {
	return !c.ExpiresAt.IsZero() && c.LastUsedAt.IsZero() && !now.Before(c.ExpiresAt)
}

// admissionEvent is the audit row of a registration or a change.
func admissionEvent(ctx context.Context, kind string, c *Client, d ClientDecision) Event {
	r := RequestFrom(ctx)
	e := Event{Time: r.Time, Type: kind, Outcome: OutcomeOK, ClientID: c.ID, DecisionID: d.ID, Rules: d.Rules, Revision: d.Revision,
		IP: r.IP, RequestID: r.RequestID, Detail: map[string]string{"registration": string(c.Registration), "digest": c.Digest}}
	e.noteTried(d.Tried)
	return e
}
