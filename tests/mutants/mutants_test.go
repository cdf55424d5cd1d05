//go:build mutants

package mutants

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// binaryVariable tells the tests of the running program which one to run.
const binaryVariable = "TESTED_PORTCULLIS"

// part chooses every third mutant, from the one of this number on: 0, 1 or 2. Without it all are run.
var part = flag.Int("part", -1, "run a third of the mutants: 0, 1 or 2")

// TestEveryMutantDies runs the judges of each mutant and wants one of their tests to fail. The judges must pass on the code as it is.
func TestEveryMutantDies(t *testing.T) {
	list, err := readList()
	if err != nil {
		t.Fatal(err)
	}
	w := &workshop{dir: t.TempDir(), done: map[string]func() error{}}
	for i, m := range list {
		if *part >= 0 && i%3 != *part%3 {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			killer, err := w.kill(t.TempDir(), m)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("killed by %s", killer)
		})
	}
}

// workshop compiles tests and runs them.
type workshop struct {
	dir  string // for what all mutants use
	mu   sync.Mutex
	done map[string]func() error // what was built, and the judges that were run on the code as it is
}

// kill gives the names of the tests that noticed the mutant, one for each judge.
func (w *workshop) kill(dir string, m mutant) (string, error) {
	file, text, err := m.apply()
	if err != nil {
		return "", err
	}
	replacement := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(replacement, []byte(text), 0o600); err != nil {
		return "", err
	}
	for _, j := range m.judges {
		if err := w.passesClean(j); err != nil {
			return "", err
		}
	}
	var killers []string
	for _, j := range m.judges {
		report, err := w.judge(dir, map[string]string{file: replacement}, j)
		if err != nil {
			return "", err
		}
		if report.failed == "" {
			return "", fmt.Errorf("list.txt:%d: SURVIVED: %s: none of %v fails with %q in %s", m.line, m.name, j, m.after, m.place)
		}
		killers = append(killers, j.folder+" "+report.failed)
	}
	return strings.Join(killers, "; "), nil
}

// passesClean runs a judge on the code as it is, once for all mutants that it judges.
func (w *workshop) passesClean(j judge) error {
	return w.once(fmt.Sprint(j), func() error {
		report, err := w.judge(w.dir, nil, j)
		switch {
		case err != nil:
			return err
		case report.failed != "" || report.skipped || report.passed != len(j.tests):
			return fmt.Errorf("%v does not pass without a mutant: %d of %d passed\n%s", j, report.passed, len(j.tests), report.output)
		}
		return nil
	})
}

// once runs work for the first caller of a name; the others wait for its error.
func (w *workshop) once(name string, work func() error) error {
	w.mu.Lock()
	if w.done[name] == nil {
		w.done[name] = sync.OnceValue(work)
	}
	do := w.done[name]
	w.mu.Unlock()
	return do()
}

// report is what a run of some tests showed.
type report struct {
	passed  int    // top-level tests
	failed  string // the first of them, with what it said
	skipped bool
	output  string
}

// judge compiles what a judge needs into dir and runs it. With changed (file → the text to read instead) it judges a mutant, without it the
// code as it is. The tests in tests/ start the program: there the mutant is in the program.
func (w *workshop) judge(dir string, changed map[string]string, j judge) (report, error) {
	tests, program := filepath.Join(dir, strings.ReplaceAll(j.folder, "/", "-")), ""
	if strings.HasPrefix(j.folder, "tests") {
		program = filepath.Join(dir, "portcullis.exe")
		if err := w.build(program, changed, "build", "-o", program, "./cmd/portcullis"); err != nil {
			return report{}, err
		}
		tests, changed = filepath.Join(w.dir, filepath.Base(tests)), nil
	}
	without, err := filesNotNeeded(j)
	if err != nil {
		return report{}, err
	}
	replace := map[string]string{}
	maps.Copy(replace, changed)
	for _, file := range without {
		replace[file] = "" // the compiler does not see it
		tests = strings.TrimSuffix(tests, "-inner") + "-inner"
	}
	if err := w.build(tests, replace, "test", "-c", "-o", tests, "./"+j.folder); err != nil {
		return report{}, err
	}
	return run(tests, program, j)
}

// filesNotNeeded are the files of the package NAME_test, if all tests of the judge are in the package NAME: they import the rooms that NAME
// itself does not know, and would triple the time to compile and link.
func filesNotNeeded(j judge) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(root, j.folder, "*_test.go"))
	if err != nil {
		return nil, err
	}
	outer := regexp.MustCompile(`(?m)^package \w+_test$`)
	var without []string
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !outer.Match(text) {
			continue
		}
		for _, name := range j.tests {
			if strings.Contains(string(text), "\nfunc "+name+"(") {
				return nil, nil
			}
		}
		without = append(without, path)
	}
	return without, nil
}

// build runs the go command, once for each file that it makes. A mutant that does not compile proves nothing, so that is an error of the list. Our
// code is not optimised, which takes a third less time.
func (w *workshop) build(output string, replace map[string]string, command string, args ...string) error {
	return w.once(output, func() error {
		overlay, err := overlayFile(output, replace)
		if err != nil {
			return err
		}
		all := append([]string{command, "-ldflags=-s -w", "-gcflags=portcullis/...=-N -l", "-overlay=" + overlay}, args...)
		cmd := exec.Command("go", all...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(all, " "), err, out)
		}
		return nil
	})
}

// overlayFile says in the form of the go command which files are to be read instead of others.
func overlayFile(output string, replace map[string]string) (string, error) {
	absolute := map[string]string{}
	for file, other := range replace {
		path, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		absolute[path] = other
	}
	doc, err := json.Marshal(map[string]any{"Replace": absolute})
	if err != nil {
		return "", err
	}
	return output + ".json", os.WriteFile(output+".json", doc, 0o600)
}

// run gives what the named tests of a compiled package do. They end by a verdict: one that hangs or breaks off is an error of the list.
func run(tests, program string, j judge) (report, error) {
	cmd := exec.Command(tests, "-test.v", "-test.timeout=90s", "-test.run=^("+strings.Join(j.tests, "|")+")$")
	cmd.Dir = filepath.Join(root, j.folder)
	cmd.Env = append(os.Environ(), binaryVariable+"="+program)
	out, err := cmd.CombinedOutput()
	r := read(string(out))
	switch {
	case strings.Contains(r.output, "panic: test timed out"):
		return r, fmt.Errorf("%v did not end\n%s", j, r.output)
	case err != nil && r.failed == "":
		return r, fmt.Errorf("%v: %w without a failed test\n%s", j, err, r.output)
	case err == nil && r.failed != "":
		return r, fmt.Errorf("%v: a test failed, but the exit code is 0\n%s", j, r.output)
	}
	return r, nil
}

func read(output string) report {
	verdict := regexp.MustCompile(`(?m)^( *)--- (PASS|FAIL|SKIP): (\S+)`)
	r := report{output: output}
	for _, m := range verdict.FindAllStringSubmatch(output, -1) {
		switch {
		case m[2] == "SKIP":
			r.skipped = true
		case m[2] == "FAIL" && (r.failed == "" || strings.HasPrefix(m[3], r.failed+"/")):
			r.failed = m[3]
		case m[2] == "PASS" && m[1] == "":
			r.passed++
		}
	}
	if r.failed == "" {
		return r
	}
	for line := range strings.Lines(output) {
		if place := strings.TrimSpace(line); strings.Contains(place, "_test.go:") {
			r.failed += ": " + place[:min(len(place), 160)]
			break
		}
	}
	return r
}
