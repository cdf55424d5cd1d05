package storage

import (
	"context"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"portcullis/oauth"
)

// unusedCache remembers refresh tokens that were stored and not used since, which is nearly every one that is presented. Only commits
// fill it, in their order, after COMMIT and before the callers are answered: what was read may have been used meanwhile. A token that is
// not here is read; a used one never is here.
type unusedCache struct {
	mu     sync.Mutex
	tokens *simplelru.LRU[string, unusedToken] // by hash
}

// unusedToken is what a row says of a refresh token that was not used. Times are Unix seconds.
type unusedToken struct {
	family             string
	generation         int
	createdAt, expires int64
}

// unusedNews is one change of what is unused: a token was stored and, unless it is the first of its family, its parent used.
type unusedNews struct {
	used, stored string // hashes
	token        unusedToken
}

// maxUnused bounds the memory of unused tokens: about a quarter of a KiB each.
const maxUnused = 16384

func newUnusedCache() *unusedCache {
	return &unusedCache{tokens: newLRU[string, unusedToken](maxUnused)}
}

func (c *unusedCache) note(news []unusedNews) {
	if len(news) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range news {
		c.tokens.Remove(n.used)
		c.tokens.Add(n.stored, n.token)
	}
}

func (c *unusedCache) get(hash []byte) (unusedToken, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tokens.Get(string(hash))
}

func (c *unusedCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens.Purge()
}

// noteUnused keeps the news of a stored refresh token until COMMIT.
func (t *tx) noteUnused(used []byte, r *oauth.Refresh) {
	t.unused = append(t.unused, unusedNews{string(used), string(r.Hash), unusedToken{r.FamilyID, r.Generation, stamp(r.CreatedAt), stamp(r.ExpiresAt)}})
}

func (u unusedToken) refresh(hash []byte) *oauth.Refresh {
	return &oauth.Refresh{Hash: hash, FamilyID: u.family, Generation: u.generation, CreatedAt: moment(u.createdAt), ExpiresAt: moment(u.expires)}
}

// Refresh is that of Reader, from memory for a token that was not used. The family and the grant may be shared: do not change them.
func (s *Store) Refresh(ctx context.Context, hash []byte) (*oauth.RefreshState, error) {
	token, unused := s.unused.get(hash)
	family, grant, epoch := s.states.login(token.family)
	if unused && family != nil {
		return &oauth.RefreshState{Refresh: token.refresh(hash), Family: family, Grant: grant}, nil
	}
	state, err := s.Reader.Refresh(ctx, hash)
	if err == nil {
		s.states.keepLogin(state.Family, state.Grant, epoch)
	}
	return state, err
}
