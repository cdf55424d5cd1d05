package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	tokenWorkers    = 16
	loginsPerWorker = 32 // a login may refresh three hundred times at once and once a second then
)

// tokenServer is a contestant at the token endpoints. Its answers are checked the same way.
type tokenServer struct {
	name   string
	host   string // what Host says
	at     func() target
	codes  func(count int) ([]string, error)
	asking string // the path of introspection
	who    string // the header of the resource that asks
}

// oidcProvider runs the peer.
func (b *bench) oidcProvider() (*tokenServer, error) {
	p, err := launch(b.oidc, "peer", []string{"NODE_ENV=production"}, b.node, "peer.mjs")
	if err != nil {
		return nil, err
	}
	b.onExit(p.stop)
	address := ""
	err = p.until("it was ready", func() bool {
		text, err := os.ReadFile(p.log)
		if err != nil || !bytes.HasPrefix(text, []byte("listening on ")) || !bytes.Contains(text, []byte("\n")) {
			return false
		}
		line, _, _ := strings.Cut(string(text), "\n")
		address = "127.0.0.1:" + strings.TrimPrefix(line, "listening on ")
		return true
	})
	return &tokenServer{name: "oidc-provider", host: address, at: func() target { return target{address, p.pid()} }, asking: "/token/introspection",
		codes: func(count int) ([]string, error) { return oidcCodes(address, count, "jwt") },
		who:   "Authorization: Basic b2ZmaWNlOm9mZmljZS1zZWNyZXQtMDEyMzQ1Njc4OQ=="}, err
}

// oidcCodes lets the peer make codes itself.
func oidcCodes(address string, count int, format string) ([]string, error) {
	answer, err := http.Post("http://"+address+"/bench/codes", kindJSON, strings.NewReader(fmt.Sprintf(`{"count":%d,"format":%q}`, count, format)))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	var out []string
	return out, json.Unmarshal(text, &out)
}

// ours is a site as a contestant; its codes come from people with browsers.
func (x *site) tokenServer() (*tokenServer, error) {
	all, err := x.everybody()
	return &tokenServer{name: "portcullis", host: issuerHost, at: x.target, asking: "/introspect", who: "Authorization: Bearer " + secret,
		codes: func(count int) ([]string, error) { return codes(all, count) }}, err
}

// exchanges is a round of redeeming codes, a fixed number of them.
func (s *tokenServer) exchanges(count int) (measured, error) {
	fresh, err := s.codes(count)
	if err != nil {
		return measured{}, err
	}
	requests := make([][]byte, count)
	for i, code := range fresh {
		requests[i] = exchangeRequest(s.host, code)
	}
	var next atomic.Int64
	m, err := flood(s.at(), tokenWorkers, time.Minute, func(_ int, c *connection) error {
		n := int(next.Add(1) - 1)
		if n >= count {
			return errDone
		}
		_, err := issue(c, requests[n])
		return err
	})
	if err == nil && m.requests != count {
		err = fmt.Errorf("%d of %d codes were redeemed", m.requests, count)
	}
	return m, err
}

// chains redeems codes for each worker and returns what refreshes them, each in turn.
func (s *tokenServer) chains() (step, error) {
	const logins = tokenWorkers * loginsPerWorker
	fresh, err := s.codes(logins)
	if err != nil {
		return nil, err
	}
	tokens := make([]string, logins)
	err = parallel(logins, tokenWorkers, func(i int) error {
		c, err := dial(s.at().address)
		if err != nil {
			return err
		}
		defer c.Close()
		t, err := issue(c, exchangeRequest(s.host, fresh[i]))
		tokens[i] = t.Refresh
		return err
	})
	turns := make([]int, tokenWorkers)
	return func(worker int, c *connection) error {
		mine := &tokens[turns[worker]%loginsPerWorker*tokenWorkers+worker]
		turns[worker]++
		t, err := issue(c, refreshRequest(s.host, *mine, ""))
		if err == nil && t.Refresh == *mine {
			err = fmt.Errorf("the refresh token was not rotated")
		}
		*mine = t.Refresh
		return err
	}, err
}

// introspections asks about tokens, one after the other and again from the beginning.
func (s *tokenServer) introspections(tokens []string) step {
	requests := make([][]byte, len(tokens))
	for i, token := range tokens {
		requests[i] = introspectRequest(s, token)
	}
	var next atomic.Int64
	return func(_ int, c *connection) error {
		n := int(next.Add(1) - 1)
		status, body, err := c.do(requests[n%len(requests)])
		if err != nil {
			return err
		}
		return want(status, http.StatusOK, body, bytes.Contains(body, []byte(`"active":true`)))
	}
}

func introspectRequest(s *tokenServer, token string) []byte {
	return post(s.host, s.asking, kindForm, []string{s.who}, url.Values{"token": {token}}.Encode())
}

