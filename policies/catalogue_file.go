package policies

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"portcullis/oauth"
)

// catalogueDocument is a catalogue as a file of its own, so that policies can be checked where the configuration, which holds
// secrets, is not at hand. The words are those of the configuration file.
type catalogueDocument struct {
	Resources []cataloguedServer `json:"resources"`
}

type cataloguedServer struct {
	ID     string            `json:"id"`
	Key    string            `json:"key"`
	Name   string            `json:"name,omitempty"`
	Scopes []oauth.ScopeInfo `json:"scopes,omitempty"`
	Tools  []oauth.Tool      `json:"tools,omitempty"`
}

// WriteCatalogue gives the catalogue as JSON, without secrets. Disabled servers are left out.
func WriteCatalogue(catalogue []*oauth.Resource) ([]byte, error) {
	doc := catalogueDocument{Resources: []cataloguedServer{}}
	for _, r := range catalogue {
		if !r.Disabled {
			doc.Resources = append(doc.Resources, cataloguedServer{ID: r.ID, Key: r.Key, Name: r.Name, Scopes: r.Scopes, Tools: r.Tools})
		}
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	return append(text, '\n'), err
}

// ReadCatalogue reads what WriteCatalogue wrote. The numbers in input schemas stay exact.
func ReadCatalogue(text []byte) ([]*oauth.Resource, error) {
	if err := oneJSON(text); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	var doc catalogueDocument
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if doc.Resources == nil {
		return nil, errors.New(`must be an object with "resources", as portcullis policy export writes it`)
	}
	var catalogue []*oauth.Resource
	for i, s := range doc.Resources {
		if s.Key == "" {
			return nil, fmt.Errorf("resources.%d has no key", i)
		}
		catalogue = append(catalogue, &oauth.Resource{ID: s.ID, Key: s.Key, Name: s.Name, Scopes: s.Scopes, Tools: s.Tools})
	}
	return catalogue, nil
}

// oneJSON refuses text that is anything but one JSON value without repeated members and bad UTF-8.
func oneJSON(text []byte) error {
	strict := jsontext.NewDecoder(bytes.NewReader(text))
	if _, err := strict.ReadValue(); err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	if _, err := strict.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more text after the JSON value")
	}
	return nil
}
