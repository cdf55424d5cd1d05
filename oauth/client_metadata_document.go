package oauth

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"portcullis/oauth/fetch"
)

// Limits of fetches that strangers cause. Documents that are known and in order are fetched as their freshness demands and
// count nowhere, so that a stranger cannot keep a client that people use from being refreshed.
const (
	fetchesPerAddress = 10    // never-seen URLs per minute and asking address
	fetchesPerHost    = 6     // never-seen or failing URLs per minute and host
	fetchesOfAll      = 12000 // never-seen URLs an hour, all addresses and hosts together: what they leave in the audit, not in the table, adds up
	fetchLimitKeys    = 10000
	failingURLs       = 10000
)

// ClientMetadataDocumentsConfig is what NewClientMetadataDocuments needs.
type ClientMetadataDocumentsConfig struct {
	Clients ClientReader
	Ledger  Ledger
	Policy  ClientPolicy
	Fetch   *fetch.Client // nil = client id metadata documents are off: only clients that were registered otherwise are found
}

// ClientMetadataDocuments finds clients of every kind. Clients whose id is an https URL that nobody registered are described by the document at
// that URL (draft-ietf-oauth-client-id-metadata-document), which is fetched, checked, admitted by policy and stored.
type ClientMetadataDocuments struct {
	cfg        ClientMetadataDocumentsConfig
	perAddress *Limiter
	perHost    *Limiter
	global     *Limiter
	failing    *lru[string, struct{}] // known URLs whose last fetch failed
	flights    singleflight.Group
}

// NewClientMetadataDocuments makes the resolver.
func NewClientMetadataDocuments(cfg ClientMetadataDocumentsConfig) *ClientMetadataDocuments {
	return &ClientMetadataDocuments{cfg: cfg, perAddress: NewLimiter(fetchesPerAddress, time.Minute, fetchesPerAddress, fetchLimitKeys),
		perHost: NewLimiter(fetchesPerHost, time.Minute, fetchesPerHost, fetchLimitKeys), global: NewLimiter(fetchesOfAll, time.Hour, 200, 1), failing: newLRU[string, struct{}](failingURLs)}
}

// Client implements ClientResolver. Callers must not change what they get.
func (d *ClientMetadataDocuments) Client(ctx context.Context, id string, maxStale time.Duration) (*Client, error) {
	if !plausible(id, maxClientIDBytes) {
		return nil, ErrNotFound
	}
	now := time.Now()
	stored, err := d.cfg.Clients.Client(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		stored = nil
	case err != nil:
		return nil, err
	case stored.Disabled:
		return nil, ErrNotFound // a URL that the operator disabled is not fetched either
	case expiredClient(stored, now):
		stored = nil
	case stored.Registration != RegistrationCIMD:
		return stored, nil // what the operator registered wins over a document
	}
	switch {
	case d.cfg.Fetch == nil, stored == nil && (maxStale == AnyAge || !strings.HasPrefix(id, "https://")):
		return nil, ErrNotFound
	case maxStale == AnyAge:
		return stored, nil
	case stored == nil || !now.Before(stored.FreshUntil):
		return d.refresh(ctx, id, stored, maxStale)
	case maxStale == Fresh:
		return d.readmit(ctx, stored)
	}
	return stored, nil
}

// refresh fetches the document. When that fails, the last valid copy serves for maxStale beyond its freshness, unless it is
// policy that says no. Many requests for one URL at the same time make one fetch.
func (d *ClientMetadataDocuments) refresh(ctx context.Context, id string, stored *Client, maxStale time.Duration) (*Client, error) {
	detached := context.WithoutCancel(ctx) // others may wait for this fetch; it has its own deadline
	result, err, _ := d.flights.Do(id, func() (any, error) { return d.fetchClient(detached, id, stored) })
	if err == nil {
		return result.(*Client), nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return nil, err
	}
	if stored != nil && e.Code != UnauthorizedClient && time.Since(stored.FreshUntil) < maxStale {
		return stored, nil
	}
	copied := *e // the waiting requests share the error
	return nil, &copied
}

// fetchClient does it all once: address, policy, limits, fetch, document, policy, store.
func (d *ClientMetadataDocuments) fetchClient(ctx context.Context, id string, stored *Client) (*Client, error) {
	if err := CheckClientIDURL(id); err != nil {
		return nil, InvalidClient.Errorf("client_id is no URL of a client id metadata document: %v", err).For("cimd_url")
	}
	if _, err := admitClient(ctx, d.cfg.Policy, ClientStageURL, &Client{ID: id, Registration: RegistrationCIMD}); err != nil {
		return nil, deniedDocument(err)
	}
	if err := d.limit(ctx, id, stored); err != nil {
		return nil, err
	}
	client, fresh, err := d.fetchDocument(ctx, id, shareOf(stored))
	if err != nil {
		if stored != nil {
			d.failing.Put(id, struct{}{})
		}
		return nil, err
	}
	d.failing.Remove(id)
	now := RequestFrom(ctx).Time
	client.CreatedAt, client.FetchedAt, client.FreshUntil = now, now, now.Add(fresh)
	return d.admit(ctx, client)
}

// limit counts fetches of URLs that were never seen or that fail. URLs that the operator listed for development are free.
func (d *ClientMetadataDocuments) limit(ctx context.Context, id string, stored *Client) error {
	_, failing := d.failing.Get(id)
	if stored != nil && !failing || d.cfg.Fetch.Listed(id) {
		return nil
	}
	ok, after := true, time.Duration(0)
	if stored == nil {
		ok, after = d.perAddress.Allow(limitedAddress(ctx))
	}
	if ok {
		ok, after = d.perHost.Allow(hostOfURL(id))
	}
	if ok && stored == nil {
		ok, after = d.global.Allow("")
	}
	if !ok {
		return SlowDown.Errorf("too many client metadata documents were asked for; try again later").For("cimd_limited").After(after)
	}
	return nil
}

func hostOfURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// shareOf tells whether somebody has consented to a client, which ends its expiry. Strangers can make the others in any number.
func shareOf(stored *Client) fetch.Share {
	if stored != nil && stored.ExpiresAt.IsZero() {
		return fetch.Known
	}
	return fetch.Stranger
}

func (d *ClientMetadataDocuments) fetchDocument(ctx context.Context, id string, whose fetch.Share) (*Client, time.Duration, error) {
	document, err := d.cfg.Fetch.Get(ctx, id, whose)
	if err != nil {
		return nil, 0, fetchFailure(err)
	}
	client, refusal := readClientDocument(id, document.Body)
	if refusal != nil {
		return nil, 0, refusal
	}
	return client, documentFresh(document.Header, time.Now()), nil
}

// fetchFailure puts a failed fetch into words. Everything that happens before a trusted TLS connection stands gets the same code and the same words, or
// strangers could scan networks through this server; only the reason, which goes to the log, tells them apart.
func fetchFailure(err error) *Error {
	var f *fetch.Error
	if !errors.As(err, &f) {
		return TemporarilyUnavailable.Errorf("the client's metadata document cannot be fetched at the moment").For("cimd_connect").Because(err)
	}
	reason := "cimd_" + f.Reason
	switch f.Reason {
	case fetch.ReasonStatus:
		if f.Temporary() {
			break
		}
		return badDocument(reason, "its host answers with a status other than 200").Because(err)
	case fetch.ReasonRedirect:
		return badDocument(reason, "its host answers with a redirect, which is not followed").Because(err)
	case fetch.ReasonMediaType:
		return badDocument(reason, "its media type is not application/json").Because(err)
	case fetch.ReasonEncoding:
		return badDocument(reason, "its host sends it compressed").Because(err)
	case fetch.ReasonSize:
		return badDocument(reason, "it is too large").Because(err)
	}
	return TemporarilyUnavailable.Errorf("the client's metadata document cannot be fetched at the moment").For(reason).After(10 * time.Second).Because(err)
}

// admit asks policy about the document and stores the client with its audit row.
func (d *ClientMetadataDocuments) admit(ctx context.Context, client *Client) (*Client, error) {
	decision, err := admitClient(ctx, d.cfg.Policy, ClientStageDocument, client)
	if err != nil {
		return nil, deniedDocument(err)
	}
	before, err := d.cfg.Clients.Client(ctx, client.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		before = nil
	case err != nil:
		return nil, err
	case before.Disabled:
		return nil, ErrNotFound // while the fetch was under way
	case before.Registration != RegistrationCIMD:
		return before, nil
	}
	changes := []Change{nil}
	switch {
	case before == nil || expiredClient(before, time.Now()):
		client.ExpiresAt = neverUsedUntil(client.CreatedAt, decision)
		changes = append(changes, saved(decision.Record)...)
		changes = append(changes, admissionEvent(ctx, EventClientRegistered, client, decision))
	default:
		keepHistory(client, before, decision)
		if !sameClient(client, before) {
			event := admissionEvent(ctx, EventClientChanged, client, decision)
			event.Detail["previous_digest"] = before.Digest
			changes = append(append(changes, saved(decision.Record)...), event)
		}
	}
	changes[0] = SaveClient{*client}
	if err := d.cfg.Ledger.Commit(ctx, changes...); err != nil {
		return nil, err
	}
	return client, nil
}

// keepHistory carries over what a document does not say.
func keepHistory(client, before *Client, decision ClientDecision) {
	client.CreatedAt, client.LastUsedAt, client.ExpiresAt = before.CreatedAt, before.LastUsedAt, time.Time{}
	if before.LastUsedAt.IsZero() && !before.ExpiresAt.IsZero() {
		client.ExpiresAt = neverUsedUntil(client.FetchedAt, decision)
	}
}

// sameClient tells whether document and policy say what they said before.
func sameClient(a, b *Client) bool {
	return a.Digest == b.Digest && slices.Equal(a.RedirectURIs, b.RedirectURIs) && slices.Equal(a.Ceiling, b.Ceiling) && (a.Ceiling == nil) == (b.Ceiling == nil)
}

// readmit asks today's policy about a document that is still fresh, so that a new rule holds at the next login and not
// only after the next fetch. What it changes is stored.
func (d *ClientMetadataDocuments) readmit(ctx context.Context, stored *Client) (*Client, error) {
	client, refusal := readClientDocument(stored.ID, bytes.Clone(stored.Document))
	if refusal != nil {
		return nil, refusal // an older version of this server accepted it
	}
	client.CreatedAt, client.FetchedAt, client.FreshUntil = stored.CreatedAt, stored.FetchedAt, stored.FreshUntil
	probe := *client
	if _, err := admitClient(ctx, d.cfg.Policy, ClientStageDocument, &probe); err != nil {
		return nil, deniedDocument(err)
	}
	if sameClient(&probe, stored) {
		return stored, nil
	}
	return d.admit(ctx, client)
}

// deniedDocument gives denials their place among the reasons of documents.
func deniedDocument(err error) error {
	var e *Error
	if errors.As(err, &e) && (e.Code == AccessDenied || e.Code == InvalidRedirectURI) {
		reason := "cimd_denied"
		if e.Code == InvalidRedirectURI {
			reason = "cimd_redirect_uris"
		}
		return UnauthorizedClient.Errorf("%s", e.Description).For(reason)
	}
	return err
}
