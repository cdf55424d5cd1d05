package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// attackRows are the rows of the list that must be tested or named as not built: a letter and the numbers from first to last.
func attackRows() (ids []string) {
	for _, group := range []struct {
		letter      string
		first, last int
		except      []int
	}{
		{"R", 1, 16, nil},
		{"C", 1, 17, nil},
		{"M", 1, 13, nil},
		{"D", 1, 8, []int{6}},
		{"T", 1, 11, nil},
		{"U", 1, 19, []int{8, 11}},
		{"I", 1, 8, nil},
		{"G", 1, 13, []int{9, 10, 11}},
		{"X", 1, 11, []int{2, 4, 6, 10}},
	} {
	numbers:
		for n := group.first; n <= group.last; n++ {
			for _, out := range group.except {
				if n == out {
					continue numbers
				}
			}
			ids = append(ids, fmt.Sprint(group.letter, n))
		}
	}
	return ids
}

var (
	attackRow = regexp.MustCompile(`(?m)^\| ([A-Z]\d+) \|([^|]*)\|([^|]*)\|(.*)\|$`)
	attackRef = regexp.MustCompile("`([a-z/]+)/((?:Test|Fuzz)[A-Za-z0-9]+)`")
)

// The table of attacks is true: every row has its tests, and they exist and name it.
func TestEveryAttackHasATest(t *testing.T) {
	text, err := os.ReadFile("attacks.md")
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]map[string]string{}
	rows := map[string]bool{}
	for _, row := range attackRow.FindAllStringSubmatch(string(text), -1) {
		id, tests := row[1], attackRef.FindAllStringSubmatch(row[2], -1)
		if rows[id] {
			t.Errorf("%s is there twice", id)
		}
		rows[id] = true
		if len(tests) == 0 && !strings.Contains(row[2], "not built: ") {
			t.Errorf("%s names no test and no reason why it is not built", id)
		}
		for _, one := range tests {
			folder, name := one[1], one[2]
			if folders[folder] == nil {
				folders[folder] = testFunctions(t, filepath.Join("..", folder))
			}
			source, found := folders[folder][name]
			switch {
			case !found:
				t.Errorf("%s: there is no test %s in %s", id, name, folder)
			case !regexp.MustCompile(`\b` + id + `\b`).MatchString(source):
				t.Errorf("%s: the file of %s/%s does not name the row", id, folder, name)
			}
		}
	}
	for _, id := range attackRows() {
		if !rows[id] {
			t.Errorf("%s is missing in attacks.md", id)
		}
	}
}

// testFunctions are the tests of a folder with the text of their files, whatever their build tags.
func testFunctions(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no tests: %v", folder, err)
	}
	out := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				out[f.Name.Name] = string(text)
			}
		}
	}
	return out
}
