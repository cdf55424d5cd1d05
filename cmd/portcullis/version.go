package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Print the version", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
		version, revision := buildVersion()
		if a.output == "json" {
			return json.NewEncoder(a.stdout).Encode(map[string]string{"version": version, "revision": revision, "go": runtime.Version()})
		}
		_, err := fmt.Fprintf(a.stdout, "portcullis %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	}}
	a.outputFlag(c)
	return c
}

// buildVersion is what the Go tool wrote into the binary.
func buildVersion() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision
}
