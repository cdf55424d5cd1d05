package server

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

const (
	headerRequestID = "X-Request-ID"
	maxRequestID    = 128
	maxUserAgent    = 512
)

// identify gives the request its id, the caller's own if that is sane (AuthZEN wants it echoed), and keeps for
// everything below what is known of the request.
func (f *face) identify(c *gin.Context) {
	id := c.Request.Header.Get(headerRequestID)
	if !saneRequestID(id) {
		id = rand.Text()
	}
	c.Header(headerRequestID, id)
	ctx := oauth.WithRequest(c.Request.Context(), oauth.RequestContext{
		IP: c.ClientIP(), UserAgent: userAgent(c.Request), RequestID: id,
	})
	c.Request = c.Request.WithContext(ctx)
}

func requestID(c *gin.Context) string { return oauth.RequestFrom(c.Request.Context()).RequestID }

func saneRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

func userAgent(r *http.Request) string {
	return oauth.Cut(strings.ToValidUTF8(r.UserAgent(), "?"), maxUserAgent)
}

// logAccess writes the one line of a request. It names the route, not the path: paths of pages hold interaction
// ids, and query strings hold states and codes.
func (f *face) logAccess(c *gin.Context) {
	start := time.Now()
	c.Next()
	status, route := c.Writer.Status(), orDefault(c.FullPath(), "none")
	f.metrics.request(route, status)
	from := oauth.RequestFrom(c.Request.Context())
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method), slog.String("route", route), slog.Int("status", status),
		slog.Duration("took", time.Since(start)), slog.Int("bytes", max(c.Writer.Size(), 0)),
		slog.String("ip", from.IP), slog.String("request_id", from.RequestID),
	}
	level, reason := slog.LevelInfo, ""
	if kept, ok := c.Get(keyFailure); ok {
		e := kept.(*oauth.Error)
		reason = e.ReasonOrCode()
		attrs = append(attrs, slog.String("reason", reason), slog.String("error", e.Error()))
		if e.Code == oauth.SlowDown {
			f.metrics.limited(reason)
		}
	}
	switch {
	case status == http.StatusServiceUnavailable && strings.HasPrefix(reason, "cimd_"):
		level = slog.LevelWarn // a stranger's document, not a fault of ours
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	case status < http.StatusBadRequest && quietRoute(route):
		level = slog.LevelDebug
	}
	f.log.LogAttrs(c.Request.Context(), level, "request", attrs...)
}

// quietRoute tells whether a route is asked for so often and means so little that its line is for debugging.
func quietRoute(route string) bool {
	return route == "/livez" || route == "/readyz" || route == "/metrics" || route == pathBundle || strings.HasSuffix(route, "/static/:file")
}

// recoverPanic turns a panic into a 500 with the request id.
func (f *face) recoverPanic(c *gin.Context) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			f.log.ErrorContext(c.Request.Context(), "panic", "value", fmt.Sprint(v), "stack", string(debug.Stack()), "request_id", requestID(c))
			f.fail(c, oauth.ServerError.Errorf("an unexpected error; the log has it under the request id").For("panic"), challengeNone)
		}
	}()
	c.Next()
}

// checkHost refuses hosts that are not ours: nothing may be built from a forged Host header.
func (f *face) checkHost(c *gin.Context) {
	if !f.hosts.has(c.Request.Host) {
		f.fail(c, misdirected.Errorf("this server does not answer for this host name; add it to `hosts` if it should").For("unknown_host"), challengeNone)
	}
}

// pagePolicy has no form-action: browsers apply that to the whole redirect chain after a form, and would block the
// way back to the client.
const (
	pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'"
	dataPolicy = "default-src 'none'; frame-ancestors 'none'"
)

// fixedHeaders are on every answer; render and staticFile replace what differs for them. Answers share the values, so nobody may change
// them in place.
func fixedHeaders(secure bool) http.Header {
	h := http.Header{}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Security-Policy", dataPolicy)
	h.Set("Cache-Control", "no-store")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	return h
}

func (f *face) secureHeaders(c *gin.Context) { maps.Copy(c.Writer.Header(), f.fixed) }

func (f *face) limitURL(c *gin.Context) {
	if len(c.Request.RequestURI) > maxURL {
		f.fail(c, urlTooLong.Errorf("the URL has more than %d bytes; post the parameters as a form", maxURL), challengeNone)
	}
}

// sameOrigin refuses forms that another site posts. It stands before our own forms only: browser clients may well
// post to the token endpoint.
func (f *face) sameOrigin(c *gin.Context) {
	var protection http.CrossOriginProtection
	if err := protection.Check(c.Request); err != nil {
		f.fail(c, oauth.Forbidden.Errorf("another site sent this form").For("cross_origin").Because(err), challengeNone)
	}
}
