// Package mutants breaks one check of ours at a time and demands that a test notices it. A check that can be taken out without
// a failing test is not held by the tests, whatever they cover.
//
// list.txt holds the mutants. "go test ./tests/mutants" only looks whether the list still fits the code. The tag "mutants" runs them:
//
//	go test -tags mutants ./tests/mutants -v                        all of them
//	go test -tags mutants ./tests/mutants -v -run /audience         the one with that name
//
// Nothing in the tree is changed: the compiler is given the other text of the file (go help build, -overlay).
package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mutant is one entry of the list: one line of our code, and the tests that must notice that it is another one.
type mutant struct {
	name   string // what breaks, unique
	line   int    // in the list
	place  string // a file, or a folder where the line stands once, below the root of the module
	before string // the whole line without the blanks around it; it stands once there
	after  string // what stands there instead; "" takes the line out
	judges []judge
}

// judge is some tests of one package, of which one must fail. Every judge of a mutant must notice it.
type judge struct {
	folder string   // such as "oauth"
	tests  []string // names of top-level tests
}

const root = "../.."

// readList reads list.txt. Entries look like a patch, apart by empty lines:
//
//	name-of-the-mutant
//	@ oauth
//	- the line as it is
//	+ the line of the mutant
//	! oauth TestOne TestTwo
func readList() ([]mutant, error) {
	text, err := os.ReadFile("list.txt")
	if err != nil {
		return nil, err
	}
	var list []mutant
	for i, line := range strings.Split(string(text), "\n") {
		fault := func(what string) error { return fmt.Errorf("list.txt:%d: %s", i+1, what) }
		sign, rest, _ := strings.Cut(line, " ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if rest == "" && sign != "+" {
			list = append(list, mutant{name: sign, line: i + 1})
			continue
		}
		if len(list) == 0 {
			return nil, fault("an entry begins with its name")
		}
		if err := list[len(list)-1].add(sign, strings.TrimSpace(rest)); err != nil {
			return nil, fault(err.Error())
		}
	}
	return list, nil
}

func (m *mutant) add(sign, rest string) error {
	switch sign {
	case "@":
		m.place = rest
	case "-":
		m.before = rest
	case "+":
		m.after = rest
	case "!":
		words := strings.Fields(rest)
		if len(words) < 2 {
			return fmt.Errorf("want a package and the names of tests")
		}
		m.judges = append(m.judges, judge{words[0], words[1:]})
	default:
		return fmt.Errorf("lines begin with @, -, + or !")
	}
	return nil
}

// apply gives the path of the mutant's file and its text with the one line exchanged.
func (m mutant) apply() (file, text string, err error) {
	if m.place == "" || m.before == "" || len(m.judges) == 0 || m.before == m.after {
		return "", "", fmt.Errorf("list.txt:%d: %s needs @, -, ! and another line", m.line, m.name)
	}
	files, err := m.files()
	if err != nil {
		return "", "", fmt.Errorf("list.txt:%d: %s: %w", m.line, m.name, err)
	}
	found := 0
	for _, path := range files {
		whole, err := os.ReadFile(path)
		if err != nil {
			return "", "", fmt.Errorf("list.txt:%d: %w", m.line, err)
		}
		lines := strings.Split(string(whole), "\n")
		for i, line := range lines {
			if strings.TrimSpace(line) == m.before {
				found++
				lines[i] = m.after
				file, text = path, strings.Join(lines, "\n")
			}
		}
	}
	if found != 1 {
		return "", "", fmt.Errorf("list.txt:%d: %s: the line stands %d times in %s, want once: %s", m.line, m.name, found, m.place, m.before)
	}
	return file, text, nil
}

// files are where the line is looked for: the Go files of a folder that are no tests, or the one file.
func (m mutant) files() ([]string, error) {
	path := filepath.Join(root, m.place)
	if filepath.Ext(path) != "" {
		return []string{path}, nil
	}
	all, err := filepath.Glob(filepath.Join(path, "*.go"))
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("there are no Go files in %s", m.place)
	}
	return slices.DeleteFunc(all, func(f string) bool { return strings.HasSuffix(f, "_test.go") }), err
}

// fewestMutants is what the list may not fall below.
const fewestMutants = 30

func TestTheListFitsTheCode(t *testing.T) {
	list, err := readList()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < fewestMutants {
		t.Errorf("%d mutants, want at least %d", len(list), fewestMutants)
	}
	seen := map[string]bool{}
	for _, m := range list {
		if _, _, err := m.apply(); err != nil {
			t.Error(err)
		}
		if seen[m.name] {
			t.Errorf("list.txt:%d: %s is there twice", m.line, m.name)
		}
		seen[m.name] = true
		for _, j := range m.judges {
			if lost := j.lost(); len(lost) > 0 {
				t.Errorf("list.txt:%d: %s: there is no %v in %s", m.line, m.name, lost, j.folder)
			}
		}
	}
}

// lost are the tests that the judge's folder does not have.
func (j judge) lost() []string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(root, j.folder, "*_test.go"))
	for _, path := range files {
		text, _ := os.ReadFile(path)
		all.Write(text)
	}
	return slices.DeleteFunc(slices.Clone(j.tests), func(name string) bool { return strings.Contains(all.String(), "\nfunc "+name+"(") })
}
