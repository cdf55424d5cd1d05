package storage

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Names of the rows in the meta table.
const (
	metaID      = "id"        // random, made with the database
	metaKey     = "key_check" // the database id under a key derived from the server key
	metaKind    = "kind"      // "server" or "demo"
	metaCreated = "created_at"
	metaSchema  = "schema"      // number of the last migration
	metaSeal    = "schema_seal" // the schema under a key derived from the server key
	metaProbed  = "probed_at"   // when Ping last tried to write, in nanoseconds; only after a fault
)

func kind(demo bool) string {
	if demo {
		return "demo"
	}
	return "server"
}

// create makes a whole database under another name and renames it, so that a crash leaves none or a good one.
func create(ctx context.Context, c Config, path string) error {
	draft := path + ".new"
	for _, name := range []string{draft, draft + "-journal", draft + "-wal", draft + "-shm"} {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("%w: %w", ErrPermissions, err)
		}
	}
	f, err := os.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPermissions, err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := fill(ctx, c, draft); err != nil {
		return fmt.Errorf("a new database cannot be made: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncDir(path)
}

func fill(ctx context.Context, c Config, draft string) error {
	db, err := openPool(dsn(draft, "rw", c.Busy), 1)
	if err != nil {
		return err
	}
	defer db.Close()
	id := rand.Text()
	s, err := newSeals(c.ServerKey, id)
	if err != nil {
		return err
	}
	if err := checkSQLite(ctx, db); err != nil {
		return err
	}
	err = migrate(ctx, db, 0, func(tx *sql.Tx, number int) error {
		if number == 1 {
			if err := firstRows(ctx, tx, c, s, id); err != nil {
				return err
			}
		}
		return sealSchema(ctx, tx, s, number)
	})
	if err != nil {
		return err
	}
	return db.Close()
}

// firstRows are what a database has from its beginning.
func firstRows(ctx context.Context, tx *sql.Tx, c Config, s *seals, id string) error {
	for name, value := range map[string]string{
		metaID: id, metaKey: hexSum(s.check, id), metaKind: kind(c.Demo), metaCreated: strconv.FormatInt(time.Now().Unix(), 10),
	} {
		if err := setMeta(ctx, tx, name, value); err != nil {
			return err
		}
	}
	return newChain(s, c.Instance).firstEnd(ctx, tx)
}

func setMeta(ctx context.Context, tx *sql.Tx, name, value string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

func readMeta(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT name, value FROM meta`)
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return nil, fmt.Errorf("%w: the file is not a database of Portcullis", ErrCorrupt)
		}
		return nil, damage(err)
	}
	defer rows.Close()
	meta := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		meta[name] = value
	}
	return meta, damage(rows.Err())
}

// checkKey tells whether the server key belongs to the database with this meta table.
func checkKey(meta map[string]string, s *seals) error {
	if !hmac.Equal([]byte(meta[metaKey]), []byte(hexSum(s.check, meta[metaID]))) {
		return fmt.Errorf("%w: this database was made with another one; put the right server key file back, "+
			"or configure another database (a new key cannot open what the old one sealed)", ErrWrongKey)
	}
	return nil
}

func checkKind(meta map[string]string, demo bool) error {
	switch {
	case meta[metaKind] == kind(demo):
		return nil
	case demo:
		return fmt.Errorf("%w: this database belongs to a real server; the demo needs its own", ErrDemo)
	}
	return fmt.Errorf("%w: this database was made by the demo; a server needs its own", ErrDemo)
}

// sealSchema notes which schema the database has, so that a removed trigger or a foreign table is noticed.
func sealSchema(ctx context.Context, tx *sql.Tx, s *seals, number int) error {
	text, err := schemaText(ctx, tx)
	if err != nil {
		return err
	}
	if err := setMeta(ctx, tx, metaSchema, strconv.Itoa(number)); err != nil {
		return err
	}
	return setMeta(ctx, tx, metaSeal, hexSum(s.schema, text))
}

func checkSchema(ctx context.Context, db *sql.DB, meta map[string]string, s *seals) error {
	text, err := schemaText(ctx, db)
	if err != nil {
		return damage(err)
	}
	want, err := hex.DecodeString(meta[metaSeal])
	if err != nil || !hmac.Equal(want, sum(s.schema, []byte(text))) {
		return fmt.Errorf("%w: its tables, indexes or triggers were changed by another program; restore it from a backup", ErrCorrupt)
	}
	return nil
}

func schemaText(ctx context.Context, db interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}) (string, error) {
	rows, err := db.QueryContext(ctx, `SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type, name`)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var kind, name, text string
		if err := rows.Scan(&kind, &name, &text); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%q %q %q\n", kind, name, text)
	}
	return b.String(), rows.Err()
}
