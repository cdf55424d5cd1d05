package oauth

import (
	"context"
	"errors"
	"testing"
	"time"
)

// people is a table of one session and one person, by themselves: in the database a disabled person has no session.
type people struct {
	session Session
	user    User
}

func (p people) Session(context.Context, []byte) (*Session, error)       { return &p.session, nil }
func (p people) User(context.Context, string) (*User, error)             { return &p.user, nil }
func (p people) UserByName(ctx context.Context, _ string) (*User, error) { return p.User(ctx, "") }

func TestASessionOfADisabledPersonIsNone(t *testing.T) {
	p := people{Session{UserID: "usr_1", ExpiresAt: time.Now().Add(time.Hour)}, User{ID: "usr_1"}}
	if _, _, err := liveSession(t.Context(), p, p, "cookie"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := liveSession(t.Context(), p, p, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("no cookie: %v", err)
	}
	disabled := p
	disabled.user.Disabled = true
	if _, _, err := liveSession(t.Context(), disabled, disabled, "cookie"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a disabled person: %v", err)
	}
	old := p
	old.session.ExpiresAt = time.Now()
	if _, _, err := liveSession(t.Context(), old, old, "cookie"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a session that has ended: %v", err)
	}
}
