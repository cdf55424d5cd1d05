package main

import (
	"fmt"
	"os"
	"time"
)

// footprint is what a server costs before and while it works.
func (b *bench) footprint() error {
	s := b.section("Footprint: 1,000 tools with input schemas, shipped and author's policies")
	x, err := b.newSite("footprint", standard())
	if err != nil {
		return err
	}
	first, err := b.start(x)
	if err != nil {
		return err
	}
	starts := max(3, b.rounds)
	var ready, idle, used, peak []float64
	for range starts {
		x.process.stop()
		took, err := b.start(x)
		if err != nil {
			return err
		}
		ready = append(ready, took.Seconds()*1000)
		used = append(used, cpuTime(x.process.pid()).Seconds()*1000)
		time.Sleep(time.Second)
		peak = append(peak, memory(x.process.pid(), "VmHWM"))
		idle = append(idle, memory(x.process.pid(), "VmRSS"))
	}
	s.note("start: from exec to 200 of /readyz, %d starts on a database that is there; the first one, which makes it, took %.0f ms", starts, first.Seconds()*1000)
	s.note("loaded: highest of a hundred looks per second while %d connections ask for decisions and %d refresh; 1 MB = 1,000,000 bytes", decisionWorkers, tokenWorkers)
	s.add(row{What: "start to ready", Unit: "ms", Ours: spreadOf(ready)}.atMost(100))
	s.add(row{What: "CPU until ready", Unit: "ms", Ours: spreadOf(used)})
	s.add(row{What: "RSS idle", Unit: "MB", Ours: spreadOf(idle)}.atMost(45))
	s.add(row{What: "RSS, highest while it starts", Unit: "MB", Ours: spreadOf(peak)})
	if err := b.loadedRow(s, x); err != nil {
		return err
	}
	size, err := os.Stat(b.program)
	if err != nil {
		return err
	}
	s.add(row{What: "binary, stripped", Unit: "MB", Ours: spreadOf([]float64{float64(size.Size()) / 1e6})}.atMost(45))
	return nil
}

func (b *bench) loadedRow(s *section, x *site) error {
	p, err := b.pool(x)
	if err != nil {
		return err
	}
	t, err := x.tokenServer()
	if err != nil {
		return err
	}
	refresh, err := t.chains()
	if err != nil {
		return err
	}
	var loaded []float64
	for range b.rounds {
		highest := watchMemory(x.process.pid())
		refreshed := make(chan error, 1)
		go func() {
			_, err := flood(x.target(), tokenWorkers, b.round, refresh)
			refreshed <- err
		}()
		if _, err := flood(x.target(), decisionWorkers, b.round, p.step()); err != nil {
			return err
		}
		if err := <-refreshed; err != nil {
			return fmt.Errorf("refresh: %w", err)
		}
		loaded = append(loaded, highest())
	}
	s.add(row{What: "RSS under load", Unit: "MB", Ours: spreadOf(loaded)}.atMost(80))
	return nil
}

// watchMemory looks at the resident memory of a process until the function that it returns is called, which tells the highest.
func watchMemory(pid int) func() float64 {
	end, top := make(chan struct{}), make(chan float64)
	go func() {
		highest := 0.0
		for {
			highest = max(highest, memory(pid, "VmRSS"))
			select {
			case <-end:
				top <- highest
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() float64 {
		close(end)
		return <-top
	}
}
