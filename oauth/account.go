package oauth

import (
	"context"
	"errors"
	"time"
)

// AccountConfig is what AccountEndpoint needs.
type AccountConfig struct {
	Login     *LoginEndpoint
	Users     UserReader
	Sessions  SessionReader
	Grants    GrantReader
	Clients   ClientReader
	Resources ResourceDirectory
	Ledger    Ledger
}

// AccountEndpoint is what a person may do with the own account.
type AccountEndpoint struct{ cfg AccountConfig }

// NewAccount builds the endpoint.
func NewAccount(cfg AccountConfig) *AccountEndpoint { return &AccountEndpoint{cfg} }

// Account is the account page. Without a live session it is LoginRequired.
type Account struct {
	Username    string
	FormToken   string // of every form on the page
	Configured  bool   // the account lives in the configuration file; the password is changed there
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
	_, user, err := requireSession(ctx, e.cfg.Sessions, e.cfg.Users, b.SessionID)
	if err != nil {
		return nil, err
	}
	grants, err := e.cfg.Grants.LiveGrants(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	page := &Account{Username: user.Name, FormToken: e.cfg.Login.forms.make("account", b.SessionID), Configured: user.Source == SourceConfig}
	for _, g := range grants {
		c, err := e.connection(ctx, &g)
		if err != nil {
			return nil, err
		}
		page.Connections = append(page.Connections, c)
	}
	return page, nil
}

func (e *AccountEndpoint) connection(ctx context.Context, g *Grant) (Connection, error) {
	c := Connection{GrantID: g.ID, CreatedAt: g.CreatedAt, LastUsedAt: g.LastUsedAt, Resource: ResourceView{ID: g.Resource, Name: g.Resource}}
	client, err := e.cfg.Clients.Client(ctx, g.ClientID)
	switch {
	case errors.Is(err, ErrNotFound):
		client = &Client{ID: g.ClientID, Name: g.ClientID}
	case err != nil:
		return c, err
	}
	c.Client = ViewOf(client)
	r, ok := e.cfg.Resources.ResourceByID(g.Resource)
	if ok {
		c.Resource.Name = r.Name
	} else {
		r = &Resource{}
	}
	for _, name := range g.Scopes {
		c.Scopes = append(c.Scopes, consentScope(r, name))
	}
	return c, nil
}

// Revoke ends one of the person's grants; a stranger's is NotFound. Ending one twice is no error.
func (e *AccountEndpoint) Revoke(ctx context.Context, b Browser, formToken, grantID string) error {
	user, err := e.form(ctx, b, formToken)
	if err != nil {
		return err
	}
	g, err := e.cfg.Grants.Grant(ctx, grantID)
	if errors.Is(err, ErrNotFound) || err == nil && g.UserID != user.ID {
		return NotFound.Errorf("there is no such connection; it may have been revoked before")
	}
	if err != nil {
		return err
	}
	if !g.Live() { // a second click: nothing to do and nothing to record
		return nil
	}
	ev := e.cfg.Login.event(ctx, user, EventGrantEnded, OutcomeOK, "user")
	ev.GrantID, ev.ClientID, ev.ResourceID, ev.Scopes = g.ID, g.ClientID, g.Resource, g.Scopes
	return e.cfg.Ledger.Commit(ctx, EndGrant{ID: g.ID, Reason: "user", At: ev.Time}, ev)
}

func (e *AccountEndpoint) form(ctx context.Context, b Browser, token string) (*User, error) {
	_, user, err := requireSession(ctx, e.cfg.Sessions, e.cfg.Users, b.SessionID)
	if err != nil {
		return nil, err
	}
	return user, e.cfg.Login.forms.check("account", b.SessionID, token)
}

// ChangePassword replaces the password and ends the person's other sessions. A wrong old password counts like a wrong login.
func (e *AccountEndpoint) ChangePassword(ctx context.Context, b Browser, formToken, old, new, again string) error {
	user, err := e.form(ctx, b, formToken)
	if err != nil {
		return err
	}
	switch {
	case user.Source == SourceConfig:
		return AccessDenied.Errorf("the password of this account is kept in the configuration of the server; ask the person who runs it")
	case new != again:
		return AccessDenied.Errorf("the two new passwords differ; type the same one twice")
	}
	if err := CheckNewPassword(new); err != nil {
		return err
	}
	done, err := e.cfg.Login.turn(ctx, b, user.Name)
	if err != nil {
		return err
	}
	defer done()
	proven, err := e.cfg.Login.prove(ctx, b, user.Name, old)
	if isWrongLogin(err) {
		return AccessDenied.Errorf("the current password is wrong").For("wrong_password")
	}
	if err != nil {
		return err
	}
	hash, err := e.cfg.Login.passwords.hash(ctx, new)
	if err != nil {
		return err
	}
	ev := e.cfg.Login.event(ctx, user, EventPasswordChanged, OutcomeOK, "")
	session := HashSecret(b.SessionID)
	err = e.cfg.Ledger.Commit(ctx, SetPassword{UserID: user.ID, Hash: hash, OldHash: proven.PasswordHash, Session: session}, EndSessions{UserID: user.ID, Except: session}, ev)
	if errors.Is(err, ErrConflict) {
		return LoginRequired.Errorf("the account was changed meanwhile; log in again")
	}
	return err
}
