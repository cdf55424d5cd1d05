package storage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// chainEnd is the last row of the audit chain.
type chainEnd struct {
	seq int64
	mac []byte
}

// chain seals audit rows, each together with the row before. The writer owns one and alone moves its end.
type chain struct {
	seals    *seals
	instance string
	mac      hash.Hash
	sealed   []byte // where what is sealed is put together
	end      chainEnd
}

func newChain(s *seals, instance string) *chain {
	return &chain{seals: s, instance: instance, mac: hmac.New(sha256.New, s.audit), end: chainEnd{mac: s.genesis}}
}

// seal is the HMAC of a row that follows the row with the seal before. Every part has its length in front or a fixed length.
func (c *chain) seal(before []byte, seq int64, instance string, at int64, kind, body string) []byte {
	m := append(c.sealed[:0], before...)
	m = binary.BigEndian.AppendUint64(m, uint64(seq))
	m = binary.BigEndian.AppendUint64(m, uint64(at))
	for _, part := range [...]string{instance, kind, body} {
		m = binary.BigEndian.AppendUint64(m, uint64(len(part)))
		m = append(m, part...)
	}
	c.sealed = m
	c.mac.Reset()
	c.mac.Write(m)
	return c.mac.Sum(make([]byte, 0, sha256.Size))
}

func (c *chain) endSeal(end chainEnd) []byte {
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], uint64(end.seq))
	return sum(c.seals.head, seq[:], end.mac)
}

// append writes one sealed row and moves the end in memory. The caller moves it back when the row is rolled back.
func (c *chain) append(t *tx, at int64, kind, body string) error {
	next := c.end.seq + 1
	mac := c.seal(c.end.mac, next, c.instance, at, kind, body)
	err := t.run(`INSERT INTO audit (seq, instance, at, type, body, mac) VALUES ($1, $2, $3, $4, $5, $6)`,
		next, c.instance, at, kind, body, mac)
	if err != nil {
		return fmt.Errorf("%w: %w", errChain, err)
	}
	c.end = chainEnd{next, mac}
	return nil
}

// saveEnd moves the head record.
func (c *chain) saveEnd(t *tx) error {
	n, err := t.exec(`UPDATE audit_head SET seq = $1, mac = $2, seal = $3 WHERE id = 1`, c.end.seq, c.end.mac, c.endSeal(c.end))
	if err == nil && n == 0 {
		return fmt.Errorf("%w: %w", errChain, errHeadSeal)
	}
	return err
}

// firstEnd makes the head record of an empty audit.
func (c *chain) firstEnd(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit_head (id, seq, mac, seal) VALUES (1, $1, $2, $3)`, c.end.seq, c.end.mac, c.endSeal(c.end))
	return err
}

// querier is a *sql.DB or a *sql.Conn.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// load reads where the chain ends: the head record, which must be sealed and agree with the last row.
func (c *chain) load(ctx context.Context, db querier) error {
	end, last, err := c.readEnd(ctx, db)
	if err != nil {
		return err
	}
	if problem := disagreement(end, last); problem != "" {
		return fmt.Errorf("%w: %s; see what is left with `portcullis audit verify`, then restore a backup", ErrCorrupt, problem)
	}
	c.end = end
	return nil
}

// readEnd reads the head record and the number of the last row in one query, so that both are of the same moment. The record is
// made with the database, so a missing one was removed.
func (c *chain) readEnd(ctx context.Context, db querier) (end chainEnd, last int64, err error) {
	var seal []byte
	err = db.QueryRowContext(ctx, `SELECT m.last, coalesce(h.seq, 0), h.mac, h.seal
		FROM (SELECT coalesce(max(seq), 0) AS last FROM audit) m LEFT JOIN audit_head h ON h.id = 1`).Scan(&last, &end.seq, &end.mac, &seal)
	if err != nil {
		return end, last, damage(err)
	}
	if !hmac.Equal(seal, c.endSeal(end)) {
		return end, last, fmt.Errorf("%w: %w", ErrCorrupt, errHeadSeal)
	}
	return end, last, nil
}

var errHeadSeal = errors.New("the record of where the audit ends was changed or removed; restore a backup")

func disagreement(end chainEnd, last int64) string {
	switch {
	case last < end.seq:
		return fmt.Sprintf("audit rows %d to %d are missing at the end", last+1, end.seq)
	case last > end.seq:
		return fmt.Sprintf("audit rows %d to %d were added by another program", end.seq+1, last)
	}
	return ""
}
