package policies

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var updateGuide = flag.Bool("update", false, "write the tables of the guide anew")

// guideTable is a table of the guide that is made of what it tells about, between <!-- table: NAME --> and <!-- end -->.
var guideTable = regexp.MustCompile(`(?s)(<!-- table: ([a-z _-]+) -->\n)(.*?)(<!-- end -->)`)

// TestTheTablesOfTheGuide: they say what schemas/, vocabulary.go, capabilities.go and bounds.go say. The words in the last column of the
// tables of rules are kept.
func TestTheTablesOfTheGuide(t *testing.T) {
	names := map[string]bool{}
	for _, file := range []string{"README.md", "reference.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fresh := guideTable.ReplaceAllStringFunc(string(text), func(whole string) string {
			part := guideTable.FindStringSubmatch(whole)
			names[part[2]] = true
			table, err := tableOf(part[2], part[3])
			if err != nil {
				t.Fatal(err)
			}
			table = "\n" + table + "\n"
			if table != part[3] && !*updateGuide {
				t.Errorf("the table %q is not up to date (go test ./policies -run TheTablesOfTheGuide -update); it should be:\n%s", part[2], table)
			}
			return part[1] + table + part[4]
		})
		if *updateGuide {
			if err := os.WriteFile(file, []byte(fresh), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range strings.Split(fresh, "\n") {
			if strings.HasPrefix(row, "| `") && strings.HasSuffix(row, "|  |") {
				t.Errorf("nothing is said in %s", row)
			}
		}
	}
	want := []string{"input tool_call", "input scope_grant", "input client_admission", "input access", "built-ins", "bounds"}
	for _, k := range kinds() {
		want = append(want, "rules "+string(k))
	}
	for _, name := range want {
		if !names[name] {
			t.Errorf("the guide has no table %q", name)
		}
	}
}

// TestTheGuideNamesRealFields: what stands in the text as a field of the input is one, unless it is there as a slip.
func TestTheGuideNamesRealFields(t *testing.T) {
	schemas, err := schemaDocuments(mustShipped(t))
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := schemas[anyInput].(map[string]any)
	for _, file := range []string{"README.md", "reference.md", "house_rules.md", "bundles.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile("`input((?:\\.[a-zA-Z_]+)+)`").FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 && (file == "README.md" || file == "reference.md") {
			t.Errorf("%s names no field", file)
		}
		for _, m := range found {
			path := inputPath(strings.Split(m[1][1:], "."))
			if slip := strings.Contains(m[1], "nme") || strings.Contains(m[1], "ammount"); !fieldAt(whole, path).known && !slip {
				t.Errorf("%s: no input has %s", file, path)
			}
		}
	}
}

func mustShipped(t *testing.T) []file {
	t.Helper()
	files, err := shippedFiles(true)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestTheLinksOfTheGuide lead somewhere: to a file, or to a heading of one.
func TestTheLinksOfTheGuide(t *testing.T) {
	for _, file := range []string{"README.md", "reference.md", "house_rules.md", "bundles.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(string(text), -1) {
			target, err := os.ReadFile(cmp.Or(m[1], file))
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if m[2] != "" && !slices.Contains(anchors(string(target)), m[2]) {
				t.Errorf("%s: nothing in %q is called #%s", file, m[1], m[2])
			}
		}
	}
}

// anchors are the names of a document's headings in links.
func anchors(doc string) (names []string) {
	for line := range strings.Lines(doc) {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			names = append(names, strings.ReplaceAll(plain, " ", "-"))
		}
	}
	return names
}

func tableOf(name, old string) (string, error) {
	schema, isInput := strings.CutPrefix(name, "input ")
	switch {
	case isInput:
		return inputTable(schema)
	case strings.HasPrefix(name, "rules "):
		return rulesTable(kind(strings.TrimPrefix(name, "rules ")), old), nil
	case name == "built-ins":
		return builtinsTable(), nil
	case name == "bounds":
		return "`" + strings.Join(slices.Sorted(maps.Keys(bounded())), "` `") + "`\n", nil
	}
	return "", fmt.Errorf("nobody knows how to make the table %q", name)
}

// tableSchema is as much of a JSON Schema as the tables show.
type tableSchema struct {
	Type        string          `json:"type"`
	Description string          `json:"description"`
	Properties  json.RawMessage `json:"properties"`
	Required    []string        `json:"required"`
	Items       *tableSchema    `json:"items"`
	Additional  bool            `json:"additionalProperties"`
}

func inputTable(schema string) (string, error) {
	text, err := os.ReadFile("schemas/" + schema + ".json")
	if err != nil {
		return "", err
	}
	var root tableSchema
	if err := json.Unmarshal(text, &root); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| field | type | there | what it is |\n|---|---|---|---|\n")
	err = root.rows(&b, "input", "always")
	return b.String(), err
}

// rows writes a row for each property, in the order of the file. there says when the object itself is there.
func (s *tableSchema) rows(b *strings.Builder, at, there string) error {
	if len(s.Properties) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(s.Properties))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		var field tableSchema
		if err := decoder.Decode(&field); err != nil {
			return err
		}
		path, when := fmt.Sprintf("%s.%s", at, key), "may be absent"
		if slices.Contains(s.Required, key.(string)) {
			when = there
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", path, field.word(), when, field.Description)
		inner := &field
		if field.Items != nil {
			inner, path = field.Items, path+"[_]"
		}
		within := when
		if when != "always" {
			within = "with `" + path + "`"
		}
		if err := inner.rows(b, path, within); err != nil {
			return err
		}
	}
	return nil
}

// word is the type of a field for people.
func (s *tableSchema) word() string {
	switch {
	case s.Items != nil:
		return "list of " + s.Items.word() + "s"
	case s.Additional:
		return "object, any members"
	}
	return s.Type
}

// rulesTable keeps what the old one says of each rule.
func rulesTable(k kind, old string) string {
	said := map[string]string{}
	for row := range strings.Lines(old) {
		if cells := strings.Split(strings.Trim(row, "|\n"), " | "); len(cells) == 3 {
			said[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[2])
		}
	}
	var b strings.Builder
	b.WriteString("| rule | form | what it does |\n|---|---|---|\n")
	forms := ruleForms(k)
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		rule := fmt.Sprintf("`policy.%s.*.%s`", k, name)
		_, form, _ := strings.Cut(string(forms[name]), ": ")
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", rule, strings.Replace(form, "NAME", name, 1), said[rule])
	}
	return b.String()
}

// builtinsTable groups what is not offered by the reason.
func builtinsTable() string {
	names := map[string][]string{}
	for name, reason := range removedBuiltins() {
		names[reason] = append(names[reason], "`"+name+"`")
	}
	var b strings.Builder
	b.WriteString("| not offered | why |\n|---|---|\n")
	for _, reason := range slices.Sorted(maps.Keys(names)) {
		slices.Sort(names[reason])
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names[reason], " "), reason)
	}
	return b.String()
}
