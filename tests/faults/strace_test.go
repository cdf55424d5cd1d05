//go:build faults && linux

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// tracer is strace on a running server: it makes system calls fail or wait.
type tracer struct {
	t   testing.TB
	cmd *exec.Cmd
	log *lockedBuffer
}

// attach lets the named system calls of a server end in a way that strace's inject option describes.
func (p *process) attach(t testing.TB, calls, how string) *tracer {
	t.Helper()
	x := &tracer{t: t, log: &lockedBuffer{}}
	x.cmd = exec.Command("strace", "-f", "-e", "trace="+calls, "-e", "inject="+calls+":"+how, "-p", fmt.Sprint(p.cmd.Process.Pid), "-o", os.DevNull)
	x.cmd.Stderr = x.log
	if err := x.cmd.Start(); err != nil {
		t.Fatalf("%v; install the Debian package strace", err)
	}
	t.Cleanup(x.detach)
	for range 1000 {
		if strings.Contains(x.log.String(), " attached") {
			return x
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("strace does not attach; run this as root or set kernel.yama.ptrace_scope to 0:\n%s", x.log)
	return nil
}

// detach lets the server go on as if nothing had been.
func (x *tracer) detach() {
	if x.cmd.ProcessState != nil {
		return
	}
	if err := x.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		x.t.Error(err)
	}
	x.cmd.Wait() // ends with the signal
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
