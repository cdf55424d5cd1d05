package policies

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// configDocument builds data.config from config.json, config.yaml and the files below config/. Two files that set
// the same key are a problem: nobody could say which one wins.
func configDocument(files []file) (map[string]any, []Problem) {
	config := map[string]any{}
	var problems []Problem
	for _, f := range files {
		if f.isRego() || f.shipped {
			continue
		}
		keys, ok := configKeys(f.path)
		if !ok {
			problems = append(problems, Problem{File: f.path, Message: "data belongs into config.yaml, config.json or files below config/; policies read it as data.config"})
			continue
		}
		value, err := decodeData(f)
		if err == nil {
			err = mergeAt(config, keys, value)
		}
		if err != nil {
			problems = append(problems, Problem{File: f.path, Message: err.Error()})
		}
	}
	return config, problems
}

// configKeys is where a file's content goes below data.config: config/a/b.yaml goes to a.b, and config/a/data.yaml to a, as OPA has it
// in bundles, so that one directory can be both.
func configKeys(p string) ([]string, bool) {
	stem := strings.TrimSuffix(p, path.Ext(p))
	stem = strings.TrimSuffix(stem, "/data")
	if stem == "config" {
		return nil, true
	}
	rest, found := strings.CutPrefix(stem, "config/")
	return strings.Split(rest, "/"), found && rest != ""
}

// decodeData reads JSON or YAML with exact numbers and without repeated keys.
func decodeData(f file) (any, error) {
	if path.Ext(f.path) == ".json" {
		if !jsontext.Value(f.data).IsValid() {
			var v jsontext.Value
			dec := jsontext.NewDecoder(bytes.NewReader(f.data))
			v, err := dec.ReadValue()
			if err == nil {
				err = fmt.Errorf("more text after the JSON value (%d bytes)", len(f.data)-len(v))
			}
			return nil, err
		}
	}
	var value any
	if err := util.Unmarshal(f.data, &value); err != nil {
		return nil, err
	}
	switch value.(type) {
	case nil:
		return map[string]any{}, nil // an empty file
	case map[string]any:
		if path.Ext(f.path) != ".json" {
			return value, checkYAML(f.data)
		}
	}
	return value, nil
}

// checkYAML refuses what util.Unmarshal takes without a word: repeated keys, of which the last one would win. OPA
// reads the YAML of METADATA comments strictly, so the text is put into one and parsed.
func checkYAML(text []byte) error {
	var b strings.Builder
	b.WriteString("# METADATA\n# custom:\n#   _: 0\n")
	begun := false
	for line := range strings.Lines(string(text)) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "---" && begun {
			return errors.New("holds a second document, which would be ignored; keep one")
		}
		if trimmed == "---" {
			line = "" // only marks the begin
		}
		begun = begun || trimmed != "" && trimmed[0] != '#'
		b.WriteString("#   " + strings.TrimRight(line, "\r\n") + "\n")
	}
	b.WriteString("package config\n")
	_, err := ast.ParseModuleWithOpts("", b.String(), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
	var problems ast.Errors
	if errors.As(err, &problems) && len(problems) > 0 {
		return errors.New(shiftLines(problems[0].Message, -2))
	}
	return err
}

// shiftLines corrects the line numbers in a message.
func shiftLines(message string, by int) string {
	return regexp.MustCompile(`line \d+`).ReplaceAllStringFunc(message, func(found string) string {
		n, err := strconv.Atoi(strings.TrimPrefix(found, "line "))
		if err != nil {
			return found
		}
		return fmt.Sprintf("line %d", n+by)
	})
}

func mergeAt(into map[string]any, keys []string, value any) error {
	for _, key := range keys {
		child, exists := into[key]
		if !exists {
			child = map[string]any{}
			into[key] = child
		}
		next, ok := child.(map[string]any)
		if !ok {
			return fmt.Errorf("data.config key %q is set by another file, too", key)
		}
		into = next
	}
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("must hold an object with keys, as data.config is one")
	}
	return mergeObjects(into, object)
}

func mergeObjects(into, from map[string]any) error {
	for key, value := range from {
		old, exists := into[key]
		if !exists {
			into[key] = value
			continue
		}
		a, aok := old.(map[string]any)
		b, bok := value.(map[string]any)
		if !aok || !bok {
			return fmt.Errorf("data.config key %q is set by another file, too", key)
		}
		if err := mergeObjects(a, b); err != nil {
			return err
		}
	}
	return nil
}
