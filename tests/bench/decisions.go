package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

const decisionWorkers = 32

// pool is what one server is asked, in order and again from the beginning.
type pool struct {
	requests []*question
	sent     atomic.Int64
	fresh    int    // of how many requests one has an amount that never comes again; 0 = none
	yes      []byte // what an answer that allows contains
}

// question is one rendered request.
type question struct {
	sample
	request []byte
	amount  int // where the nine digits of the amount are
}

func newQuestion(s sample, request []byte) (*question, error) {
	at := bytes.Index(request, []byte(`"amount":`+strconv.Itoa(s.amount)))
	if at < 0 {
		return nil, errors.New("the request has no amount")
	}
	return &question{s, request, at + len(`"amount":`)}, nil
}

// arguments are those of the call. The note differs from call to call, and no policy reads it.
func (s sample) arguments() map[string]any {
	return map[string]any{"tenant": s.tenant, "amount": s.amount, "currency": s.currency,
		"note": fmt.Sprintf("Order %d of a customer who has asked for it by mail; see the thread for what was agreed.", s.token)}
}

// ask sends the next question and checks the decision.
func (p *pool) ask(buffers [][]byte) step {
	return func(worker int, c *connection) error {
		n := int(p.sent.Add(1) - 1)
		q := p.requests[n%len(p.requests)]
		request, amount := append(buffers[worker][:0], q.request...), q.sample.amount
		buffers[worker] = request
		if p.fresh > 0 && n%p.fresh == p.fresh-1 {
			amount = 100_000_000 + n*7919%800_000_000
			strconv.AppendInt(request[q.amount:q.amount:q.amount+9], int64(amount), 10)
		}
		status, body, err := c.do(request)
		if err != nil {
			return err
		}
		return want(status, 200, body, bytes.Contains(body, p.yes) == q.allowed(amount))
	}
}

// seen asks every question once, so that a cache has seen every shape.
func (p *pool) seen(t target) error {
	end := p.sent.Load() + int64(len(p.requests))
	ask := p.step()
	_, err := flood(t, decisionWorkers, time.Minute, func(worker int, c *connection) error {
		if p.sent.Load() >= end {
			return errDone
		}
		return ask(worker, c)
	})
	return err
}

func (p *pool) step() step { return p.ask(make([][]byte, decisionWorkers)) }

// decisionRequest is the AuthZEN question of the MCP server, with its caller's token.
func (s sample) decisionRequest(token string) []byte {
	body, err := json.Marshal(map[string]any{
		"action":   map[string]any{"name": "tools/call"},
		"resource": map[string]any{"type": "tool", "id": toolOf(s.tool).name, "properties": map[string]any{"arguments": s.arguments()}},
		"context":  map[string]any{"access_token": token},
	})
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return post(issuerHost, "/access/v1/evaluation", kindJSON, []string{"Authorization: Bearer " + secret}, string(body))
}

// distinct is how many tokens there are, each with arguments of its own.
func (b *bench) distinct() int {
	if b.quick {
		return 512
	}
	return 10_240
}

// pool mints the tokens of a site and renders its questions.
func (b *bench) pool(x *site) (*pool, error) {
	tokens, err := b.accessTokens(x, b.distinct())
	if err != nil {
		return nil, err
	}
	p := &pool{yes: []byte(`"decision":true`)}
	for n, token := range tokens {
		s := sampleOf(n, x.tools)
		q, err := newQuestion(s, s.decisionRequest(token))
		if err != nil {
			return nil, err
		}
		p.requests = append(p.requests, q)
	}
	return p, nil
}

func (b *bench) opaPool(host string, tools int) (*pool, error) {
	p := &pool{yes: []byte(`"allow":true`)}
	now := time.Now().Unix()
	for n := range b.distinct() {
		s := sampleOf(n, tools)
		q, err := newQuestion(s, s.opaRequest(host, now))
		if err != nil {
			return nil, err
		}
		p.requests = append(p.requests, q)
	}
	return p, nil
}

// accessTokens mints access tokens: everybody connects once, and then refreshes. Token n is person n's (counted modulo) and
// holds the scopes of scopesOf(n).
func (b *bench) accessTokens(x *site, count int) ([]string, error) {
	all, err := x.everybody()
	if err != nil {
		return nil, err
	}
	fresh, err := codes(all, len(all))
	if err != nil {
		return nil, err
	}
	out := make([]string, count)
	return out, parallel(len(all), 16, func(i int) error {
		c, err := dial(x.address)
		if err != nil {
			return err
		}
		defer c.Close()
		t, err := issue(c, exchangeRequest(issuerHost, fresh[i]))
		for n := i; n < count && err == nil; n += len(all) {
			t, err = issue(c, refreshRequest(issuerHost, t.Refresh, joined(scopesOf(n))))
			out[n] = t.Access
		}
		return err
	})
}

// decider is a site with its questions and what the audit must show for them.
type decider struct {
	x    *site
	pool *pool
}

func (b *bench) decider(name string, s settings) (*decider, error) {
	x, err := b.serve(name, s)
	if err != nil {
		return nil, err
	}
	p, err := b.pool(x)
	return &decider{x, p}, err
}

// counted compares the audit with what was sent, and is an error when a row is missing.
func (d *decider) counted() (int, error) {
	rows, err := d.x.auditRows("decision")
	if err == nil && rows != int(d.pool.sent.Load()) {
		err = fmt.Errorf("%d decisions were answered, but the audit has %d rows", d.pool.sent.Load(), rows)
	}
	return rows, err
}

