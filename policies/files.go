package policies

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

//go:embed rego schemas stock demo all:skeleton
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

// authorFiles reads the author's directory; "" is an empty one. A bundle stands for the directory that it was made of.
func authorFiles(dir string) ([]file, []Problem) {
	if dir == "" {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, []Problem{{Message: fmt.Sprintf("cannot read the policy directory: %v", err)}}
	}
	if !info.IsDir() && Bundled(dir) {
		return bundledFiles(dir)
	}
	if !info.IsDir() {
		return nil, []Problem{{Message: fmt.Sprintf("%s is not a directory; policies are a directory of .rego files", dir)}}
	}
	return readTree(os.DirFS(dir))
}

// bundledFiles reads a bundle without a look at its signature.
func bundledFiles(name string) ([]file, []Problem) {
	archive, err := ReadBundleFile(name)
	if err != nil {
		return nil, []Problem{{Message: err.Error()}}
	}
	b, err := ReadBundle(archive, BundleKey{})
	if err != nil {
		return nil, problemsOf(err)
	}
	return b.files(), nil
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
