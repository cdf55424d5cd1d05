package policies

import (
	"bytes"
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

var updateGuide = flag.Bool("update", false, "write the tables of README.md anew")

// guideTable is a table of the guide that is made of what it tells about, between <!-- table: NAME --> and <!-- end -->.
var guideTable = regexp.MustCompile(`(?s)(<!-- table: ([a-z _-]+) -->\n)(.*?)(<!-- end -->)`)

// TestTheTablesOfTheGuide: they say what schemas/, vocabulary.go, capabilities.go and bounds.go say. The words in the last column of the
// table of rules are kept.
func TestTheTablesOfTheGuide(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
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
	for _, name := range []string{"input tool_call", "input scope_grant", "input client_admission", "input access", "rules", "built-ins", "bounds"} {
		if !names[name] {
			t.Errorf("the guide has no table %q", name)
		}
	}
	if *updateGuide {
		if err := os.WriteFile("README.md", []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range strings.Split(fresh, "\n") {
		if strings.HasPrefix(row, "| `") && strings.HasSuffix(row, "|  |") {
			t.Errorf("nothing is said in %s", row)
		}
	}
}

func tableOf(name, old string) (string, error) {
	schema, isInput := strings.CutPrefix(name, "input ")
	switch {
	case isInput:
		return inputTable(schema)
	case name == "rules":
		return rulesTable(old), nil
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
func rulesTable(old string) string {
	said := map[string]string{}
	for row := range strings.Lines(old) {
		if cells := strings.Split(strings.Trim(row, "|\n"), " | "); len(cells) == 3 {
			said[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[2])
		}
	}
	var b strings.Builder
	b.WriteString("| rule | form | what it does |\n|---|---|---|\n")
	for _, k := range kinds() {
		forms := ruleForms(k)
		for _, name := range slices.Sorted(maps.Keys(forms)) {
			rule := fmt.Sprintf("`policy.%s.*.%s`", k, name)
			_, form, _ := strings.Cut(string(forms[name]), ": ")
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", rule, strings.Replace(form, "NAME", name, 1), said[rule])
		}
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
