package faults

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// connected is a site whose server has connected somebody and has ended.
func connected(t *testing.T) (*site, *crew) {
	t.Helper()
	s := newSite(t, 2)
	p := s.start()
	c := newCrew(s, 2)
	c.each(t, func(k *worker) error {
		for range 3 {
			if err := k.connect(); err != nil {
				return err
			}
		}
		return nil
	})
	c.reconcile(t)
	p.stop()
	return s, c
}

// refuses is a server that must not start: its exit code, and what the operator reads.
func refuses(t *testing.T, s *site, code int, hints ...string) {
	t.Helper()
	p := s.launch(os.Getenv(binaryVariable), "serve", "--config", s.path("portcullis.yaml"))
	if p.waitReady() {
		p.kill()
		t.Fatal("the server started")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d\n%s", got, code, p.said())
	}
	for _, hint := range hints {
		if !strings.Contains(p.log.String(), hint) {
			t.Errorf("the message lacks %q:\n%s", hint, p.said())
		}
	}
	if strings.Contains(p.log.String(), "goroutine ") {
		t.Errorf("a panic:\n%s", p.said())
	}
}

// TestASecondServerIsRefused: F26: and the first one does not suffer.
func TestASecondServerIsRefused(t *testing.T) {
	s := newSite(t, 3)
	p := s.start()
	c := newCrew(s, 3)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for range 3 {
			if code, _, stderr := s.command("serve"); code != 1 || !strings.Contains(stderr, "another server runs on") || !strings.Contains(stderr, "portcullis.db") {
				t.Errorf("exit code %d: %s", code, stderr)
			}
		}
	}()
	c.work(t, stop)
	c.reconcile(t)
	for _, k := range c.workers {
		if k.counts["lost exchange"]+k.counts["lost refresh"] > 0 {
			t.Error("the first server lost answers")
		}
	}
	if _, stdout, stderr := s.command("audit", "tail", "-n", "1"); stdout == "" {
		t.Error(stderr)
	}
	p.stop()
	s.verify()
}

// TestWithoutItsKeyTheServerDoesNotStart: F22: exit code 78, a remedy, and no new key beside the old database.
func TestWithoutItsKeyTheServerDoesNotStart(t *testing.T) {
	s, c := connected(t)
	file := s.path("portcullis.key")
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := make([]byte, len(key))
	rand.Read(other)
	for name, test := range map[string]struct {
		key  []byte // nil = no file
		mode os.FileMode
		hint string
	}{
		"missing":          {nil, 0, "put that key file back"},
		"another one":      {other, 0o600, "put the right server key file back"},
		"cut off":          {key[:31], 0o600, "31 bytes instead of 32"},
		"empty":            {key[:0], 0o600, "0 bytes instead of 32"},
		"too long":         {append(key[:32:32], '\n'), 0o600, "33 bytes instead of 32"},
		"one bit changed":  {append([]byte{key[0] ^ 1}, key[1:]...), 0o600, "put the right server key file back"},
		"others may read":  {key, 0o644, "chmod 600"},
		"others may write": {key, 0o602, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if test.key != nil {
				put(t, file, test.key, test.mode)
			}
			refuses(t, s, 78, test.hint)
			if _, err := os.Stat(file); test.key == nil && !os.IsNotExist(err) {
				t.Error("a new key was made")
			}
		})
	}
	put(t, file, key, 0o600)
	s.start()
	c.reconcile(t)
	s.verify()
}

func put(t *testing.T, file string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// pageSize of the database.
const pageSize = 4096

// TestADamagedDatabaseIsRefused: F8: never replaced, never served; the operator reads what to do.
func TestADamagedDatabaseIsRefused(t *testing.T) {
	s, c := connected(t)
	file := s.path("portcullis.db")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	zeroed := func(from, to int) func([]byte) []byte {
		return func(b []byte) []byte { clear(b[from:to]); return b }
	}
	flipped := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0xff; return b }
	}
	for name, damage := range map[string]func([]byte) []byte{
		"no magic word":      flipped(0),
		"another page size":  flipped(16),
		"no header":          zeroed(0, 100),
		"no first page":      zeroed(0, pageSize),
		"no root of a table": zeroed(pageSize, 2*pageSize),
		"a broken tree":      flipped(2*pageSize + 3),
		"cut to the half":    func(b []byte) []byte { return b[:len(b)/2/pageSize*pageSize] },
		"cut inside a page":  func(b []byte) []byte { return b[:len(b)/2/pageSize*pageSize+777] },
		"empty":              func([]byte) []byte { return nil },
		"text":               func([]byte) []byte { return []byte(strings.Repeat("not a database ", 1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			bad := damage(append([]byte(nil), good...))
			put(t, file, bad, 0o600)
			refuses(t, s, 1, "portcullis.db", "restore it from a backup")
			if left, err := os.ReadFile(file); err != nil || string(left) != string(bad) {
				t.Errorf("the damaged file was changed: %v", err)
			}
		})
	}
	t.Run("a later format", func(t *testing.T) { // SQLite opens it for reading only, as it does on a read-only file system
		put(t, file, flipped(18)(append([]byte(nil), good...)), 0o600)
		refuses(t, s, 78, "portcullis.db", "cannot be written")
	})
	put(t, file, good, 0o600)
	s.start()
	c.reconcile(t)
	s.verify()
}

