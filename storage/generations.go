package storage

import (
	"context"

	"portcullis/oauth"
)

// saveGeneration makes the generation the newest one and drops those that are too many.
func saveGeneration(t *tx, c oauth.SavePolicyGeneration) error {
	g := c.Generation
	if err := t.run(`INSERT INTO policy_generations (seq, revision, activated_at, origin, document)
		VALUES ((SELECT coalesce(max(seq), 0) + 1 FROM policy_generations), $1, $2, $3, $4)
		ON CONFLICT (revision) DO UPDATE SET seq = excluded.seq, activated_at = excluded.activated_at, origin = excluded.origin, document = excluded.document`,
		g.Revision, stamp(g.ActivatedAt), g.Origin, g.Document); err != nil {
		return err
	}
	return t.run(`DELETE FROM policy_generations WHERE seq NOT IN (SELECT seq FROM policy_generations ORDER BY seq DESC LIMIT $1)`, max(1, c.Keep))
}

// PolicyGeneration reads the policies of a revision with their files. One that never was in force here, or was so too long
// ago, is oauth.ErrNotFound.
func (r *Reader) PolicyGeneration(ctx context.Context, revision string) (*oauth.PolicyGeneration, error) {
	return find(ctx, r, func(r row) (g oauth.PolicyGeneration, err error) {
		err = r.Scan(&g.Revision, timeColumn{&g.ActivatedAt}, &g.Origin, &g.Document)
		return g, err
	}, `SELECT revision, activated_at, origin, document FROM policy_generations WHERE revision = $1`, revision)
}

// NewestPolicyGeneration reads the policies that were put in force last. oauth.ErrNotFound: none ever were.
func (r *Reader) NewestPolicyGeneration(ctx context.Context) (*oauth.PolicyGeneration, error) {
	return find(ctx, r, func(r row) (g oauth.PolicyGeneration, err error) {
		err = r.Scan(&g.Revision, timeColumn{&g.ActivatedAt}, &g.Origin, &g.Document)
		return g, err
	}, `SELECT revision, activated_at, origin, document FROM policy_generations ORDER BY seq DESC LIMIT 1`)
}

// PolicyGenerations lists what is kept, the one that was activated last first, without the documents.
func (r *Reader) PolicyGenerations(ctx context.Context) ([]oauth.PolicyGeneration, error) {
	return list(ctx, r, func(r row) (g oauth.PolicyGeneration, err error) {
		err = r.Scan(&g.Revision, timeColumn{&g.ActivatedAt}, &g.Origin)
		return g, err
	}, `SELECT revision, activated_at, origin FROM policy_generations ORDER BY seq DESC`)
}
