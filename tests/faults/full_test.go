//go:build faults && linux

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// namespaceVariable tells the test binary that it runs in a mount namespace of its own.
const namespaceVariable = "FAULTS_IN_NAMESPACE"

// inNamespace runs a test of this binary again where it may mount file systems that nobody else sees and that end with it.
func inNamespace(t *testing.T) {
	t.Helper()
	args := []string{"--mount"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	args = append(args, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-seed", fmt.Sprint(seedFlag()))
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), namespaceVariable+"=1")
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && !strings.Contains(string(out), "--- FAIL: "+t.Name()):
		t.Fatalf("%v: %s; it needs unshare (Debian package util-linux) and the right to mount: run it as root, or allow user namespaces", err, out)
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("in a mount namespace: %v\n%s", err, out)
	}
	t.Logf("in a mount namespace:\n%s", out)
}

// smallDisk mounts an empty file system of the size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size+",mode=0700", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the space but some, and returns how to give it back.
func fill(t *testing.T, dir string, but int64) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	size := int64(0)
	for err == nil {
		var n int
		n, err = f.Write(block)
		size += int64(n)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Truncate(max(0, size-but)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// TestADiskThatIsFull: F4: on a small file system nothing is acknowledged that does not fit, reading goes on, and the server recovers alone
// when there is room again.
func TestADiskThatIsFull(t *testing.T) {
	if os.Getenv(namespaceVariable) == "" {
		inNamespace(t)
		return
	}
	dir := smallDisk(t, "16m")
	s := newSiteIn(t, dir, 6)
	p := s.start()
	c := newCrew(s, 6)
	c.until(t, 60, func() {})
	for i, but := range []int64{0, 4096, 12288, 40960, 100_000, 0} {
		empty := fill(t, dir, but)
		c.work(t, nil)
		c.unavailable(t)
		if i == 2 { // killed while it is full: the next start needs room for its first row, or says so
			p.kill()
			p = s.launch(os.Getenv(binaryVariable), "serve", "--config", s.path("portcullis.yaml"))
			if !p.waitReady() && (p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(p.log.String(), "disk is full")) {
				t.Errorf("a start without room: exit code %d\n%s", p.cmd.ProcessState.ExitCode(), p.said())
			}
			p.kill()
			empty()
			p = s.start()
		} else {
			empty()
			waitFor(t, "the server is ready again", p.ready)
		}
		c.reconcile(t)
		c.until(t, 40, func() {})
		c.reconcile(t)
		s.verify()
		if t.Failed() {
			t.Fatalf("with %d bytes left:\n%s", but, p.said())
		}
	}
	p.stop()
	p = s.start() // it looks for damage
	c.reconcile(t)
	p.stop()
	t.Logf("requests: %s", counted(c.total()))
	t.Logf("of the lost ones these had happened: %s", counted(c.after))
}

// TestAFirstStartOnAFullDisk leaves nothing that the next start would take for a database.
func TestAFirstStartOnAFullDisk(t *testing.T) {
	if os.Getenv(namespaceVariable) == "" {
		inNamespace(t)
		return
	}
	dir := smallDisk(t, "4m")
	s := newSiteIn(t, dir, 1)
	for but := int64(0); but < 400_000; but += 20480 {
		empty := fill(t, dir, but)
		p := s.launch(os.Getenv(binaryVariable), "serve", "--config", s.path("portcullis.yaml"))
		if p.waitReady() {
			if code, _ := p.terminate(); code != 0 && !strings.Contains(p.log.String(), "disk is full") { // the log is kept when it does not fit into the file
				t.Errorf("with %d bytes: exit code %d\n%s", but, code, p.said())
			}
		} else if code := p.cmd.ProcessState.ExitCode(); code != 1 && code != 78 || strings.Contains(p.log.String(), "goroutine ") {
			t.Errorf("with %d bytes: exit code %d\n%s", but, code, p.said())
		}
		empty()
		p = s.start()
		s.verify()
		p.stop()
		for _, name := range []string{"portcullis.db", "portcullis.key"} {
			if err := os.Remove(s.path(name)); err != nil {
				t.Error(err)
			}
		}
	}
}
