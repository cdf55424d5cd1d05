package main

import (
	"context"
	"errors"
	"time"

	"portcullis/oauth"
)

// userAdmin is what the command line may do with users: inside a running server, through its socket, or on the
// database itself when no server runs.
type userAdmin interface {
	add(ctx context.Context, name string, groups []string, hash string) (*oauth.User, error)
	setPassword(ctx context.Context, name, hash string) error
	disable(ctx context.Context, name string) error
}

// people is userAdmin on an open database.
type people struct {
	store peopleStore
}

// peopleStore is what people reads and writes.
type peopleStore interface {
	oauth.UserReader
	oauth.Ledger
}

// add makes a new user. A name that exists, disabled or not, is refused.
func (p people) add(ctx context.Context, name string, groups []string, hash string) (*oauth.User, error) {
	canonical := oauth.CanonicalUsername(name)
	if canonical == "" || len(canonical) > 128 {
		return nil, oauth.InvalidRequest.Errorf("a user name must have from 1 to 128 characters")
	}
	if err := oauth.CheckPasswordHash(hash); err != nil {
		return nil, oauth.InvalidRequest.Errorf("%s", err)
	}
	switch _, err := p.store.UserByName(ctx, canonical); {
	case err == nil:
		return nil, oauth.InvalidRequest.Errorf("the user %q exists already; change the password with: portcullis user passwd %s", canonical, canonical)
	case !errors.Is(err, oauth.ErrNotFound):
		return nil, err
	}
	now := time.Now().Truncate(time.Second)
	user := oauth.User{ID: oauth.NewID("usr_"), Name: canonical, Groups: groups, PasswordHash: hash, Source: oauth.SourceAPI, CreatedAt: now}
	err := p.store.Commit(ctx, oauth.SaveUser{User: user}, adminEvent(oauth.EventUserSaved, user, now))
	if errors.Is(err, oauth.ErrConflict) {
		return nil, oauth.InvalidRequest.Errorf("the user %q has just been made by someone else", canonical)
	}
	return &user, err
}

// setPassword replaces the password and ends the user's sessions. A disabled user stays disabled.
func (p people) setPassword(ctx context.Context, name, hash string) error {
	if err := oauth.CheckPasswordHash(hash); err != nil {
		return oauth.InvalidRequest.Errorf("%s", err)
	}
	user, err := p.find(ctx, name)
	if err != nil {
		return err
	}
	now := time.Now().Truncate(time.Second)
	return p.store.Commit(ctx, oauth.SetPassword{UserID: user.ID, Hash: hash}, oauth.EndSessions{UserID: user.ID}, adminEvent(oauth.EventPasswordChanged, *user, now))
}

// disable ends a user's sessions, grants and tokens.
func (p people) disable(ctx context.Context, name string) error {
	user, err := p.find(ctx, name)
	if err != nil {
		return err
	}
	if user.Disabled {
		return nil
	}
	now := time.Now().Truncate(time.Second)
	return p.store.Commit(ctx, oauth.DisableUser{ID: user.ID, Reason: "disabled_by_admin", At: now}, adminEvent(oauth.EventUserDisabled, *user, now))
}

// find is a user who may be changed here: those of the configuration file are changed there.
func (p people) find(ctx context.Context, name string) (*oauth.User, error) {
	canonical := oauth.CanonicalUsername(name)
	user, err := p.store.UserByName(ctx, canonical)
	switch {
	case errors.Is(err, oauth.ErrNotFound):
		return nil, oauth.NotFound.Errorf("there is no user %q", canonical)
	case err != nil:
		return nil, err
	case user.Source == oauth.SourceConfig:
		return nil, oauth.InvalidRequest.Errorf("the user %q stands in the configuration file; change or remove it there and restart the server", canonical)
	}
	return user, nil
}

func adminEvent(kind string, user oauth.User, now time.Time) oauth.Event {
	return oauth.Event{Time: now, Type: kind, Outcome: oauth.OutcomeOK, SubjectID: user.ID, Username: user.Name, Detail: map[string]string{"by": "admin"}}
}
