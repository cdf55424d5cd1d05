package storage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"portcullis/oauth"
)

// damagedUsers is a database, closed in order, whose table of users has a root page that is none. Open itself reads no users.
func damagedUsers(t *testing.T) Config {
	t.Helper()
	c := testConfig(t)
	s := open(t, c)
	var changes []oauth.Change
	for i := range 300 {
		changes = append(changes, oauth.SaveUser{User: oauth.User{ID: fmt.Sprint("u", i), Name: fmt.Sprint("user", i)}})
	}
	commit(t, s, changes...)
	var root int64
	if err := s.Reader.db.QueryRowContext(t.Context(), `SELECT rootpage FROM sqlite_schema WHERE name = 'users'`).Scan(&root); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, (root-1)*4096); err != nil {
		t.Fatal(err)
	}
	return c
}

// Damage is found before a database serves, but in a large one that was closed in order: there it is found soon after.
func TestWhenPagesAreLookedThrough(t *testing.T) {
	t.Run("small", func(t *testing.T) {
		if s, err := Open(t.Context(), damagedUsers(t)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v %v", s, err)
		}
	})
	t.Run("large", func(t *testing.T) {
		c := damagedUsers(t)
		c.CheckAtOnce = 1
		s := open(t, c)
		if err := s.CheckPages(t.Context()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("large, after a crash", func(t *testing.T) {
		c := damagedUsers(t)
		c.CheckAtOnce = 1
		write(t, c.Path+"-wal", []byte("not emptied"), 0o600)
		if s, err := Open(t.Context(), c); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v %v", s, err)
		}
	})
	t.Run("large and whole", func(t *testing.T) {
		c := testConfig(t)
		c.CheckAtOnce = 1
		open(t, c).Close()
		if err := open(t, c).CheckPages(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What keeps the pages from being looked through is no damage: the error says what it is, and what to do.
func TestWhatKeepsPagesFromBeingLookedThrough(t *testing.T) {
	c := testConfig(t)
	open(t, c).Close()
	c.CheckAtOnce = 1
	s := open(t, c)
	s.Reader.db.SetMaxIdleConns(0) // so that the file is opened anew
	if err := os.Rename(c.Path, c.Path+".away"); err != nil {
		t.Fatal(err)
	}
	err := s.CheckPages(t.Context())
	if err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "make sure that the database file is there") {
		t.Errorf("got %v", err)
	}
	if err := os.Rename(c.Path+".away", c.Path); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckPages(t.Context()); err != nil {
		t.Error(err)
	}
	for code, want := range map[int]string{codeFull: "make room", codeBusy: "another program", codeIOErr | 1<<8: "look at the disk", codePermission: "may read", 1: ""} {
		if got := cureOf(code); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("code %d: %q", code, got)
		}
	}
}
