package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/storage"
)

func (a *app) policyExplainCommand() *cobra.Command {
	var trace bool
	c := &cobra.Command{Use: "explain EVALUATION_ID", Short: "Say why a decision is what it is, and what would have to change", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error { return a.policyExplain(c.Context(), given[0], trace) }}
	c.Flags().BoolVar(&trace, "trace", false, "what the rules did, step by step")
	a.outputFlag(c)
	return c
}

func (a *app) policyExplain(ctx context.Context, id string, trace bool) (err error) {
	reader, err := a.reader(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	x, err := explanation(ctx, reader, id, trace)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return json.NewEncoder(a.stdout).Encode(x)
	}
	_, err = fmt.Fprint(a.stdout, explained(x))
	return err
}

// explanation collects what the database knows of a decision.
func explanation(ctx context.Context, reader *storage.Reader, id string, trace bool) (*policies.Explanation, error) {
	q := policies.ExplainRequest{ID: id, Trace: trace}
	var err error
	if q.Record, err = absent(reader.Decision(ctx, id)); err != nil {
		return nil, err
	}
	if q.Event, err = absent(reader.Audit().DecisionEvent(ctx, id)); err != nil {
		return nil, err
	}
	if q.Record == nil && q.Event == nil {
		return nil, fmt.Errorf("there is no decision %s: neither among the records nor in the audit. The id is evaluation_id in an answer and id in portcullis audit tail", printable(id))
	}
	if q.Event != nil && q.Event.Detail["probe"] != "" {
		if q.Probe, err = absent(reader.Decision(ctx, q.Event.Detail["probe"])); err != nil {
			return nil, err
		}
	}
	if q.Record != nil {
		if q.Policies, err = absent(reader.PolicyGeneration(ctx, q.Record.Revision)); err != nil {
			return nil, err
		}
	}
	x, err := policies.Explain(ctx, q)
	if err != nil {
		return nil, err
	}
	kept, err := reader.PolicyGenerations(ctx)
	if err == nil && len(kept) > 0 && x.Revision != "" && kept[0].Revision != x.Revision {
		x.InForce = kept[0].Revision
	}
	return x, err
}

// absent makes nil of what is not found.
func absent[T any](found *T, err error) (*T, error) {
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, nil
	}
	return found, err
}

// explained is an explanation for people.
func explained(x *policies.Explanation) string {
	var s sheet
	verdict := "denied"
	if x.Allowed {
		verdict = "allowed"
	}
	if x.Reason != "" && x.Reason != verdict {
		verdict += ": " + x.Reason
	}
	s.item(0, "", x.ID+"  "+verdict)
	revision := x.Revision
	if x.InForce != "" {
		revision += ", which are no longer in force; now it is " + x.InForce
	}
	for _, pair := range [][2]string{{"when", x.Time.Format(time.DateTime) + " UTC"}, {"what", x.Action}, {"server", x.Server}, {"who", x.Subject}, {"client", x.Client},
		{"policies", revision}, {"granted", x.Granted.String()}} {
		if pair[1] != "" {
			s.item(2, fmt.Sprintf("%-10s", pair[0]), pair[1])
		}
	}
	for _, w := range x.Withheld {
		s.item(2, "withheld  ", w.Scope+" ("+w.Code+")")
	}
	s.changes(x)
	s.rules(x)
	s.tried(x)
	s.saw(x)
	s.trace(x)
	if len(x.Unknown) > 0 {
		s.title("What cannot be said:")
		for _, u := range x.Unknown {
			s.item(2, "- ", u)
		}
	}
	return s.String()
}

func (s *sheet) changes(x *policies.Explanation) {
	switch {
	case len(x.Changes) == 0:
		return
	case len(x.Granted) > 0:
		s.title("For the rest to be granted:")
	case len(x.Changes) == 1:
		s.title("To be allowed, this must change, and nothing else:")
	default:
		s.title("To be allowed, all of this must change, and nothing else:")
	}
	for i, c := range x.Changes {
		s.item(2, fmt.Sprintf("%d. ", i+1), c.Text)
		if c.Rule != nil {
			s.code(7, c.Rule.Source)
		}
		for _, near := range c.Near {
			s.item(5, "- ", fmt.Sprintf("%s did not hold: it stopped at %s", near.Label, near.Stopped))
		}
	}
}

// maxColumn bounds how wide a column is made for its longest word.
const maxColumn = 40

// columnOf is how wide the column of a word of each is.
func columnOf[T any](all []T, word func(T) string) (width int) {
	for _, x := range all {
		width = max(width, min(utf8.RuneCountInString(word(x)), maxColumn))
	}
	return width
}

func (s *sheet) rules(x *policies.Explanation) {
	if len(x.Rules) == 0 {
		return
	}
	s.title("Rules that fired:")
	width := columnOf(x.Rules, func(r policies.Rule) string { return r.Label })
	for _, r := range x.Rules {
		s.item(2, fmt.Sprintf("%-17s  %-*s  ", r.Export, width, r.Label), fmt.Sprintf("%s:%d", r.File, r.Line))
	}
}

// tried tells of packages in mode log_only.
func (s *sheet) tried(x *policies.Explanation) {
	if len(x.Tried) == 0 {
		return
	}
	s.title("Not combined (log_only):")
	for _, t := range x.Tried {
		text := "it would be " + t.WouldBe + " with this package"
		if len(t.Granted) > 0 {
			text += ", which leaves " + t.Granted.String()
		}
		if t.Error != "" {
			text = "failed: " + t.Error
		}
		s.item(2, t.Package+"  ", text)
		for _, r := range t.Rules {
			s.item(4, r.Export+"  "+r.Label+"  ", fmt.Sprintf("%s:%d", r.File, r.Line))
		}
	}
}

func (s *sheet) saw(x *policies.Explanation) {
	if len(x.Saw) == 0 {
		return
	}
	s.title("What the policies saw:")
	width := columnOf(x.Saw, func(v policies.Seen) string { return v.Path })
	for _, v := range x.Saw {
		value := v.Value
		if v.Hidden != "" {
			value = "(" + v.Hidden + ")"
		}
		s.value(2, fmt.Sprintf("%-*s  ", width, v.Path), value)
	}
}

func (s *sheet) trace(x *policies.Explanation) {
	if len(x.Trace) == 0 {
		return
	}
	s.title("What the rules did:")
	width := columnOf(x.Trace, func(l policies.TraceLine) string { return fmt.Sprintf("%s:%d", l.File, l.Line) })
	for _, l := range x.Trace {
		var values []string
		for _, name := range slices.Sorted(maps.Keys(l.Values)) {
			values = append(values, name+" = "+l.Values[name])
		}
		text := l.Text
		if len(values) > 0 {
			text += "   where " + strings.Join(values, ", ")
		}
		s.item(2, fmt.Sprintf("%-4s  %-*s  ", l.Event, width, fmt.Sprintf("%s:%d", l.File, l.Line)), text)
	}
}
