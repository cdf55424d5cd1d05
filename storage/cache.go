package storage

import (
	"context"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"portcullis/oauth"
)

// clientCache keeps recently read clients. Every drop moves the epoch on, and a client that was read under an older
// epoch is not kept: the read may have been before the COMMIT that the drop belongs to.
type clientCache struct {
	mu    sync.Mutex
	epoch uint64
	lru   *simplelru.LRU[string, *oauth.Client]
}

func newClientCache(size int) *clientCache {
	return &clientCache{lru: newLRU[string, *oauth.Client](size)}
}

func (c *clientCache) get(id string) (client *oauth.Client, epoch uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok = c.lru.Get(id)
	return client, c.epoch, ok
}

func (c *clientCache) keep(client *oauth.Client, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.lru.Add(client.ID, client)
	}
}

func (c *clientCache) drop(ids []string) {
	if len(ids) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for _, id := range ids {
		c.lru.Remove(id)
	}
}

func (c *clientCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.lru.Purge()
}

// Client reads a client, also a disabled or expired one; see oauth.ClientReader. It may come from memory, but never from before
// a Commit that has returned. The lists in it are shared: do not change them in place.
func (s *Store) Client(ctx context.Context, id string) (*oauth.Client, error) {
	kept, epoch, ok := s.clients.get(id)
	if !ok {
		var err error
		if kept, err = s.Reader.Client(ctx, id); err != nil {
			return nil, err
		}
		s.clients.keep(kept, epoch)
	}
	client := *kept
	return &client, nil
}
