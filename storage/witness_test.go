package storage

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestTheEndOfTheAuditHasAWitness: facts F8, F9: a log that is gone or damaged leaves a whole database of the past, in which spent codes and
// revoked tokens live again.
func TestTheEndOfTheAuditHasAWitness(t *testing.T) {
	rows := func(t *testing.T, c Config, from, to int) {
		s := open(t, c)
		for i := from; i <= to; i++ {
			commit(t, s, fullEvent(i))
		}
		s.Close()
	}
	read := func(t *testing.T, file string) []byte {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, test := range map[string]struct {
		damage  func(t *testing.T, c Config)
		refused bool
	}{
		"nothing": {func(*testing.T, Config) {}, false},
		"an older copy": {func(t *testing.T, c Config) {
			old := read(t, c.Path)
			rows(t, c, 3, 5)
			write(t, c.Path, old, 0o600)
		}, true},
		"an older copy, accepted": {func(t *testing.T, c Config) {
			old := read(t, c.Path)
			rows(t, c, 3, 5)
			write(t, c.Path, old, 0o600)
			if err := os.Remove(c.Path + ".end"); err != nil {
				t.Fatal(err)
			}
		}, false},
		"another database": {func(t *testing.T, c Config) {
			rows(t, c, 3, 5)
			other := c
			other.Path += ".other"
			rows(t, other, 1, 1)
			write(t, c.Path, read(t, other.Path), 0o600)
		}, false},
		"a new database":        {func(t *testing.T, c Config) { must(t, os.Remove(c.Path)) }, false},
		"a witness that is cut": {func(t *testing.T, c Config) { must(t, os.Truncate(c.Path+".end", 20)) }, false},
		"a log that is gone": {func(t *testing.T, c Config) {
			s := open(t, c)
			old := read(t, c.Path)
			for i := range 5 {
				commit(t, s, fullEvent(i))
			}
			end := read(t, c.Path+".end")
			s.Close()
			write(t, c.Path, old, 0o600)
			write(t, c.Path+".end", end, 0o600)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			rows(t, c, 1, 2)
			test.damage(t, c)
			s, err := Open(t.Context(), c)
			if err == nil {
				commit(t, s, fullEvent(9))
				must(t, s.Close())
			}
			if test.refused && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "remove "+c.Path+".end")) || !test.refused && err != nil {
				t.Errorf("refused %v, want %v: %v", err != nil, test.refused, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
