package main

import (
	"errors"
	"strings"
	"testing"
)

// Whatever stands in a file: it is accepted, or refused with faults that have a place; it never ends the program, and
// the value of a secret is never shown.
func FuzzConfiguration(f *testing.F) {
	f.Add(tenFaults)
	f.Add("issuer: https://a.example\nclients: [{id: web, name: W, secret: swordfish, redirect_uris: [\"https://a.example\"]}]\n")
	f.Add("issuer: &a [*a]\n<<: {a: b}\n? [x]\n: !!binary |\n  abc\n--- \n%YAML 1.2\n")
	f.Add("users:\n  - name: alice\n    password_hash: >-\n      swordfish\n")
	f.Fuzz(func(t *testing.T, text string) {
		source := newSourceText("fuzz.yaml", text)
		report := &report{source: source}
		root := parseYAML(source, report)
		if root != nil {
			config := defaultConfig()
			d := &decoder{report: report, folder: t.TempDir()}
			d.decode(root, &config)
			check(&config, report)
		}
		err := report.err()
		var faults *configError
		if err == nil {
			return
		}
		if !errors.As(err, &faults) || len(faults.problems) == 0 {
			t.Fatalf("no faults in %v", err)
		}
		for _, p := range faults.problems {
			if p.at.line < 1 || p.at.col < 1 {
				t.Errorf("%q has no place", p.message)
			}
		}
		inPlace := strings.Count(text, "swordfish") == 1 && strings.Contains(text, ", secret: swordfish,")
		if inPlace && strings.Contains(err.Error(), "swordfish") {
			t.Errorf("the secret is shown:\n%s", err)
		}
	})
}
