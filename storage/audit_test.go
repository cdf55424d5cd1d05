package storage

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

func fullEvent(n int) oauth.Event {
	return oauth.Event{Time: time.Unix(time.Now().Unix()-100+int64(n), 0).UTC(), Type: oauth.EventDecision, Outcome: oauth.OutcomeDenied, Reason: "limit",
		SubjectID: "u1", Username: "alice", ClientID: "c1", ResourceID: "r1", GrantID: "g1", FamilyID: "f1", JTI: fmt.Sprint("j", n),
		Scopes: oauth.NewScopes("a:1", "b:2"), Action: "tools/call", Tool: "transfer <&>", DecisionID: fmt.Sprint("d", n), Rules: []string{"limit"},
		Revision: "rev", IP: "192.0.2.1", RequestID: "q", Detail: map[string]string{"arguments_sha256": "aa", "a": "b"}}
}

func TestAuditIsReadBackAsItWasWritten(t *testing.T) {
	c := testConfig(t)
	c.Instance = "west"
	s := open(t, c)
	for i := range 2500 { // more than two pages
		if i%500 == 0 || i == 2499 {
			commit(t, s, fullEvent(i))
			continue
		}
		commit(t, s, oauth.Event{Type: oauth.EventLogin, Username: "\xff\x00"}, oauth.Event{Type: oauth.EventLogout, Time: second(0)})
	}
	const rows = 6 + 2494*2
	tail, err := s.Audit().Tail(t.Context(), 2)
	if err != nil || len(tail) != 2 || tail[1].Seq != rows || tail[0].Seq != rows-1 || tail[1].Instance != "west" {
		t.Fatalf("%v %+v", err, tail)
	}
	same(t, &tail[1].Event, nil, fullEvent(2499))
	next := int64(1001)
	for row, err := range s.Audit().Since(t.Context(), 1000) {
		if err != nil || row.Seq != next {
			t.Fatalf("row %d, %v, want %d", row.Seq, err, next)
		}
		next++
		if row.Event.Type == oauth.EventLogin && (row.Event.Username != "\ufffd\x00" || time.Since(row.Event.Time) > time.Minute) {
			t.Fatalf("%+v", row.Event)
		}
	}
	if next != rows+1 {
		t.Errorf("the last row was %d", next-1)
	}
	var calls, done, total int64
	report, err := s.Audit().Verify(t.Context(), func(d, n int64) { calls++; done, total = d, n })
	if err != nil || !report.OK() || report.Rows != rows || report.Last != rows || done != rows || total != rows || calls < 3 {
		t.Errorf("%v %+v, progress %d of %d", err, report, done, total)
	}
}

