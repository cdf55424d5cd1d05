package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

// The author's guide is README.md of this folder, with reference.md and house_rules.md beside it. Every Rego block of them, and of the
// project's README, runs here as an author's file beside the shipped defaults and the guide's bank. What must come of it stands in a comment before the block:
//
//	<!-- test
//	with tools/limit.rego config.yaml                 files of other blocks that lie beside it
//	no defaults                                       leave the shipped defaults out
//	call {"tool": "transfer", "arguments": {}} => ANSWER     so do grant, client, access and record; see guideCase and guideAnswer
//	refused TEXT                                      the folder is not loaded, and one of its problems holds this text
//	warned TEXT                                       policy check warns of it; a warning that is not named here is a failure
//	tests 3                                           so many tests pass
//	-->
//
// or, if it is one thing, <!-- test: refused TEXT -->.
//
// Its name is that of the comment in its first line (# policy/tools/limit.rego), or made of its package. A YAML block that begins
// with such a line is a file for "with".

// guideBlock is one block of code.
type guideBlock struct {
	line   int // of its first fence, from 1
	lang   string
	name   string // of its file, below the policy directory; "" = none
	text   string
	expect []string
}

// guideBlocks reads the blocks of a document in order.
func guideBlocks(doc string) []guideBlock {
	var blocks []guideBlock
	var expect, text []string
	inComment := false
	var open *guideBlock
	for i, line := range strings.Split(doc, "\n") {
		switch {
		case open != nil && line == "```":
			open.text = strings.Join(text, "\n") + "\n"
			open.name = blockName(open.text)
			blocks, open, expect = append(blocks, *open), nil, nil
		case open != nil:
			text = append(text, line)
		case strings.HasPrefix(line, "```"):
			open, text = &guideBlock{line: i + 1, lang: line[3:], expect: expect}, nil
		case strings.HasPrefix(line, "<!-- test: ") && strings.HasSuffix(line, " -->"):
			expect = []string{line[len("<!-- test: ") : len(line)-len(" -->")]}
		case line == "<!-- test":
			expect, inComment = nil, true
		case inComment && line == "-->":
			inComment = false
		case inComment:
			expect = append(expect, strings.TrimSpace(line))
		case line != "":
			expect = nil // the comment belongs to the block that follows it at once
		}
	}
	return blocks
}

// blockName is the file that a block says it is, or the usual one for its package.
func blockName(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	if name, ok := strings.CutPrefix(first, "# policy/"); ok {
		return name
	}
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "package "); ok {
			return strings.ReplaceAll(strings.TrimPrefix(path, "policy."), ".", "/") + ".rego"
		}
	}
	return ""
}

// guideFailures runs all blocks of a document and says what is not as it says.
func guideFailures(t *testing.T, doc string) []string {
	var failures []string
	files := map[string]string{}
	for _, b := range guideBlocks(doc) {
		fail := func(format string, args ...any) {
			failures = append(failures, fmt.Sprintf("line %d, %s: ", b.line, b.name)+fmt.Sprintf(format, args...))
		}
		if b.lang == "yaml" && strings.HasPrefix(b.text, "# policy/") {
			files[b.name] = b.text
		}
		if b.lang != "rego" {
			continue
		}
		if b.name == "" {
			fail("the block has no package")
			continue
		}
		files[b.name] = b.text
		runBlock(t, b, files, fail)
	}
	return failures
}

// blockRun is a block with all that its comment says.
type blockRun struct {
	files           map[string]string
	defaults        bool
	refused, warned []string
	tests           int
	cases           []string
}

func readExpectations(b guideBlock, known map[string]string) (r blockRun, problem string) {
	r = blockRun{files: map[string]string{b.name: b.text}, defaults: true}
	for _, line := range b.expect {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "with":
			for _, name := range strings.Fields(rest) {
				if known[name] == "" {
					return r, "no block above it is the file " + name
				}
				r.files[name] = known[name]
			}
		case "no":
			r.defaults = false
		case "refused":
			r.refused = append(r.refused, rest)
		case "warned":
			r.warned = append(r.warned, rest)
		case "tests":
			r.tests, _ = strconv.Atoi(rest)
		case "call", "grant", "client", "access", "record":
			r.cases = append(r.cases, line)
		default:
			return r, "nobody knows the expectation " + line
		}
	}
	if len(r.refused)+len(r.warned)+len(r.cases)+r.tests == 0 {
		return r, "nothing is expected of the block"
	}
	return r, ""
}

