package policies

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInitMakesAFolderThatIsRightAtOnce: its tests pass, check says nothing, and a server takes it.
func TestInitMakesAFolderThatIsRightAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policy")
	names, err := Init(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".regal/config.yaml", ".vscode/settings.json", "config.yaml", "scopes/people.rego", "scopes/people_test.rego", "tools/amounts.rego", "tools/amounts_test.rego", ".portcullis"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
	report, err := Test(context.Background(), dir, TestOptions{Coverage: true})
	if err != nil || report.Failed+report.Skipped > 0 || report.Passed < 6 || report.Coverage.Percent != 100 {
		t.Errorf("%+v %v", report, err)
	}
	for _, o := range []CheckOptions{{}, {Catalogue: twoServers(t)}} {
		check, err := Check(dir, o)
		if err != nil || len(check.Problems)+len(check.Warnings) > 0 {
			t.Errorf("%s%s %v", problemTexts(check.Problems), problemTexts(check.Warnings), err)
		}
	}
	e := engineFrom(t, Config{Dir: dir, Defaults: true, Catalogue: twoServers(t)})
	if got := word(decide(t, e, call("get_weather", nil, "tools:weather.read"))); got != "allow" {
		t.Errorf("a call with the skeleton: %s", got)
	}
	if found, err := Unformatted(os.DirFS(dir)); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
	var settings map[string]any
	text, err := os.ReadFile(filepath.Join(dir, ".vscode", "settings.json"))
	if err != nil || json.Unmarshal(text, &settings) != nil {
		t.Error(settings, err)
	}
}

func TestInitAndExportOverwriteNothing(t *testing.T) {
	dir := dirWith(t, map[string]string{"mine.rego": "x"})
	if _, err := Init(dir, nil); err == nil || !strings.Contains(err.Error(), "is not empty, and nothing is overwritten") {
		t.Error(err)
	}
	if _, err := Export(dir, ExportOptions{}); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Error(err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

func TestAnExportReplacesTheOneBefore(t *testing.T) {
	from, out := dirWith(t, map[string]string{"a.rego": payments, "config.yaml": "limit: 9007199254740993\n"}), t.TempDir()
	if _, err := Export(out, ExportOptions{From: from, Catalogue: twoServers(t)}); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(out, "config", "data.json"))
	if err != nil || !strings.Contains(string(config), "9007199254740993") {
		t.Errorf("%s %v", config, err)
	}
	text, err := os.ReadFile(filepath.Join(out, CatalogueFile))
	if err != nil {
		t.Fatal(err)
	}
	if catalogue, err := ReadCatalogue(text); err != nil || len(catalogue) != 2 {
		t.Error(catalogue, err)
	}
	write(t, out, map[string]string{"notes.txt": "mine"})
	if err := os.Remove(filepath.Join(from, "a.rego")); err != nil {
		t.Fatal(err)
	}
	names, err := Export(out, ExportOptions{From: from})
	if err != nil || slices.Contains(names, "a.rego") || slices.Contains(names, CatalogueFile) || !slices.Contains(names, "schemas/any_input.jsonschema") || !slices.Contains(names, "shipped/lib/mcp/testing.rego") {
		t.Error(names, err)
	}
	for name, there := range map[string]bool{"a.rego": false, CatalogueFile: false, "notes.txt": true, "shipped/mcp/authz/tools.rego": true} {
		if _, err := os.Stat(filepath.Join(out, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnExportOfWrongPoliciesIsRefused(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for name, files := range map[string]map[string]string{
		"a misspelled rule":     {"a.rego": payments + "denny contains \"no\"\n"},
		"a shipped file's name": {"shipped/lib/mcp.rego": payments},
	} {
		if _, err := Export(out, ExportOptions{From: dirWith(t, files)}); !IsLoadError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something was written")
	}
	mark := dirWith(t, map[string]string{exportMark: "../outside\n"})
	if _, err := Export(mark, ExportOptions{}); err == nil || !strings.Contains(err.Error(), "lies outside") {
		t.Error(err)
	}
}

func TestReplacedDefaultsAreNotExported(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	names, err := Export(out, ExportOptions{From: dirWith(t, map[string]string{"mine.rego": "package policy.tools.default\n\nallow if input.tool.name == \"x\"\n"})})
	if err != nil || slices.Contains(names, "shipped/policy/tools/default.rego") || !slices.Contains(names, "shipped/policy/scopes/default.rego") || !slices.Contains(names, "mine.rego") {
		t.Error(names, err)
	}
}

func TestFormatting(t *testing.T) {
	dir := dirWith(t, map[string]string{"a.rego": "package policy.tools.a\ndeny contains \"x\" if   input.tool.name==\"y\"\n", "b.rego": "package policy.tools.payments\n"})
	found, err := Unformatted(os.DirFS(dir))
	if err != nil || len(found) != 1 || found[0].File != "a.rego" {
		t.Fatal(found, err)
	}
	want := "--- a.rego\n   2 - deny contains \"x\" if   input.tool.name==\"y\"\n   3 + deny contains \"x\" if input.tool.name == \"y\"\n   4 + \n"
	if got := found[0].Diff(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	write(t, dir, map[string]string{"c.rego": "package x\n\ny if {\n", "d.rego": "package\n"})
	if _, err := Unformatted(os.DirFS(dir)); !IsLoadError(err) || !strings.Contains(err.Error(), "c.rego:4") || !strings.Contains(err.Error(), "d.rego") {
		t.Error(err)
	}
}
