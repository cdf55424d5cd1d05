package storage

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"portcullis/oauth"
)

// auditBody is how an event lies in the body column and in exports: seq, instance, time and type stand beside it.
type auditBody struct {
	Outcome    string            `json:"outcome,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	SubjectID  string            `json:"subject,omitempty"`
	Username   string            `json:"username,omitempty"`
	ClientID   string            `json:"client,omitempty"`
	ResourceID string            `json:"resource,omitempty"`
	GrantID    string            `json:"grant,omitempty"`
	FamilyID   string            `json:"family,omitempty"`
	JTI        string            `json:"jti,omitempty"`
	Scopes     []string          `json:"scopes,omitempty"`
	Action     string            `json:"action,omitempty"`
	Tool       string            `json:"tool,omitempty"`
	DecisionID string            `json:"decision,omitempty"`
	Rules      []string          `json:"rules,omitempty"`
	Revision   string            `json:"policy_revision,omitempty"`
	IP         string            `json:"ip,omitempty"`
	RequestID  string            `json:"request_id,omitempty"`
	Detail     map[string]string `json:"detail,omitempty"`
}

// encodeEvents makes the bodies of the events among the changes, so that the writer need not. sure: there is nothing but events
// and records of decisions.
func encodeEvents(changes []oauth.Change) (bodies []string, sure bool) {
	sure = true
	for _, c := range changes {
		if _, record := c.(oauth.SaveDecision); record {
			continue
		}
		e, ok := c.(oauth.Event)
		if !ok {
			sure = false
			continue
		}
		bodies = append(bodies, encodeEvent(&e))
	}
	return bodies, sure
}

// appendEvent writes the next encoded event. An event without a time gets the present one.
func appendEvent(t *tx, e oauth.Event) error {
	if len(t.bodies) == 0 {
		return fmt.Errorf("%w: an event that was not encoded", errBadChange)
	}
	body := t.bodies[0]
	t.bodies = t.bodies[1:]
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	return t.chain.append(t, at.Unix(), e.Type, body)
}

// AuditRow is one row of the audit.
type AuditRow struct {
	Seq      int64 // 1, 2, 3 … without gaps
	Instance string
	Event    oauth.Event
	MAC      []byte // HMAC-SHA256 over the row and the MAC of the row before
	at       int64
	body     string
}

// MarshalJSON is one flat object: seq, instance, time, type, the fields of the event as they are stored and sealed, mac.
func (r AuditRow) MarshalJSON() ([]byte, error) {
	head, err := json.Marshal(struct {
		Seq      int64  `json:"seq"`
		Instance string `json:"instance"`
		Time     string `json:"time"`
		Type     string `json:"type"`
	}{r.Seq, r.Instance, r.Event.Time.UTC().Format(time.RFC3339), r.Event.Type})
	if err != nil {
		return nil, err
	}
	middle := strings.TrimSuffix(strings.TrimPrefix(r.body, "{"), "}")
	if middle != "" {
		middle = "," + middle
	}
	return fmt.Appendf(head[:len(head)-1], `%s,"mac":"%s"}`, middle, hex.EncodeToString(r.MAC)), nil
}

// Audit reads and verifies the audit.
type Audit struct{ reader *Reader }

// Audit gives access to the audit rows.
func (r *Reader) Audit() Audit { return Audit{r} }

const (
	auditColumns = `seq, instance, at, type, body, mac`
	auditPage    = 1000 // rows read at once, so that a long reading never holds up the write-ahead log
)

// Tail reads the last n rows, oldest first.
func (a Audit) Tail(ctx context.Context, n int) ([]AuditRow, error) {
	rows, err := list(ctx, a.reader, scanAudit, `SELECT `+auditColumns+` FROM audit ORDER BY seq DESC LIMIT $1`, n)
	for i := range rows {
		rows[i].decode()
	}
	slices.Reverse(rows)
	return rows, err
}

// Since goes through the rows after seq, oldest first, to the end of the audit. An error ends it.
func (a Audit) Since(ctx context.Context, seq int64) iter.Seq2[AuditRow, error] {
	return func(yield func(AuditRow, error) bool) {
		for row, err := range a.sealed(ctx, seq) {
			if err == nil {
				row.decode()
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// sealed is Since without decoding the events, which takes longer than everything else.
func (a Audit) sealed(ctx context.Context, seq int64) iter.Seq2[AuditRow, error] {
	return func(yield func(AuditRow, error) bool) {
		for {
			page, err := list(ctx, a.reader, scanAudit, `SELECT `+auditColumns+` FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, auditPage)
			if err != nil {
				yield(AuditRow{}, err)
				return
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
				seq = row.Seq
			}
			if len(page) < auditPage {
				return
			}
		}
	}
}

// Export writes the rows after seq as JSON lines and returns the number of the last one. progress may be nil.
func (a Audit) Export(ctx context.Context, w io.Writer, seq int64, progress func(done, total int64)) (int64, error) {
	total, err := a.count(ctx)
	if err != nil {
		return seq, err
	}
	for row, err := range a.sealed(ctx, seq) {
		if err != nil {
			return seq, err
		}
		line, err := row.MarshalJSON()
		if err != nil {
			return seq, err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return seq, err
		}
		seq = row.Seq
		report(progress, seq, total)
	}
	return seq, nil
}

func report(progress func(done, total int64), done, total int64) {
	if progress != nil {
		progress(done, max(done, total))
	}
}

// count is the number of the last row, 0 without rows.
func (a Audit) count(ctx context.Context) (int64, error) {
	n, err := find(ctx, a.reader, func(r row) (n int64, err error) { err = r.Scan(&n); return n, err }, `SELECT coalesce(max(seq), 0) FROM audit`)
	if err != nil {
		return 0, err
	}
	return *n, nil
}

func scanAudit(r row) (a AuditRow, err error) {
	err = r.Scan(&a.Seq, &a.Instance, &a.at, &a.Event.Type, &a.body, &a.MAC)
	a.Event.Time = time.Unix(a.at, 0).UTC()
	return a, err
}

// decode fills in the event from the body. A body that cannot be read is no error here: Verify names it.
func (r *AuditRow) decode() {
	var b auditBody
	if err := json.Unmarshal([]byte(r.body), &b); err != nil {
		b = auditBody{Reason: "unreadable"}
	}
	r.Event = oauth.Event{
		Time: r.Event.Time, Type: r.Event.Type, Outcome: b.Outcome, Reason: b.Reason, SubjectID: b.SubjectID, Username: b.Username,
		ClientID: b.ClientID, ResourceID: b.ResourceID, GrantID: b.GrantID, FamilyID: b.FamilyID, JTI: b.JTI, Scopes: b.Scopes, Action: b.Action,
		Tool: b.Tool, DecisionID: b.DecisionID, Rules: b.Rules, Revision: b.Revision, IP: b.IP, RequestID: b.RequestID, Detail: b.Detail,
	}
}
