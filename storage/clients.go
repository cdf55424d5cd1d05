package storage

import (
	"context"

	"portcullis/oauth"
)

// maxUnusedDocuments is how many clients with a metadata document are kept that nobody has consented to yet.
const maxUnusedDocuments = 1000

const clientColumns = `c.id, c.name, c.registration, c.source, c.redirect_uris, c.auth_methods, c.grant_types, c.secret_hashes,
	c.scope, c.ceiling, c.client_uri, c.software_id, c.digest, c.created_at, c.last_used_at, c.expires_at, c.fetched_at, c.fresh_until,
	c.disabled, c.document`

// saveClient keeps the first created_at, and the last use unless a newer one is given. A client that registers itself anew stays
// disabled if it was.
func saveClient(t *tx, c *oauth.Client) error {
	if err := makeRoom(t, c); err != nil {
		return err
	}
	t.clients = append(t.clients, c.ID)
	return t.run(`INSERT INTO clients (id, name, registration, source, redirect_uris, auth_methods, grant_types, secret_hashes,
			scope, ceiling, client_uri, software_id, digest, created_at, last_used_at, expires_at, fetched_at, fresh_until, disabled, document)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, registration = excluded.registration, source = excluded.source,
			redirect_uris = excluded.redirect_uris, auth_methods = excluded.auth_methods, grant_types = excluded.grant_types,
			secret_hashes = excluded.secret_hashes, scope = excluded.scope, ceiling = excluded.ceiling, client_uri = excluded.client_uri,
			software_id = excluded.software_id, digest = excluded.digest,
			last_used_at = CASE WHEN excluded.last_used_at > clients.last_used_at THEN excluded.last_used_at ELSE clients.last_used_at END,
			expires_at = excluded.expires_at, fetched_at = excluded.fetched_at, fresh_until = excluded.fresh_until,
			disabled = CASE WHEN excluded.source = 'self' AND clients.disabled = 1 THEN 1 ELSE excluded.disabled END, document = excluded.document`,
		c.ID, c.Name, string(c.Registration), string(c.Source), asJSON(c.RedirectURIs), asJSON(c.AuthMethods), asJSON(c.GrantTypes),
		asJSON(c.SecretHashes), words(c.Scope), asJSON(c.Ceiling), c.ClientURI, c.SoftwareID, c.Digest, stamp(c.CreatedAt), stamp(c.LastUsedAt),
		stamp(c.ExpiresAt), stamp(c.FetchedAt), stamp(c.FreshUntil), flag(c.Disabled), c.Document)
}

// makeRoom drops clients with a metadata document that nobody has consented to, the one first that was fetched the longest
// ago, when there are too many of them for another one. Should somebody ask for it again it is fetched again.
func makeRoom(t *tx, c *oauth.Client) error {
	if c.Registration != oauth.RegistrationCIMD || c.ExpiresAt.IsZero() || !c.LastUsedAt.IsZero() {
		return nil
	}
	for range 2 { // one takes the place of the new one, and another one repays what an older version of this program may have left
		var id string
		found, err := t.get(`SELECT c.id FROM clients c WHERE c.registration = 'cimd' AND c.expires_at > 0 AND c.last_used_at = 0 AND c.disabled = 0 AND c.id <> $1
			AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.client_id = c.id) ORDER BY c.fetched_at DESC, c.id LIMIT 1 OFFSET $2`, []any{c.ID, maxUnusedDocuments - 1}, &id)
		if err != nil || !found {
			return err
		}
		if err := t.run(`DELETE FROM clients WHERE id = $1`, id); err != nil {
			return err
		}
		t.clients = append(t.clients, id)
	}
	return nil
}

func disableClient(t *tx, c oauth.DisableClient) error {
	t.clients = append(t.clients, c.ID)
	if err := t.run(`UPDATE clients SET disabled = 1 WHERE id = $1`, c.ID); err != nil {
		return err
	}
	return endGrants(t, byClient, c.ID, c.Reason, c.At)
}

// touchClient drops the cached client only when the row changed, which is once a minute at most.
func touchClient(t *tx, c oauth.TouchClient) error {
	n, err := t.exec(`UPDATE clients SET last_used_at = $1, expires_at = 0 WHERE id = $2 AND (last_used_at <= $3 OR expires_at > 0)`,
		stamp(c.At), c.ID, stamp(c.At)-touchEvery)
	if n > 0 {
		t.clients = append(t.clients, c.ID)
	}
	return err
}

// Client reads a client, also a disabled or expired one.
func (r *Reader) Client(ctx context.Context, id string) (*oauth.Client, error) {
	return find(ctx, r, scanClient, `SELECT `+clientColumns+` FROM clients c WHERE c.id = $1`, id)
}

// Clients reads all clients, newest first.
func (r *Reader) Clients(ctx context.Context) ([]oauth.Client, error) {
	return list(ctx, r, scanClient, `SELECT `+clientColumns+` FROM clients c ORDER BY c.created_at DESC, c.id`)
}

// ConfiguredClients reads the clients that came from the configuration, disabled ones too.
func (r *Reader) ConfiguredClients(ctx context.Context) ([]oauth.Client, error) {
	return list(ctx, r, scanClient, `SELECT `+clientColumns+` FROM clients c WHERE c.source = $1 ORDER BY c.id`, string(oauth.SourceConfig))
}

func scanClient(r row) (c oauth.Client, err error) {
	err = r.Scan(&c.ID, &c.Name, (*string)(&c.Registration), (*string)(&c.Source), listColumn{&c.RedirectURIs}, listColumn{&c.AuthMethods},
		listColumn{&c.GrantTypes}, jsonColumn{&c.SecretHashes}, scopesColumn(&c.Scope), listColumn{(*[]string)(&c.Ceiling)}, &c.ClientURI,
		&c.SoftwareID, &c.Digest, timeColumn{&c.CreatedAt}, timeColumn{&c.LastUsedAt}, timeColumn{&c.ExpiresAt}, timeColumn{&c.FetchedAt},
		timeColumn{&c.FreshUntil}, flagColumn{&c.Disabled}, &c.Document)
	return c, err
}
