package storage

import (
	"context"

	"portcullis/oauth"
)

// saveGeneration makes the generation the newest one and drops those that are too many.
func saveGeneration(t *tx, c oauth.SavePolicyGeneration) error {
	g := c.Generation
	if err := t.run(`INSERT INTO policy_generations (seq, revision, activated_at, origin, bundle, document)
		VALUES ((SELECT coalesce(max(seq), 0) + 1 FROM policy_generations), $1, $2, $3, $4, $5)
		ON CONFLICT (revision) DO UPDATE SET seq = excluded.seq, activated_at = excluded.activated_at, origin = excluded.origin, bundle = excluded.bundle, document = excluded.document`,
		g.Revision, stamp(g.ActivatedAt), g.Origin, g.Bundle, g.Document); err != nil {
		return err
	}
	return t.run(`DELETE FROM policy_generations WHERE seq NOT IN (SELECT seq FROM policy_generations ORDER BY seq DESC LIMIT $1)`, max(1, c.Keep))
}

// PolicyGeneration reads the policies of a revision with their files. One that never was in force here, or was so too long
// ago, is oauth.ErrNotFound.
func (r *Reader) PolicyGeneration(ctx context.Context, revision string) (*oauth.PolicyGeneration, error) {
	return find(ctx, r, func(r row) (g oauth.PolicyGeneration, err error) {
		err = r.Scan(&g.Revision, timeColumn{&g.ActivatedAt}, &g.Origin, &g.Bundle, &g.Document)
		return g, err
	}, `SELECT revision, activated_at, origin, bundle, document FROM policy_generations WHERE revision = $1`, revision)
}

// NewestPolicyGeneration reads the policies that were put in force last. oauth.ErrNotFound: none ever were.
func (r *Reader) NewestPolicyGeneration(ctx context.Context) (*oauth.PolicyGeneration, error) {
	return find(ctx, r, func(r row) (g oauth.PolicyGeneration, err error) {
		err = r.Scan(&g.Revision, timeColumn{&g.ActivatedAt}, &g.Origin, &g.Bundle, &g.Document)
		return g, err
	}, `SELECT revision, activated_at, origin, bundle, document FROM policy_generations ORDER BY seq DESC LIMIT 1`)
}

// PolicyGenerations lists what is kept, the one that was activated last first, without the documents.
func (r *Reader) PolicyGenerations(ctx context.Context) ([]oauth.PolicyGeneration, error) {
	return list(ctx, r, func(r row) (g oauth.PolicyGeneration, err error) {
		err = r.Scan(&g.Revision, timeColumn{&g.ActivatedAt}, &g.Origin, &g.Bundle)
		return g, err
	}, `SELECT revision, activated_at, origin, bundle FROM policy_generations ORDER BY seq DESC`)
}

// savePolicyBundle takes the place of the bundle before.
func savePolicyBundle(t *tx, b oauth.PolicyBundle) error {
	return t.run(`INSERT INTO policy_bundle (id, revision, number, verified_by, taken_at) VALUES (1, $1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, number = excluded.number, verified_by = excluded.verified_by, taken_at = excluded.taken_at`,
		b.Revision, b.Number, b.VerifiedBy, stamp(b.TakenAt))
}

// PolicyBundle reads which bundle was put in force last. oauth.ErrNotFound: none ever was.
func (r *Reader) PolicyBundle(ctx context.Context) (*oauth.PolicyBundle, error) {
	return find(ctx, r, func(r row) (b oauth.PolicyBundle, err error) {
		err = r.Scan(&b.Revision, &b.Number, &b.VerifiedBy, timeColumn{&b.TakenAt})
		return b, err
	}, `SELECT revision, number, verified_by, taken_at FROM policy_bundle`)
}
