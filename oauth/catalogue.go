package oauth

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// Catalogue holds the resources in force, with their tools' argument validators. It is replaced as a whole.
type Catalogue struct {
	state atomic.Pointer[catalogueState]
}

type catalogueState struct {
	all     []*Resource
	byID    map[string]*Resource
	byKey   map[string]*Resource
	schemas map[string]*inputSchema // key + "\x00" + tool
}

// NewCatalogue checks the resources (canonical ids, scope names) and indexes them. Disabled ones are left out. A tool whose schema is none
// denies all its calls.
func NewCatalogue(resources []Resource) (*Catalogue, error) {
	c := &Catalogue{}
	return c, c.Replace(resources)
}

// Replace puts other resources in force, or changes nothing and says what is wrong.
func (c *Catalogue) Replace(resources []Resource) error {
	s := &catalogueState{byID: map[string]*Resource{}, byKey: map[string]*Resource{}, schemas: map[string]*inputSchema{}}
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
	r.toolAt = make(map[string]int, len(r.Tools))
	for i, t := range r.Tools {
		if _, twice := r.toolAt[t.Name]; !twice {
			r.toolAt[t.Name] = i
		}
		if missing := known.Missing(t.Scopes); len(missing) > 0 {
			return fmt.Errorf("tool %q needs scope %q, which the resource does not list", t.Name, missing[0])
		}
		if t.InputSchema == nil {
			continue
		}
		s.schemas[r.Key+"\x00"+t.Name] = newInputSchema(t.InputSchema)
	}
	return nil
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

// Resources are all resources in force, in the order in which they were given.
func (c *Catalogue) Resources() []*Resource { return slices.Clone(c.state.Load().all) }
