package storage

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"
)

// VerifyReport is what Verify found.
type VerifyReport struct {
	Rows      int64     // rows that are intact, counted from the first
	Last      int64     // number of the last row that the sealed end record names
	FirstTime time.Time // of the first row
	LastTime  time.Time // of the last intact row
	Bad       *BadRow   // nil: nothing was found
}

// BadRow is the first row at which the chain breaks.
type BadRow struct {
	Seq     int64
	Problem string
}

// OK tells that nothing was found.
func (r VerifyReport) OK() bool { return r.Bad == nil }

// Statement says in plain words what the report proves and what it cannot prove.
func (r VerifyReport) Statement() string {
	const limits = "Not provable from this file: that it is the newest one (an older copy of the whole file verifies too; compare the last seal with an " +
		"export kept elsewhere), and that nobody who holds the server key wrote the chain anew."
	if r.Bad != nil {
		return fmt.Sprintf("The audit is NOT intact: row %d: %s. The %d rows before it are as they were written. %s", r.Bad.Seq, r.Bad.Problem, r.Rows, limits)
	}
	return fmt.Sprintf("All %d audit rows are as they were written by a holder of the server key: none was changed, removed, inserted or moved, "+
		"and the last one is the one that the sealed end record names. %s", r.Rows, limits)
}

// ErrNoKey tells that the audit was opened without the server key, so its seals cannot be checked.
var ErrNoKey = errors.New("the server key is needed to verify the audit")

// Verify checks every seal from the first row to the end that the head record names, in the order of writing. It names the first bad
// row and stops there. It runs beside a writing server. progress may be nil.
func (a Audit) Verify(ctx context.Context, progress func(done, total int64)) (VerifyReport, error) {
	var report VerifyReport
	if a.reader.seals == nil {
		return report, ErrNoKey
	}
	c := newChain(a.reader.seals, "")
	end, last, err := c.readEnd(ctx, a.reader.db)
	headBroken := errors.Is(err, errHeadSeal)
	if err != nil && !headBroken {
		return report, fault(err)
	}
	if headBroken {
		end = chainEnd{seq: last}
	}
	report.Last = end.seq
	if err := a.walk(ctx, c, end.seq, &report, progress); err != nil || report.Bad != nil {
		return report, err
	}
	switch problem := disagreement(end, last); {
	case headBroken:
		report.Bad = &BadRow{last, "the record of where the audit ends was changed or removed, so rows may be missing after it"}
	case problem != "":
		report.Bad = &BadRow{min(end.seq, last) + 1, problem}
	case !hmac.Equal(end.mac, c.end.mac):
		report.Bad = &BadRow{last, "it is not the row that the record of where the audit ends names"}
	}
	return report, nil
}

// walk follows the chain up to the row upTo.
func (a Audit) walk(ctx context.Context, c *chain, upTo int64, report *VerifyReport, progress func(done, total int64)) error {
	for row, err := range a.sealed(ctx, 0) {
		if err != nil {
			return err
		}
		if row.Seq > upTo {
			return nil
		}
		if report.Bad = c.follow(row); report.Bad != nil {
			return nil
		}
		if report.Rows == 0 {
			report.FirstTime = row.Event.Time
		}
		report.Rows++
		report.LastTime = row.Event.Time
		if progress != nil && (row.Seq%auditPage == 0 || row.Seq == upTo) {
			progress(row.Seq, upTo)
		}
	}
	return nil
}

// follow checks one row against the row before and moves on to it.
func (c *chain) follow(row AuditRow) *BadRow {
	if want := c.end.seq + 1; row.Seq != want {
		return &BadRow{want, fmt.Sprintf("missing: row %d comes after row %d", row.Seq, c.end.seq)}
	}
	if !hmac.Equal(row.MAC, c.seal(c.end.mac, row.Seq, row.Instance, row.at, row.Event.Type, row.body)) {
		return &BadRow{row.Seq, "its content, its place or the row before it was changed"}
	}
	c.end = chainEnd{row.Seq, row.MAC}
	return nil
}

// tailRows are looked at when a database is opened; the whole chain is for Verify.
const tailRows = 100

// checkTail verifies the last rows and returns the time of the last one, the zero time without rows.
func (a Audit) checkTail(ctx context.Context) (time.Time, error) {
	rows, err := a.Tail(ctx, tailRows+1)
	if err != nil || len(rows) == 0 {
		return time.Time{}, err
	}
	c := newChain(a.reader.seals, "")
	if rows[0].Seq > 1 {
		c.end = chainEnd{rows[0].Seq, rows[0].MAC} // its own seal needs the row before
		rows = rows[1:]
	}
	for _, row := range rows {
		if bad := c.follow(row); bad != nil {
			return time.Time{}, fmt.Errorf("%w: audit row %d: %s; see `portcullis audit verify`, then restore a backup", ErrCorrupt, bad.Seq, bad.Problem)
		}
	}
	if len(rows) == 0 {
		return time.Time{}, fmt.Errorf("%w: the audit begins with row %d", ErrCorrupt, c.end.seq)
	}
	return rows[len(rows)-1].Event.Time, nil
}
