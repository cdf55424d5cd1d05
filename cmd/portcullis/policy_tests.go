package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"portcullis/policies"
)

func (a *app) policyTestCommand() *cobra.Command {
	var options policies.TestOptions
	var verbose bool
	c := &cobra.Command{Use: "test DIR", Short: "Run the tests of a policy folder", Args: args(cobra.ExactArgs(1))}
	c.Flags().StringVar(&options.Run, "run", "", "only tests whose package.name fits this regular expression")
	noDefaults := defaultsFlag(c)
	c.Flags().BoolVar(&options.Shipped, "shipped", false, "the tests of the shipped policies, too")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "passing tests, too")
	c.RunE = func(c *cobra.Command, given []string) error {
		var err error
		if options.NoDefaults, err = noDefaults(); err != nil {
			return err
		}
		return a.policyTest(c.Context(), given[0], options, verbose)
	}
	a.outputFlag(c)
	return c
}

// policyTest exits with 2 when a test fails or the folder cannot be loaded, as opa test does.
func (a *app) policyTest(ctx context.Context, dir string, options policies.TestOptions, verbose bool) error {
	report, err := policies.Test(ctx, dir, options)
	if policies.IsLoadError(err) {
		return &exitCode{code: exitUsage, err: err}
	} else if err != nil {
		return err
	}
	if a.output == "json" {
		err = json.NewEncoder(a.stdout).Encode(report)
	} else {
		for _, t := range report.Tests {
			if verbose || !t.Passed {
				fmt.Fprintln(a.stdout, t)
			}
		}
		_, err = fmt.Fprintf(a.stdout, "%d passed, %d failed, %d skipped\n", report.Passed, report.Failed, report.Skipped)
	}
	if err == nil && report.Failed > 0 {
		return &exitCode{code: exitUsage}
	}
	return err
}
