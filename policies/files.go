package policies

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

//go:embed rego schemas demo
var embedded embed.FS

// shippedPrefix stands before the names of shipped files in messages.
const shippedPrefix = "shipped/"

// maxFileBytes bounds one file of an author's directory.
const maxFileBytes = 4 << 20

// file is one file, read once: everything later works on these bytes.
type file struct {
	path    string // slash-separated, relative to its root
	data    []byte
	shipped bool
}

// name is how messages name the file.
func (f file) name() string {
	if f.shipped {
		return shippedPrefix + f.path
	}
	return f.path
}

func (f file) isRego() bool { return path.Ext(f.path) == ".rego" }

func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.rego") }

// shippedFiles are the Rego files and schemas in the binary. Without defaults policy/*/default*.rego are left out.
func shippedFiles(defaults bool) ([]file, error) {
	var files []file
	for _, root := range []string{"rego", "schemas"} {
		sub, err := fs.Sub(embedded, root)
		if err != nil {
			return nil, err
		}
		found, problems := readTree(sub)
		if err := loadError(problems); err != nil {
			return nil, err
		}
		for _, f := range found {
			if defaults || !strings.HasPrefix(path.Base(f.path), "default") {
				f.shipped = true
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// authorFiles reads the author's directory; "" is an empty one.
func authorFiles(dir string) ([]file, []Problem) {
	if dir == "" {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, []Problem{{Message: fmt.Sprintf("cannot read the policy directory: %v", err)}}
	}
	if !info.IsDir() {
		return nil, []Problem{{Message: fmt.Sprintf("%s is not a directory; policies are a directory of .rego files", dir)}}
	}
	return readTree(os.DirFS(dir))
}

// readTree reads all .rego, .json and .yaml files. Names that begin with a dot are skipped (editors, version
// control, mounted configuration maps); other kinds of files are left alone.
func readTree(root fs.FS) ([]file, []Problem) {
	var files []file
	var problems []Problem
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			problems = append(problems, Problem{File: p, Message: err.Error()})
			return nil
		}
		if p != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		f, problem := readOne(root, p, d)
		if problem != nil {
			problems = append(problems, *problem)
		} else if f != nil {
			files = append(files, *f)
		}
		return nil
	})
	if err != nil {
		problems = append(problems, Problem{Message: err.Error()})
	}
	return files, problems
}

func readOne(root fs.FS, p string, d fs.DirEntry) (*file, *Problem) {
	if d.IsDir() {
		return nil, nil
	}
	info, err := fs.Stat(root, p) // follows symbolic links, unlike d
	if err != nil {
		return nil, &Problem{File: p, Message: err.Error()}
	}
	if info.IsDir() {
		return nil, &Problem{File: p, Message: "is a symbolic link to a directory, which is not followed; link the files"}
	}
	ext := path.Ext(p)
	switch strings.ToLower(ext) {
	case ".rego", ".json", ".yaml", ".yml":
	default:
		return nil, nil
	}
	if ext != strings.ToLower(ext) {
		return nil, &Problem{File: p, Message: fmt.Sprintf("write the ending %q in lower case", ext)}
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, &Problem{File: p, Message: fmt.Sprintf("must be a regular file of at most %d bytes", maxFileBytes)}
	}
	data, err := fs.ReadFile(root, p)
	if err != nil {
		return nil, &Problem{File: p, Message: err.Error()}
	}
	return &file{path: p, data: data}, nil
}

// revisionOf is a short name for exactly these bytes: SHA-256 over the sorted, length-prefixed paths and contents.
func revisionOf(files []file) string {
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b file) int { return strings.Compare(a.name(), b.name()) })
	hash := sha256.New()
	add := func(b []byte) {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		hash.Write(b)
	}
	for _, f := range sorted {
		add([]byte(f.name()))
		add(f.data)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

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

// configKeys is where a file's content goes below data.config: config/a/b.yaml goes to a.b.
func configKeys(p string) ([]string, bool) {
	stem := strings.TrimSuffix(p, path.Ext(p))
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

// anyInput names the schema of lib packages: everything that some question's input knows.
const anyInput = "any_input"

// schemaDocuments are the shipped input schemas by name, and their union.
func schemaDocuments(files []file) (map[string]any, error) {
	schemas := map[string]any{}
	var union map[string]any
	for _, f := range files {
		if f.shipped && path.Ext(f.path) == ".json" {
			var doc map[string]any
			if err := json.Unmarshal(f.data, &doc); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name(), err)
			}
			schemas[strings.TrimSuffix(f.path, ".json")] = doc
			union = unionOfSchemas(union, doc)
		}
	}
	schemas[anyInput] = union
	return schemas, nil
}

// unionOfSchemas knows the properties of both objects. For other types, and for objects that are free, the first wins:
// the shipped schemas do not contradict each other there.
func unionOfSchemas(a, b map[string]any) map[string]any {
	mine, aok := a["properties"].(map[string]any)
	theirs, bok := b["properties"].(map[string]any)
	if a == nil {
		return b
	}
	if !aok || !bok {
		return a
	}
	properties := maps.Clone(mine)
	for name, schema := range theirs {
		known, _ := properties[name].(map[string]any)
		other, _ := schema.(map[string]any)
		properties[name] = unionOfSchemas(known, other)
	}
	union := maps.Clone(a)
	union["properties"] = properties
	return union
}
