package policies

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

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
