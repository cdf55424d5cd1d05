package policies

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestAuthorsMaskWhatRecordsHold(t *testing.T) {
	args := map[string]any{"password": "SECRET", "card": map[string]any{"number": "SECRET", "brand": "V"}, "amount": json.Number("5")}
	v := call("transfer", args, "tools:payments.transfer")
	v.Subject.Groups = []string{"staff", "SECRET"}
	for _, tc := range []struct {
		name, rego        string
		removed, replaced []string
		check             func(t *testing.T, r record)
	}{
		{"a removed argument", `mask contains "/input/tool/arguments/password"`, []string{"/tool/arguments/password"}, nil, func(t *testing.T, r record) {
			if args, _ := r.at(t, "tool.arguments").(map[string]any); args["password"] != nil || args["amount"] == nil {
				t.Errorf("arguments %v", args)
			}
		}},
		{"the structured form", `mask contains {"op": "remove", "path": "/input/subject/username"}`, []string{"/subject/username"}, nil, func(t *testing.T, r record) {
			if r.at(t, "subject.username") != nil {
				t.Errorf("input %s", r.Input)
			}
		}},
		{"a replaced value", `mask contains {"op": "upsert", "path": "/input/subject/username", "value": {"hidden": true}}`, nil, []string{"/subject/username"}, func(t *testing.T, r record) {
			if hidden, _ := r.at(t, "subject.username").(map[string]any); hidden["hidden"] != true {
				t.Errorf("input %s", r.Input)
			}
		}},
		{"an element of a list", `mask contains "/input/subject/groups/1"`, []string{"/subject/groups/1"}, nil, func(t *testing.T, r record) {
			if groups, _ := r.at(t, "subject.groups").([]any); len(groups) != 2 || groups[0] != "staff" || groups[1] != nil {
				t.Errorf("groups %v", groups)
			}
		}},
		{"computed from the configuration", `mask contains path if some path in data.config.masked`, []string{"/tool/arguments/password"}, nil, nil},
		{"for some decisions only", `mask contains "/input/subject/username" if input.input.tool.name == "transfer"`, []string{"/subject/username"}, nil, nil},
		{"not for others", `mask contains "/input/subject/username" if input.input.tool.name == "get_weather"`, nil, nil, nil},
		{"by the question", `mask contains "/input/subject/username" if input.path == "mcp/authz/tools/decision"`, []string{"/subject/username"}, nil, nil},
		{"what is not there", `mask contains "/input/mcp/uri"`, nil, nil, nil},
		{"results hold no values anyway", `mask contains "/result/reasons"`, nil, nil, nil},
		{"the whole input", `mask contains "/input"`, nil, nil, func(t *testing.T, r record) {
			if r.Input != nil || r.Withheld == "" {
				t.Errorf("%+v", r)
			}
		}},
		{"a mask that fails keeps everything back", `mask contains sprintf("/input/%d", [to_number(input.input.subject.username)])`, nil, nil, func(t *testing.T, r record) {
			if r.Input != nil || r.Withheld == "" || !r.Result.Allow {
				t.Errorf("%+v", r)
			}
		}},
		{"and so does one of a wrong shape", `mask contains input.input.subject.username`, nil, nil, func(t *testing.T, r record) {
			if r.Input != nil || r.Withheld == "" {
				t.Errorf("%+v", r)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := recording(t, RecordMasked, map[string]string{"mask.rego": "package system.log\n\n" + tc.rego + "\n",
				"config.yaml": "masked: [/input/tool/arguments/password]\n"})
			r := recordOf(t, decide(t, e, v).Record)
			if !slices.Equal(r.Removed, tc.removed) || !slices.Equal(r.Replaced, tc.replaced) {
				t.Errorf("removed %q, replaced %q; want %q and %q", r.Removed, r.Replaced, tc.removed, tc.replaced)
			}
			if tc.check != nil {
				tc.check(t, r)
			}
		})
	}
}

func TestAuthorsMaskValuesThatTheOperatorRecords(t *testing.T) {
	e := recording(t, RecordValues, map[string]string{"mask.rego": "package system.log\n\nmask contains \"/input/tool/arguments/card/number\"\n"})
	card := map[string]any{"number": "SECRET", "brand": "V"}
	d := decide(t, e, call("transfer", map[string]any{"card": card, "amount": json.Number("5")}, "tools:payments.transfer"))
	r := recordOf(t, d.Record)
	if strings.Contains(string(d.Record.Document), "SECRET") || r.at(t, "tool.arguments.card.brand") != "V" || !slices.Equal(r.Removed, []string{"/tool/arguments/card/number"}) {
		t.Errorf("%s", d.Record.Document)
	}
}

func TestADigestHoldsNothingThatAuthorsRemove(t *testing.T) {
	e := recording(t, RecordMasked, map[string]string{"mask.rego": "package system.log\n\nmask contains \"/input/tool/arguments/card/number\"\n"})
	digest := func(number, brand string) any {
		d := decide(t, e, call("transfer", map[string]any{"card": map[string]any{"number": number, "brand": brand}}))
		r := recordOf(t, d.Record)
		marker, _ := r.at(t, "tool.arguments.card").(map[string]any)
		return marker["digest"]
	}
	if digest("1", "V") != digest("2", "V") || digest("1", "V") == digest("1", "W") {
		t.Error("the digest of an object must depend on what is left of it, and on nothing else")
	}
}

func TestMasksAreCheckedAtLoad(t *testing.T) {
	for _, tc := range []struct{ name, rego, want string }{
		{"a misspelled field", `mask contains "/input/tool/argments/password"`, "is in no input document"},
		{"a place below a text", `mask contains "/input/tool/name/first"`, "is in no input document"},
		{"another document", `mask contains "/inptu/tool"`, "must begin with /input/"},
		{"no slash", `mask contains "input/tool"`, "must begin with /input/"},
		{"an unknown operation", `mask contains {"op": "hide", "path": "/input/tool/title"}`, "op must be"},
		{"a replacement by nothing", `mask contains {"op": "upsert", "path": "/input/tool/title"}`, "needs a value"},
		{"a number", `mask contains 7`, "must be a path"},
		{"another rule", `masks contains "/input/tool/title"`, "did you mean mask"},
		{"drop", `drop if input.input.subject.id == "x"`, "would be ignored"},
		{"a single value", `mask := "/input/tool/title"`, "is a single value"},
		{"computed wrongly", `mask contains x if some x in [1, 2]`, "must be a path"},
		{"private helpers are free", "mask contains x if some x in _paths\n\n_paths := [\"/input/tool/title\"]", ""},
		{"any argument", `mask contains "/input/tool/arguments/anything/below"`, ""},
		{"an element of a list", `mask contains "/input/subject/groups/0"`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := dirWith(t, map[string]string{"mask.rego": "package system.log\n\n" + tc.rego + "\n"})
			_, err := New(t.Context(), Config{Dir: dir, Defaults: true, Log: silent()})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "mask.rego:3")):
				t.Errorf("got %v, want %q with file and line", err, tc.want)
			}
		})
	}
}

func TestMasksHaveTestsOfTheirOwn(t *testing.T) {
	dir := dirWith(t, map[string]string{
		"mask.rego": "package system.log\n\nmask contains \"/input/tool/arguments/password\"\n",
		"mask_test.rego": `package system.log_test

import data.system.log

test_passwords if "/input/tool/arguments/password" in log.mask

test_nothing_else if count(log.mask) == 2
`})
	report, err := Test(t.Context(), dir, TestOptions{})
	if err != nil || report.Passed != 1 || report.Failed != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, name := range []string{"system", "system.logs", "system.log.x", "system.main"} {
		dir := dirWith(t, map[string]string{"x.rego": "package " + name + "\n\nmask contains \"/input/tool/title\"\n"})
		if report, err := Check(dir, CheckOptions{}); err != nil || len(report.Problems) == 0 {
			t.Errorf("package %s is taken: %+v, %v", name, report, err)
		}
	}
}
