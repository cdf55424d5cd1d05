package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Catalogue holds the resources in force, with their tools' argument validators. It is replaced as a whole.
type Catalogue struct {
	state atomic.Pointer[catalogueState]
}

type catalogueState struct {
	all        []*Resource
	byID       map[string]*Resource
	byKey      map[string]*Resource
	validators map[string]*jsonschema.Schema // key + "\x00" + tool
}

// NewCatalogue checks the resources (canonical ids, scope names, tool schemas) and indexes them. Disabled ones are left out.
func NewCatalogue(resources []Resource) (*Catalogue, error) {
	c := &Catalogue{}
	return c, c.Replace(resources)
}

// Replace puts other resources in force, or changes nothing and says what is wrong.
func (c *Catalogue) Replace(resources []Resource) error {
	s := &catalogueState{byID: map[string]*Resource{}, byKey: map[string]*Resource{}, validators: map[string]*jsonschema.Schema{}}
	for i := range resources {
		r := resources[i]
		if r.Disabled {
			continue
		}
		if canonical, err := CanonicalResource(r.ID); err != nil {
			return err
		} else if canonical != r.ID {
			return fmt.Errorf("resource %q must be spelled %q", r.ID, canonical)
		}
		if s.byID[r.ID] != nil || s.byKey[r.Key] != nil {
			return fmt.Errorf("resource %q or its key %q is there twice", r.ID, r.Key)
		}
		if err := s.addTools(&r); err != nil {
			return fmt.Errorf("resource %q: %w", r.ID, err)
		}
		s.all, s.byID[r.ID], s.byKey[r.Key] = append(s.all, &r), &r, &r
	}
	c.state.Store(s)
	return nil
}

func (s *catalogueState) addTools(r *Resource) error {
	known := r.ScopeNames()
	for _, t := range r.Tools {
		if missing := known.Missing(t.Scopes); len(missing) > 0 {
			return fmt.Errorf("tool %q needs scope %q, which the resource does not list", t.Name, missing[0])
		}
		if t.InputSchema == nil {
			continue
		}
		schema, err := compileInputSchema(t.InputSchema)
		if err != nil {
			return fmt.Errorf("tool %q: %w", t.Name, err)
		}
		s.validators[r.Key+"\x00"+t.Name] = schema
	}
	return nil
}

// CheckInputSchema says what is wrong with a tool's inputSchema (JSON Schema 2020-12 unless it says otherwise).
func CheckInputSchema(doc map[string]any) error {
	_, err := compileInputSchema(doc)
	return err
}

// compileInputSchema follows references inside the document only: nothing is ever loaded.
func compileInputSchema(doc map[string]any) (*jsonschema.Schema, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nothingToLoad{})
	if err := c.AddResource("urn:tool", value); err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	schema, err := c.Compile("urn:tool")
	if err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	return schema, nil
}

type nothingToLoad struct{}

func (nothingToLoad) Load(url string) (any, error) {
	return nil, fmt.Errorf("%q lies outside this schema; only local references (\"#/…\") are followed", url)
}

// ResourceByID finds a resource by its identifier in any spelling (RFC 8707 §2).
func (c *Catalogue) ResourceByID(id string) (*Resource, bool) {
	canonical, err := CanonicalResource(id)
	if err != nil {
		return nil, false
	}
	r, ok := c.state.Load().byID[canonical]
	return r, ok
}

// ResourceByKey finds a resource by its key.
func (c *Catalogue) ResourceByKey(key string) (*Resource, bool) {
	r, ok := c.state.Load().byKey[key]
	return r, ok
}

// Resources are all resources in force, in the order of the configuration.
func (c *Catalogue) Resources() []*Resource { return slices.Clone(c.state.Load().all) }

// CheckArguments validates a call's arguments against the tool's inputSchema. nil arguments count as {}. checked is false when
// the tool has no schema.
func (c *Catalogue) CheckArguments(r *Resource, tool string, args map[string]any) (checked bool, err error) {
	schema, ok := c.state.Load().validators[r.Key+"\x00"+tool]
	if !ok {
		if t, found := r.Tool(tool); found && t.InputSchema != nil {
			return false, fmt.Errorf("the input schema of %q is not in force any more", tool)
		}
		return false, nil
	}
	if args == nil {
		args = map[string]any{}
	}
	return true, schema.Validate(args)
}
