package policies

import (
	"context"
	"fmt"
	"slices"

	"portcullis/oauth"
)

// source is everything that a generation is made of, read but not yet understood.
type source struct {
	shipped, author []file
	resources       []*oauth.Resource // the catalogue
	servers         map[string]any
	served          file   // servers as a file
	catalogue       string // digest of servers
	revision        string
	base            string         // the same without what stale tools add
	stale           []StaleTool    // denied, sorted
	settled         *settled       // while it is loaded around stale tools
	bundle          BundleRevision // of the author's files; the zero value if they are of a directory or given by hand
	shippedTests    bool           // parse the shipped tests, too
}

// readSource reads the binary's and the author's files and the catalogue. Problems are the author's.
func readSource(dir string, defaults bool, catalogue []*oauth.Resource) (source, []Problem, error) {
	author, problems := authorFiles(dir)
	s, err := sourceOf(author, defaults, catalogue)
	return s, problems, err
}

// sourceOf puts the author's files together with the binary's and the catalogue.
func sourceOf(author []file, defaults bool, catalogue []*oauth.Resource) (source, error) {
	s := source{author: author, resources: catalogue}
	var err error
	if s.servers, err = serversDocument(catalogue); err != nil {
		return s, fmt.Errorf("policies: catalogue: %w", err)
	}
	if s.shipped, err = shippedFiles(defaults); err != nil {
		return s, fmt.Errorf("policies: %w", err)
	}
	if s.served, err = catalogueFile(s.servers); err != nil {
		return s, fmt.Errorf("policies: catalogue: %w", err)
	}
	arguments, err := argumentsFile(catalogue)
	if err != nil {
		return s, fmt.Errorf("policies: catalogue: %w", err)
	}
	s.shipped = append(s.shipped, arguments...)
	s.name()
	return s, nil
}

// bundledSource is the bundle of now, in the place of the directory.
func (e *Engine) bundledSource(ctx context.Context, catalogue []*oauth.Resource) (source, error) {
	b, err := e.bundle(ctx)
	if err != nil {
		return source{}, err
	}
	s, err := sourceOf(b.files(), e.defaults, catalogue)
	s.bundle = b.Revision
	return s, err
}

// files are all files that make up the revision.
func (s source) files() []file {
	return append(append([]file{s.served}, s.shipped...), s.author...)
}

// name computes what the source is called.
func (s *source) name() {
	s.catalogue, s.revision = revisionOf([]file{s.served}), revisionOf(s.files())
	if s.base = s.revision; len(s.stale) > 0 {
		s.base = revisionOf(slices.DeleteFunc(s.files(), file.isStale))
	}
}
