package storage

import (
	"context"
	"iter"
	"time"

	"portcullis/oauth"
)

// saveDecision cannot fail for its caller alone: Commit counts on that and gives the caller no savepoint.
func saveDecision(t *tx, d *oauth.DecisionRecord) error {
	return t.run(`INSERT INTO decisions (id, at, kind, revision, document) VALUES ($1, $2, $3, $4, $5)`,
		d.ID, stamp(d.Time), d.Kind, d.Revision, d.Document)
}

const (
	decisionColumns = `seq, id, at, kind, revision, document`
	decisionPage    = 500 // rows read at once, so that a long reading never holds up the write-ahead log
)

// decisionRow is a record with its place in the table.
type decisionRow struct {
	seq, at int64
	oauth.DecisionRecord
}

func scanDecision(r row) (d decisionRow, err error) {
	err = r.Scan(&d.seq, &d.ID, &d.at, &d.Kind, &d.Revision, &d.Document)
	d.Time = moment(d.at)
	return d, err
}

// Decision reads the record of one policy decision. It looks from the newest on. One that was not recorded, or no longer is, is oauth.ErrNotFound.
func (r *Reader) Decision(ctx context.Context, id string) (*oauth.DecisionRecord, error) {
	d, err := find(ctx, r, scanDecision, `SELECT `+decisionColumns+` FROM decisions WHERE id = $1 ORDER BY seq DESC LIMIT 1`, id)
	if err != nil {
		return nil, err
	}
	return &d.DecisionRecord, nil
}

// Decisions goes through the records from since on and before until, oldest first. An error ends it. Records that are
// written meanwhile may be among them.
func (r *Reader) Decisions(ctx context.Context, since, until time.Time) iter.Seq2[oauth.DecisionRecord, error] {
	return func(yield func(oauth.DecisionRecord, error) bool) {
		at, seq := since.Unix(), int64(0)
		for {
			page, err := list(ctx, r, scanDecision, `SELECT `+decisionColumns+` FROM decisions
				WHERE (at, seq) > ($1, $2) AND at < $3 ORDER BY at, seq LIMIT $4`, at, seq, until.Unix(), decisionPage)
			if err != nil {
				yield(oauth.DecisionRecord{}, err)
				return
			}
			for _, d := range page {
				if !yield(d.DecisionRecord, nil) {
					return
				}
				at, seq = d.at, d.seq
			}
			if len(page) < decisionPage {
				return
			}
		}
	}
}

// CountDecisions tells how many records Decisions would go through.
func (r *Reader) CountDecisions(ctx context.Context, since, until time.Time) (int64, error) {
	n, err := find(ctx, r, func(r row) (n int64, err error) { err = r.Scan(&n); return n, err },
		`SELECT count(*) FROM decisions WHERE at >= $1 AND at < $2`, since.Unix(), until.Unix())
	if err != nil {
		return 0, err
	}
	return *n, nil
}

// DecisionEvent reads the audit row that tells of a decision, the newest if there are several. It looks through the whole
// audit, so it is for people who ask, not for requests.
func (a Audit) DecisionEvent(ctx context.Context, id string) (*oauth.Event, error) {
	found, err := find(ctx, a.reader, scanAudit, `SELECT `+auditColumns+` FROM audit WHERE instr(body, $1) > 0 ORDER BY seq DESC LIMIT 1`,
		`"decision":"`+id+`"`)
	if err != nil {
		return nil, err
	}
	found.decode()
	return &found.Event, nil
}
