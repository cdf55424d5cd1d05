package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/oauth"
	"portcullis/policies"
	"portcullis/storage"
)

// replayOptions are the flags of policy replay.
type replayOptions struct {
	since, until string
	failOnFlip   bool
}

func (a *app) policyReplayCommand() *cobra.Command {
	var o replayOptions
	c := &cobra.Command{Use: "replay DIR", Short: "Ask recorded decisions again of the policies in a folder, and print what flips", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error { return a.policyReplay(c.Context(), given[0], o) }}
	c.Flags().StringVar(&o.since, "since", "24h", "how far back: a duration such as 24h or 7d, or a time such as 2026-11-24T08:00:00Z")
	c.Flags().StringVar(&o.until, "until", "0s", "up to when, in the same way")
	c.Flags().BoolVar(&o.failOnFlip, "fail-on-flip", false, "exit with 3 when something flips")
	a.outputFlag(c)
	return c
}

// moment reads a duration before now or a time.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, usageError("--%s must be a duration such as 24h or 7d, or a time such as 2026-11-24T08:00:00Z, not %q", flag, text)
	}
	return now.Add(-d), nil
}

func (a *app) policyReplay(ctx context.Context, dir string, o replayOptions) (err error) {
	now := time.Now().Truncate(time.Second).Add(time.Second) // what was decided in this second is included
	since, err := moment("since", o.since, now)
	if err != nil {
		return err
	}
	until, err := moment("until", o.until, now)
	if err != nil {
		return err
	}
	reader, err := a.reader(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	report, err := a.replay(ctx, reader, dir, since, until)
	if policies.IsLoadError(err) {
		return &exitCode{code: exitUsage, err: err}
	} else if err != nil {
		return err
	}
	if a.output == "json" {
		err = json.NewEncoder(a.stdout).Encode(report)
	} else {
		_, err = fmt.Fprint(a.stdout, replayed(report, since, until))
	}
	if err == nil && o.failOnFlip && report.Flipped > 0 {
		return &exitCode{code: exitDenied}
	}
	return err
}

// replay asks the records of a time again.
func (a *app) replay(ctx context.Context, reader *storage.Reader, dir string, since, until time.Time) (*policies.ReplayReport, error) {
	config, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	key, err := serverKey(&config)
	if err != nil {
		return nil, err
	}
	resources, err := reader.Resources(ctx)
	if err != nil {
		return nil, err
	}
	catalogue, err := oauth.NewCatalogue(resources)
	if err != nil {
		return nil, err
	}
	total, err := reader.CountDecisions(ctx, since, until)
	if err != nil {
		return nil, err
	}
	progress, done := a.progress("replaying")
	defer done()
	of := config.engine(key, catalogue.Resources())
	c := policies.ReplayConfig{Dir: dir, Defaults: of.Defaults, Catalogue: of.Catalogue, RecordKey: of.RecordKey, Examples: 3, Generation: reader.PolicyGeneration}
	if progress != nil {
		c.Progress = func(at int64) { progress(at, total) }
	}
	candidate, err := policies.NewReplay(ctx, c)
	if err != nil {
		return nil, err
	}
	return candidate.Run(ctx, reader.Decisions(ctx, since, until))
}

// replayed is a report for people.
func replayed(r *policies.ReplayReport, since, until time.Time) string {
	var s sheet
	s.item(0, "", fmt.Sprintf("%s from %s to %s UTC, asked again of policies %s", count(r.Decisions, "decision"), since.UTC().Format(time.DateTime), until.UTC().Format(time.DateTime), r.Candidate))
	if r.Decisions == 0 {
		s.item(0, "", "Nothing is recorded of that time. policy.record says what is recorded, policy.record_keep and policy.record_max how long.")
		return s.String()
	}
	s.item(2, fmt.Sprintf("%8d  ", r.Same), "would be answered the same")
	s.item(2, fmt.Sprintf("%8d  ", r.Denied.Count), "allowed → denied")
	s.item(2, fmt.Sprintf("%8d  ", r.Allowed.Count), "denied → allowed")
	s.item(2, fmt.Sprintf("%8d  ", r.Unknown), "cannot be said")
	if r.Elsewhere > 0 {
		s.item(0, "", fmt.Sprintf("%s saw another catalogue than today's, and were asked again with that one.", count(r.Elsewhere, "decision")))
	}
	s.flips("allowed → denied, by the rule of the candidate that denies", r.Denied)
	s.flips("denied → allowed, by the rule of then that denied", r.Allowed)
	if len(r.UnknownOver) > 0 {
		s.title("cannot be said")
		for _, u := range r.UnknownOver {
			s.item(0, fmt.Sprintf("%8d  ", u.Count), u.Why)
			s.item(10, "e.g. ", strings.Join(u.Examples, " "))
		}
		s.item(0, "", "From now on policy.record: values would keep what is only masked.")
	}
	return s.String()
}

// maxGroups is how many groups of flips people are shown; JSON has all.
const maxGroups = 20

func (s *sheet) flips(title string, f policies.ReplayFlips) {
	if f.Count == 0 {
		return
	}
	s.title(title)
	for i, g := range f.Groups {
		if i == maxGroups {
			s.item(10, "", fmt.Sprintf("and %d more groups; -o json has them all", len(f.Groups)-i))
			return
		}
		s.item(0, fmt.Sprintf("%8d  ", g.Count), g.Rule)
		s.item(10, "", strings.Join(strings.Fields(g.Server+" "+g.What+" "+g.Scopes.String()), " ")+" by "+g.Client)
		s.item(10, "e.g. ", strings.Join(g.Examples, " "))
	}
}
