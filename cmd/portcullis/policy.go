package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"portcullis/policies"
)

func (a *app) policyCommand() *cobra.Command {
	var options policies.TestOptions
	var verbose bool
	var defaults string
	test := &cobra.Command{Use: "test DIR", Short: "Run the tests of a policy folder", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			switch defaults {
			case "on", "none":
				options.NoDefaults = defaults == "none"
			default:
				return usageError("--defaults must be on or none, as policy.defaults of the configuration")
			}
			return a.policyTest(c.Context(), given[0], options, verbose)
		}}
	test.Flags().StringVar(&options.Run, "run", "", "only tests whose package.name fits this regular expression")
	test.Flags().StringVar(&defaults, "defaults", "on", "on or none, as policy.defaults of the configuration")
	test.Flags().BoolVar(&options.Shipped, "shipped", false, "the tests of the shipped policies, too")
	test.Flags().BoolVarP(&verbose, "verbose", "v", false, "passing tests, too")
	a.outputFlag(test)
	check := &cobra.Command{Use: "check DIR", Short: "Say everything that is wrong with a policy folder", Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error { return a.policyCheck(given[0]) }}
	a.outputFlag(check)
	return noun("policy", "Policies in Rego", test, check, a.policyExplainCommand(), a.policyReplayCommand())
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

// policyCheck exits with 2 when the folder would not be activated.
func (a *app) policyCheck(dir string) error {
	report, err := policies.Check(dir)
	if policies.IsLoadError(err) {
		return &exitCode{code: exitUsage, err: err}
	} else if err != nil {
		return err
	}
	if a.output == "json" {
		err = json.NewEncoder(a.stdout).Encode(report)
	} else {
		for _, p := range report.Problems {
			fmt.Fprintln(a.stdout, p)
		}
		for _, p := range report.Warnings {
			fmt.Fprintln(a.stdout, "warning:", p)
		}
		for _, c := range report.Cache {
			for _, p := range c.Obstacles {
				fmt.Fprintf(a.stdout, "note: %s (answers about %s are evaluated each time)\n", p, c.Kind)
			}
		}
		_, err = fmt.Fprintf(a.stdout, "%d files, %d problems, %d warnings\n", report.Files, len(report.Problems), len(report.Warnings))
	}
	if err == nil && len(report.Problems) > 0 {
		return &exitCode{code: exitUsage}
	}
	return err
}
