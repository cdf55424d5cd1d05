package policies

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// maxBuilt bounds what one call of a built-in may make, in bytes of text or elements of a list. OPA looks at the deadline
// between calls only, so a call that makes a gigabyte ends too late.
const maxBuilt = 1 << 20

// errTooMuch refuses such a call. Built-in errors are strict: the decision is policy_error.
var errTooMuch = errors.New("the call would make or compare more than policies may")

// boundBuiltins puts the bounds before OPA's functions, once: OPA keeps them in one table for the whole process, and this
// package is its only user.
var boundBuiltins = sync.OnceFunc(func() {
	for name, cost := range bounded() {
		call := topdown.GetBuiltin(name)
		topdown.RegisterBuiltinFunc(name, func(c topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) error {
			if cost(args) > maxBuilt {
				return errTooMuch
			}
			return call(c, args, iter)
		})
	}
})

// bounded are the built-ins whose cost can be far larger than their operands, with what a call will cost at most. An operand of
// a wrong type costs nothing here: the built-in itself refuses it.
func bounded() map[string]func(args []*ast.Term) int {
	m := map[string]func([]*ast.Term) int{
		ast.Concat.Name:                 costOfConcat,
		ast.Replace.Name:                costOfReplace,
		ast.ReplaceN.Name:               costOfReplaceN,
		ast.RegexReplace.Name:           costOfRegexReplace,
		ast.Sprintf.Name:                costOfSprintf,
		ast.InternalTemplateString.Name: costOfTexts,
		ast.JSONMarshalWithOptions.Name: costOfIndented,
		ast.ArrayConcat.Name:            func(args []*ast.Term) int { return elements(args[0]) + elements(args[1]) },
		ast.ArrayFlatten.Name:           func(args []*ast.Term) int { return sizeOf(args[0].Value, maxBuilt) },
		ast.JSONPatch.Name:              func(args []*ast.Term) int { return elements(args[1]) * max(elements(args[1]), elements(args[0])) },
		ast.NetCIDRContainsMatches.Name: func(args []*ast.Term) int { return elements(args[0]) * elements(args[1]) },
		ast.GlobMatch.Name:              costOfGlob,
	}
	for _, b := range []*ast.Builtin{ast.JSONMarshal, ast.YAMLMarshal, ast.URLQueryEncodeObject} {
		m[b.Name] = costOfTexts
	}
	for _, b := range []*ast.Builtin{ast.Base64Encode, ast.Base64UrlEncode, ast.Base64UrlEncodeNoPad, ast.HexEncode, ast.URLQueryEncode, ast.Split} {
		m[b.Name] = func(args []*ast.Term) int { return len(textOf(args[0])) }
	}
	return m
}

func textOf(t *ast.Term) string {
	s, _ := t.Value.(ast.String)
	return string(s)
}

// elements is the length of a collection.
func elements(t *ast.Term) int {
	if v, ok := t.Value.(interface{ Len() int }); ok {
		return v.Len()
	}
	return 1
}

// costOfTexts is the text of a value, however often its parts stand in it.
func costOfTexts(args []*ast.Term) int { return sizeOf(args[0].Value, maxBuilt) }

func costOfConcat(args []*ast.Term) int {
	return elements(args[1])*len(textOf(args[0])) + sizeOf(args[1].Value, maxBuilt)
}

func costOfReplace(args []*ast.Term) int {
	text := textOf(args[0])
	return len(text) + strings.Count(text, textOf(args[1]))*len(textOf(args[2]))
}

func costOfReplaceN(args []*ast.Term) int {
	text := textOf(args[1])
	cost := len(text)
	if patterns, ok := args[0].Value.(ast.Object); ok {
		patterns.Foreach(func(old, by *ast.Term) { cost += strings.Count(text, textOf(old)) * len(textOf(by)) })
	}
	return cost
}

// costOfRegexReplace takes every eighth byte of the text for a match, and every reference of the replacement for all of the text.
func costOfRegexReplace(args []*ast.Term) int {
	text, by := len(textOf(args[0])), textOf(args[2])
	return text + (text+1)*len(by)/8 + text*strings.Count(by, "$")
}

var sprintfVerb = regexp.MustCompile(`%[-+# 0]*(?:\[\d*\])?(\*|\d*)(?:\.(?:\[\d*\])?(\*|\d*))?`)

// costOfSprintf takes the longest value for every verb, and adds the widths and precisions.
func costOfSprintf(args []*ast.Term) int {
	longest := 1
	if values, ok := args[1].Value.(*ast.Array); ok {
		values.Foreach(func(v *ast.Term) { longest = max(longest, sizeOf(v.Value, maxBuilt)) })
	}
	format := textOf(args[0])
	cost := len(format)
	for _, verb := range sprintfVerb.FindAllStringSubmatch(format, -1) {
		cost += longest + padding(verb[1]) + padding(verb[2])
	}
	return cost
}

// padding is a width or precision. One that a value gives ("*") may be as large as fmt lets it be.
func padding(digits string) int {
	if digits == "" {
		return 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return maxBuilt
	}
	return n
}

// costOfIndented counts prefix and indent for every part of the value.
func costOfIndented(args []*ast.Term) int {
	size := sizeOf(args[0].Value, maxBuilt)
	options, _ := args[1].Value.(ast.Object)
	if options == nil {
		return size
	}
	for name, levels := range map[string]int{"prefix": 1, "indent": maxDepth} {
		if text := options.Get(ast.StringTerm(name)); text != nil {
			size += size / 8 * levels * len(textOf(text))
		}
	}
	return size
}

// costOfGlob refuses nested alternatives, which the load refuses in constants: matching them takes exponential time.
func costOfGlob(args []*ast.Term) int {
	if nestedBraces(textOf(args[0])) {
		return maxBuilt + 1
	}
	return len(textOf(args[0]))
}
