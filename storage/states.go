package storage

import (
	"context"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"portcullis/oauth"
)

// stateCache remembers what was read of access tokens whose grant, family and user were all there. Every commit of something that may
// matter to any token empties it, after COMMIT and before the callers are answered, so a revocation counts from the next call on.
// As with clients, what was read under an older epoch is not kept.
type stateCache struct {
	mu     sync.Mutex
	epoch  uint64
	states *simplelru.LRU[stateKey, oauth.TokenState]

	// What the tokens of a person, a consent or a login share, so that there is one copy.
	users    *simplelru.LRU[string, *oauth.User]
	grants   *simplelru.LRU[string, *oauth.Grant]
	families *simplelru.LRU[string, *oauth.Family]
}

type stateKey struct{ jti, grant, family, user string }

// maxStates bounds the memory of token states: about half a KiB each.
const maxStates = 16384

func newStateCache() *stateCache {
	return &stateCache{states: newLRU[stateKey, oauth.TokenState](maxStates), users: newLRU[string, *oauth.User](maxStates),
		grants: newLRU[string, *oauth.Grant](maxStates), families: newLRU[string, *oauth.Family](maxStates)}
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return lru
}

func (c *stateCache) get(key stateKey) (state oauth.TokenState, epoch uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, ok = c.states.Get(key)
	return state, c.epoch, ok
}

func (c *stateCache) keep(key stateKey, s oauth.TokenState, epoch uint64) {
	if s.Grant == nil || s.User == nil || s.Family == nil && key.family != "" {
		return // what is not there may come
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return
	}
	s.User, s.Grant = shared(c.users, s.User.ID, s.User), shared(c.grants, s.Grant.ID, s.Grant)
	if s.Family != nil {
		s.Family = shared(c.families, s.Family.ID, s.Family)
	}
	c.states.Add(key, s)
}

// user is nil when it is not remembered; then a read may be kept under the epoch.
func (c *stateCache) user(id string) (user *oauth.User, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	user, _ = c.users.Get(id)
	return user, c.epoch
}

func (c *stateCache) keepUser(u *oauth.User, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.users.Add(u.ID, u)
	}
}

// login is a family with its grant. Both are nil unless both are remembered; then a read may be kept under the epoch.
func (c *stateCache) login(familyID string) (family *oauth.Family, grant *oauth.Grant, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if family, _ = c.families.Get(familyID); family != nil {
		grant, _ = c.grants.Get(family.GrantID)
	}
	if grant == nil {
		family = nil
	}
	return family, grant, c.epoch
}

func (c *stateCache) keepLogin(f *oauth.Family, g *oauth.Grant, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.families.Add(f.ID, f)
		c.grants.Add(g.ID, g)
	}
}

// shared is the copy that there is already, or the given one.
func shared[V any](lru *simplelru.LRU[string, V], id string, v V) V {
	if kept, ok := lru.Get(id); ok {
		return kept
	}
	lru.Add(id, v)
	return v
}

func (c *stateCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.states.Purge()
	c.users.Purge()
	c.grants.Purge()
	c.families.Purge()
}

// leavesTokens tells whether a change can make no difference to a token that there is already. Everything that is not listed here
// empties the memory of states.
func leavesTokens(change oauth.Change) bool {
	switch change.(type) {
	case oauth.Event, oauth.SaveDecision, oauth.SaveInteraction, oauth.TakeInteraction, oauth.SaveSession, oauth.EndSession, oauth.CountFailure, oauth.ForgetFailures,
		oauth.SaveCode, oauth.SpendCode, oauth.CountCodeFailure, oauth.SaveFamily, oauth.SaveRefresh, oauth.RotateRefresh, oauth.UseOnce, oauth.TouchClient, oauth.TouchGrant,
		oauth.CountUse:
		return true // TouchGrant: last_used_at says nothing of a token
	}
	return false
}

// committed brings what is remembered up to date, after COMMIT and before the callers are answered.
func (s *Store) committed(t *tx) {
	s.clients.drop(t.clients)
	if t.states {
		s.states.clear()
	}
	s.unused.note(t.unused)
}

// forgetAll drops everything, when nobody knows what was committed.
func (s *Store) forgetAll() {
	s.clients.clear()
	s.states.clear()
	s.unused.clear()
}

// TokenState is that of Reader, from memory where nothing was committed since that could have changed it. What it points to is
// shared: do not change it.
func (s *Store) TokenState(ctx context.Context, jti, grantID, familyID, userID string) (*oauth.TokenState, error) {
	key := stateKey{jti, grantID, familyID, userID}
	state, epoch, ok := s.states.get(key)
	if ok {
		return &state, nil
	}
	read, err := s.Reader.TokenState(ctx, jti, grantID, familyID, userID)
	if err == nil {
		s.states.keep(key, *read, epoch)
	}
	return read, err
}

// User is that of Reader, from memory where nothing was committed since that could have changed it. The list in it is shared: do not
// change it in place.
func (s *Store) User(ctx context.Context, id string) (*oauth.User, error) {
	kept, epoch := s.states.user(id)
	if kept == nil {
		var err error
		if kept, err = s.Reader.User(ctx, id); err != nil {
			return nil, err
		}
		s.states.keepUser(kept, epoch)
	}
	user := *kept
	return &user, nil
}
