package server

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// keyFailure is where the Gin context keeps the error of a request.
const keyFailure = "portcullis.failure"

// errorStyle is how a route answers errors.
type errorStyle int

const (
	styleJSON    errorStyle = iota // RFC 6749 §5.2
	styleMessage                   // AuthZEN Authorization API 1.0: the body is a message, here a JSON string
	stylePage                      // an HTML page for a person
)

// styleFor is how errors at a path are answered: also for paths without a route and for refusals before any route.
func (f *face) styleFor(path string) errorStyle {
	below, found := strings.CutPrefix(path, f.base)
	switch {
	case !found, f.pages == nil: // the admin listener has no pages
		return styleJSON
	case below == "/", below == oauth.PathAuthorize, strings.HasPrefix(below, oauth.PathUI+"/"):
		return stylePage
	case below == oauth.PathEvaluation:
		return styleMessage
	}
	return styleJSON
}

// challenge is whose credentials a 401 asks for.
type challenge int

const (
	challengeNone     challenge = iota
	challengeClient             // a client: Basic, only if it used the Authorization header (RFC 6749 §5.2)
	challengeResource           // a resource server: Basic or Bearer, always
	challengeBearer             // an initial access token (RFC 7591 §3)
)

// Codes of this package's own refusals.
var (
	methodNotAllowed = oauth.ErrorCode{Name: "invalid_request", Status: http.StatusMethodNotAllowed}
	misdirected      = oauth.ErrorCode{Name: "invalid_request", Status: http.StatusMisdirectedRequest}
	urlTooLong       = oauth.ErrorCode{Name: "invalid_request", Status: http.StatusRequestURITooLong}
)

// fail is the only writer of errors. It keeps the error for the one line of the access log, and never redirects.
func (f *face) fail(c *gin.Context, err error, who challenge) {
	e := oauth.AsError(err)
	c.Set(keyFailure, e)
	c.Abort()
	if c.Writer.Written() {
		return // too late to say anything else; the log has it
	}
	c.Header("Cache-Control", "no-store")
	retryAfter(c, e)
	switch f.styleFor(c.Request.URL.Path) {
	case stylePage:
		f.renderError(c, e)
	case styleMessage:
		demand(c, e, who)
		message, _ := json.Marshal(orDefault(e.Description, e.Code.Name)) // a string always marshals
		c.Data(e.Code.Status, typeJSON, message)
	default:
		demand(c, e, who)
		c.Data(e.Code.Status, typeJSON, errorBody(c, e))
	}
}

func retryAfter(c *gin.Context, e *oauth.Error) {
	if e.RetryAfter > 0 {
		seconds := int64((e.RetryAfter + time.Second - 1) / time.Second)
		c.Header("Retry-After", strconv.FormatInt(seconds, 10))
	}
}

// errorBody is RFC 6749 §5.2. A fault of ours also names the request, so that its line in the log can be found.
func errorBody(c *gin.Context, e *oauth.Error) []byte {
	answer := struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
		RequestID   string `json:"request_id,omitempty"`
	}{Error: e.Code.Name, Description: e.Text()}
	if e.Code.Status >= http.StatusInternalServerError {
		answer.RequestID = requestID(c)
	}
	data, _ := json.Marshal(answer) // three strings always marshal
	return data
}

// demand adds WWW-Authenticate to a 401.
func demand(c *gin.Context, e *oauth.Error, who challenge) {
	if e.Code.Status != http.StatusUnauthorized {
		return
	}
	const realm = `realm="portcullis"`
	sent := c.Request.Header.Get("Authorization")
	switch who {
	case challengeClient:
		if sent != "" || e.Challenge != "" {
			c.Header("WWW-Authenticate", orDefault(e.Challenge, "Basic")+` `+realm+`, charset="UTF-8"`)
		}
	case challengeResource:
		c.Writer.Header()["Www-Authenticate"] = []string{`Basic ` + realm + `, charset="UTF-8"`, `Bearer ` + realm}
	case challengeBearer:
		value := `Bearer ` + realm
		if sent != "" { // RFC 6750 §3.1: no error code for a request without credentials
			value += `, error="` + oauth.InvalidToken.Name + `", error_description="` + e.Text() + `"`
		}
		c.Header("WWW-Authenticate", value)
	}
}

// noRoute answers unknown paths. Outside of /ui/ it is JSON, so that discovery never meets HTML.
func (f *face) noRoute(c *gin.Context) {
	f.fail(c, oauth.NotFound.Errorf("there is nothing at this address"), challengeNone)
}

func (f *face) noMethod(c *gin.Context) {
	f.fail(c, methodNotAllowed.Errorf("use %s here", c.Writer.Header().Get("Allow")), challengeNone)
}
