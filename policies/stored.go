package policies

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Activation is a generation that is about to be put in force, for the one who records it.
type Activation struct {
	Revision string
	Previous string    // the revision that was in force before; "" = none
	Origin   string    // "" = the directory or the bundle; else what Activate or Restore was told
	Since    time.Time // as Status will say; older than now if the same files only come from somewhere else
	Bundle   BundleRevision
	Changes  Changes     // against what was in force before
	Files    int         // of the author's directory
	Tests    int         // that passed
	Stale    []StaleTool // that are denied
	Document []byte      // everything the generation is made of, to be kept as oauth.PolicyGeneration
}

// storedGeneration is the document of a generation: the shipped files, too, so that a newer program can still explain what an
// older one decided, and the catalogue as the file that it is in the revision.
type storedGeneration struct {
	Version  int          `json:"v"`
	Revision string       `json:"revision"`
	Files    []storedFile `json:"files"`
}

type storedFile struct {
	Path    string `json:"path"`
	Shipped bool   `json:"shipped,omitempty"`
	Data    []byte `json:"data"`
}

const (
	storedVersion = 1
	maxStored     = 256 << 20 // bytes of a document that has been unpacked
	cataloguePath = "catalogue"
	argumentsPath = "arguments" // the tools' input schemas
)

// document packs all files of a source.
func (s source) document() ([]byte, error) {
	g := storedGeneration{Version: storedVersion, Revision: s.revision}
	for _, f := range s.files() {
		g.Files = append(g.Files, storedFile{Path: f.path, Shipped: f.shipped, Data: f.data})
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(g); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// openStored unpacks the document of a revision. Files that do not make up the revision are an error: nobody is told that they
// decided something.
func openStored(revision string, document []byte) (source, error) {
	damaged := func(err error) (source, error) {
		return source{}, fmt.Errorf("policies: the stored policies of revision %s are damaged: %w", revision, err)
	}
	r, err := gzip.NewReader(bytes.NewReader(document))
	if err != nil {
		return damaged(err)
	}
	var g storedGeneration
	if err := json.NewDecoder(io.LimitReader(r, maxStored)).Decode(&g); err != nil {
		return damaged(err)
	}
	if g.Version != storedVersion {
		return source{}, fmt.Errorf("policies: the stored policies of revision %s have the form %d, and this program reads %d", revision, g.Version, storedVersion)
	}
	s, err := g.source()
	if err != nil {
		return damaged(err)
	}
	if s.revision != revision {
		return damaged(fmt.Errorf("their files make up revision %s", s.revision))
	}
	return s, nil
}

func (g storedGeneration) source() (s source, err error) {
	for _, f := range g.Files {
		one := file{path: f.Path, data: f.Data, shipped: f.Shipped}
		switch {
		case f.Shipped && f.Path == cataloguePath:
			s.served = one
			if err := json.Unmarshal(f.Data, &s.servers); err != nil {
				return s, fmt.Errorf("the catalogue: %w", err)
			}
		case f.Shipped:
			s.shipped = append(s.shipped, one)
			if f.Path == stalePath {
				if err := json.Unmarshal(f.Data, &s.stale); err != nil {
					return s, fmt.Errorf("the stale tools: %w", err)
				}
			}
		default:
			s.author = append(s.author, one)
		}
	}
	s.name()
	return s, nil
}

// BundleOf is the bundle that a stored generation was made of.
func BundleOf(stored Stored, revision BundleRevision) (*Bundle, error) {
	s, err := openStored(stored.Revision, stored.Document)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Revision: revision}
	for _, f := range s.author {
		b.Files = append(b.Files, AuthorFile{Path: f.path, Data: f.data})
	}
	return b, nil
}