func TestAuditExport(t *testing.T) {
	s := open(t, testConfig(t))
	commit(t, s, fullEvent(0), oauth.Event{Type: "bare", Time: second(0)})
	var out bytes.Buffer
	var done int64
	last, err := s.Audit().Export(t.Context(), &out, 0, func(d, _ int64) { done = d })
	if err != nil || last != 2 || done != 2 {
		t.Fatalf("%d %d %v", last, done, err)
	}
	lines := bufio.NewScanner(&out)
	lines.Scan()
	var first map[string]any
	if err := json.Unmarshal(lines.Bytes(), &first); err != nil {
		t.Fatalf("%s: %v", lines.Text(), err)
	}
	for name, want := range map[string]any{"seq": 1.0, "instance": "main", "type": "decision", "outcome": "denied", "tool": "transfer <&>", "subject": "u1", "decision": "d0"} {
		if first[name] != want {
			t.Errorf("%s is %v, want %v", name, first[name], want)
		}
	}
	lines.Scan()
	if want := `{"seq":2,"instance":"main","time":"2027-01-15T08:00:00Z","type":"bare","mac":"`; !strings.HasPrefix(lines.Text(), want) || !json.Valid(lines.Bytes()) {
		t.Errorf("got %s", lines.Text())
	}
	if _, err := s.Audit().Export(t.Context(), failingWriter{}, 0, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a failing writer: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestAuditRowsCannotBeChangedThroughTheDatabase(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, fullEvent(0))
	for _, statement := range []string{`UPDATE audit SET body = '{}'`, `DELETE FROM audit`} {
		if err := s.do(func(x *tx) error { return x.run(statement) }); err == nil {
			t.Errorf("%s: went through", statement)
		}
	}
	verified(t, s.Reader, 1)
}

// tamperAudit does what someone with the file can do: take the triggers away, change the audit, put the triggers back.
func tamperAudit(t *testing.T, path, statements string) {
	t.Helper()
	db, err := openPool(dsn(path, "rw", time.Second), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var update, remove string
	err = db.QueryRowContext(t.Context(), `SELECT (SELECT sql FROM sqlite_schema WHERE name = 'audit_no_update'), (SELECT sql FROM sqlite_schema WHERE name = 'audit_no_delete')`).
		Scan(&update, &remove)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; `+statements+`; `+update+`; `+remove)
	if err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func TestVerifyNamesTheFirstBadRow(t *testing.T) {
	for name, test := range map[string]struct {
		tamper string
		bad    int64
		says   string
	}{
		"an edited body":             {`UPDATE audit SET body = replace(body, '"denied"', '"allowed"') WHERE seq = 20`, 20, "changed"},
		"an edited time":             {`UPDATE audit SET at = at + 1 WHERE seq = 20`, 20, "changed"},
		"an edited type":             {`UPDATE audit SET type = 'login' WHERE seq = 20`, 20, "changed"},
		"an edited instance":         {`UPDATE audit SET instance = 'x' WHERE seq = 20`, 20, "changed"},
		"an edited seal":             {`UPDATE audit SET mac = zeroblob(32) WHERE seq = 20`, 20, "changed"},
		"text moved between columns": {`UPDATE audit SET instance = instance || substr(type, 1, 1), type = substr(type, 2) WHERE seq = 20`, 20, "changed"},
		"a removed row":              {`DELETE FROM audit WHERE seq = 20`, 20, "missing"},
		"a removed first":            {`DELETE FROM audit WHERE seq = 1`, 1, "missing"},
		"a closed gap":               {`DELETE FROM audit WHERE seq = 20; UPDATE audit SET seq = seq - 1 WHERE seq > 20`, 20, "changed"},
		"exchanged rows":             {`UPDATE audit SET seq = -20 WHERE seq = 20; UPDATE audit SET seq = 20 WHERE seq = 21; UPDATE audit SET seq = 21 WHERE seq = -20`, 20, "changed"},
		"a repeated row":             {`INSERT INTO audit (seq, instance, at, type, body, mac) SELECT 201, instance, at, type, body, mac FROM audit WHERE seq = 200`, 201, "added by another program"},
		"a cut-off end":              {`DELETE FROM audit WHERE seq > 150`, 151, "missing at the end"},
		"a cut-off end with its record": {`DELETE FROM audit WHERE seq > 150; UPDATE audit_head SET seq = 150, mac = (SELECT mac FROM audit WHERE seq = 150)`,
			150, "rows may be missing after it"},
		"a removed record":   {`DELETE FROM audit_head`, 200, "rows may be missing after it"},
		"everything removed": {`DELETE FROM audit; DELETE FROM audit_head`, 0, "rows may be missing after it"},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			s := open(t, c)
			changes := make([]oauth.Change, 200)
			for i := range changes {
				changes[i] = fullEvent(i)
			}
			commit(t, s, changes...)
			s.Close()
			tamperAudit(t, c.Path, test.tamper)
			r, err := OpenReader(t.Context(), c.Path, c.ServerKey)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			report, err := r.Audit().Verify(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if report.OK() || report.Bad.Seq != test.bad || !strings.Contains(report.Bad.Problem, test.says) {
				t.Fatalf("%s; want row %d, %q", report.Statement(), test.bad, test.says)
			}
			if !strings.Contains(report.Statement(), "NOT intact") {
				t.Error(report.Statement())
			}
			early := test.bad > 0 && test.bad <= 20 && name != "a closed gap" // more than the last 100 rows away
			s, err = Open(t.Context(), c)                                     // it looks at the last rows only
			if err == nil {
				s.Close()
			}
			if early != (err == nil) || err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("a server starts on it: %v", err)
			}
		})
	}
}

// Rows of another database under the same key do not fit, because each chain begins with the id of its database.
func TestAnAuditCannotBeTransplanted(t *testing.T) {
	from, to := testConfig(t), testConfig(t)
	for _, c := range []Config{from, to} {
		s := open(t, c)
		commit(t, s, fullEvent(1))
		s.Close()
	}
	tamperAudit(t, to.Path, `ATTACH '`+from.Path+`' AS other; DELETE FROM audit; DELETE FROM audit_head;
		INSERT INTO audit SELECT * FROM other.audit; INSERT INTO audit_head SELECT * FROM other.audit_head; DETACH other`)
	r, err := OpenReader(t.Context(), to.Path, to.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if report, err := r.Audit().Verify(t.Context(), nil); err != nil || report.OK() || report.Bad.Seq != 1 {
		t.Errorf("%v %s", err, report.Statement())
	}
}

// What Verify says that it cannot prove: an older copy of the whole file is intact.
func TestAnOlderCopyVerifies(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, fullEvent(1))
	s.Close()
	old, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	commit(t, s, fullEvent(2))
	s.Close()
	write(t, c.Path, old, 0o600)
	if err := os.Remove(c.Path + ".end"); err != nil { // what would tell
		t.Fatal(err)
	}
	verified(t, open(t, c).Reader, 1)
}

func TestAWriterWhoseRowsVanishStopsWriting(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, fullEvent(1))
	tamper(t, c.Path, `CREATE TABLE earlier_head AS SELECT * FROM audit_head`)
	commit(t, s, fullEvent(2))
	tamperAudit(t, c.Path, `DELETE FROM audit WHERE seq = 2; DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM earlier_head; DROP TABLE earlier_head`)
	if err := s.do(func(*tx) error { return errors.New("injected") }); err == nil {
		t.Fatal("the group did not fail")
	}
	if err := s.Commit(t.Context(), fullEvent(3)); !errors.Is(err, oauth.ErrUnavailable) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
}

// Two histories that grew from one copy: each is a good chain, but the end record names only one of them.
func TestAForkIsNoticed(t *testing.T) {
	c := testConfig(t)
	fork := Config{Path: c.Path + ".fork", ServerKey: c.ServerKey}
	s := open(t, c)
	commit(t, s, fullEvent(1))
	s.Close()
	copied, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, fork.Path, copied, 0o600)
	for n, each := range []Config{c, fork} {
		s := open(t, each)
		commit(t, s, fullEvent(10+n), fullEvent(20+n))
		s.Close()
	}
	tamperAudit(t, c.Path, `ATTACH '`+fork.Path+`' AS other; DELETE FROM audit; INSERT INTO audit SELECT * FROM other.audit; DETACH other`)
	r, err := OpenReader(t.Context(), c.Path, c.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if report, err := r.Audit().Verify(t.Context(), nil); err != nil || report.OK() || report.Bad.Seq != 3 {
		t.Errorf("%v %s", err, report.Statement())
	}
}

// One row of such another history is no better than a made-up one: the row behind it was sealed together with another one.
func TestARowOfAForkDoesNotFit(t *testing.T) {
	c := testConfig(t)
	fork := Config{Path: c.Path + ".fork", ServerKey: c.ServerKey}
	s := open(t, c)
	commit(t, s, fullEvent(1))
	s.Close()
	copied, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, fork.Path, copied, 0o600)
	for n, each := range []Config{c, fork} {
		s := open(t, each)
		commit(t, s, fullEvent(10+n), fullEvent(20))
		s.Close()
	}
	tamperAudit(t, c.Path, `ATTACH '`+fork.Path+`' AS other; DELETE FROM audit WHERE seq = 2; INSERT INTO audit SELECT * FROM other.audit WHERE seq = 2; DETACH other`)
	r, err := OpenReader(t.Context(), c.Path, c.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if report, err := r.Audit().Verify(t.Context(), nil); err != nil || report.OK() || report.Bad.Seq != 3 {
		t.Errorf("%v %s", err, report.Statement())
	}
}

// A row that another program put where the next one belongs is no lost race: the whole group has to fail.
func TestAChainThatCannotGrowFailsTheGroup(t *testing.T) {
	c := testConfig(t)
	s := open(t, c)
	commit(t, s, fullEvent(1))
	tamper(t, c.Path, `INSERT INTO audit (seq, instance, at, type, body, mac) VALUES (2, '', 0, '', '', x'')`)
	for range 2 {
		if err := s.Commit(t.Context(), once("1"), fullEvent(2)); !errors.Is(err, oauth.ErrUnavailable) || errors.Is(err, oauth.ErrConflict) {
			t.Errorf("got %v, want unavailable", err)
		}
	}
	if got := s.Stats(); got.FailedGroups != 2 || got.Healthy {
		t.Errorf("%+v", got)
	}
}
