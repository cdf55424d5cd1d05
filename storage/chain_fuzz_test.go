package storage

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"testing"
	"time"
)

// sealedRow is everything of an audit row that a seal covers.
type sealedRow struct {
	before     string
	seq        int64
	instance   string
	at         int64
	kind, body string
}

// FuzzChainSeal: two rows have one seal only if they are one row. Nothing can be moved from one part into the next.
func FuzzChainSeal(f *testing.F) {
	f.Add("", int64(1), "west", int64(1_800_000_000), "login", "{}", "", int64(1), "west", int64(1_800_000_000), "login", "{}")
	f.Add("", int64(1), "a", int64(1), "bc", "d", "", int64(1), "ab", int64(1), "c", "d")
	f.Add("", int64(1), "a", int64(1), "b", "cd", "", int64(1), "a", int64(1), "bc", "d")
	f.Add("", int64(1), "", int64(1), "\x00\x00\x00\x00\x00\x00\x00\x01x", "", "", int64(1), "", int64(1), "", "x")
	f.Add("x", int64(2), "", int64(1), "a", "", "", int64(2), "", int64(1), "a", "")
	seals, err := newSeals(testKey(), "fuzz")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, beforeA string, seqA int64, instanceA string, atA int64, kindA, bodyA string,
		beforeB string, seqB int64, instanceB string, atB int64, kindB, bodyB string) {
		a := sealedRow{beforeA, seqA, instanceA, atA, kindA, bodyA}
		b := sealedRow{beforeB, seqB, instanceB, atB, kindB, bodyB}
		if same := bytes.Equal(a.seal(seals), b.seal(seals)); same != (a == b) {
			t.Errorf("%+v and %+v: the seals are the same: %v", a, b, same)
		}
	})
}

// seal puts a fixed number of bytes in front, as a chain does: the seal of the row before has always 32.
func (r sealedRow) seal(s *seals) []byte {
	c := newChain(s, "")
	return c.seal(sum(s.audit, []byte(r.before)), r.seq, r.instance, r.at, r.kind, r.body)
}

// FuzzFlippedAuditByte: a changed byte in any column of any row is found, and the row is named.
func FuzzFlippedAuditByte(f *testing.F) {
	for column := range auditTextColumns() {
		f.Add(uint8(column), uint8(1), uint16(0), uint8(1))
		f.Add(uint8(column), uint8(auditFuzzRows), uint16(7), uint8(0x80))
	}
	f.Add(uint8(3), uint8(5), uint16(0), uint8('{'^'[')) // a body that is no JSON any more
	audit, db := auditToSpoil(f)
	f.Fuzz(func(t *testing.T, column, row uint8, at uint16, flip uint8) {
		if flip == 0 {
			return
		}
		name, seq := auditTextColumns()[int(column)%len(auditTextColumns())], int64(row)%auditFuzzRows+1
		var kind string
		var old []byte
		if err := db.QueryRow(`SELECT typeof(`+name+`), CAST(`+name+` AS BLOB) FROM audit WHERE seq = $1`, seq).Scan(&kind, &old); err != nil {
			t.Fatal(err)
		}
		spoilt := bytes.Clone(old)
		spoilt[int(at)%len(spoilt)] ^= flip
		set := func(value []byte) {
			if _, err := db.Exec(`UPDATE audit SET `+name+` = CAST($1 AS `+kind+`) WHERE seq = $2`, value, seq); err != nil {
				t.Fatal(err)
			}
		}
		set(spoilt)
		report, err := audit.Verify(t.Context(), nil)
		set(old)
		if err != nil || report.OK() || report.Bad.Seq != seq {
			t.Errorf("%s of row %d, byte %d: %v, %s", name, seq, at, err, report.Statement())
		}
	})
}

const auditFuzzRows = 12

// auditTextColumns are those whose bytes can be flipped one by one; numbers are in FuzzChainSeal.
func auditTextColumns() []string { return []string{"instance", "type", "body", "mac"} }

// auditToSpoil is an audit and a connection that may change its rows.
func auditToSpoil(f *testing.F) (Audit, *sql.DB) {
	c := Config{Path: filepath.Join(f.TempDir(), "portcullis.db"), ServerKey: testKey(), Instance: "west"}
	s, err := Open(f.Context(), c)
	if err != nil {
		f.Fatal(err)
	}
	for i := range auditFuzzRows {
		if err := s.Commit(f.Context(), fullEvent(i)); err != nil {
			f.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	r, err := OpenReader(f.Context(), c.Path, c.ServerKey)
	if err != nil {
		f.Fatal(err)
	}
	db, err := openPool(dsn(c.Path, "rw", time.Second), 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _, _ = db.Close(), r.Close() })
	if _, err := db.Exec(`PRAGMA synchronous = OFF; DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete`); err != nil {
		f.Fatal(err)
	}
	if report, err := r.Audit().Verify(f.Context(), nil); err != nil || !report.OK() {
		f.Fatal(err, report.Statement())
	}
	return r.Audit(), db
}