// TestEveryPageOfTheDatabaseMatters empties one page after the other. The server refuses, or it serves and nothing that was
// acknowledged is missing; it does not panic and makes no new database.
func TestEveryPageOfTheDatabaseMatters(t *testing.T) {
	s, c := connected(t)
	file := s.path("portcullis.db")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := 0; at < len(good); at += pageSize {
		bad := append([]byte(nil), good...)
		for i := at; i < at+pageSize; i++ {
			bad[i] ^= 0x5a
		}
		for _, name := range []string{"portcullis.db-wal", "portcullis.db-shm"} {
			if err := os.Remove(s.path(name)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		put(t, file, bad, 0o600)
		p := s.launch(os.Getenv(binaryVariable), "serve", "--config", s.path("portcullis.yaml"))
		if !p.waitReady() {
			refused++
			if code := p.cmd.ProcessState.ExitCode(); code != 1 && code != 78 || strings.Contains(p.log.String(), "goroutine ") || !strings.Contains(p.log.String(), "portcullis.db") {
				t.Errorf("page %d: exit code %d\n%s", at/pageSize+1, code, p.said())
			}
			continue
		}
		t.Logf("page %d is in no table or index", at/pageSize+1)
		c.reconcile(t)
		p.kill()
		good, err = os.ReadFile(file) // it has gone on
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d pages", refused, len(good)/pageSize)
	if refused*2 < len(good)/pageSize {
		t.Error("hardly any damage was noticed")
	}
}

// TestTheIndexOfTheLogIsMadeAnew: F9: after a kill the -shm file may be gone or hold anything: nothing depends on it.
func TestTheIndexOfTheLogIsMadeAnew(t *testing.T) {
	s := newSite(t, 3)
	c := newCrew(s, 3)
	p := s.start()
	for i, damage := range []func(string) error{
		os.Remove,
		func(name string) error { return os.Truncate(name, 100) },
		func(name string) error { return os.WriteFile(name, []byte(strings.Repeat("garbage", 5000)), 0o600) },
	} {
		c.until(t, 100, p.kill)
		if err := damage(s.path("portcullis.db-shm")); err != nil {
			t.Fatal(i, err)
		}
		p = s.start()
		c.reconcile(t)
		s.verify()
	}
}

// TestADamagedLogIsNoticed: F8, F9: SQLite ends the write-ahead log at the first frame that does not fit, so what is left is a whole database of
// the past. The server starts only when nothing that was acknowledged is missing, or when the operator insists.
func TestADamagedLogIsNoticed(t *testing.T) {
	s := newSite(t, 3)
	flip := func(log []byte, at int) []byte { log[at] ^= 0x10; return log }
	for i, damage := range []func(log []byte, at int) []byte{
		flip, flip, flip,
		func(log []byte, at int) []byte { return log[:at] },
		func(log []byte, at int) []byte { return append(log[:at:at], make([]byte, len(log)-at)...) },
		func([]byte, int) []byte { return nil },
	} {
		p := s.start()
		c := newCrew(s, 3)
		c.seen = int64(len(s.audit(0)))
		c.until(t, 60, func() {})
		before := s.audit(0)
		p.kill()
		log, err := os.ReadFile(s.path("portcullis.db-wal"))
		if err != nil || len(log) < 100_000 {
			t.Fatal(len(log), err)
		}
		put(t, s.path("portcullis.db-wal"), damage(log, c.random.IntN(len(log))), 0o600)
		p = s.launch(os.Getenv(binaryVariable), "serve", "--config", s.path("portcullis.yaml"))
		noticed := !p.waitReady()
		if noticed {
			if p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(p.log.String(), "its log is damaged or gone") {
				t.Fatalf("exit code %d\n%s", p.cmd.ProcessState.ExitCode(), p.said())
			}
			if err := os.Remove(s.path("portcullis.db.end")); err != nil { // the operator insists
				t.Fatal(err)
			}
			p = s.start()
		} else {
			c.reconcile(t)
		}
		left := rowsOf(t, before, s.audit(0), noticed)
		s.verify()
		p.stop()
		t.Logf("damage %d: noticed %v, %d of %d rows are left", i, noticed, left, len(before))
	}
}

// rowsOf counts how many rows are left of those that were. What is left is the beginning; new rows come only from starts.
func rowsOf(t *testing.T, before, after []row, noticed bool) int {
	t.Helper()
	same := 0
	for same < min(len(before), len(after)) && before[same] == after[same] {
		same++
	}
	for _, r := range after[same:] {
		if noticed && r.Type != "policy.activated" && r.Type != "config.applied" && r.Type != "key.rotated" {
			t.Errorf("a row that never was: %+v", r)
		}
	}
	if noticed == (same == len(before)) {
		t.Errorf("%d of %d rows are left, and the server noticed: %v", same, len(before), noticed)
	}
	return same
}

// TestAFirstStartThatIsKilledLeavesNoneOrAWholeDatabase: F25.
func TestAFirstStartThatIsKilledLeavesNoneOrAWholeDatabase(t *testing.T) {
	for i := range 8 {
		s := newSite(t, 1)
		p := s.launch(os.Getenv(binaryVariable), "serve", "--config", s.path("portcullis.yaml"))
		for range i { // later and later
			if names, err := filepath.Glob(s.path("portcullis.*")); err != nil || len(names) > i+1 {
				break
			}
		}
		p.kill()
		s.start()
		s.verify()
	}
}
