package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

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

// compileInputSchema follows references inside the document only: nothing is ever loaded. What it makes is for one check at a time.
func compileInputSchema(doc map[string]any) (*argumentCheck, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	if keyword := movingReference(value); keyword != "" {
		return nil, fmt.Errorf("inputSchema: %s is not supported; refer to the place itself with $ref", keyword)
	}
	check := &argumentCheck{work: &work{}}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nothingToLoad{})
	c.UseRegexpEngine(check.work.pattern)
	if err := c.AddResource(toolSchemaURL, value); err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	if check.schema, err = c.Compile(toolSchemaURL); err != nil {
		return nil, fmt.Errorf("inputSchema: %w", err)
	}
	check.work.watch(check.schema)
	return check, nil
}

const toolSchemaURL = "urn:tool"

type nothingToLoad struct{}

func (nothingToLoad) Load(url string) (any, error) {
	return nil, fmt.Errorf("%q lies outside this schema; only local references (\"#/…\") are followed", url)
}

// movingReference finds references whose aim depends on the way to them: the work behind them cannot be watched.
func movingReference(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, keyword := range []string{"$dynamicRef", "$recursiveRef"} {
			if _, ok := v[keyword].(string); ok {
				return keyword
			}
		}
		for _, member := range v {
			if found := movingReference(member); found != "" {
				return found
			}
		}
	case []any:
		for _, item := range v {
			if found := movingReference(item); found != "" {
				return found
			}
		}
	}
	return ""
}

// argumentCheck is a compiled input schema and what a check with it has cost so far.
type argumentCheck struct {
	schema *jsonschema.Schema
	work   *work
}

// errTooComplex: the arguments cannot be checked with a reasonable amount of work.
var errTooComplex = errors.New("the arguments take too much work to check against the input schema")

// run validates arguments, and gives up with errTooComplex when that takes too much work, or longer than within (0 = as long as the work takes).
func (c *argumentCheck) run(args map[string]any, within time.Duration) (err error) {
	c.work.begin(within)
	defer func() {
		switch r := recover(); r {
		case nil:
		case errTooComplex:
			err = errTooComplex
		default:
			panic(r)
		}
	}()
	return c.schema.Validate(args)
}

// inputSchema is a tool's schema. It is looked at with the first call, because most tools are not called between two starts, and
// CheckInputSchema has done so before it was stored. It is compiled for the first arguments that do not surely fit, and once more for each
// check that runs beside the others.
type inputSchema struct {
	doc   map[string]any
	look  sync.Once
	usual bool
	idle  chan *argumentCheck
}

const idleChecks = 4 // of one tool

func newInputSchema(doc map[string]any) *inputSchema {
	return &inputSchema{doc: doc, idle: make(chan *argumentCheck, idleChecks)}
}

func (s *inputSchema) validate(args map[string]any, within time.Duration) error {
	s.look.Do(func() { s.usual = usualSchema(s.doc) })
	if s.usual && surelyFits(s.doc, args) {
		return nil
	}
	var check *argumentCheck
	select {
	case check = <-s.idle:
	default:
		var err error
		if check, err = compileInputSchema(s.doc); err != nil {
			return err
		}
	}
	err := check.run(args, within)
	select {
	case s.idle <- check:
	default:
	}
	return err
}

// CheckArguments validates a call's arguments against the tool's inputSchema. nil arguments count as {}. checked is false when
// the tool has no schema. A check that takes longer than within (0 = no such bound) or far too much work is an error like arguments that do not fit.
func (c *Catalogue) CheckArguments(r *Resource, tool string, args map[string]any, within time.Duration) (checked bool, err error) {
	schema, ok := c.state.Load().schemas[r.Key+"\x00"+tool]
	if !ok {
		if t, found := r.Tool(tool); found && t.InputSchema != nil {
			return false, fmt.Errorf("the input schema of %q is not in force any more", tool)
		}
		return false, nil
	}
	if args == nil {
		args = map[string]any{}
	}
	return true, schema.validate(args, within)
}