// opaqueTokens are access tokens of the peer that it can introspect.
func (s *tokenServer) opaqueTokens(count int) ([]string, error) {
	fresh, err := oidcCodes(s.host, count, "opaque")
	if err != nil {
		return nil, err
	}
	out := make([]string, count)
	return out, parallel(count, tokenWorkers, func(i int) error {
		c, err := dial(s.host)
		if err != nil {
			return err
		}
		defer c.Close()
		status, body, err := c.do(exchangeRequest(s.host, fresh[i]))
		if err != nil {
			return err
		}
		var t issued
		err = json.Unmarshal(body, &t)
		out[i] = t.Access
		return errorsFirst(err, want(status, http.StatusOK, body, t.Access != ""))
	})
}

// tokens compares the token endpoints with oidc-provider.
func (b *bench) tokens() error {
	s := b.section("Tokens: durable, every token with its audit row and its scope policy; peer: oidc-provider in memory")
	set := standard()
	set.tools = 100 // the consent page, which every code comes from, names them all
	x, err := b.serve("tokens", set)
	if err != nil {
		return err
	}
	ours, err := x.tokenServer()
	if err != nil {
		return err
	}
	all := []*tokenServer{ours}
	if b.oidc != "" {
		peer, err := b.oidcProvider()
		if err != nil {
			return err
		}
		all = append(all, peer)
	}
	s.note("%d connections; public client, PKCE, ES256 JWTs, rotation; NODE_ENV=production, store: a Map; nobody mints an id_token", tokenWorkers)
	s.note("introspection: %d tokens in turn; ours are JWTs, the peer's are opaque because it introspects no JWT", b.distinct())
	for _, row := range []func(*section, *site, []*tokenServer) error{b.exchangeRow, b.refreshRow, b.introspectionRow} {
		if err := row(s, x, all); err != nil {
			return err
		}
	}
	commits, err := x.metric("portcullis_storage_commits_total", "")
	if err != nil {
		return err
	}
	groups, err := x.metric("portcullis_storage_groups_total", "")
	if err != nil {
		return err
	}
	s.note("%.0f commits shared %.0f fsyncs; RSS %.0f MB, highest %.0f MB", commits, groups, memory(x.process.pid(), "VmRSS"), memory(x.process.pid(), "VmHWM"))
	return nil
}

// raced lets all contestants run in turns, each once before it counts, and makes the row.
func (b *bench) raced(s *section, what string, least float64, servers []*tokenServer, run []func() (measured, error)) error {
	var all []contestant
	for i, server := range servers {
		if _, err := run[i](); err != nil {
			return fmt.Errorf("%s, %s: %w", what, server.name, err)
		}
		all = append(all, contestant{what + ", " + server.name, run[i]})
	}
	rounds, err := b.turns(all...)
	if err != nil {
		return err
	}
	if len(rounds) == 1 {
		s.add(compared(what, "req/s", rounds[0], nil, measured.rate))
		return nil
	}
	s.add(compared(what, "req/s", rounds[0], rounds[1], measured.rate).atLeast(least))
	return nil
}

func (b *bench) exchangeRow(s *section, _ *site, all []*tokenServer) error {
	count := 2048
	if b.quick {
		count = 128
	}
	var run []func() (measured, error)
	for _, server := range all {
		run = append(run, func() (measured, error) { return server.exchanges(count) })
	}
	return b.raced(s, "code exchange", 1, all, run)
}

func (b *bench) refreshRow(s *section, x *site, all []*tokenServer) error {
	before, err := x.auditRows("token.refreshed")
	if err != nil {
		return err
	}
	answered := 0
	var run []func() (measured, error)
	for i, server := range all {
		do, err := server.chains()
		if err != nil {
			return err
		}
		run = append(run, func() (measured, error) {
			m, err := flood(server.at(), tokenWorkers, b.round, do)
			if i == 0 {
				answered += m.requests
			}
			return m, err
		})
	}
	if err := b.raced(s, "refresh with rotation", 1, all, run); err != nil {
		return err
	}
	rows, err := x.auditRows("token.refreshed")
	if err == nil && rows-before != answered {
		err = fmt.Errorf("%d refreshes were answered, but the audit has %d rows", answered, rows-before)
	}
	return err
}

func (b *bench) introspectionRow(s *section, x *site, all []*tokenServer) error {
	var run []func() (measured, error)
	for i, server := range all {
		mint := func() ([]string, error) { return b.accessTokens(x, b.distinct()) }
		if i > 0 {
			mint = func() ([]string, error) { return server.opaqueTokens(b.distinct()) }
		}
		tokens, err := mint()
		if err != nil {
			return err
		}
		do := server.introspections(tokens)
		run = append(run, func() (measured, error) { return flood(server.at(), tokenWorkers, b.round, do) })
	}
	return b.raced(s, "introspection", 4, all, run)
}
