package oauth

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
)

// AuthorizationConfig is what AuthorizationEndpoint needs.
type AuthorizationConfig struct {
	Issuer          string
	Clients         ClientResolver
	Resources       ResourceDirectory
	Users           UserReader
	Sessions        SessionReader
	Interactions    InteractionReader
	Grants          GrantReader
	Policy          ScopePolicy
	Ledger          Ledger
	AccessTTL       time.Duration
	RefreshAbsolute time.Duration // shown on the consent page
}

// Lifetimes of the front channel.
const (
	interactionTTL = 10 * time.Minute
	codeTTL        = 60 * time.Second
	maxAnswers     = 4096 // remembered answers, for a double click
)

// AuthorizationEndpoint is the front channel: Begin, Resume, Answer (RFC 6749 §3.1).
type AuthorizationEndpoint struct {
	cfg      AuthorizationConfig
	gate     scopeGate
	flight   singleflight.Group         // two clicks on one button are one answer
	answered *lru[string, answeredStep] // and a late second click gets the first one's
}

type answeredStep struct {
	step RedirectStep
	at   time.Time
}

// NewAuthorization builds the endpoint.
func NewAuthorization(cfg AuthorizationConfig) *AuthorizationEndpoint {
	return &AuthorizationEndpoint{cfg: cfg, gate: scopeGate{policy: cfg.Policy, resources: cfg.Resources, accessTTL: cfg.AccessTTL}, answered: newLRU[string, answeredStep](maxAnswers)}
}

// Begun is what Begin made: where the browser goes on, and the cookie value that it must carry.
type Begun struct {
	InteractionID string
	BrowserID     string // new or unchanged value of the browser cookie
}

// Begin checks client and redirect URI of an authorization request and stores it as an interaction. An error is for
// a page of ours, never for a redirect; everything else that is wrong with the request waits until the person has logged in.
func (e *AuthorizationEndpoint) Begin(ctx context.Context, form url.Values, b Browser) (Begun, error) {
	params, err := readParams(form)
	if err != nil {
		return Begun{}, err
	}
	client, _, err := e.client(ctx, params, Fresh)
	if err != nil {
		return Begun{}, err
	}
	if len(params["resource"]) == 0 && len(e.cfg.Resources.Resources()) != 1 {
		return Begun{}, InvalidTarget.Errorf("the client did not say which MCP server it wants to use (parameter \"resource\"); update the client").For("resource_missing")
	}
	now := time.Now().Truncate(time.Second)
	browserID := b.idOrNew()
	i := Interaction{ID: NewSecret(), Params: params, BrowserHash: HashSecret(browserID), FormToken: NewSecret(), ClientDigest: client.Digest,
		IP: b.IP, UserAgent: Cut(b.UserAgent, 200), CreatedAt: now, LoginAfter: loginAfter(params, now), ExpiresAt: now.Add(interactionTTL)}
	if err := e.cfg.Ledger.Commit(ctx, SaveInteraction{i}); err != nil {
		return Begun{}, err
	}
	return Begun{InteractionID: i.ID, BrowserID: browserID}, nil
}

// client proves client and redirect target of a request. It runs on every leg.
func (e *AuthorizationEndpoint) client(ctx context.Context, params url.Values, maxStale time.Duration) (*Client, Target, error) {
	if len(params["client_id"]) != 1 || len(params["redirect_uri"]) > 1 {
		return nil, Target{}, InvalidRequest.Errorf("the request must name exactly one client_id and one redirect_uri")
	}
	client, err := e.cfg.Clients.Client(ctx, params.Get("client_id"), maxStale)
	var known *Error
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, Target{}, unknownClientPage()
	case errors.As(err, &known) && known.Code == InvalidClient:
		known.Code.Status = 400 // a page, not a challenge
		return nil, Target{}, known
	case err != nil:
		return nil, Target{}, err
	case !client.MayUse("authorization_code"):
		return nil, Target{}, UnauthorizedClient.Errorf("this client is not registered for the authorization code flow")
	}
	target, err := ProveRedirect(client, params.Get("redirect_uri"))
	if err == nil {
		err = target.AwayFrom(e.cfg.Issuer)
	}
	return client, target, err
}

func unknownClientPage() *Error {
	e := InvalidClient.Errorf("this server does not know the application that sent you here; remove this MCP server in the application and add it again").For("client_unknown")
	e.Code.Status = 400
	return e
}

// Resume tells what the interaction needs next.
func (e *AuthorizationEndpoint) Resume(ctx context.Context, id string, b Browser) (Step, error) {
	i, err := pending(ctx, e.cfg.Interactions, id, b)
	if err != nil {
		return nil, err
	}
	v, err := e.view(ctx, i, b)
	if err != nil {
		return nil, err
	}
	return v.next(ctx)
}

// Answer takes the person's answer to the consent page and commits grant, code and event. A second click on the same
// button gets the first one's answer.
func (e *AuthorizationEndpoint) Answer(ctx context.Context, id string, b Browser, a Answer) (Step, error) {
	key := string(HashSecret(strings.Join([]string{id, b.ID, b.SessionID, a.FormToken, strconv.FormatBool(a.Allow), NewScopes(a.Scopes...).String()}, "\x00")))
	if again, ok := e.answered.Get(key); ok && time.Since(again.at) < codeTTL {
		return again.step, nil
	}
	step, err, _ := e.flight.Do(key, func() (any, error) {
		// The first caller may hang up; the second still waits for this answer.
		step, err := e.answer(context.WithoutCancel(ctx), id, b, a)
		if r, ok := step.(RedirectStep); ok && err == nil {
			e.answered.Put(key, answeredStep{r, time.Now()})
		}
		return step, err
	})
	if err != nil {
		return nil, err
	}
	return step.(Step), nil
}

func (e *AuthorizationEndpoint) answer(ctx context.Context, id string, b Browser, a Answer) (Step, error) {
	return settle(ctx, e.cfg.Ledger, func() (Step, []Change, error) {
		i, err := pending(ctx, e.cfg.Interactions, id, b)
		if err != nil {
			return nil, nil, err
		}
		v, err := e.view(ctx, i, b)
		if err != nil {
			return nil, nil, err
		}
		return v.answer(ctx, a)
	})
}
