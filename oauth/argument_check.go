package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// CheckInputSchema says what is wrong with a tool's inputSchema (JSON Schema 2020-12 unless it says otherwise).
func CheckInputSchema(doc map[string]any) error {
	if usualSchema(doc) {
		return nil
	}
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

// CheckArguments validates a call's arguments against the tool's inputSchema. nil arguments count as {}. checked is false when
// the tool has no schema.
func (c *Catalogue) CheckArguments(r *Resource, tool string, args map[string]any) (checked bool, err error) {
	compiled, ok := c.state.Load().validators[r.Key+"\x00"+tool]
	if !ok {
		if t, found := r.Tool(tool); found && t.InputSchema != nil {
			return false, fmt.Errorf("the input schema of %q is not in force any more", tool)
		}
		return false, nil
	}
	if args == nil {
		args = map[string]any{}
	}
	schema, err := compiled()
	if err != nil {
		return false, err
	}
	return true, schema.Validate(args)
}
