// Command bench measures Portcullis beside its peers on the same machine: the decision endpoint beside OPA's own server, the token
// endpoints beside oidc-provider, and what a start, the memory and growth cost. It starts the built program and loads it over
// loopback; contestants take turns, round by round, and every answer is checked. tests/bench/run builds what it needs and runs it.
//
// A figure of one machine is no claim. Read the ratios, and the CPU time per request where the machine is busy.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	program, opa, node, oidc string // what is measured; "" = without that peer
	source                   string // tests/bench
	dir                      string // everything is written here
	quick, long              bool
	rounds                   int
	round                    time.Duration
	sections                 []*section
	exits                    []func()
	progress                 io.Writer
}

// part is one thing that can be measured.
type part struct {
	name string
	run  func(*bench) error
}

func parts() []part {
	return []part{{"machine", (*bench).machine}, {"decisions", (*bench).decisions}, {"tokens", (*bench).tokens}, {"footprint", (*bench).footprint},
		{"tools", (*bench).growingTools}, {"stored", (*bench).growingTokens}, {"timing", (*bench).timing}}
}

func main() {
	b := &bench{progress: os.Stderr}
	flag.StringVar(&b.program, "program", "", "the portcullis `binary`")
	flag.StringVar(&b.opa, "opa", "", "the opa `binary`; without it there is no peer for decisions")
	flag.StringVar(&b.node, "node", "", "the node `binary`")
	flag.StringVar(&b.oidc, "oidc", "", "the `folder` of peer.mjs and its packages; without it there is no peer for tokens")
	flag.StringVar(&b.source, "source", "tests/bench", "the `folder` of this program's source")
	flag.BoolVar(&b.quick, "quick", false, "only show that the measurements work: one short round, no figures worth keeping")
	flag.BoolVar(&b.long, "long", false, "grow up to 1,000,000 stored tokens")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of each contestant")
	flag.DurationVar(&b.round, "round", 2*time.Second, "length of a round")
	only := flag.String("only", "", "comma-separated `parts`: machine, decisions, tokens, footprint, tools, stored, timing")
	format := flag.String("o", "text", "text or json")
	flag.Parse()
	if b.quick {
		b.rounds, b.round = 1, 500*time.Millisecond
	}
	err := b.run(*only)
	b.exit()
	if *format == "json" {
		err = errorsFirst(err, printJSON(os.Stdout, b.sections))
	} else {
		printTables(os.Stdout, b.sections)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func errorsFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) run(only string) (err error) {
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	for _, p := range []*string{&b.program, &b.source, &b.opa, &b.node, &b.oidc} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	for _, p := range parts() {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		begun := time.Now()
		fmt.Fprintf(b.progress, "%s …\n", p.name)
		if err := p.run(b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(b.progress, "%s: %.0f s\n", p.name, time.Since(begun).Seconds())
		b.stopAll()
	}
	return nil
}

func (b *bench) onExit(do func()) { b.exits = append(b.exits, do) }

// stopAll ends every server that was started.
func (b *bench) stopAll() {
	for _, do := range slices.Backward(b.exits) {
		do()
	}
	b.exits = nil
}

func (b *bench) exit() {
	b.stopAll()
	_ = os.RemoveAll(b.dir) // a left-over temporary folder harms nobody
}

// section begins a table.
func (b *bench) section(title string) *section {
	s := &section{Title: title}
	b.sections = append(b.sections, s)
	return s
}

// machine is what the other figures must be read beside.
func (b *bench) machine() error {
	s := b.section("Machine")
	var rates []float64
	for range max(3, b.rounds) {
		rate, err := syncRate(b.dir, 300*time.Millisecond)
		if err != nil {
			return err
		}
		rates = append(rates, rate)
	}
	s.note("%d cores, load before the run %s, %s; loopback; SQLite WAL with synchronous=FULL", runtime.NumCPU(), loadAverage(), runtime.Version())
	s.note("%d rounds of %s for each contestant in turns; medians, ratios are the median of the rounds' ratios", b.rounds, b.round)
	s.add(row{What: "4 KiB write + fdatasync", Unit: "/s", Ours: spreadOf(rates)})
	return nil
}

// contestant is one server and what it is asked.
type contestant struct {
	name string
	run  func() (measured, error)
}

// turns lets everyone run once per round, and returns the rounds by contestant.
func (b *bench) turns(all ...contestant) ([][]measured, error) {
	out := make([][]measured, len(all))
	for range b.rounds {
		for i, c := range all {
			m, err := c.run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			out[i] = append(out[i], m)
		}
	}
	return out, nil
}
