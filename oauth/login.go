package oauth

import (
	"context"
	"time"
)

// LoginEndpoint logs people in and out.
type LoginEndpoint struct{}

// LoginForm is what the login form posts. Without InteractionID the login is for the account page.
type LoginForm struct {
	InteractionID string
	FormToken     string
	Username      string
	Password      string
}

// LoggedIn is the new session: the value of its cookie and its end.
type LoggedIn struct {
	SessionID string
	ExpiresAt time.Time
}

// Begin makes a form token for a login without interaction, bound to the browser cookie.
func (e *LoginEndpoint) Begin(ctx context.Context, b Browser) (formToken, browserID string, err error) {
	return "", "", ServerError.Errorf("not built yet")
}

// Login checks the password and opens a session with a new id. A wrong user or password is AccessDenied with one
// text for both; too many tries are SlowDown with RetryAfter.
func (e *LoginEndpoint) Login(ctx context.Context, b Browser, f LoginForm) (LoggedIn, error) {
	return LoggedIn{}, ServerError.Errorf("not built yet")
}

// Logout ends the browser's session. formToken is Account's.
func (e *LoginEndpoint) Logout(ctx context.Context, b Browser, formToken string) error {
	return ServerError.Errorf("not built yet")
}
