package oauth

import (
	"context"
	"time"
)

// AccountEndpoint is what a person may do with the own account.
type AccountEndpoint struct{}

// Account is the account page. Without a live session it is LoginRequired.
type Account struct {
	Username    string
	FormToken   string // of every form on the page
	Connections []Connection
}

// Connection is one connected agent.
type Connection struct {
	GrantID    string
	Client     ClientView
	Resource   ResourceView
	Scopes     []ConsentScope
	CreatedAt  time.Time
	LastUsedAt time.Time // zero = never
}

// Show is the account of the logged-in person.
func (e *AccountEndpoint) Show(ctx context.Context, b Browser) (*Account, error) {
	return nil, ServerError.Errorf("not built yet")
}

// Revoke ends one of the person's grants; a stranger's is NotFound.
func (e *AccountEndpoint) Revoke(ctx context.Context, b Browser, formToken, grantID string) error {
	return ServerError.Errorf("not built yet")
}

// ChangePassword replaces the password and ends the person's other sessions.
func (e *AccountEndpoint) ChangePassword(ctx context.Context, b Browser, formToken, old, new, again string) error {
	return ServerError.Errorf("not built yet")
}
