package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// Store must be everything that package oauth wants of a database.
var _ interface {
	oauth.Ledger
	oauth.ClientReader
	oauth.UserReader
	oauth.GrantReader
	oauth.CodeReader
	oauth.RefreshReader
	oauth.TokenStateReader
	oauth.InteractionReader
	oauth.SessionReader
	oauth.FailureReader
	oauth.SigningKeyReader
	oauth.ConfiguredReader
	oauth.ResourceMatcher
} = (*Store)(nil)

func TestMain(m *testing.M) {
	if path := os.Getenv("STORAGE_TEST_COMMIT_TO"); path != "" {
		commitUntilKilled(path)
		return
	}
	os.Exit(m.Run())
}

func testKey() []byte { return bytes.Repeat([]byte{7}, serverKeySize) }

func testConfig(t *testing.T) Config {
	return Config{Path: filepath.Join(t.TempDir(), "portcullis.db"), ServerKey: testKey()}
}

func open(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func commit(t *testing.T, s *Store, changes ...oauth.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), changes...); err != nil {
		t.Fatalf("%T: %v", changes[0], err)
	}
}

func conflict(t *testing.T, s *Store, changes ...oauth.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), changes...); !errors.Is(err, oauth.ErrConflict) {
		t.Fatalf("%T: got %v, want a conflict", changes[0], err)
	}
}

func digest(text string) []byte { h := sha256.Sum256([]byte(text)); return h[:] }

func second(n int64) time.Time { return time.Unix(1_800_000_000+n, 0).UTC() }

func verified(t *testing.T, r *Reader, rows int64) {
	t.Helper()
	report, err := r.Audit().Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Rows != rows {
		t.Fatalf("audit: %d rows, %s; want %d intact rows", report.Rows, report.Statement(), rows)
	}
}

func TestOpenRefuses(t *testing.T) {
	make := func(t *testing.T, c Config) Config { open(t, c).Close(); return c }
	for name, test := range map[string]struct {
		prepare func(t *testing.T, c Config) Config
		want    error
		hint    string
	}{
		"a short key":        {func(t *testing.T, c Config) Config { c.ServerKey = c.ServerKey[:31]; return c }, ErrWrongKey, "key init"},
		"no path":            {func(t *testing.T, c Config) Config { c.Path = ""; return c }, ErrConfig, "path"},
		"a missing folder":   {func(t *testing.T, c Config) Config { c.Path += "/x/y.db"; return c }, ErrConfig, "must exist"},
		"another key":        {func(t *testing.T, c Config) Config { c = make(t, c); c.ServerKey = digest("other"); return c }, ErrWrongKey, "right server key"},
		"a demo database":    {func(t *testing.T, c Config) Config { c.Demo = true; c = make(t, c); c.Demo = false; return c }, ErrDemo, "made by the demo"},
		"a real one by demo": {func(t *testing.T, c Config) Config { c = make(t, c); c.Demo = true; return c }, ErrDemo, "real server"},
		"a running server":   {func(t *testing.T, c Config) Config { open(t, c); return c }, ErrLocked, "another server runs"},
		"an empty file":      {func(t *testing.T, c Config) Config { write(t, c.Path, nil, 0o600); return c }, ErrCorrupt, "is empty"},
		"no database": {func(t *testing.T, c Config) Config {
			write(t, c.Path, bytes.Repeat([]byte("hello"), 2000), 0o600)
			return c
		}, ErrCorrupt, "backup"},
		"a foreign database": {func(t *testing.T, c Config) Config { foreign(t, c.Path); return c }, ErrCorrupt, "not a database of Portcullis"},
		"a log without its database": {func(t *testing.T, c Config) Config {
			write(t, c.Path+"-wal", []byte("rest"), 0o600)
			return c
		}, ErrCorrupt, "is gone"},
		"a readable file":               {func(t *testing.T, c Config) Config { c = make(t, c); chmod(t, c.Path, 0o640); return c }, ErrPermissions, "chmod 600"},
		"a file that cannot be written": {func(t *testing.T, c Config) Config { c = make(t, c); laterFormat(t, c.Path); return c }, ErrPermissions, "cannot be written"},
		"a directory":                   {func(t *testing.T, c Config) Config { c.Path = t.TempDir(); return c }, ErrPermissions, "regular file"},
		"a dangling link": {func(t *testing.T, c Config) Config {
			if err := os.Symlink(c.Path+"-nowhere", c.Path); err != nil {
				t.Fatal(err)
			}
			return c
		}, ErrConfig, "cannot be followed"},
		"a clock set back": {func(t *testing.T, c Config) Config {
			s := open(t, c)
			commit(t, s, oauth.Event{Type: oauth.EventLogin, Time: time.Now().Add(time.Hour)})
			s.Close()
			return c
		}, ErrClock, "correct the clock"},
		"a newer schema": {func(t *testing.T, c Config) Config {
			c = make(t, c)
			tamper(t, c.Path, `UPDATE meta SET value = '99' WHERE name = 'schema'`)
			return c
		}, ErrTooNew, "newer program"},
		"a removed trigger": {func(t *testing.T, c Config) Config {
			c = make(t, c)
			tamper(t, c.Path, `DROP TRIGGER audit_no_delete`)
			return c
		}, ErrCorrupt, "triggers were changed"},
		"another table": {func(t *testing.T, c Config) Config {
			c = make(t, c)
			tamper(t, c.Path, `CREATE TABLE extra (x)`)
			return c
		}, ErrCorrupt, "tables"},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.prepare(t, testConfig(t))
			s, err := Open(t.Context(), c)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.hint) {
				t.Fatalf("got %v, want %v with %q", err, test.want, test.hint)
			}
		})
	}
}

