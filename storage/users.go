package storage

import (
	"context"

	"portcullis/oauth"
)

const userColumns = `u.id, u.name, u.user_groups, u.password_hash, u.source, u.disabled, u.created_at`

// saveUser keeps the first created_at. Another user's name breaks a unique constraint, which is a conflict.
func saveUser(t *tx, u *oauth.User) error {
	return t.run(`INSERT INTO users (id, name, user_groups, password_hash, source, disabled, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, user_groups = excluded.user_groups, password_hash = excluded.password_hash,
			source = excluded.source, disabled = excluded.disabled`,
		u.ID, u.Name, asJSON(u.Groups), u.PasswordHash, string(u.Source), flag(u.Disabled), stamp(u.CreatedAt))
}

// setPassword is a compare-and-swap for the person, because disabling a user or the operator's new password may overtake it.
func setPassword(t *tx, c oauth.SetPassword) error {
	if c.OldHash == "" {
		return t.must(`UPDATE users SET password_hash = $2 WHERE id = $1`, c.UserID, c.Hash)
	}
	if err := t.demand(`SELECT 1 FROM sessions WHERE hash = $1 AND user_id = $2`, c.Session, c.UserID); err != nil {
		return err
	}
	return t.must(`UPDATE users SET password_hash = $2 WHERE id = $1 AND password_hash = $3 AND disabled = 0`, c.UserID, c.Hash, c.OldHash)
}

func disableUser(t *tx, c oauth.DisableUser) error {
	if err := t.run(`UPDATE users SET disabled = 1 WHERE id = $1`, c.ID); err != nil {
		return err
	}
	if err := endSessions(t, oauth.EndSessions{UserID: c.ID}); err != nil {
		return err
	}
	return endGrants(t, byUser, c.ID, c.Reason, c.At)
}

// User reads a user by id, also a disabled one.
func (r *Reader) User(ctx context.Context, id string) (*oauth.User, error) {
	return find(ctx, r, scanUser, `SELECT `+userColumns+` FROM users u WHERE u.id = $1`, id)
}

// UserByName reads a user by the canonical name.
func (r *Reader) UserByName(ctx context.Context, canonical string) (*oauth.User, error) {
	return find(ctx, r, scanUser, `SELECT `+userColumns+` FROM users u WHERE u.name = $1`, canonical)
}

// Users reads all users by name.
func (r *Reader) Users(ctx context.Context) ([]oauth.User, error) {
	return list(ctx, r, scanUser, `SELECT `+userColumns+` FROM users u ORDER BY u.name`)
}

// ConfiguredUsers reads the users that came from the configuration, disabled ones too.
func (r *Reader) ConfiguredUsers(ctx context.Context) ([]oauth.User, error) {
	return list(ctx, r, scanUser, `SELECT `+userColumns+` FROM users u WHERE u.source = $1 ORDER BY u.name`, string(oauth.SourceConfig))
}

func scanUser(r row) (u oauth.User, err error) {
	err = r.Scan(userInto(&u)...)
	return u, err
}

// userInto takes the userColumns; all of them may be NULL.
func userInto(u *oauth.User) []any {
	return []any{textColumn{&u.ID}, textColumn{&u.Name}, listColumn{&u.Groups}, textColumn{&u.PasswordHash},
		textColumn{(*string)(&u.Source)}, flagColumn{&u.Disabled}, timeColumn{&u.CreatedAt}}
}
