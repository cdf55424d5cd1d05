package storage

import (
	"context"

	"portcullis/oauth"
)

const resourceColumns = `r.id, r.key, r.name, r.secret_hashes, r.scopes, r.baseline, r.tools, r.source, r.disabled`

// resourceValues are what the resourceColumns hold.
func resourceValues(r *oauth.Resource) []any {
	return []any{r.ID, r.Key, r.Name, asJSON(r.SecretHashes), asJSON(r.Scopes), words(r.Baseline), asJSON(r.Tools), string(r.Source), flag(r.Disabled)}
}

func saveResource(t *tx, r *oauth.Resource) error {
	return t.run(`INSERT INTO resources (id, key, name, secret_hashes, scopes, baseline, tools, source, disabled)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET key = excluded.key, name = excluded.name, secret_hashes = excluded.secret_hashes, scopes = excluded.scopes,
			baseline = excluded.baseline, tools = excluded.tools, source = excluded.source, disabled = excluded.disabled`,
		resourceValues(r)...)
}

func disableResource(t *tx, c oauth.DisableResource) error {
	if err := t.run(`UPDATE resources SET disabled = 1 WHERE id = $1`, c.ID); err != nil {
		return err
	}
	return endGrants(t, byResource, c.ID, c.Reason, c.At)
}

// Resource reads a resource, also a disabled one.
func (r *Reader) Resource(ctx context.Context, id string) (*oauth.Resource, error) {
	return find(ctx, r, scanResource, `SELECT `+resourceColumns+` FROM resources r WHERE r.id = $1`, id)
}

// Resources reads all resources by id.
func (r *Reader) Resources(ctx context.Context) ([]oauth.Resource, error) {
	return list(ctx, r, scanResource, `SELECT `+resourceColumns+` FROM resources r ORDER BY r.id`)
}

// ConfiguredResources reads the ids of the resources that came from the configuration and are not disabled.
func (r *Reader) ConfiguredResources(ctx context.Context) ([]string, error) {
	return list(ctx, r, func(r row) (id string, err error) { err = r.Scan(&id); return id, err },
		`SELECT r.id FROM resources r WHERE r.source = $1 AND r.disabled = 0 ORDER BY r.id`, string(oauth.SourceConfig))
}

// HasResource tells whether a resource is stored as it is given, with all its tools. Nothing is decoded for it: a catalogue may be large.
func (r *Reader) HasResource(ctx context.Context, x *oauth.Resource) (bool, error) {
	n, err := find(ctx, r, func(r row) (n int64, err error) { err = r.Scan(&n); return n, err },
		`SELECT count(*) FROM resources WHERE id = $1 AND key = $2 AND name = $3 AND secret_hashes = $4 AND scopes = $5 AND baseline = $6
			AND tools = $7 AND source = $8 AND disabled = $9`, resourceValues(x)...)
	return err == nil && *n == 1, err
}

func scanResource(r row) (x oauth.Resource, err error) {
	err = r.Scan(&x.ID, &x.Key, &x.Name, jsonColumn{&x.SecretHashes}, jsonColumn{&x.Scopes}, scopesColumn(&x.Baseline), jsonColumn{&x.Tools},
		(*string)(&x.Source), flagColumn{&x.Disabled})
	return x, err
}
