package oauth

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"
)

// Configured are the objects of the configuration file.
type Configured struct {
	Clients   []Client
	Users     []User // ID may be empty: it is kept from the stored user of that name, or made
	Resources []Resource
}

// ConfiguredStore is what SyncConfigured reads and writes.
type ConfiguredStore interface {
	Ledger
	ConfiguredReader
	ResourceMatcher
	UserReader
}

// SyncConfigured upserts the objects of the file as SourceConfig. One that vanished from the file is disabled and its grants
// end, never deleted. A user name that someone registered otherwise is taken over by the file. Nothing is written when nothing changed.
func SyncConfigured(ctx context.Context, store ConfiguredStore, c Configured) error {
	now := time.Now().Truncate(time.Second)
	s := syncing{store: store, now: now}
	for _, step := range []func(context.Context, Configured) error{s.clients, s.users, s.resources} {
		if err := step(ctx, c); err != nil {
			return err
		}
	}
	if len(s.changes) == 0 {
		return nil
	}
	return store.Commit(ctx, s.changes...)
}

type syncing struct {
	store   ConfiguredStore
	now     time.Time
	changes []Change
}

func (s *syncing) note(change Change, typ, reason string, id func(*Event)) {
	ev := Event{Time: s.now, Type: typ, Outcome: OutcomeOK, Reason: reason}
	id(&ev)
	s.changes = append(s.changes, change, ev)
}

func (s *syncing) clients(ctx context.Context, c Configured) error {
	stored, err := s.store.ConfiguredClients(ctx)
	if err != nil {
		return err
	}
	old := map[string]Client{}
	for _, x := range stored {
		old[x.ID] = x
	}
	for _, x := range c.Clients {
		x.Source, x.Registration, x.Disabled, x.CreatedAt = SourceConfig, RegistrationStatic, false, s.now
		if was, ok := old[x.ID]; ok {
			delete(old, x.ID)
			x.CreatedAt, x.LastUsedAt = was.CreatedAt, was.LastUsedAt
			if reflect.DeepEqual(normalClient(was), normalClient(x)) {
				continue
			}
		}
		s.note(SaveClient{x}, EventConfigApplied, "client", func(e *Event) { e.ClientID = x.ID })
	}
	for id, x := range old {
		if !x.Disabled {
			s.note(DisableClient{ID: id, Reason: "gone_from_config", At: s.now}, EventClientDisabled, "gone_from_config", func(e *Event) { e.ClientID = id })
		}
	}
	return nil
}

// normalClient makes an empty list equal to none.
func normalClient(c Client) Client {
	for _, list := range []*[]string{&c.RedirectURIs, &c.AuthMethods, &c.GrantTypes} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	if len(c.SecretHashes) == 0 {
		c.SecretHashes = nil
	}
	if len(c.Scope) == 0 {
		c.Scope = nil
	}
	if len(c.Document) == 0 {
		c.Document = nil
	}
	c.CreatedAt, c.LastUsedAt = c.CreatedAt.UTC(), c.LastUsedAt.UTC()
	return c
}

func (s *syncing) users(ctx context.Context, c Configured) error {
	stored, err := s.store.ConfiguredUsers(ctx)
	if err != nil {
		return err
	}
	gone := map[string]User{}
	for _, x := range stored {
		gone[x.ID] = x
	}
	for _, x := range c.Users {
		x.Name, x.Source, x.Disabled = CanonicalUsername(x.Name), SourceConfig, false
		was, err := s.store.UserByName(ctx, x.Name)
		switch {
		case errors.Is(err, ErrNotFound):
			x.ID, x.CreatedAt = NewID("usr_"), s.now
		case err != nil:
			return err
		default:
			delete(gone, was.ID)
			x.ID, x.CreatedAt = was.ID, was.CreatedAt
			if sameUser(*was, x) {
				continue
			}
			if was.PasswordHash != x.PasswordHash { // whoever knew the old password is logged out
				s.note(EndSessions{UserID: x.ID}, EventPasswordChanged, "config", func(e *Event) { e.SubjectID, e.Username = x.ID, x.Name })
			}
		}
		s.note(SaveUser{x}, EventConfigApplied, "user", func(e *Event) { e.SubjectID, e.Username = x.ID, x.Name })
	}
	for id, x := range gone {
		if !x.Disabled {
			s.note(DisableUser{ID: id, Reason: "gone_from_config", At: s.now}, EventUserDisabled, "gone_from_config", func(e *Event) { e.SubjectID, e.Username = id, x.Name })
		}
	}
	return nil
}

func sameUser(a, b User) bool {
	return a.Name == b.Name && a.PasswordHash == b.PasswordHash && a.Source == b.Source && a.Disabled == b.Disabled && slices.Equal(a.Groups, b.Groups)
}

func (s *syncing) resources(ctx context.Context, c Configured) error {
	stored, err := s.store.ConfiguredResources(ctx)
	if err != nil {
		return err
	}
	for _, x := range c.Resources {
		x.Source, x.Disabled = SourceConfig, false
		stored = slices.DeleteFunc(stored, func(id string) bool { return id == x.ID })
		same, err := s.store.HasResource(ctx, &x)
		if err != nil {
			return err
		}
		if !same {
			s.note(SaveResource{x}, EventConfigApplied, "resource", func(e *Event) { e.ResourceID = x.ID })
		}
	}
	for _, id := range stored {
		s.note(DisableResource{ID: id, Reason: "gone_from_config", At: s.now}, EventResourceDisabled, "gone_from_config", func(e *Event) { e.ResourceID = id })
	}
	return nil
}
