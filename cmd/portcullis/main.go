// Command portcullis is the authorization server and decision point for MCP servers, and the tools around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitOK     = 0
	exitError  = 1
	exitUsage  = 2 // wrong command line, or policy tests that fail
	exitDenied = 3
	exitConfig = 78 // EX_CONFIG of sysexits.h: restarting will not help
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: data goes to stdout, chatter to stderr, the result is the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitCode
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintln(stderr, exit.err)
		}
		return exit.code
	}
	var config *configError
	if errors.As(err, &config) {
		fmt.Fprintln(stderr, config)
		return exitConfig
	}
	fmt.Fprintln(stderr, "portcullis:", err)
	return exitError
}

// app is what every command shares.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	configFile     string
	output         string // "text" or "json"
}

// exitCode ends the program with a code of its own. A nil err means that everything has been said.
type exitCode struct {
	code int
	err  error
}

func (e *exitCode) Error() string { return fmt.Sprint(e.err) }
func (e *exitCode) Unwrap() error { return e.err }

// usageError is a wrong command line.
func usageError(format string, args ...any) error {
	return &exitCode{code: exitUsage, err: fmt.Errorf("portcullis: "+format, args...)}
}

// badConfig is a fault of the configuration that shows only when it is used.
func badConfig(format string, args ...any) error {
	return &exitCode{code: exitConfig, err: fmt.Errorf("portcullis: "+format, args...)}
}

func (a *app) command() *cobra.Command {
	root := noun("portcullis", "A policy-driven authorizer for MCP servers",
		a.serveCommand(), a.demoCommand(), a.userCommand(), a.keyCommand(), a.auditCommand(), a.policyCommand(), a.versionCommand())
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVar(&a.configFile, "config", os.Getenv(envConfigFile), "configuration file (default "+defaultConfigFile+")")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError("%w; see %s --help", err, c.CommandPath())
	})
	return root
}

// noun is a command that only holds others.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		hint := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf("; did you mean %q?", near[0])
		}
		return usageError("%s has no command %q%s; see %s --help", c.CommandPath(), args[0], hint, c.CommandPath())
	}}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(verbs...)
	return c
}

// args makes a wrong number of arguments a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if err := check(c, given); err != nil {
			return usageError("%w; usage: %s", err, c.UseLine())
		}
		return nil
	}
}

// load reads the configuration for a command.
func (a *app) load(flags map[string]string) (Config, error) {
	return loadConfig(a.configFile, os.Environ(), flags)
}

// outputFlag gives a command -o text|json.
func (a *app) outputFlag(c *cobra.Command) {
	c.Flags().StringVarP(&a.output, "output", "o", "text", "text or json")
	run := c.RunE
	c.RunE = func(c *cobra.Command, given []string) error {
		if a.output != "text" && a.output != "json" {
			return usageError("-o must be text or json, not %q", a.output)
		}
		return run(c, given)
	}
}

// flagName is a configuration key as a flag.
func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }
