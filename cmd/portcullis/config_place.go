package main

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/token"
)

// place is where a value came from: a line and column of the file, or the name of a variable or flag.
type place struct {
	outside   string // "environment variable X", "flag --x"; "" = the file
	line, col int    // from 1
}

// placeOf is where the value at path stands, or the nearest value around it.
func (r *report) placeOf(path string) place {
	for {
		if at, ok := r.places[path]; ok {
			return at
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return place{line: 1, col: 1}
		}
		path = path[:i]
	}
}

func tokenPlace(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{line: 1, col: 1}
	}
	return place{line: t.Position.Line, col: t.Position.Column}
}

func syntaxPlace(err error) place {
	var syntax yaml.Error
	if errors.As(err, &syntax) && syntax.GetToken() != nil {
		return tokenPlace(syntax.GetToken())
	}
	return place{line: 1, col: 1}
}
