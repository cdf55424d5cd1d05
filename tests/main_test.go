// Package tests drives the built program over real HTTP, as its users do. It knows nothing of the program's insides.
package tests

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// binaryVariable names a program that is already built, such as one with the race detector.
const binaryVariable = "TESTED_PORTCULLIS"

// binary is the path of the program under test.
func binary() string { return os.Getenv(binaryVariable) }

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// runTests builds the program once for all tests.
func runTests(m *testing.M) int {
	if binary() != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "portcullis-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "portcullis")
	build := exec.Command("go", "build", "-o", program, "../cmd/portcullis")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "the program does not build: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binaryVariable, program); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// noteSources looks at every file of the program. The go command repeats an earlier result of a test when nothing that the test
// looked at has changed, and it cannot see what the compiler read. What is looked at before m.Run does not count.
var noteSources = sync.OnceValue(func() error {
	return filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && path != ".." || d.Name() == "artifacts" {
			return fs.SkipDir
		}
		_, err = os.ReadDir(path) // names, sizes and times count
		return err
	})
})
