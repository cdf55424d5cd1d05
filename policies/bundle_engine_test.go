package policies

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// publisher is a bundle that changes under an engine.
type publisher struct {
	archive []byte
	err     error
}

func (p *publisher) bundle(context.Context) (*Bundle, error) {
	if p.err != nil {
		return nil, p.err
	}
	return ReadBundle(p.archive, BundleKey{})
}

func TestABundleTakesThePlaceOfTheDirectory(t *testing.T) {
	p := &publisher{archive: archived(t, shippable())}
	var activated []Activation
	dir := dirWith(t, map[string]string{"a.rego": "package policy.tools.never\n\nallow if true\n"})
	e, err := New(t.Context(), Config{Dir: dir, Defaults: true, Log: silent(), Bundle: p.bundle, Activate: func(_ context.Context, a Activation) error {
		activated = append(activated, a)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	first := e.Status()
	if first.Files != 2 || first.Origin != "" || (first.Bundle != BundleRevision{"7", 7}) || !slices.Equal(first.Changes.Added, []string{"config.json", "tools/quiet.rego"}) {
		t.Fatalf("%+v", first)
	}
	reload := func(want string) Status {
		t.Helper()
		if _, err := e.Reload(t.Context(), nil); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Fatalf("%v, want %q", err, want)
		}
		return e.Status()
	}
	reload("")
	if len(activated) != 1 {
		t.Fatalf("the same bundle was activated %d times", len(activated))
	}
	p.archive = archived(t, altered(shippable(), ".manifest", manifest("8", "policy", "config")))
	if s := reload(""); s.Revision != first.Revision || s.Bundle.Number != 8 || len(activated) != 2 || activated[1].Bundle.Name != "8" {
		t.Fatalf("a revision whose files are the same: %+v, %d activations", s, len(activated))
	}
	p.archive = archived(t, altered(shippable(), ".manifest", manifest("9", "policy", "config"), "tools/quiet_test.rego",
		"package policy.tools.quiet_test\n\nimport data.policy.tools.quiet\n\ntest_quiet if count(quiet.deny) == 2 with input as {\"tool\": {\"name\": \"x\"}}\n"))
	if s := reload("test_quiet"); !s.Stale || s.Bundle.Number != 8 || s.Revision != first.Revision {
		t.Fatalf("a bundle whose test fails: %+v", s)
	}
	p.err = errors.New("the publisher is away")
	if s := reload("is away"); !s.Stale || s.Bundle.Number != 8 {
		t.Fatalf("%+v", s)
	}
	if _, err := e.Activate(t.Context(), nil, []AuthorFile{{Path: "a.rego", Data: []byte(quietModule)}}, "by hand"); err != nil {
		t.Fatal(err)
	}
	if s := reload(""); s.Origin != "by hand" || (s.Bundle != BundleRevision{}) || s.Stale {
		t.Fatalf("what was activated by hand: %+v", s)
	}
	p.err, p.archive = nil, archived(t, shippable())
	if _, err := e.Follow(t.Context(), nil); err != nil || e.Status().Bundle.Number != 7 || e.Status().Revision != first.Revision {
		t.Fatalf("%v, %+v", err, e.Status())
	}
}

func TestAShadowDoesNotFollowTheBundle(t *testing.T) {
	p := &publisher{archive: archived(t, shippable())}
	config := Config{Defaults: true, Log: silent(), Bundle: p.bundle}
	active, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	shadow := NewShadow(ShadowConfig{Active: active, Dir: dirWith(t, nil), Config: config})
	candidate, err := New(t.Context(), shadow.config)
	if err != nil || candidate.Status().Files != 0 {
		t.Errorf("%v, %+v", err, candidate.Status())
	}
}

// TestABundleStandsForItsDirectory wherever one is read to be looked at.
func TestABundleStandsForItsDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "b.tar.gz")
	write := func(archive []byte) {
		if err := os.WriteFile(name, archive, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(archived(t, shippable()))
	if report, err := Check(name, CheckOptions{}); err != nil || len(report.Problems) != 0 || report.Files != 2 {
		t.Errorf("%+v %v", report, err)
	}
	write(archived(t, altered(shippable(), "tools/quiet.rego", strings.Replace(quietModule, "name", "nmae", 1), "lib/x.rego", "package lib.x\n")))
	if report, err := Check(name, CheckOptions{}); err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Message, "outside its roots") {
		t.Errorf("%+v %v", report, err)
	}
	write(archived(t, altered(shippable(), "tools/quiet.rego", strings.Replace(quietModule, "name", "nmae", 1))))
	if report, err := Check(name, CheckOptions{}); err != nil || len(report.Problems) != 1 || report.Problems[0].File != "tools/quiet.rego" || report.Problems[0].Line != 3 {
		t.Errorf("%+v %v", report, err)
	}
	write(archived(t, altered(shippable(), "tools/quiet_test.rego", "package policy.tools.quiet_test\n\ntest_a if true\n\ntest_b if false\n")))
	if report, err := Test(t.Context(), name, TestOptions{}); err != nil || report.Passed != 1 || report.Failed != 1 {
		t.Errorf("%+v %v", report, err)
	}
}

func TestAStoredGenerationIsABundleAgain(t *testing.T) {
	p := &publisher{archive: archived(t, shippable())}
	var kept Activation
	e, err := New(t.Context(), Config{Defaults: true, Log: silent(), Bundle: p.bundle, Activate: func(_ context.Context, a Activation) error {
		kept = a
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := BundleOf(Stored{kept.Revision, kept.Document}, kept.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	again, err := New(t.Context(), Config{Defaults: true, Log: silent(), Bundle: func(context.Context) (*Bundle, error) { return b, nil }})
	if err != nil || again.Status().Revision != e.Status().Revision || again.Status().Bundle != e.Status().Bundle {
		t.Errorf("%v, %+v", err, again.Status())
	}
}
