package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"portcullis/policies"
)

func (a *app) policyInitCommand() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "init DIR", Short: "Write a policy folder to begin with", Args: args(cobra.ExactArgs(1)),
		Long: `Write a policy folder to begin with: a package about scopes and one about calls,
their tests, a file for data.config, and what editors and linters need. Nothing is
overwritten.`}
	a.catalogueFlag(c, &file)
	c.RunE = func(c *cobra.Command, given []string) error {
		catalogue, err := a.catalogue(c, file)
		if err != nil {
			return err
		}
		names, err := policies.Init(given[0], catalogue)
		if err != nil {
			return err
		}
		for _, name := range names {
			fmt.Fprintln(a.stdout, filepath.Join(given[0], filepath.FromSlash(name)))
		}
		fmt.Fprintf(a.stderr, "Next: portcullis policy test %s\nThen name the folder as policies: in the configuration file.\n", given[0])
		return nil
	}
	return c
}

func (a *app) policyExportCommand() *cobra.Command {
	var file string
	var o policies.ExportOptions
	c := &cobra.Command{Use: "export DIR", Short: "Write everything that stock OPA and editors need into a new folder", Args: args(cobra.ExactArgs(1)),
		Long: `Write everything that stock OPA and editors need into a new folder: the shipped
packages, the schemas of all inputs, with --from your own policies, and with
--config or --catalogue the servers, tools and scopes. Afterwards these work:

  opa check --strict -s DIR/schemas DIR
  opa test DIR

The next export into the same folder replaces what this one wrote. The file
DIR/catalogue.portcullis is what --catalogue of the other commands reads.`}
	c.Flags().StringVar(&o.From, "from", "", "your own policy folder")
	noDefaults := defaultsFlag(c)
	a.catalogueFlag(c, &file)
	c.RunE = func(c *cobra.Command, given []string) error {
		var err error
		if o.NoDefaults, err = noDefaults(); err != nil {
			return err
		}
		if o.Catalogue, err = a.catalogue(c, file); err != nil {
			return err
		}
		names, err := policies.Export(given[0], o)
		if policies.IsLoadError(err) {
			return &exitCode{code: exitUsage, err: err}
		} else if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s in %s\n", count(len(names), "file"), given[0])
		return err
	}
	return c
}

func (a *app) policyFormatCommand() *cobra.Command {
	var check, diff bool
	c := &cobra.Command{Use: "fmt DIR", Short: "Bring .rego files into the one usual layout", Args: args(cobra.ExactArgs(1)),
		Long: `Bring .rego files into the one usual layout (that of opa fmt), and name those that
were changed.`}
	c.Flags().BoolVar(&check, "check", false, "change nothing; exit code 2 if a file would be changed")
	c.Flags().BoolVarP(&diff, "diff", "d", false, "change nothing; show the lines that would be")
	c.RunE = func(_ *cobra.Command, given []string) error {
		found, err := policies.Unformatted(os.DirFS(given[0]))
		if policies.IsLoadError(err) {
			return &exitCode{code: exitUsage, err: err}
		} else if err != nil {
			return err
		}
		for _, f := range found {
			target := filepath.Join(given[0], filepath.FromSlash(f.File))
			switch {
			case diff:
				fmt.Fprint(a.stdout, f.Diff())
				continue
			case !check:
				if err := os.WriteFile(target, f.After, 0o644); err != nil {
					return err
				}
			}
			fmt.Fprintln(a.stdout, target)
		}
		if check && len(found) > 0 {
			return &exitCode{code: exitUsage}
		}
		return nil
	}
	return c
}

// indented is JSON for people.
func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}
