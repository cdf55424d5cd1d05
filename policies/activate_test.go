package policies

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsRecordedIsWhatStatusSays, also when an operator puts the same files in force that were in force already.
func TestWhatIsRecordedIsWhatStatusSays(t *testing.T) {
	ctx, dir := context.Background(), dirWith(t, map[string]string{"config.yaml": "limit: 1\n"})
	var last Activation
	recorded := 0
	e, err := New(ctx, Config{Dir: dir, Defaults: true, Activate: func(_ context.Context, a Activation) error {
		last = a
		recorded++
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	same, err := ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, put := range []func() (Report, error){
		func() (Report, error) { return Report{}, nil },
		func() (Report, error) { return e.Activate(ctx, nil, same, "activated from elsewhere") },
		func() (Report, error) {
			return e.Activate(ctx, nil, []AuthorFile{{Path: "config.yaml", Data: []byte("limit: 2\n")}}, "activated from another")
		},
		func() (Report, error) { return e.Follow(ctx, nil) },
	} {
		if _, err := put(); err != nil {
			t.Fatal(err)
		}
		if s := e.Status(); recorded != i+1 || last.Revision != s.Revision || last.Origin != s.Origin || !last.Since.Equal(s.ActivatedAt) || last.Changes.String() != s.Changes.String() {
			t.Errorf("%d: recorded %+v, status %+v", i, last, s)
		}
	}
}

// TestDamagedLastPoliciesAreTold: the directory is in force all the same, but nobody can tell what has changed, and the operator should know why.
func TestDamagedLastPoliciesAreTold(t *testing.T) {
	var out bytes.Buffer
	config := Config{Dir: t.TempDir(), Defaults: true, Last: Stored{Revision: "0123", Document: []byte("no gzip")}, Log: slog.New(slog.NewTextHandler(&out, nil))}
	if _, err := New(t.Context(), config); err != nil || !strings.Contains(out.String(), "the stored policies of revision 0123 are damaged") {
		t.Errorf("%v, the log: %s", err, out.String())
	}
	config.Origin = "activated from elsewhere"
	if _, err := New(t.Context(), config); err == nil {
		t.Error("what an operator put in force is gone, and the server starts with something else")
	}
}

func TestNothingIsInForceThatWasNotRecorded(t *testing.T) {
	dir := t.TempDir()
	var refuse error
	var recorded []string
	e, err := New(context.Background(), Config{Dir: dir, Defaults: true, Activate: func(_ context.Context, a Activation) error {
		recorded = append(recorded, a.Revision)
		return refuse
	}})
	if err != nil || len(recorded) != 1 || recorded[0] != e.Status().Revision {
		t.Fatal(err, recorded)
	}
	before := e.Status().Revision
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("limit: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse = errors.New("the disk is full")
	if _, err := e.Reload(context.Background(), nil); !errors.Is(err, refuse) || e.Status().Revision != before || !e.Status().Stale {
		t.Fatalf("%v, %+v", err, e.Status())
	}
	refuse = nil
	if _, err := e.Reload(context.Background(), nil); err != nil || e.Status().Revision == before {
		t.Fatalf("%v, %+v", err, e.Status())
	}
	if _, err := New(context.Background(), Config{Activate: func(context.Context, Activation) error { return errors.New("no") }}); err == nil {
		t.Error("an engine whose first policies could not be recorded")
	}
}