// laterFormat sets the file format's write version to one that SQLite does not know, so it opens the file for reading only, as it does
// on a read-only file system.
func laterFormat(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[18] = 99
	write(t, path, data, 0o600)
}

func TestClockMayGoBackWhenAllowedOrLittle(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, oauth.Event{Type: oauth.EventLogin, Time: time.Now().Add(4 * time.Minute)})
	s.Close()
	s = open(t, c)
	commit(t, s, oauth.Event{Type: oauth.EventLogin, Time: time.Now().Add(time.Hour)})
	s.Close()
	c.AllowClockBack = true
	open(t, c)
}

func TestFilesAreOwnersOnly(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, oauth.Event{Type: oauth.EventLogin})
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if err := CheckPrivate(c.Path + suffix); err != nil {
			t.Error(err)
		}
	}
}

func TestPathsWithOddCharacters(t *testing.T) {
	for _, name := range []string{"a#b.db", "a?b.db", "a?mode=memory&x.db", "a%20b.db", "a b;.db", "ä'\".db"} {
		t.Run(name, func(t *testing.T) {
			c := Config{Path: filepath.Join(t.TempDir(), name), ServerKey: testKey()}
			s := open(t, c)
			commit(t, s, oauth.UseOnce{Scope: "s", ID: "1"})
			s.Close()
			if info, err := os.Stat(c.Path); err != nil || info.Size() < 4096 {
				t.Fatalf("the database is not where it was asked to be: %v", err)
			}
			conflict(t, open(t, c), oauth.UseOnce{Scope: "s", ID: "1"})
		})
	}
}

func TestOneLockForAllNamesOfAFile(t *testing.T) {
	c := testConfig(t)
	open(t, c)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(c.Path, link); err != nil {
		t.Fatal(err)
	}
	c.Path = link
	if _, err := Open(t.Context(), c); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want %v", err, ErrLocked)
	}
}

func TestAnUnfinishedNewDatabaseIsMadeAgain(t *testing.T) {
	c := testConfig(t)
	write(t, c.Path+".new", []byte("half"), 0o600)
	open(t, c)
	if _, err := os.Stat(c.Path + ".new"); !os.IsNotExist(err) {
		t.Fatalf("the draft is still there: %v", err)
	}
}

func TestClosedStoreAnswersUnavailable(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, oauth.Event{Type: oauth.EventLogin})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), oauth.Event{Type: oauth.EventLogin}); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.User(t.Context(), "u"); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if _, err := os.Stat(s.path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("the log is still there: %v", err)
	}
}

func TestCloseEmptiesTheLogBesideAReader(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, oauth.Event{Type: oauth.EventLogin})
	r, err := OpenReader(t.Context(), c.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(c.Path + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the log: %v, %v", info, err)
	}
	if rows, err := r.Audit().Tail(t.Context(), 9); err != nil || len(rows) != 1 {
		t.Errorf("%v %+v", err, rows)
	}
}

func TestReaderBesideAServer(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, oauth.SaveUser{User: oauth.User{ID: "u1", Name: "alice"}}, oauth.Event{Type: oauth.EventUserSaved})
	for _, when := range []string{"running", "stopped"} {
		r, err := OpenReader(t.Context(), c.Path, c.ServerKey)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if u, err := r.UserByName(t.Context(), "alice"); err != nil || u.ID != "u1" {
			t.Errorf("%s: %v %v", when, u, err)
		}
		verified(t, r, 1)
		if _, err := r.db.Exec(`DELETE FROM users`); err == nil {
			t.Errorf("%s: a reader wrote", when)
		}
		r.Close()
		s.Close()
	}
	if _, err := OpenReader(t.Context(), c.Path, digest("other")); !errors.Is(err, ErrWrongKey) {
		t.Errorf("got %v, want %v", err, ErrWrongKey)
	}
	if _, err := OpenReader(t.Context(), c.Path+"x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
	r, err := OpenReader(t.Context(), c.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Audit().Verify(t.Context(), nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v, want %v", err, ErrNoKey)
	}
}

func TestConnectionsHaveTheirSettings(t *testing.T) {
	s := open(t, testConfig(t))
	want := map[string]int64{"synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000, "secure_delete": 1, "trusted_schema": 0, "cell_size_check": 1, "mmap_size": 0}
	err := s.do(func(x *tx) error {
		for name, value := range want {
			var got int64
			if _, err := x.get(`PRAGMA `+name, nil, &got); err != nil && name != "mmap_size" {
				t.Errorf("%s: %v", name, err)
			}
			if got != value {
				t.Errorf("writer: %s is %d, want %d", name, got, value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var mode string
	if err := s.Reader.db.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
}

func write(t *testing.T, path string, content []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// tamper changes a database file behind the back of the store, as someone with the file but without the server key can.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := openPool(dsn(path, "rw", time.Second), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func foreign(t *testing.T, path string) {
	t.Helper()
	write(t, path, nil, 0o600)
	tamper(t, path, `CREATE TABLE other (x)`)
}
