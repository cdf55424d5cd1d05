package policies

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
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
	var before []file
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
		if err != nil {
			problems = append(problems, undecoded(f, err))
			continue
		}
		if err := mergeAt(config, keys, value); err != nil {
			problems = append(problems, Problem{File: f.path, Message: err.Error() + alsoIn(before)})
		}
		before = append(before, f)
	}
	return config, problems
}

// alsoIn names the files that a key can come from.
func alsoIn(files []file) string {
	if len(files) == 0 {
		return ""
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.path
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// undecoded places what the decoders say: the line of a repeated key in YAML, how many bytes were read for JSON. Of other faults
// in YAML the decoder may name a line beside the right one.
func undecoded(f file, err error) Problem {
	p := Problem{File: f.path, Message: err.Error()}
	if found := regexp.MustCompile(`\bline (\d+): mapping key`).FindStringSubmatch(p.Message); found != nil {
		p.Line, _ = strconv.Atoi(found[1])
		p.Column = 1
	} else if found := regexp.MustCompile(` after offset (\d+)$`).FindStringSubmatch(p.Message); found != nil {
		offset, _ := strconv.Atoi(found[1])
		read := string(f.data[:min(offset, len(f.data))])
		p.Line, p.Column = strings.Count(read, "\n")+1, offset-strings.LastIndex(read, "\n")
		p.Message = strings.TrimPrefix(strings.TrimSuffix(p.Message, found[0]), "jsontext: ")
	}
	return p
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
	for i, key := range keys {
		child, exists := into[key]
		if !exists {
			child = map[string]any{}
			into[key] = child
		}
		next, ok := child.(map[string]any)
		if !ok {
			return setTwice(keys[:i], key)
		}
		into = next
	}
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("must hold an object with keys, as data.config is one")
	}
	return mergeObjects(into, object, keys)
}

func setTwice(above []string, key string) error {
	return fmt.Errorf("data.config.%s is set by another file, too", strings.Join(append(slices.Clone(above), key), "."))
}

func mergeObjects(into, from map[string]any, above []string) error {
	for key, value := range from {
		old, exists := into[key]
		if !exists {
			into[key] = value
			continue
		}
		a, aok := old.(map[string]any)
		b, bok := value.(map[string]any)
		if !aok || !bok {
			return setTwice(above, key)
		}
		if err := mergeObjects(a, b, append(slices.Clone(above), key)); err != nil {
			return err
		}
	}
	return nil
}
