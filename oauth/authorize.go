package oauth

import (
	"context"
	"net/url"
)

// AuthorizationEndpoint is the front channel: Begin, Resume, Answer (RFC 6749 §3.1).
type AuthorizationEndpoint struct{}

// Begun is what Begin made: where the browser goes on, and the cookie value that it must carry.
type Begun struct {
	InteractionID string
	BrowserID     string // new or unchanged value of the browser cookie
}

// Begin checks client and redirect URI of an authorization request and stores it as an interaction. An error is for
// a page of ours, never for a redirect; everything else that is wrong with the request waits until the person has logged in.
func (e *AuthorizationEndpoint) Begin(ctx context.Context, form url.Values, b Browser) (Begun, error) {
	return Begun{}, ServerError.Errorf("not built yet")
}

// Resume tells what the interaction needs next.
func (e *AuthorizationEndpoint) Resume(ctx context.Context, id string, b Browser) (Step, error) {
	return nil, ServerError.Errorf("not built yet")
}

// Answer takes the person's answer to the consent page and commits grant, code and event.
func (e *AuthorizationEndpoint) Answer(ctx context.Context, id string, b Browser, a Answer) (Step, error) {
	return nil, ServerError.Errorf("not built yet")
}
