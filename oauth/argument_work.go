package oauth

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// What a check of arguments may cost. A unit is about what one part of a schema costs with one value, some hundred nanoseconds. All of
// the largest arguments against a usual schema are some hundred thousand.
const (
	maxCheckWork     = 1_000_000
	workBetweenLooks = 512 // units between two looks at the clock
	constantsAUnit   = 8   // texts that one unit compares
	patternAUnit     = 32  // instructions of a pattern times bytes of a text
	timeOfAUnit      = 250 * time.Nanosecond
)

// work counts what the check under way costs. The validator knows no limits, and a schema that refers to itself twice doubles the work
// with each level of the arguments; so every part of the schema tells when it is used, before its own parts are.
type work struct {
	left, look int
	until      time.Time // zero = no limit
	lists      bool      // some part asks what was not evaluated; then there is a list of it for each part that looks at a value
}

func (w *work) begin(within time.Duration) {
	w.left, w.look, w.until = maxCheckWork, workBetweenLooks, time.Time{}
	if within > 0 {
		w.until = time.Now().Add(within)
	}
}

// spend panics with errTooComplex when there is nothing left: only that gets out of the validator.
func (w *work) spend(units int) {
	w.left -= units
	w.look -= units
	if w.left < 0 {
		panic(errTooComplex)
	}
	if w.look < 0 {
		w.look = workBetweenLooks
		if !w.until.IsZero() && time.Until(w.until) < time.Duration(units)*timeOfAUnit { // nobody looks before they are done
			panic(errTooComplex)
		}
	}
}

// watch lets all parts of a schema tell of their use. The one thing that a part asks before its own parts is the format, so it tells there.
func (w *work) watch(s *jsonschema.Schema) {
	seen := map[*jsonschema.Schema]bool{}
	var walk func(s *jsonschema.Schema)
	walk = func(s *jsonschema.Schema) {
		if s == nil || seen[s] || !strings.HasPrefix(s.Location, toolSchemaURL+"#") { // what the library brings along is shared
			return
		}
		seen[s] = true
		w.tellUse(s)
		for at := sameValue; at <= oneProperty; at++ {
			for _, part := range partsOf(s, at) {
				walk(part)
			}
		}
	}
	walk(s)
}

func (w *work) tellUse(s *jsonschema.Schema) {
	asked, cost := s.Format, costOf(s)
	w.lists = w.lists || cost.lists > 0
	s.Format = &jsonschema.Format{Name: "watched", Validate: func(v any) error {
		w.spend(cost.with(v, w.lists))
		if asked != nil {
			return asked.Validate(v)
		}
		return nil
	}}
}

// partCosts are what the own parts of a schema cost before they tell of their use themselves: their constants are compared first.
type partCosts struct {
	once       int            // the ones that look at the same value
	items      int            // at each item of a list
	members    int            // at each member of an object
	properties map[string]int // at one member
	others     int            // at a member that is no property
	distinct   bool           // all items are compared
	lists      int            // of what is not evaluated: one of its own
	looking    int            // parts that look at the same value
}

func costOf(s *jsonschema.Schema) partCosts {
	c := partCosts{once: 1 + len(s.Required)/constantsAUnit, distinct: s.UniqueItems, properties: map[string]int{}}
	if s.UnevaluatedProperties != nil || s.UnevaluatedItems != nil {
		c.lists = 1
	}
	for _, part := range partsOf(s, sameValue) {
		c.once += entry(part)
		c.looking++
	}
	for _, part := range partsOf(s, eachItem) {
		c.items += entry(part)
	}
	for _, part := range partsOf(s, eachMember) {
		c.members += entry(part)
	}
	for _, part := range partsOf(s, otherMembers) {
		c.others += entry(part)
	}
	for name, part := range s.Properties {
		c.properties[name] = entry(part)
	}
	return c
}

// with is what the parts cost with a value, at most. With lists each part that looks at the value has a list of what it has not evaluated, also
// one that says only true or false and never tells of its use.
func (c *partCosts) with(v any, lists bool) int {
	units, entries := c.once, 0
	if lists {
		entries = c.lists + c.looking
	}
	switch v := v.(type) {
	case []any:
		units += len(v) * (c.items + entries)
		if c.distinct {
			units += sizeOf(v) * min(len(v), 20) // beyond twenty the validator compares hashes
		}
	case map[string]any:
		units += len(v) * (c.members + entries)
		for name := range v {
			if own, ok := c.properties[name]; ok {
				units += own
			} else {
				units += c.others
			}
		}
	}
	return units
}

// entry is what it costs to try a value against a schema's constants.
func entry(s *jsonschema.Schema) int {
	units := constantsAUnit
	if s.Enum != nil {
		for _, v := range s.Enum.Values {
			units += compareCost(v)
		}
	}
	if s.Const != nil {
		units += compareCost(*s.Const)
	}
	return units / constantsAUnit
}

// compareCost is in parts of a unit: numbers are compared as fractions, texts at once.
func compareCost(v any) int {
	switch v := v.(type) {
	case nil, bool, string:
		return 1
	case []any, map[string]any:
		return 2 * constantsAUnit * sizeOf(v)
	}
	return 2 * constantsAUnit
}

// sizeOf is how many values a value consists of.
func sizeOf(v any) int {
	size := 1
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			size += sizeOf(item)
		}
	case map[string]any:
		for _, member := range v {
			size += sizeOf(member)
		}
	}
	return size
}

// aim is what a part of a schema looks at.
type aim int

const (
	sameValue aim = iota
	eachItem
	eachMember
	otherMembers // the ones that are no properties
	oneProperty
)

// partsOf are the schemas that a schema consists of, by what they look at.
func partsOf(s *jsonschema.Schema, at aim) (parts []*jsonschema.Schema) {
	add := func(all ...any) {
		for _, v := range all {
			switch v := v.(type) {
			case *jsonschema.Schema:
				if v != nil {
					parts = append(parts, v)
				}
			case []*jsonschema.Schema:
				parts = append(parts, v...)
			}
		}
	}
	switch at {
	case sameValue:
		add(s.Ref, s.RecursiveRef, s.Not, s.AllOf, s.AnyOf, s.OneOf, s.If, s.Then, s.Else, s.ContentSchema)
		for _, p := range s.Dependencies {
			add(p)
		}
		for _, p := range s.DependentSchemas {
			add(p)
		}
	case eachItem:
		add(s.Items, s.AdditionalItems, s.PrefixItems, s.Items2020, s.Contains, s.UnevaluatedItems)
	case eachMember:
		add(s.PropertyNames, s.UnevaluatedProperties)
		for _, p := range s.PatternProperties {
			add(p)
		}
	case otherMembers:
		add(s.AdditionalProperties)
	case oneProperty:
		for _, p := range s.Properties {
			add(p)
		}
	}
	return parts
}

// watchedPattern is a regular expression that tells what matching costs: the time is linear, but in the pattern's size, too.
type watchedPattern struct {
	*regexp.Regexp
	work *work
	size int // instructions
}

func (p watchedPattern) MatchString(text string) bool {
	p.work.spend(1 + len(text)*p.size/patternAUnit)
	return p.Regexp.MatchString(text)
}

// pattern is the engine of regular expressions of one check.
func (w *work) pattern(text string) (jsonschema.Regexp, error) {
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	return watchedPattern{compiled, w, len(program.Inst)}, nil
}
