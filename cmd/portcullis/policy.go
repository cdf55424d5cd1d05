package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/oauth"
	"portcullis/policies"
)

func (a *app) policyCommand() *cobra.Command {
	verbs := []*cobra.Command{a.policyInitCommand(), a.policyCheckCommand(), a.policyTestCommand(), a.policyFormatCommand(), a.policyBuildCommand(), a.policyEvalCommand(),
		a.policyExportCommand(), a.policyExplainCommand(), a.policyReplayCommand()}
	return noun("policy", "Policies in Rego", append(verbs, a.generationCommands()...)...)
}

// catalogueFlag gives a command --catalogue, which stands in for --config where the configuration is not at hand.
func (a *app) catalogueFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "catalogue", "", "servers, tools and scopes as policy export writes them; or give --config")
}

// catalogue reads the registered servers from --catalogue or --config; nil = neither is given.
func (a *app) catalogue(c *cobra.Command, file string) ([]*oauth.Resource, error) {
	switch {
	case file != "" && c.Flags().Changed("config"):
		return nil, usageError("give --catalogue or --config, not both")
	case file != "":
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		found, err := policies.ReadCatalogue(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return found, nil
	case a.configFile == "":
		return nil, nil
	}
	config, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	configured, err := config.configured()
	if err != nil {
		return nil, err
	}
	found := make([]*oauth.Resource, len(configured.Resources))
	for i := range configured.Resources {
		found[i] = &configured.Resources[i]
	}
	return found, nil
}

// defaultsFlag gives a command --defaults; the result tells whether the shipped defaults are left out.
func defaultsFlag(c *cobra.Command) func() (bool, error) {
	var defaults string
	c.Flags().StringVar(&defaults, "defaults", "on", "on or none, as policy.defaults of the configuration")
	return func() (bool, error) {
		if defaults != "on" && defaults != "none" {
			return false, usageError("--defaults must be on or none, as policy.defaults of the configuration")
		}
		return defaults == "none", nil
	}
}

// textWidth is where text for people is broken.
const textWidth = 96

// printWrapped prints text whose first line is broken at blanks; what follows on lines of its own stays as it is.
func printWrapped(w io.Writer, text string) {
	first, rest, more := strings.Cut(text, "\n")
	for len([]rune(first)) > textWidth {
		runes := []rune(first)
		at := textWidth
		for at > textWidth/2 && runes[at] != ' ' {
			at--
		}
		if runes[at] != ' ' {
			break
		}
		fmt.Fprintln(w, string(runes[:at]))
		first = "    " + string(runes[at+1:])
	}
	fmt.Fprintln(w, first)
	if more {
		fmt.Fprintln(w, rest)
	}
}
