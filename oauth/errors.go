package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ErrorCode is one error of the protocol: the word on the wire and the HTTP status that belongs to it.
// The words come from RFC 6749 §5.2, RFC 6750 §3.1, RFC 7591 §3.2.2, RFC 8707 §2 and RFC 9470 §3.
type ErrorCode struct {
	Name   string
	Status int
}

// The error codes that this server answers.
var (
	InvalidRequest          = ErrorCode{"invalid_request", http.StatusBadRequest}
	InvalidClient           = ErrorCode{"invalid_client", http.StatusUnauthorized}
	InvalidGrant            = ErrorCode{"invalid_grant", http.StatusBadRequest}
	UnauthorizedClient      = ErrorCode{"unauthorized_client", http.StatusBadRequest}
	UnsupportedGrantType    = ErrorCode{"unsupported_grant_type", http.StatusBadRequest}
	UnsupportedResponseType = ErrorCode{"unsupported_response_type", http.StatusBadRequest}
	InvalidScope            = ErrorCode{"invalid_scope", http.StatusBadRequest}
	InvalidTarget           = ErrorCode{"invalid_target", http.StatusBadRequest}
	InvalidRedirectURI      = ErrorCode{"invalid_redirect_uri", http.StatusBadRequest}
	InvalidClientMetadata   = ErrorCode{"invalid_client_metadata", http.StatusBadRequest}
	InvalidToken            = ErrorCode{"invalid_token", http.StatusUnauthorized}
	AccessDenied            = ErrorCode{"access_denied", http.StatusForbidden}
	LoginRequired           = ErrorCode{"login_required", http.StatusBadRequest}
	ConsentRequired         = ErrorCode{"consent_required", http.StatusBadRequest}
	InteractionExpired      = ErrorCode{"interaction_expired", http.StatusBadRequest} // ours: a page, never on the wire to a client
	Forbidden               = ErrorCode{"forbidden", http.StatusForbidden}            // ours: another browser, a missing form token
	NotFound                = ErrorCode{"not_found", http.StatusNotFound}
	PayloadTooLarge         = ErrorCode{"invalid_request", http.StatusRequestEntityTooLarge}
	UnsupportedMediaType    = ErrorCode{"invalid_request", http.StatusUnsupportedMediaType}
	SlowDown                = ErrorCode{"temporarily_unavailable", http.StatusTooManyRequests}
	TemporarilyUnavailable  = ErrorCode{"temporarily_unavailable", http.StatusServiceUnavailable}
	ServerError             = ErrorCode{"server_error", http.StatusInternalServerError}
)

// Errorf makes an error of this code. The text is sent to the caller, so it says what to do and holds no secret.
func (c ErrorCode) Errorf(format string, args ...any) *Error {
	return &Error{Code: c, Description: fmt.Sprintf(format, args...)}
}

// Error is what any endpoint answers instead of its result.
type Error struct {
	Code        ErrorCode
	Description string        // for the caller
	Reason      string        // a machine word for log, metrics and audit, such as "cimd_timeout"; "" = the code
	RetryAfter  time.Duration // > 0 becomes a Retry-After header
	Challenge   string        // "" or the scheme of the WWW-Authenticate header that a 401 needs: the one the caller tried
	cause       error
	costs       []Change
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code.Name + ": " + e.Description + ": " + e.cause.Error()
	}
	return e.Code.Name + ": " + e.Description
}

// Text is the description as error_description: printable ASCII without quote and backslash (RFC 6749 §4.1.2.1, §5.2).
func (e *Error) Text() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\':
			return '/'
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, e.Description)
}

// Unwrap gives the cause, which goes to the log and is never sent.
func (e *Error) Unwrap() error { return e.cause }

// Because keeps the cause for the log.
func (e *Error) Because(err error) *Error { e.cause = err; return e }

// For sets the machine word of the refusal.
func (e *Error) For(reason string) *Error { e.Reason = reason; return e }

// After says when trying again makes sense.
func (e *Error) After(d time.Duration) *Error { e.RetryAfter = d; return e }

// Costing names what this refusal costs (a failed PKCE try, an ended family); the pipeline commits it before it answers.
func (e *Error) Costing(changes ...Change) *Error { e.costs = append(e.costs, changes...); return e }

// Costs are the changes that must be committed before this refusal is answered.
func (e *Error) Costs() []Change { return e.costs }

// ReasonOrCode is the machine word of the refusal.
func (e *Error) ReasonOrCode() string {
	if e.Reason != "" {
		return e.Reason
	}
	return e.Code.Name
}

// ErrNotFound is what readers return when there is no such row.
var ErrNotFound = errors.New("not found")

// ErrConflict is what Ledger.Commit returns when someone was faster with a single-use thing.
var ErrConflict = errors.New("conflict: someone was faster")

// ErrUnavailable wraps a storage fault: nothing is known about the outcome, the answer is 503.
var ErrUnavailable = errors.New("storage unavailable")

// AsError turns any error into one that can be answered: storage faults and lost races become
// temporarily_unavailable, everything unknown server_error. The cause stays for the log.
func AsError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrConflict):
		return TemporarilyUnavailable.Errorf("the server cannot store its answer at the moment; try again").After(time.Second).Because(err)
	}
	return ServerError.Errorf("an unexpected error; the request id is in the log").Because(err)
}
