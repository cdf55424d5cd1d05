package policies

import "io/fs"

// DemoFiles is the author's directory that "portcullis demo" writes into its data directory: .rego files with
// their tests, and config.yaml.
func DemoFiles() (fs.FS, error) { return fs.Sub(embedded, "demo") }
