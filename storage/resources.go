package storage

import (
	"context"

	"portcullis/oauth"
)

const resourceColumns = `r.id, r.key, r.name, r.secret_hashes, r.scopes, r.baseline, r.tools, r.source, r.disabled`

func saveResource(t *tx, r *oauth.Resource) error {
	return t.run(`INSERT INTO resources (id, key, name, secret_hashes, scopes, baseline, tools, source, disabled)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET key = excluded.key, name = excluded.name, secret_hashes = excluded.secret_hashes, scopes = excluded.scopes,
			baseline = excluded.baseline, tools = excluded.tools, source = excluded.source, disabled = excluded.disabled`,
		r.ID, r.Key, r.Name, asJSON(r.SecretHashes), asJSON(r.Scopes), words(r.Baseline), asJSON(r.Tools), string(r.Source), flag(r.Disabled))
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

// ConfiguredResources reads the resources that came from the configuration, disabled ones too.
func (r *Reader) ConfiguredResources(ctx context.Context) ([]oauth.Resource, error) {
	return list(ctx, r, scanResource, `SELECT `+resourceColumns+` FROM resources r WHERE r.source = $1 ORDER BY r.id`, string(oauth.SourceConfig))
}

func scanResource(r row) (x oauth.Resource, err error) {
	err = r.Scan(&x.ID, &x.Key, &x.Name, jsonColumn{&x.SecretHashes}, jsonColumn{&x.Scopes}, scopesColumn(&x.Baseline), jsonColumn{&x.Tools},
		(*string)(&x.Source), flagColumn{&x.Disabled})
	return x, err
}
