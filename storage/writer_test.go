package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/oauth"
)

func once(id string) oauth.UseOnce { return oauth.UseOnce{Scope: "test", ID: id} }

func event(id string) oauth.Event { return oauth.Event{Type: oauth.EventDecision, DecisionID: id} }

// together commits from many goroutines while the writer is held, so that all of them wait.
func together(t *testing.T, s *Store, n int, changes func(i int) []oauth.Change) []error {
	t.Helper()
	release := hold(t, s)
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = s.Commit(context.Background(), changes(i)...) })
	}
	for len(s.writer.queue) < n {
		time.Sleep(time.Millisecond)
	}
	release()
	all.Wait()
	return errs
}

// hold keeps the writer busy until the returned function is called.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	begun, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- s.do(func(*tx) error { close(begun); <-end; return nil }) }()
	<-begun
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestWaitingCallersShareOneFsync(t *testing.T) {
	s := open(t, testConfig(t))
	before := s.Stats()
	for _, err := range together(t, s, 64, func(i int) []oauth.Change {
		return []oauth.Change{once(fmt.Sprint(i)), event(fmt.Sprint(i))}
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	after := s.Stats()
	if groups := after.Groups - before.Groups; groups > 3 {
		t.Errorf("64 waiting callers took %d transactions, want 2: the one that held the writer and theirs", groups)
	}
	if after.Commits-before.Commits != 65 || after.AuditSeq != 64 {
		t.Errorf("%+v", after)
	}
	verified(t, s.Reader, 64)
}

func TestAConflictDoesNotHurtTheNeighbours(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, once("taken"))
	errs := together(t, s, 30, func(i int) []oauth.Change {
		switch i % 3 {
		case 0: // the event comes first, so its place in the chain must be given back
			return []oauth.Change{event(fmt.Sprint(i)), once("taken")}
		case 1: // a constraint of the schema
			return []oauth.Change{event(fmt.Sprint(i)), oauth.SaveSigningKey{Key: oauth.SigningKey{KID: "k" + fmt.Sprint(i)}}}
		}
		return []oauth.Change{once(fmt.Sprint(i)), event(fmt.Sprint(i))}
	})
	for i, err := range errs {
		switch i % 3 {
		case 0:
			if !errors.Is(err, oauth.ErrConflict) {
				t.Errorf("%d: %v, want a conflict", i, err)
			}
		case 1:
			if !errors.Is(err, oauth.ErrUnavailable) || errors.Is(err, oauth.ErrConflict) {
				t.Errorf("%d: %v, want a refusal that is no conflict", i, err)
			}
		default:
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	verified(t, s.Reader, 10)
	for i := range 30 {
		err := s.Commit(t.Context(), once(fmt.Sprint(i)))
		if stored := errors.Is(err, oauth.ErrConflict); stored != (i%3 == 2) {
			t.Errorf("%d: stored %v", i, stored)
		}
	}
	if got := s.Stats(); got.FailedGroups != 0 || got.Conflicts < 10 {
		t.Errorf("%+v", got)
	}
}

// failures that end a group, as they are made on the writer's connection in the middle of it.
func groupFailures() map[string]func(*tx) error {
	return map[string]func(*tx) error{
		"a full disk": func(x *tx) error {
			var pages int64
			if _, err := x.get(`PRAGMA page_count`, nil, &pages); err != nil {
				return err
			}
			var limit int64
			if _, err := x.get(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages), nil, &limit); err != nil {
				return err
			}
			return x.run(`INSERT INTO interactions (hash, params, form_token, client_digest, ip, user_agent, created_at, login_after, expires_at, taken)
				VALUES ($1, $2, '', '', '', '', 0, 0, 0, 0)`, digest("big"), strings.Repeat("x", 1<<20))
		},
		"a lost connection": func(x *tx) error {
			if err := x.conn.Close(); err != nil {
				return err
			}
			return x.run(`SELECT 1`)
		},
		"an error of ours": func(*tx) error { return errors.New("injected") },
	}
}

func TestAFailedGroupAnswersAllAndRecovers(t *testing.T) {
	for name, fail := range groupFailures() {
		t.Run(name, func(t *testing.T) {
			s := open(t, testConfig(t))
			commit(t, s, event("before"), oauth.SaveClient{Client: oauth.Client{ID: "c"}})
			if _, err := s.Client(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
			release := hold(t, s)
			errs := make([]error, 9)
			var all sync.WaitGroup
			for i := range errs {
				all.Go(func() {
					if i == 4 {
						errs[i] = s.do(fail)
						return
					}
					errs[i] = s.Commit(context.Background(), event(fmt.Sprint(i)), once(fmt.Sprint(i)))
				})
			}
			for len(s.writer.queue) < len(errs) {
				time.Sleep(time.Millisecond)
			}
			release()
			all.Wait()
			for i, err := range errs {
				if !errors.Is(err, oauth.ErrUnavailable) {
					t.Errorf("%d: %v, want unavailable", i, err)
				}
			}
			if got := s.Stats(); got.FailedGroups != 1 || got.Healthy {
				t.Errorf("%+v", got)
			}
			if _, _, kept := s.clients.get("c"); kept {
				t.Error("a client is still cached although nobody knows what was stored")
			}
			verified(t, s.Reader, 1)
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("ping after recovery: %v", err)
			}
			commit(t, s, event("after"), once("0"))
			verified(t, s.Reader, 2)
			if got := s.Stats(); !got.Healthy {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestPingAfterAFailureWrites: a transaction without a change touches no disk, so it cannot tell that the disk works again.
func TestPingAfterAFailureWrites(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, event("1"))
	size := func() int64 {
		info, err := os.Stat(c.Path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	if err := s.Ping(t.Context()); err != nil || size() != before {
		t.Errorf("a ping of a healthy store: %v, the log grew by %d bytes", err, size()-before)
	}
	if err := s.do(func(*tx) error { return errors.New("injected") }); err == nil {
		t.Fatal("the injected fault had no effect")
	}
	if err := s.Ping(t.Context()); err != nil || size() == before {
		t.Errorf("a ping after a fault: %v, the log grew by %d bytes", err, size()-before)
	}
	if !s.Stats().Healthy {
		t.Error("the store is not healthy after a good ping")
	}
	verified(t, s.Reader, 1)
}

func TestALockHeldByAnotherProgramIsUnavailable(t *testing.T) {
	c := testConfig(t)
	c.Busy = 50 * time.Millisecond
	s := open(t, c)
	db, err := openPool(dsn(c.Path, "rw", time.Second), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), event("1")); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	commit(t, s, event("2"))
	verified(t, s.Reader, 1)
}

func TestTooManyOrTooSlowIsShed(t *testing.T) {
	c := testConfig(t)
	c.Queue, c.Wait = 4, 50*time.Millisecond
	s := open(t, c)
	release := hold(t, s)
	errs := make(chan error, 4)
	for i := range 4 {
		go func() { errs <- s.Commit(context.Background(), once(fmt.Sprint(i))) }()
	}
	for len(s.writer.queue) < 4 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Commit(t.Context(), once("5")); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("a full queue: %v", err)
	}
	time.Sleep(60 * time.Millisecond)
	release()
	for range 4 {
		if err := <-errs; !errors.Is(err, oauth.ErrUnavailable) {
			t.Errorf("a slow queue: %v", err)
		}
	}
	if got := s.Stats(); got.Shed != 5 || got.FailedGroups != 0 {
		t.Errorf("%+v", got)
	}
	commit(t, s, once("0")) // nothing of what was shed is stored
}

func TestCommitIgnoresThatItsCallerHasGone(t *testing.T) {
	s := open(t, testConfig(t))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(gone, once("1"), event("1")); err != nil {
		t.Fatal(err)
	}
	conflict(t, s, once("1"))
	if _, err := s.User(gone, "u"); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
}

func TestOpensAndClosesInsideABubble(t *testing.T) {
	path := t.TempDir() + "/bubble.db"
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Path: path, ServerKey: testKey()})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if err := s.Commit(t.Context(), once(fmt.Sprint(i)), event(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		commit(t, s, oauth.UseOnce{Scope: "short", ID: "1", ExpiresAt: time.Now().Add(time.Minute)})
		time.Sleep(time.Hour)
		if n, err := s.Housekeeping(t.Context()); err != nil || n == 0 {
			t.Errorf("housekeeping: %d, %v", n, err)
		}
		verified(t, s.Reader, 20)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestKillLosesNothingAcknowledged runs a child that commits and prints what was acknowledged, and kills it without warning.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	c := testConfig(t)
	acknowledged := map[string]bool{}
	for cycle := range 5 {
		for _, id := range runAndKill(t, c.Path, 40+30*cycle) {
			acknowledged[id] = true
		}
		s := open(t, c)
		stored, err := list(t.Context(), s.Reader, func(r row) (id string, err error) { err = r.Scan(&id); return id, err },
			`SELECT id FROM used_ids`)
		if err != nil {
			t.Fatal(err)
		}
		verified(t, s.Reader, int64(len(stored))) // a row for each change and a change for each row
		found := map[string]bool{}
		for _, id := range stored {
			found[id] = true
		}
		for id := range acknowledged {
			if !found[id] {
				t.Fatalf("cycle %d: %s was acknowledged and is lost", cycle, id)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged, so nothing was tested")
	}
	t.Logf("%d acknowledged commits survived 5 kills", len(acknowledged))
}

func runAndKill(t *testing.T, path string, acks int) []string {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), "STORAGE_TEST_COMMIT_TO="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ids = append(ids, lines.Text())
		if len(ids) == acks {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	return ids
}

func commitUntilKilled(path string) {
	s, err := Open(context.Background(), Config{Path: path, ServerKey: testKey()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	var out sync.Mutex
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(worker) + "-" + strconv.Itoa(i)
				if err := s.Commit(context.Background(), once(id), event(id)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		})
	}
	all.Wait()
}
