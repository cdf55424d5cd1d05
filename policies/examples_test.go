package policies

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestExamples: every example loads beside the shipped defaults without a problem or a warning, and its own tests pass.
func TestExamples(t *testing.T) {
	entries, err := os.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		examples++
		t.Run(entry.Name(), func(t *testing.T) {
			dir := filepath.Join("examples", entry.Name())
			report, err := Check(dir, CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range append(report.Problems, report.Warnings...) {
				t.Error(p)
			}
			tests, err := Test(context.Background(), dir, TestOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if tests.Passed < 2 || tests.Failed > 0 {
				t.Errorf("%d passed, %d failed", tests.Passed, tests.Failed)
			}
			for _, r := range tests.Tests {
				if !r.Passed {
					t.Error(r)
				}
			}
		})
	}
	if examples < 10 {
		t.Errorf("only %d examples", examples)
	}
}
