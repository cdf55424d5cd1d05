package main

import (
	"fmt"
	"time"
)

// growingTools is what a call costs with more tools, the cache off.
func (b *bench) growingTools() error {
	s := b.section("Growth with the number of tools: decisions, cache off; peer: ourselves with 100 tools")
	sizes := []int{100, 1000, 10_000}
	if b.quick {
		sizes = []int{100, 1000}
	}
	var all []contestant
	for _, tools := range sizes {
		set := standard()
		set.tools, set.cache = tools, 0
		x, err := b.newSite(fmt.Sprint("tools-", tools), set)
		if err != nil {
			return err
		}
		took, err := b.start(x)
		if err != nil {
			return err
		}
		s.note("%d tools: first start %.0f ms, RSS %.0f MB", tools, took.Seconds()*1000, memory(x.process.pid(), "VmRSS"))
		p, err := b.pool(x)
		if err != nil {
			return err
		}
		if _, err := flood(x.target(), decisionWorkers, b.round, p.step()); err != nil {
			return err
		}
		all = append(all, contestant{fmt.Sprint(tools, " tools"), func() (measured, error) { return flood(x.target(), decisionWorkers, b.round, p.step()) }})
	}
	rounds, err := b.turns(all...)
	if err != nil {
		return err
	}
	for i, tools := range sizes[1:] {
		s.add(cost(fmt.Sprintf("CPU of a decision, %d tools", tools), rounds[i+1], rounds[0]).ratioAtMost(1.1))
		s.add(compared(fmt.Sprintf("decisions, %d tools", tools), "req/s", rounds[i+1], rounds[0], measured.rate))
	}
	return nil
}

// cost is a row about CPU time alone.
func cost(what string, more, less []measured) row {
	r := compared(what, "us", more, less, measured.perRequest)
	r.CPU, r.PeerCPU = 0, 0
	return r
}

// growingTokens is what introspection and refresh cost with more stored tokens. The rows are written with sqlite3 before the
// start: live families of one grant, each with a refresh token that nobody holds.
func (b *bench) growingTokens() error {
	s := b.section("Growth with the number of stored tokens; peer: ourselves with 1,000")
	sizes := []int{1000, 100_000}
	if b.long {
		sizes = []int{1000, 1_000_000}
	}
	if b.quick {
		sizes = []int{1000, 10_000}
	}
	var refreshes, introspections []contestant
	for _, stored := range sizes {
		x, took, err := b.stored(stored)
		if err != nil {
			return err
		}
		s.note("%d stored tokens: start %.0f ms, RSS %.0f MB", stored, took.Seconds()*1000, memory(x.process.pid(), "VmRSS"))
		t, err := x.tokenServer()
		if err != nil {
			return err
		}
		refresh, err := t.chains()
		if err != nil {
			return err
		}
		tokens, err := b.accessTokens(x, b.distinct())
		if err != nil {
			return err
		}
		introspect := t.introspections(tokens)
		name := fmt.Sprint(stored, " stored tokens")
		refreshes = append(refreshes, contestant{name, func() (measured, error) { return flood(x.target(), tokenWorkers, b.round, refresh) }})
		introspections = append(introspections, contestant{name, func() (measured, error) { return flood(x.target(), tokenWorkers, b.round, introspect) }})
	}
	for what, all := range map[string][]contestant{"refresh": refreshes, "introspection": introspections} {
		for _, c := range all { // each once before it counts: the first look at a token verifies its signature
			if _, err := c.run(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		rounds, err := b.turns(all...)
		if err != nil {
			return err
		}
		s.add(cost(fmt.Sprintf("CPU of %s, %d stored", what, sizes[1]), rounds[1], rounds[0]).ratioAtMost(1.2))
		s.add(compared(fmt.Sprintf("%s, %d stored", what, sizes[1]), "req/s", rounds[1], rounds[0], measured.rate).atLeast(0.8))
	}
	return nil
}

// stored makes a site whose database holds that many refresh tokens.
func (b *bench) stored(count int) (*site, time.Duration, error) {
	set := standard()
	set.tools = 100
	x, err := b.serve(fmt.Sprint("stored-", count), set)
	if err != nil {
		return nil, 0, err
	}
	if _, err := b.accessTokens(x, x.people); err != nil { // so that there is a grant
		return nil, 0, err
	}
	x.process.stop()
	_, err = x.sql(fmt.Sprintf(`BEGIN;
INSERT INTO families (id, grant_id, scopes, jkt, auth_time, acr, amr, created_at, expires_at, ended_at, end_reason)
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
  SELECT 'fam_' || lower(hex(randomblob(16))) || i, (SELECT id FROM grants LIMIT 1), 'tools:read', '', unixepoch(), 'pwd', 'pwd', unixepoch(), unixepoch() + 7776000, 0, '' FROM n;
INSERT INTO refresh_tokens (hash, family_id, generation, created_at, expires_at, used_at, window_ends, successor)
  SELECT randomblob(32), id, 1, unixepoch(), unixepoch() + 2592000, 0, 0, NULL FROM families WHERE acr = 'pwd' AND id NOT IN (SELECT family_id FROM refresh_tokens);
COMMIT;`, count))
	if err != nil {
		return nil, 0, err
	}
	took, err := b.start(x)
	return x, took, err
}
