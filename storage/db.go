package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// Result codes of SQLite that mean something to us (https://www.sqlite.org/rescode.html).
const (
	codePermission = 3
	codeBusy       = 5
	codeDBLocked   = 6
	codeReadOnly   = 8
	codeIOErr      = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCannotOpen = 14
	codeConstraint = 19
	codeAuth       = 23
	codeNotADB     = 26
	codePrimaryKey = 1555
	codeUnique     = 2067
)

// dsn names a database file with the settings of each connection. The path goes through url.URL: a "#" or "?" in it would
// otherwise cut it and open another file. The mode is "rw" or "ro": SQLite never makes a file by itself.
func dsn(path, mode string, busy time.Duration) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // a drive letter
	}
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_defensive": {"1"}, "_dqs": {"0"}, "_pragma": {
		"busy_timeout(" + strconv.FormatInt(busy.Milliseconds(), 10) + ")",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"secure_delete(ON)",
		"trusted_schema(OFF)",
		"cell_size_check(ON)",
		"mmap_size(0)",
		"temp_store(MEMORY)",
		"journal_size_limit(67108864)",
		"wal_autocheckpoint(4000)", // pages, 16 MB: all callers wait for a checkpoint, and most pages are written many times
	}}
	if mode == "ro" {
		q.Add("_pragma", "cache_size(-512)") // KiB: there are several readers, and what is asked often is remembered already
	}
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: q.Encode()}).String()
}

// openPool opens a pool with a fixed number of connections at most.
func openPool(source string, size int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// checkSQLite wants 3.51.3, the first release without the WAL-reset corruption fault of 3.7.0 to 3.51.2.
func checkSQLite(ctx context.Context, db *sql.DB) error {
	var version string
	if err := db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return damage(err)
	}
	var have [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &have[0], &have[1], &have[2]); err != nil {
		return fmt.Errorf("%w: version %q cannot be read", ErrSQLite, version)
	}
	if slices.Compare(have[:], []int{3, 51, 3}) < 0 {
		return fmt.Errorf("%w: this program was built with SQLite %s, which can damage databases; build it with 3.51.3 or later", ErrSQLite, version)
	}
	return nil
}

// checkPages looks for damage that SQLite itself can see.
func checkPages(ctx context.Context, db *sql.DB) error {
	var first string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&first); err != nil {
		return damage(err)
	}
	if first != "ok" {
		return fmt.Errorf("%w: %s; restore it from a backup", ErrCorrupt, first)
	}
	return nil
}

// mayWait tells that the pages of a database may be looked through while it serves already: to do it first would make the start longer
// with every row. What a crash can have done is always looked for first: after one the write-ahead log is still there.
func mayWait(path string, atOnce int64) (bool, error) {
	file, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	log, err := os.Stat(path + "-wal")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return file.Size() > atOnce && (err != nil || log.Size() == 0), nil
}

// CheckPages looks for damage that SQLite itself can see, if Open has left that for later; see Config.CheckAtOnce. An error that wraps
// ErrCorrupt means that nothing more may be answered from this database.
func (s *Store) CheckPages(ctx context.Context) error {
	if !s.unchecked {
		return nil
	}
	err := checkPages(ctx, s.Reader.db)
	if err == nil || errors.Is(err, ErrCorrupt) {
		return err
	}
	return fmt.Errorf("the database could not be looked through for damage: %w%s", err, cureOf(resultCode(err)))
}

// cureOf is what an operator can do about an error of SQLite, "" if nothing is known.
func cureOf(code int) string {
	switch code & 0xff {
	case codeBusy, codeDBLocked:
		return "; another program holds the file: end it"
	case codeFull:
		return "; make room on its file system"
	case codeIOErr:
		return "; look at the disk and at the log of the system"
	case codePermission, codeReadOnly, codeAuth:
		return "; make sure that this program may read and write the database and its folder"
	case codeCannotOpen:
		return "; make sure that the database file is there, that this program may read it, and that it has file handles left"
	}
	return ""
}

// checkWritable makes sure that a change can be made: SQLite opens a file that it may only read without a word.
func checkWritable(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return damage(err)
	}
	defer tx.Rollback() // always: nothing is to be changed
	if _, err := tx.ExecContext(ctx, `UPDATE meta SET value = value WHERE name = $1`, metaID); err != nil {
		return fmt.Errorf("%w: the database cannot be written: %w; make the file, its directory and its file system writable, or restore it from a backup",
			ErrPermissions, damage(err))
	}
	return nil
}

// damage names an error of SQLite that means a damaged or foreign file, and passes others on.
func damage(err error) error {
	if code := resultCode(err); code&0xff == codeCorrupt || code&0xff == codeNotADB {
		return fmt.Errorf("%w: %w; restore it from a backup", ErrCorrupt, err)
	}
	return err
}

// resultCode is SQLite's extended result code, 0 for other errors.
func resultCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
