// The OPA that Portcullis is measured against: the stock program, built from the release that Portcullis embeds. It is a module
// of its own, so that what only OPA's command line needs stays out of the product; tests/bench/run compares the two versions.
package main

import (
	"os"

	"github.com/open-policy-agent/opa/cmd"
)

func main() {
	if cmd.Command(nil, "OPA").Execute() != nil {
		os.Exit(1)
	}
}
