package oauth

import (
	"context"
	"net/url"
	"time"
)

type requestKey struct{}

// WithRequest keeps what is known of the HTTP request for everything below.
func WithRequest(ctx context.Context, r RequestContext) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom is what WithRequest kept, with the time of now.
func RequestFrom(ctx context.Context) RequestContext {
	r, _ := ctx.Value(requestKey{}).(RequestContext)
	r.Time = time.Now().Truncate(time.Second)
	return r
}

// DirectRequest is a form that a client or resource posts by itself (token, revocation, introspection).
type DirectRequest struct {
	Form          url.Values // repeated parameters are kept; each endpoint refuses them
	Authorization string     // the Authorization header, "" = none
	DPoP          []string   // DPoP headers (RFC 9449), for later
}

// RequestContext is what every policy may know of the request.
type RequestContext struct {
	Time      time.Time
	IP        string
	UserAgent string
	RequestID string
}
