// Package faults breaks the running program from outside and looks whether its promises hold: it is killed without warning, its
// disk fails, fills up or is slow, its files are damaged, and a hundred clients want the same thing at once.
//
// A driver connects people, rotates, revokes and disconnects, and keeps a record of every answer that it received and of the one
// request per worker whose answer it did not get. After the fault the record is compared with what the server says now and
// with its audit: an acknowledged answer is durable, an unanswered request has happened whole or not at all, and nothing was spent twice.
//
// "go test ./tests/faults" needs only Go. The tests behind the tag "faults" want strace and unshare (Linux).
package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaryVariable names a program that is already built.
const binaryVariable = "TESTED_PORTCULLIS"

func TestMain(m *testing.M) {
	cycles, rounds := 6, 8
	if raceDetector { // a server with the race detector is ten times slower
		cycles, rounds = 3, 2
	}
	flag.Int("cycles", cycles, "how often the server is killed under load")
	flag.Int("rounds", rounds, "how often a hundred clients race for one thing")
	flag.Int("users", 200, "how many people connect at the same time")
	flag.Uint64("seed", 0, "of everything random; 0 takes another one each time")
	flag.Parse()
	os.Exit(runTests(m))
}

// number is the value of one of the flags above.
func number(name string) int {
	return flag.Lookup(name).Value.(flag.Getter).Get().(int)
}

// runTests builds the program once for all tests: with the race detector when the tests have it.
func runTests(m *testing.M) int {
	if os.Getenv(binaryVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "pc")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "portcullis.exe")
	build := exec.Command("go", "build", "-o", program, "../../cmd/portcullis")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if raceDetector {
		build = exec.Command("go", "build", "-race", "-o", program, "../../cmd/portcullis")
		build.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
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

func seedFlag() uint64 { return flag.Lookup("seed").Value.(flag.Getter).Get().(uint64) }
