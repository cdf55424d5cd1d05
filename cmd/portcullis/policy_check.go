package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"portcullis/policies"
)

func (a *app) policyCheckCommand() *cobra.Command {
	var strict, verbose bool
	var file string
	c := &cobra.Command{Use: "check DIR", Short: "Say everything that is wrong with a policy folder", Args: args(cobra.ExactArgs(1)),
		Long: `Say everything that is wrong with a policy folder, without running its tests.

Problems keep a server from taking the folder, and this command exits with 2.
Warnings do not; with --strict they make the exit code 2, too. With a catalogue
(--config or --catalogue) the arguments of tools are checked against each tool's
own inputSchema, and the names of servers, tools and scopes are looked up.`}
	c.Flags().BoolVar(&strict, "strict", false, "warnings make the exit code 2, too")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "what arguments were checked against, and what could not be checked")
	a.catalogueFlag(c, &file)
	noDefaults := defaultsFlag(c)
	c.RunE = func(c *cobra.Command, given []string) error {
		var o policies.CheckOptions
		var err error
		if o.NoDefaults, err = noDefaults(); err != nil {
			return err
		}
		if o.Catalogue, err = a.catalogue(c, file); err != nil {
			return err
		}
		report, err := policies.Check(given[0], o)
		if err != nil {
			return err
		}
		if err := a.printCheck(report, verbose, len(o.Catalogue) > 0); err != nil {
			return err
		}
		if len(report.Problems) > 0 || strict && len(report.Warnings) > 0 {
			return &exitCode{code: exitUsage}
		}
		return nil
	}
	a.outputFlag(c)
	return c
}

func (a *app) printCheck(report policies.CheckReport, verbose, catalogue bool) error {
	if a.output == "json" {
		return json.NewEncoder(a.stdout).Encode(report)
	}
	for _, p := range report.Problems {
		printWrapped(a.stdout, p.String())
	}
	for _, p := range report.Warnings {
		printWrapped(a.stdout, "warning: "+p.String())
	}
	for _, p := range report.Trials { // an author who has forgotten it waits for denials that never come
		printWrapped(a.stdout, "on trial: "+p.Short())
	}
	if verbose {
		for _, p := range report.Notes {
			printWrapped(a.stdout, "note: "+p.String())
		}
	}
	for _, c := range report.Cache {
		for _, p := range c.Obstacles {
			printWrapped(a.stdout, fmt.Sprintf("note: %s (answers about %s are evaluated each time)", p.Short(), c.Kind))
		}
	}
	if !catalogue {
		fmt.Fprintln(a.stderr, "Without --config or --catalogue nothing is known of servers, tools, arguments and scopes.")
	}
	_, err := fmt.Fprintf(a.stdout, "%s, %s, %s\n", count(report.Files, "file"), count(len(report.Problems), "problem"), count(len(report.Warnings), "warning"))
	return err
}

// count is a number with its noun: "1 file", "2 files".
func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
