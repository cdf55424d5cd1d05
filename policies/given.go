package policies

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"portcullis/oauth"
)

// AuthorFile is a file of an author's directory; Path is relative to it, with slashes.
type AuthorFile struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// ReadDir reads the files of a policy directory that policies are made of, to be given to Engine.Activate.
func ReadDir(dir string) ([]AuthorFile, error) {
	found, problems := authorFiles(dir)
	if err := loadError(problems); err != nil {
		return nil, err
	}
	files := make([]AuthorFile, len(found))
	for i, f := range found {
		files[i] = AuthorFile{Path: f.path, Data: f.data}
	}
	return files, nil
}

// given are an author's files that an operator put in force in the place of the directory.
type given struct {
	files  []file
	origin string  // in words, such as "rolled back by admin"
	once   *fitted // the tools that they were checked against when they were in force; nil = they never were
}

// fitted are the tools that the files were checked against, beside those of what is in force.
func (g *given) fitted() *fitted {
	if g == nil {
		return nil
	}
	return g.once
}

// origin of what is in force; "" = the directory.
func (g *given) words() string {
	if g == nil {
		return ""
	}
	return g.origin
}

// Activate puts files in force in the place of the directory, until Follow or another Activate. They are held to all that a directory is held to.
// The origin says in words where they come from; it is recorded and must not be empty.
func (e *Engine) Activate(ctx context.Context, catalogue []*oauth.Resource, files []AuthorFile, origin string) (Report, error) {
	next := &given{origin: origin}
	var problems []Problem
	seen := map[string]bool{}
	for _, f := range files {
		if problem := checkGiven(f, seen[f.Path]); problem != nil {
			problems = append(problems, *problem)
		}
		seen[f.Path] = true
		next.files = append(next.files, file{path: f.Path, data: f.Data})
	}
	if err := loadError(problems); err != nil {
		return e.report(e.current.Load()), err
	}
	return e.replace(ctx, catalogue, next)
}

func checkGiven(f AuthorFile, twice bool) *Problem {
	switch path.Ext(f.Path) {
	case ".rego", ".json", ".yaml", ".yml":
	default:
		return &Problem{File: f.Path, Message: "policies are .rego files, and .json or .yaml files of data"}
	}
	switch {
	case !fs.ValidPath(f.Path):
		return &Problem{File: f.Path, Message: "must be a path below the policy directory, with slashes"}
	case twice:
		return &Problem{File: f.Path, Message: "is there twice"}
	case len(f.Data) > maxFileBytes:
		return &Problem{File: f.Path, Message: fmt.Sprintf("must be a regular file of at most %d bytes", maxFileBytes)}
	}
	return nil
}

// Restore puts the author's files of a stored generation in force, as Activate does. The shipped policies are those of this program and the catalogue
// is today's, so the revision may be another one than that of then.
func (e *Engine) Restore(ctx context.Context, catalogue []*oauth.Resource, stored Stored, origin string) (Report, error) {
	s, err := openStored(stored.Revision, stored.Document)
	if err != nil {
		return e.report(e.current.Load()), err
	}
	once, err := s.fitted()
	if err != nil {
		return e.report(e.current.Load()), err
	}
	return e.replace(ctx, catalogue, &given{files: s.author, origin: origin, once: once})
}

// Follow puts the directory in force again.
func (e *Engine) Follow(ctx context.Context, catalogue []*oauth.Resource) (Report, error) {
	return e.replace(ctx, catalogue, nil)
}
