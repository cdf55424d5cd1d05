package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"portcullis/policies"
)

func (a *app) policyEvalCommand() *cobra.Command {
	var o policies.QueryOptions
	var input, file, at string
	c := &cobra.Command{Use: "eval DIR [QUERY]", Short: "Ask a policy folder a question", Args: args(cobra.RangeArgs(1, 2)),
		Long: `Ask a policy folder a question. Without a query it is the decision that the input
is made for, such as data.mcp.authz.tools.decision. The value is JSON on standard
output; print() and explanations go to standard error. Exit code 1 if the query is
undefined or fails.`}
	c.Flags().StringVarP(&input, "input", "i", "", "file with the input in JSON; - is standard input")
	c.Flags().StringVar(&o.Explain, "explain", "", "fails: conditions that did not hold; full: everything")
	c.Flags().StringVar(&at, "at", "", "the time of the clock and of input.context, such as 2026-01-31T09:00:00Z")
	noDefaults := defaultsFlag(c)
	a.catalogueFlag(c, &file)
	c.RunE = func(c *cobra.Command, given []string) error {
		var err error
		if o.Explain != policies.ExplainNothing && o.Explain != policies.ExplainFails && o.Explain != policies.ExplainFull {
			return usageError("--explain must be fails or full")
		}
		if at != "" {
			if o.At, err = time.Parse(time.RFC3339, at); err != nil {
				return usageError("--at must be a time such as 2026-01-31T09:00:00Z")
			}
		}
		if o.NoDefaults, err = noDefaults(); err != nil {
			return err
		}
		if o.Catalogue, err = a.catalogue(c, file); err != nil {
			return err
		}
		if o.Input, err = a.inputFile(input); err != nil {
			return err
		}
		if len(given) == 2 {
			o.Query = given[1]
		}
		result, err := policies.Query(c.Context(), given[0], o)
		return a.printQuery(result, err)
	}
	a.outputFlag(c)
	return c
}

// inputFile reads the input; nil = there is none.
func (a *app) inputFile(name string) ([]byte, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return io.ReadAll(a.stdin)
	}
	return os.ReadFile(name)
}

// printQuery shows a result, and what is known of one that failed.
func (a *app) printQuery(result policies.QueryResult, err error) error {
	if policies.IsLoadError(err) {
		return &exitCode{code: exitUsage, err: err}
	}
	for _, line := range result.Hints {
		fmt.Fprintln(a.stderr, "hint:", line)
	}
	for _, line := range result.Prints {
		fmt.Fprintln(a.stderr, line)
	}
	if result.Trace != "" && a.output != "json" {
		fmt.Fprint(a.stderr, result.Trace)
	}
	if err != nil {
		return err
	}
	var value any = result
	if a.output != "json" {
		if !result.Defined {
			return fmt.Errorf("%s is undefined", result.Query)
		}
		value = result.Value
	}
	text, err := indented(value)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(text)
	return err
}
