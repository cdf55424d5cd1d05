package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"portcullis/policies"
)

func (a *app) policyTestCommand() *cobra.Command {
	var options policies.TestOptions
	var verbose, asJSON bool
	var file string
	var least float64
	c := &cobra.Command{Use: "test DIR", Short: "Run the tests of a policy folder", Args: args(cobra.ExactArgs(1)),
		Long: `Run the tests of a policy folder against the shipped policies and its own, with
the checks of a server. Exit code 2 when a test fails or the folder cannot be loaded.

A failing test shows the line that did not hold, with the values of its variables.
import data.lib.mcp.testing makes whole inputs, so that a test is three lines.`}
	c.Flags().StringVar(&options.Run, "run", "", "only tests whose package.name fits this regular expression")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "passing tests, too")
	c.Flags().BoolVar(&options.Coverage, "coverage", false, "which lines no test reaches, and why")
	c.Flags().Float64Var(&least, "min-coverage", 0, "exit code 2 below this percentage; means --coverage")
	c.Flags().BoolVar(&options.Bench, "bench", false, "how long each test takes")
	c.Flags().BoolVar(&options.Shipped, "shipped", false, "the tests of the shipped policies, too")
	c.Flags().BoolVar(&asJSON, "json", false, "the same as -o json")
	noDefaults := defaultsFlag(c)
	a.catalogueFlag(c, &file)
	c.RunE = func(c *cobra.Command, given []string) error {
		var err error
		if least < 0 || least > 100 {
			return usageError("--min-coverage must be from 0 to 100")
		}
		options.Coverage = options.Coverage || least > 0
		if options.NoDefaults, err = noDefaults(); err != nil {
			return err
		}
		if options.Catalogue, err = a.catalogue(c, file); err != nil {
			return err
		}
		report, err := policies.Test(c.Context(), given[0], options)
		if policies.IsLoadError(err) {
			return &exitCode{code: exitUsage, err: err}
		} else if err != nil {
			return err
		}
		if options.Run != "" && len(report.Tests) == 0 && len(report.Bench) == 0 {
			return &exitCode{code: exitUsage, err: fmt.Errorf("portcullis: no test fits --run %s; it is compared with package.name, and -v lists those", options.Run)}
		}
		if err := a.printTests(report, verbose, asJSON || a.output == "json"); err != nil {
			return err
		}
		return testVerdict(report, least)
	}
	a.outputFlag(c)
	return c
}

// testVerdict is the error that makes the exit code.
func testVerdict(report policies.TestReport, least float64) error {
	if c := report.Coverage; c != nil && c.Percent < least {
		return &exitCode{code: exitUsage, err: fmt.Errorf("portcullis: the tests reach %.1f %% of the lines, which is less than %g %%", c.Percent, least)}
	}
	if report.Failed > 0 {
		return &exitCode{code: exitUsage}
	}
	for _, b := range report.Bench {
		if b.Error != "" {
			return &exitCode{code: exitUsage, err: errors.New("portcullis: a test could not be measured")}
		}
	}
	return nil
}

func (a *app) printTests(report policies.TestReport, verbose, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(report)
	}
	for _, t := range report.Tests {
		if verbose || !t.Passed {
			fmt.Fprintln(a.stdout, t)
		}
	}
	for _, b := range report.Bench {
		fmt.Fprintln(a.stdout, b)
	}
	if c := report.Coverage; c != nil {
		for _, m := range c.Missed {
			printWrapped(a.stdout, "not reached: "+m.String())
		}
		for _, f := range c.Files {
			fmt.Fprintf(a.stdout, "%6.1f %%  %4d of %4d lines  %s\n", f.Percent, f.Covered, f.Lines, f.File)
		}
		fmt.Fprintf(a.stdout, "%6.1f %%  %4d of %4d lines  in all\n", c.Percent, c.Covered, c.Lines)
	}
	if len(report.Tests) == 0 {
		fmt.Fprintln(a.stderr, "There are no tests: they are rules test_NAME in packages NAME_test, in files NAME_test.rego.")
	}
	_, err := fmt.Fprintf(a.stdout, "%d passed, %d failed, %d skipped\n", report.Passed, report.Failed, report.Skipped)
	return err
}