// hits is how many questions the cache answered and how many were asked.
func (d *decider) hits() (hits, asked float64) {
	hits, err := d.x.metric("portcullis_policy_questions_total", `cache="hit"`)
	if err != nil {
		return 0, 0
	}
	asked, err = d.x.metric("portcullis_policy_questions_total", "")
	if err != nil {
		return 0, 0
	}
	return hits, asked
}

// decisions compares the decision endpoint with OPA's server.
func (b *bench) decisions() error {
	s := b.section("Decisions: token verified, arguments validated, audited durably; peer: opa run --server, same rules")
	off := standard()
	off.cache = 0
	bare := off
	bare.record = "off"
	uncached, cached, unrecorded, err := b.threeDeciders(off, standard(), bare)
	if err != nil {
		return err
	}
	peer, against := target{}, (*pool)(nil)
	if b.opa != "" {
		if peer, err = b.opaServer(off.tools); err != nil {
			return err
		}
		if against, err = b.opaPool(peer.address, off.tools); err != nil {
			return err
		}
	}
	s.note("%d tools, %d distinct tokens and arguments, %d connections; OPA gets the facts ready-made, and neither authenticates nor records", off.tools, b.distinct(), decisionWorkers)
	type wish struct {
		what  string
		d     *decider
		fresh int
		least float64
	}
	for _, w := range []wish{
		{"cache off", uncached, 10, 1.8}, {"cache off, policy.record: off", unrecorded, 10, 1.8}, {"90 % hits", cached, 10, 3.5}, {"all shapes repeat", cached, 0, 4.5},
	} {
		if err := b.decisionRow(s, w.what, w.d, w.fresh, w.least, peer, against); err != nil {
			return err
		}
	}
	for _, d := range []*decider{uncached, cached} {
		if err := b.arrivalRow(s, d, peer, against); err != nil {
			return err
		}
	}
	return noteAudit(s, uncached, cached, unrecorded)
}

// threeDeciders starts a server for each setting.
func (b *bench) threeDeciders(off, on, bare settings) (uncached, cached, unrecorded *decider, err error) {
	if uncached, err = b.decider("decisions-off", off); err != nil {
		return nil, nil, nil, err
	}
	if cached, err = b.decider("decisions-on", on); err != nil {
		return nil, nil, nil, err
	}
	unrecorded, err = b.decider("decisions-bare", bare)
	return uncached, cached, unrecorded, err
}

// noteAudit notes that every answer has its row, and what it all took of memory.
func noteAudit(s *section, deciders ...*decider) error {
	for _, d := range deciders {
		rows, err := d.counted()
		if err != nil {
			return err
		}
		s.note("cache %d, record %s: %d audit rows for %d requests; RSS %.0f MB, highest %.0f MB", d.x.cache, d.x.record, rows, d.pool.sent.Load(),
			memory(d.x.process.pid(), "VmRSS"), memory(d.x.process.pid(), "VmHWM"))
	}
	return nil
}

// decisionRow is one kind of traffic as fast as it goes.
func (b *bench) decisionRow(s *section, what string, d *decider, fresh int, least float64, peer target, against *pool) error {
	d.pool.fresh = fresh
	all := []contestant{{"portcullis", func() (measured, error) { return flood(d.x.target(), decisionWorkers, b.round, d.pool.step()) }}}
	if against != nil {
		against.fresh = fresh
		all = append(all, contestant{"opa", func() (measured, error) { return flood(peer, decisionWorkers, b.round, against.step()) }})
	}
	if err := d.pool.seen(d.x.target()); err != nil {
		return err
	}
	for _, c := range all { // each once before it counts
		if _, err := c.run(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	hits, asked := d.hits()
	rounds, err := b.turns(all...)
	if err != nil {
		return err
	}
	hitsNow, askedNow := d.hits()
	r := compared(what, "req/s", rounds[0], nil, measured.rate)
	if against != nil {
		r = compared(what, "req/s", rounds[0], rounds[1], measured.rate).atLeast(least)
	}
	s.add(r)
	if d.x.cache > 0 {
		s.note("%s: hit rate %.1f %%", what, 100*(hitsNow-hits)/max(1, askedNow-asked))
	}
	return nil
}

// arrivalRow is the latency at a fixed rate.
func (b *bench) arrivalRow(s *section, d *decider, peer target, against *pool) error {
	const rate = 2000
	d.pool.fresh = 0
	all := []contestant{{"portcullis", func() (measured, error) { return arrivals(d.x.target(), decisionWorkers, rate, b.round, d.pool.step()) }}}
	if against != nil {
		against.fresh = 0
		all = append(all, contestant{"opa", func() (measured, error) { return arrivals(peer, decisionWorkers, rate, b.round, against.step()) }})
	}
	rounds, err := b.turns(all...)
	if err != nil {
		return err
	}
	what := "p99 at 2,000/s, cache off"
	if d.x.cache > 0 {
		what = "p99 at 2,000/s, all shapes repeat"
	}
	p99 := func(m measured) float64 { return m.p99.Seconds() * 1000 }
	r := compared(what, "ms", rounds[0], nil, p99)
	if against != nil {
		r = compared(what, "ms", rounds[0], rounds[1], p99)
	}
	s.add(r.atMost(3))
	return nil
}
