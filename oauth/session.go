package oauth

import (
	"context"
	"errors"
	"time"
)

// liveSession finds the session of a cookie value and its person. Whatever is not alive is ErrNotFound.
func liveSession(ctx context.Context, sessions SessionReader, users UserReader, id string) (*Session, *User, error) {
	if id == "" {
		return nil, nil, ErrNotFound
	}
	s, err := sessions.Session(ctx, HashSecret(id))
	if err != nil {
		return nil, nil, err
	}
	if !time.Now().Before(s.ExpiresAt) {
		return nil, nil, ErrNotFound
	}
	u, err := users.User(ctx, s.UserID)
	if err != nil {
		return nil, nil, err
	}
	if u.Disabled {
		return nil, nil, ErrNotFound
	}
	return s, u, nil
}

// requireSession is liveSession for pages that need one.
func requireSession(ctx context.Context, sessions SessionReader, users UserReader, id string) (*Session, *User, error) {
	s, u, err := liveSession(ctx, sessions, users, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil, LoginRequired.Errorf("log in first")
	}
	return s, u, err
}
