package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
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

// formTokens makes the tokens of forms that stand outside an interaction: bound to a purpose and to a cookie.
type formTokens struct{ key []byte }

func (f formTokens) make(purpose, cookie string) string {
	m := hmac.New(sha256.New, f.key)
	m.Write([]byte(purpose + "\x00" + cookie))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (f formTokens) check(purpose, cookie, token string) error {
	if cookie == "" || !hmac.Equal([]byte(f.make(purpose, cookie)), []byte(token)) {
		return Forbidden.Errorf("the form is out of date or comes from another page; load the page again").For("form_token")
	}
	return nil
}

// requireSession is liveSession for pages that need one.
func requireSession(ctx context.Context, sessions SessionReader, users UserReader, id string) (*Session, *User, error) {
	s, u, err := liveSession(ctx, sessions, users, id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil, LoginRequired.Errorf("log in first")
	}
	return s, u, err
}