func runBlock(t *testing.T, b guideBlock, known map[string]string, fail func(string, ...any)) {
	r, problem := readExpectations(b, known)
	if problem != "" {
		fail("%s", problem)
		return
	}
	dir, catalogue := dirWith(t, r.files), []*oauth.Resource{guideBank()}
	report, err := Check(dir, CheckOptions{Catalogue: catalogue, NoDefaults: !r.defaults})
	if err != nil {
		t.Fatal(err)
	}
	sameProblems("problem", report.Problems, r.refused, fail)
	sameProblems("warning", report.Warnings, r.warned, fail)
	e, err := New(context.Background(), Config{Dir: dir, Defaults: r.defaults, Catalogue: catalogue, Log: silent(), Deadline: 2 * time.Second, Record: RecordMasked, RecordKey: recordKey()})
	if (err != nil) != (len(r.refused) > 0) {
		fail("the server loads it: %v", err)
	}
	if err != nil {
		return
	}
	if r.tests > 0 {
		if tests, err := Test(context.Background(), dir, TestOptions{Catalogue: catalogue, NoDefaults: !r.defaults}); err != nil || tests.Passed != r.tests || tests.Failed > 0 {
			fail("%d tests passed and %d failed, want %d and none (%v)", tests.Passed, tests.Failed, r.tests, err)
		}
	}
	for _, line := range r.cases {
		question, want, _ := strings.Cut(line, " => ")
		verb, text, _ := strings.Cut(question, " ")
		var c guideCase
		decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
		decoder.UseNumber()
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			fail("%s: %v", line, err)
		} else if got := guideAnswer(e, verb, c); got != want {
			fail("%s\n\tgot %s", line, got)
		}
	}
}

// sameProblems wants one problem for each text, and no other.
func sameProblems(noun string, found []Problem, want []string, fail func(string, ...any)) {
	rest := slices.Clone(found)
	for _, text := range want {
		at := slices.IndexFunc(rest, func(p Problem) bool {
			return strings.Contains(strings.Join(strings.Fields(p.String()), " "), text)
		})
		if at < 0 {
			fail("no %s says %q; there are %v", noun, text, found)
			return
		}
		rest = slices.Delete(rest, at, at+1)
	}
	for _, p := range rest {
		fail("%s: %s", noun, p)
	}
}

func TestEveryRegoBlockOfTheGuide(t *testing.T) {
	for name, least := range map[string]int{"README.md": 8, "reference.md": 9, "house_rules.md": 7, "../README.md": 2} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rego := 0
		for _, b := range guideBlocks(string(text)) {
			if b.lang == "rego" {
				rego++
			}
		}
		if rego < least || rego != strings.Count(string(text), "```rego") {
			t.Errorf("%s: read %d Rego blocks, want at least %d and every one", name, rego, least)
		}
		for _, f := range guideFailures(t, string(text)) {
			t.Errorf("%s: %s", name, f)
		}
	}
}

// TestTheGuideTestCanFail: a guide that says something untrue, or nothing, is found out.
func TestTheGuideTestCanFail(t *testing.T) {
	block := func(expect, rules string) string {
		return expect + "```rego\npackage policy.tools.x\n\n" + rules + "\n```\n"
	}
	comment := func(lines ...string) string { return "<!-- test\n" + strings.Join(lines, "\n") + "\n-->\n" }
	denies := "deny contains {\"code\": \"no\", \"message\": \"no\"} if input.tool.name == \"pay\""
	call := `call {"tool": "pay"} => no`
	for name, tc := range map[string]struct{ doc, want string }{
		"what is true":                 {block(comment(call), denies), ""},
		"another answer":               {block(comment(`call {"tool": "pay"} => allow`), denies), "got no"},
		"nothing is expected":          {block("", denies), "nothing is expected"},
		"only a file beside it":        {block(comment("with a.rego"), denies), "no block above it"},
		"the comment stands elsewhere": {block(comment(call)+"A sentence.\n", denies), "nothing is expected"},
		"an unknown word":              {block(comment("cal x", call), denies), "nobody knows"},
		"a misspelled member":          {block(comment(`call {"tol": "pay"} => no`), denies), "unknown field"},
		"a warning that does not come": {block(comment(call, "warned not inside"), denies), "no warning says"},
		"a warning that nobody names":  {block(comment(`call {"tool": "pay"} => allow`), "allow if not input.tool.title == \"x\""), "warning: "},
		"it is loaded":                 {block(comment("refused would be ignored"), denies), "no problem says"},
		"it is not loaded":             {block(comment(call), "alow if true"), "would be ignored"},
		"another problem":              {block(comment("refused undefined"), "alow if true"), "no problem says"},
		"no test":                      {block(comment("tests 1"), denies), "0 tests passed"},
		"the record tells":             {block(comment(`record {"tool": "pay"} => keeps alice back`), denies), "got tells of alice"},
		"no package":                   {"```rego\nallow if true\n```\n", "no package"},
		"the rules changed":            {block(comment(call), strings.Replace(denies, "pay", "transfer", 1)), "got allow"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(guideFailures(t, tc.doc), "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
