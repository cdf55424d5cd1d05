//go:build unix

package policies

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"portcullis/oauth"
)

// computed is what this process has computed so far: steadier than the clock on a busy machine.
func computed(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// companyDir is the policy of tests/bench, with a configuration.
func companyDir(b *testing.B) string {
	b.Helper()
	text, err := os.ReadFile("../tests/bench/policy/tools/company.rego")
	if err != nil {
		b.Fatal(err)
	}
	return dirWith(b, map[string]string{"tools/company.rego": strings.ReplaceAll(string(text), `"pay_"`, `"trans"`),
		"config.json": `{"limits": {"staff": 1000, "sales": 500}, "tenants": {"staff": ["north", "south"]}, "blocked": ["x", "y"], "currencies": ["EUR", "USD"]}`})
}

// BenchmarkDecide evaluates calls of the demo with the shipped packages alone and with the demo's beside them; nothing is remembered.
func BenchmarkDecide(b *testing.B) {
	args := map[string]any{"amount": json.Number("900"), "to": "ACME"}
	for _, bc := range []struct {
		name string
		dir  string
		call oauth.Evaluation
		want string
	}{
		{"shipped/allowed", "", call("transfer", args, "tools:payments.transfer", "tools:weather.read"), "allow"},
		{"shipped/missing scope", "", call("crm_update", args, "tools:weather.read"), "missing"},
		{"demo/allowed", demoDir(b), call("transfer", args, "tools:payments.transfer", "tools:weather.read"), "allow"},
		{"demo/missing scope", demoDir(b), call("crm_update", args, "tools:weather.read"), "missing"},
		{"company/allowed", companyDir(b), call("transfer", map[string]any{"amount": json.Number("900"), "tenant": "north", "currency": "EUR"}, "tools:payments.transfer"), "allow"},
		{"demo/denied", demoDir(b), call("transfer", map[string]any{"amount": json.Number("5000")}, "tools:payments.transfer"), "payments.limit"},
	} {
		e := engineFrom(b, Config{Dir: bc.dir, Defaults: true, Cache: -1, Catalogue: []*oauth.Resource{demoResource()}})
		b.Run(bc.name, func(b *testing.B) {
			before := computed(b)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				if d := decide(b, e, bc.call); word(d) != bc.want {
					b.Fatal(d)
				}
			}
			b.ReportMetric(float64((computed(b)-before).Nanoseconds())/float64(n)/1000, "cpu-µs/op")
		})
	}
}
