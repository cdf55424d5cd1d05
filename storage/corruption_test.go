package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"portcullis/oauth"
)

// TestDamageIsNeverTakenForANewDatabase flips bytes in a good file. Either Open refuses it with an error that an operator can
// act on, or everything that was committed is there and the audit tells what it still proves.
func TestDamageIsNeverTakenForANewDatabase(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	var changes []oauth.Change
	for i := range 300 {
		changes = append(changes, oauth.SaveUser{User: oauth.User{ID: fmt.Sprint("u", i), Name: fmt.Sprint("user", i)}}, fullEvent(i))
	}
	commit(t, s, changes...)
	s.Close()
	good, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for i := range 150 {
		bad := append([]byte(nil), good...)
		offset := random.IntN(len(bad))
		switch {
		case i < 30:
			offset = random.IntN(100) // the header
		case i < 60:
			bad = bad[:offset+1]
		}
		bad[offset] ^= byte(1 + random.IntN(255))
		write(t, c.Path, bad, 0o600)
		if !opensAsItWas(t, c, fmt.Sprintf("offset %d of %d", offset, len(bad))) {
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("only %d of 150 damaged files were refused", refused)
	}
	t.Logf("%d of 150 damaged files were refused", refused)
}

// soundKeys tells whether every index leads to the rows of its table. Open does not compare them (PRAGMA quick_check): a byte that
// changes within a key, and leaves the page in order, can hide a row.
func soundKeys(t *testing.T, s *Store) bool {
	t.Helper()
	var first string
	if err := s.Reader.db.QueryRowContext(t.Context(), `PRAGMA integrity_check(1)`).Scan(&first); err != nil {
		t.Fatal(err)
	}
	return first == "ok"
}

// opensAsItWas tells whether a damaged file opened. Then its users must be all there, or the audit must say what is wrong.
func opensAsItWas(t *testing.T, c Config, where string) bool {
	t.Helper()
	s, err := Open(context.Background(), c)
	if err != nil {
		known := []error{ErrCorrupt, ErrWrongKey, ErrDemo, ErrTooNew, ErrClock}
		for _, k := range known {
			if errors.Is(err, k) {
				return false
			}
		}
		t.Errorf("%s: %v", where, err)
		return false
	}
	defer s.Close()
	users, err := s.Users(context.Background())
	if err == nil && len(users) != 300 && soundKeys(t, s) {
		t.Errorf("%s: %d users are left", where, len(users))
	}
	report, err := s.Audit().Verify(context.Background(), nil)
	if err == nil && report.OK() && report.Rows != 300 {
		t.Errorf("%s: an audit of %d rows is called intact", where, report.Rows)
	}
	return true
}
