package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// spread is a figure of several rounds.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	return spread{median(values), slices.Min(values), slices.Max(values)}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// row is one line of the report.
type row struct {
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	Ours    spread  `json:"ours"`
	Peer    *spread `json:"peer,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"` // ours to the peer's, the median of the rounds' ratios
	CPU     float64 `json:"cpu_us,omitempty"`
	PeerCPU float64 `json:"peer_cpu_us,omitempty"`
	Target  string  `json:"target,omitempty"`
	Met     string  `json:"met,omitempty"` // "met" or "missed"
}

// section is one table.
type section struct {
	Title string   `json:"title"`
	Notes []string `json:"notes,omitempty"`
	Rows  []row    `json:"rows"`
}

func (s *section) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

func (s *section) add(r row) { s.Rows = append(s.Rows, r) }

// atLeast holds the row to a ratio.
func (r row) atLeast(ratio float64) row {
	return r.judged(fmt.Sprintf(">= %g x", ratio), r.Ratio >= ratio)
}

// ratioAtMost holds the row to a ratio from above.
func (r row) ratioAtMost(ratio float64) row {
	return r.judged(fmt.Sprintf("<= %g x", ratio), r.Ratio <= ratio)
}

// atMost holds the row's own figure to a limit.
func (r row) atMost(limit float64) row {
	return r.judged(fmt.Sprintf("<= %g", limit), r.Ours.Median <= limit)
}

func (r row) judged(target string, met bool) row {
	r.Target, r.Met = target, "missed"
	if met {
		r.Met = "met"
	}
	return r
}

// compared makes the row of two contestants that ran in turns.
func compared(what, unit string, ours, peer []measured, figure func(measured) float64) row {
	r := row{What: what, Unit: unit, Ours: spreadOf(each(ours, figure)), CPU: median(each(ours, measured.perRequest))}
	if len(peer) == 0 {
		return r
	}
	other := spreadOf(each(peer, figure))
	r.Peer, r.PeerCPU = &other, median(each(peer, measured.perRequest))
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, figure(ours[i])/figure(peer[i]))
	}
	r.Ratio = median(ratios)
	return r
}

func each(rounds []measured, figure func(measured) float64) []float64 {
	var out []float64
	for _, m := range rounds {
		out = append(out, figure(m))
	}
	return out
}

// print writes the tables for people, in at most 120 columns.
func printTables(w io.Writer, sections []*section) {
	for _, s := range sections {
		fmt.Fprintf(w, "\n%s\n", s.Title)
		for _, n := range s.Notes {
			fmt.Fprintf(w, "  %s\n", n)
		}
		fmt.Fprintf(w, "  %-37s %-5s %-22s %-22s %6s %-9s %-6s\n", "", "unit", "ours (min-max)", "peer (min-max)", "ratio", "target", "")
		for _, r := range s.Rows {
			peer, ratio := "", ""
			if r.Peer != nil {
				peer = r.Peer.String()
			}
			if r.Ratio != 0 {
				ratio = fmt.Sprintf("%.2f", r.Ratio)
			}
			line := fmt.Sprintf("  %-37s %-5s %-22s %-22s %6s %-9s %-6s", r.What, r.Unit, r.Ours, peer, ratio, r.Target, r.Met)
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			if r.CPU > 0 {
				fmt.Fprintln(w, cpuLine(r))
			}
		}
	}
}

func cpuLine(r row) string {
	if r.PeerCPU == 0 {
		return fmt.Sprintf("    %-35s %-5s %.0f", "cpu per request", "us", r.CPU)
	}
	return fmt.Sprintf("    %-35s %-5s %-22.0f %-22.0f %6.2f", "cpu per request (ratio peer/ours)", "us", r.CPU, r.PeerCPU, r.PeerCPU/r.CPU)
}

func (s spread) String() string {
	if s.Min == s.Max {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number is short: three digits are enough for what varies by a tenth.
func number(v float64) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func printJSON(w io.Writer, sections []*section) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(sections)
}
