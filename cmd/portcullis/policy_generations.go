package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"portcullis/policies"
	"portcullis/storage"
)

// generationCommands are what an operator does with the policies of a running server.
func (a *app) generationCommands() []*cobra.Command {
	status := &cobra.Command{Use: "status", Short: "What is in force in the running server, since when, and what is wrong with a newer folder or bundle", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.policyAdmin(c.Context(), routePolicyStatus, struct{}{})
		}}
	history := &cobra.Command{Use: "history", Short: "The generations that are kept, the newest first, and what each changed", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.policyHistory(c.Context()) }}
	activate := &cobra.Command{Use: "activate [DIR]", Short: "Put a policy folder in force by hand; without DIR, follow the configured folder or bundle again", Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error { return a.policyActivate(c.Context(), given) }}
	rollback := &cobra.Command{Use: "rollback [REVISION]", Short: "Put a kept generation in force again; without REVISION the one before", Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return a.policyAdmin(c.Context(), routePolicyRollback, rollbackBody{Revision: first(given)})
		}}
	all := []*cobra.Command{status, history, activate, rollback}
	for _, c := range all {
		a.outputFlag(c)
	}
	return all
}

func first(given []string) string {
	if len(given) == 0 {
		return ""
	}
	return given[0]
}

func (a *app) policyActivate(ctx context.Context, given []string) error {
	body := activateBody{Folder: first(given)}
	if body.Folder != "" {
		var err error
		if body.Files, err = policies.ReadDir(body.Folder); err != nil {
			return &exitCode{code: exitUsage, err: err}
		}
		if len(body.Files) == 0 {
			return usageError("%s holds no policies", body.Folder)
		}
	}
	return a.policyAdmin(ctx, routePolicyActivate, body)
}

// policyAdmin asks the running server and prints what is in force afterwards.
func (a *app) policyAdmin(ctx context.Context, route string, body any) error {
	config, err := a.load(nil)
	if err != nil {
		return err
	}
	server := dialAdmin(ctx, string(config.AdminSocket))
	if server == nil {
		return fmt.Errorf("no server answers on the admin socket %s; start it, or use the same configuration", config.AdminSocket)
	}
	var status policyStatus
	if err := server.post(ctx, route, body, &status); err != nil {
		return &exitCode{code: exitUsage, err: err}
	}
	if a.output == "json" {
		return json.NewEncoder(a.stdout).Encode(status)
	}
	fmt.Fprintf(a.stdout, "revision  %s\nsince     %s\norigin    %s\nchanged   %s\nfiles     %d, %d tests passed\ninstance  %s\n",
		status.Revision, status.ActivatedAt.Format(time.RFC3339), status.Origin, status.Changes, status.Files, status.Tests, status.Instance)
	if b := status.Bundle; b != nil {
		fmt.Fprintf(a.stdout, "bundle    %s, looked at %s\n", b.Source, b.LookedAt.Format(time.RFC3339))
	}
	if shadow := status.Shadow; shadow != nil {
		fmt.Fprintf(a.stdout, "shadow    %s, %d answers compared, %d dropped\n", cmp.Or(shadow.Revision, "never loaded"), shadow.Evaluated, shadow.Dropped)
		if shadow.Stale {
			fmt.Fprintf(a.stdout, "          its last load failed:\n%s\n", shadow.Error)
		}
	}
	for _, tool := range status.StaleTools {
		fmt.Fprintf(a.stdout, "denied    %s: its inputSchema changed, and rules no longer fit it; mend them, or put the old inputSchema back:\n", tool)
		for _, rule := range tool.Rules {
			fmt.Fprintf(a.stdout, "          %s\n", rule)
		}
	}
	if status.Stale {
		_, err = fmt.Fprintf(a.stdout, "stale     the last reload failed, and what was in force stays:\n%s\n", status.Error)
	}
	return err
}

// generationRow is a line of the history.
type generationRow struct {
	Revision    string            `json:"revision"`
	ActivatedAt time.Time         `json:"activated_at"`
	Origin      string            `json:"origin"`
	Changes     *policies.Changes `json:"changes,omitempty"` // against the next row; absent at the oldest
}

func (a *app) policyHistory(ctx context.Context) (err error) {
	reader, err := a.reader(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	rows, err := historyRows(ctx, reader)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return json.NewEncoder(a.stdout).Encode(rows)
	}
	for i, r := range rows {
		mark, what := "  ", "the oldest that is kept"
		if i == 0 {
			mark = "* "
		}
		if r.Changes != nil {
			what = r.Changes.String()
		}
		fmt.Fprintf(a.stdout, "%s%s  %s  %s\n      %s\n", mark, r.Revision, r.ActivatedAt.Format(time.RFC3339), r.Origin, what)
	}
	return nil
}

func historyRows(ctx context.Context, reader *storage.Reader) ([]generationRow, error) {
	list, err := reader.PolicyGenerations(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]generationRow, len(list))
	var newer policies.Stored
	for i, g := range list {
		rows[i] = generationRow{Revision: g.Revision, ActivatedAt: g.ActivatedAt.UTC(), Origin: originWord(g.Origin, g.Bundle)}
		kept, err := reader.PolicyGeneration(ctx, g.Revision)
		if err != nil {
			return nil, err
		}
		this := policies.Stored{Revision: kept.Revision, Document: kept.Document}
		if i > 0 {
			changes, err := policies.Compare(this, newer)
			if err != nil {
				return nil, err
			}
			rows[i-1].Changes = &changes
		}
		newer = this
	}
	return rows, nil
}
