package main

import (
	"context"
	"time"

	"portcullis/oauth"
)

// storedClients finds the clients that are in the database. It is an oauth.ClientResolver.
type storedClients struct{ clients oauth.ClientReader }

// Client is a stored client that is neither disabled nor expired.
func (s storedClients) Client(ctx context.Context, id string, _ time.Duration) (*oauth.Client, error) {
	c, err := s.clients.Client(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Disabled || !c.ExpiresAt.IsZero() && !time.Now().Before(c.ExpiresAt) {
		return nil, oauth.ErrNotFound
	}
	return c, nil
}
