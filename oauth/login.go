package oauth

import (
	"context"
	"errors"
	"time"

	"portcullis/oauth/jose"
)

// How a password login is named in tokens (RFC 8176 §2; the acr is our own word).
const (
	acrPassword = "pwd"
	amrPassword = "pwd"
)

// LoginConfig is what LoginEndpoint needs.
type LoginConfig struct {
	Users        UserReader
	Sessions     SessionReader
	Interactions InteractionReader
	Failures     FailureReader
	Ledger       Ledger
	ServerKey    []byte
	SessionTTL   time.Duration
}

// LoginEndpoint logs people in and out.
type LoginEndpoint struct {
	cfg       LoginConfig
	passwords *passwords
	forms     formTokens
	turns     *turns
}

// NewLogin builds the endpoint.
func NewLogin(cfg LoginConfig) *LoginEndpoint {
	return &LoginEndpoint{cfg: cfg, passwords: newPasswords(), forms: formTokens{jose.Derive(cfg.ServerKey, "form tokens")}, turns: newTurns(maxWaiting)}
}

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
func (e *LoginEndpoint) Begin(_ context.Context, b Browser) (formToken, browserID string, err error) {
	browserID = b.idOrNew()
	return e.forms.make("login", browserID), browserID, nil
}

// Login checks the password and opens a session with a new id. A wrong user or password is AccessDenied with one
// text for both; too many tries are SlowDown with RetryAfter.
func (e *LoginEndpoint) Login(ctx context.Context, b Browser, f LoginForm) (LoggedIn, error) {
	interaction, err := e.checkForm(ctx, b, f)
	if err != nil {
		return LoggedIn{}, err
	}
	name := CanonicalUsername(f.Username)
	if name == "" || len(name) > 200 {
		return LoggedIn{}, wrongLogin()
	}
	done, err := e.turn(ctx, b, name)
	if err != nil {
		return LoggedIn{}, err
	}
	defer done()
	user, err := e.prove(ctx, b, name, f.Password)
	if err != nil {
		return LoggedIn{}, err
	}
	return e.open(ctx, b, user, interaction)
}

func (e *LoginEndpoint) checkForm(ctx context.Context, b Browser, f LoginForm) (*Interaction, error) {
	if f.InteractionID == "" {
		return nil, e.forms.check("login", b.ID, f.FormToken)
	}
	i, err := pending(ctx, e.cfg.Interactions, f.InteractionID, b)
	if err != nil {
		return nil, err
	}
	return i, sameForm(f.FormToken, i.FormToken)
}

func wrongLogin() *Error {
	return AccessDenied.Errorf("user name or password is wrong").For("wrong_password")
}

func isWrongLogin(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == "wrong_password"
}

// turn lets one login of an account run at a time. Who is delayed does not wait for it: the places are few, and a stranger could keep them filled.
func (e *LoginEndpoint) turn(ctx context.Context, b Browser, name string) (done func(), err error) {
	if err := e.delayed(ctx, failureKeys(name, b.IP)); err != nil {
		return nil, err
	}
	done, ok := e.turns.take(name)
	if !ok {
		return nil, SlowDown.Errorf("too many logins for this account at the same time; try again in a few seconds").For("login_turns").After(5 * time.Second)
	}
	return done, nil
}

// delayed is the refusal of who failed too often a moment ago.
func (e *LoginEndpoint) delayed(ctx context.Context, keys [2]string) error {
	for i, key := range keys {
		count, last, err := e.cfg.Failures.Failures(ctx, key)
		if err != nil {
			return err
		}
		if wait := time.Until(last.Add(loginDelay(count, i))); wait > 0 {
			return SlowDown.Errorf("too many wrong passwords; try again in %d seconds", int(wait.Seconds())+1).For("login_delay").After(wait)
		}
	}
	return nil
}

// prove checks the delay, which may have begun before its turn came, then the password. Known and unknown names cost the same work and the same writes.
func (e *LoginEndpoint) prove(ctx context.Context, b Browser, name, password string) (*User, error) {
	keys := failureKeys(name, b.IP)
	if err := e.delayed(ctx, keys); err != nil {
		return nil, err
	}
	user, err := e.cfg.Users.UserByName(ctx, name)
	stored := ""
	switch {
	case err == nil && !user.Disabled:
		stored = user.PasswordHash
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, err
	}
	ok, err := e.passwords.verify(ctx, stored, password)
	if err != nil {
		return nil, err
	}
	if ok {
		return user, nil
	}
	now := time.Now().Truncate(time.Second)
	changes := []Change{CountFailure{Key: keys[0], At: now}, CountFailure{Key: keys[1], At: now}}
	if user != nil {
		changes = append(changes, e.event(ctx, user, EventLogin, OutcomeDenied, "wrong_password"))
	}
	if err := e.cfg.Ledger.Commit(ctx, changes...); err != nil {
		return nil, err
	}
	return nil, wrongLogin()
}

// open makes a session with a new id, so that none can be fixed beforehand, and binds the interaction to it.
func (e *LoginEndpoint) open(ctx context.Context, b Browser, user *User, i *Interaction) (LoggedIn, error) {
	now := time.Now().Truncate(time.Second)
	id := NewSecret()
	s := Session{Hash: HashSecret(id), UserID: user.ID, AuthTime: now, ACR: acrPassword, AMR: []string{amrPassword}, ExpiresAt: now.Add(e.cfg.SessionTTL)}
	changes := []Change{SaveSession{s}, e.event(ctx, user, EventLogin, OutcomeOK, "")}
	if b.SessionID != "" {
		changes = append(changes, EndSession{HashSecret(b.SessionID)})
	}
	for _, key := range failureKeys(user.Name, b.IP) {
		changes = append(changes, ForgetFailures{key})
	}
	if i != nil {
		i.SessionHash = s.Hash
		changes = append(changes, SaveInteraction{*i})
	}
	if err := e.cfg.Ledger.Commit(ctx, changes...); err != nil {
		if errors.Is(err, ErrConflict) {
			return LoggedIn{}, InteractionExpired.Errorf("this login was finished meanwhile; go back to the application and start again")
		}
		return LoggedIn{}, err
	}
	return LoggedIn{SessionID: id, ExpiresAt: s.ExpiresAt}, nil
}

// Logout ends the browser's session. formToken is the account page's.
func (e *LoginEndpoint) Logout(ctx context.Context, b Browser, formToken string) error {
	if err := e.forms.check("account", b.SessionID, formToken); err != nil {
		return err
	}
	changes := []Change{EndSession{HashSecret(b.SessionID)}}
	_, user, err := liveSession(ctx, e.cfg.Sessions, e.cfg.Users, b.SessionID)
	switch {
	case err == nil:
		changes = append(changes, e.event(ctx, user, EventLogout, OutcomeOK, ""))
	case !errors.Is(err, ErrNotFound):
		return err
	}
	return e.cfg.Ledger.Commit(ctx, changes...)
}

func (e *LoginEndpoint) event(ctx context.Context, u *User, typ, outcome, reason string) Event {
	rc := RequestFrom(ctx)
	return Event{Time: rc.Time, Type: typ, Outcome: outcome, Reason: reason, SubjectID: u.ID, Username: u.Name, IP: rc.IP, RequestID: rc.RequestID}
}
