package storage

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

type migration struct {
	number int
	name   string
	text   string
}

// allMigrations lists the embedded steps in order. Their numbers must be 1, 2, 3 …
func allMigrations() ([]migration, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var list []migration
	for i, name := range names {
		base := strings.TrimPrefix(name, "migrations/")
		number, err := strconv.Atoi(strings.SplitN(base, "_", 2)[0])
		if err != nil || number != i+1 {
			return nil, fmt.Errorf("migration %s must have the number %04d", base, i+1)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, migration{number, base, string(text)})
	}
	return list, nil
}

// migrate applies what is missing, one transaction per step, and seals the schema that results. from is the number of
// the last step that was applied. A crash leaves whole steps.
func migrate(ctx context.Context, db *sql.DB, from int, seal func(tx *sql.Tx, number int) error) error {
	list, err := allMigrations()
	if err != nil {
		return err
	}
	if from > len(list) {
		return fmt.Errorf("%w: it has schema %d and this program knows %d; use a newer program", ErrTooNew, from, len(list))
	}
	for _, m := range list[from:] {
		if err := step(ctx, db, m, seal); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

func step(ctx context.Context, db *sql.DB, m migration, seal func(tx *sql.Tx, number int) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, m.text); err != nil {
		return err
	}
	if err := seal(tx, m.number); err != nil {
		return err
	}
	return tx.Commit()
}
