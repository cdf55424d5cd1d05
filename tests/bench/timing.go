package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

// timing looks for answers that tell by their time what their text hides. Every kind of question is asked in turns with the
// others; the control is the same kind under another name, so its difference is what chance alone makes.
func (b *bench) timing() error {
	s := b.section("Answer times: medians in microseconds; peer: the kind it must look like; control: that kind against itself")
	if err := b.loginTiming(s); err != nil {
		return err
	}
	return b.introspectionTiming(s)
}

// kind is one kind of question.
type kind struct {
	name string
	ask  func(i int) error
}

// alternate asks all kinds in random order, time after time, and returns their times in microseconds.
func alternate(count int, kinds []kind) ([][]float64, error) {
	times := make([][]float64, len(kinds))
	for i := range count {
		for _, k := range rand.Perm(len(kinds)) {
			begun := time.Now()
			if err := kinds[k].ask(i); err != nil {
				return nil, fmt.Errorf("%s: %w", kinds[k].name, err)
			}
			times[k] = append(times[k], float64(time.Since(begun).Microseconds()))
		}
	}
	return times, nil
}

// compare adds a row for each kind against the last one. The first of them must be the control, the same as the last.
func (s *section) compare(kinds []kind, times [][]float64, allowed float64) {
	last := len(kinds) - 1
	for k := range last {
		peer := quartiles(times[last])
		r := row{What: kinds[k].name, Unit: "us", Ours: quartiles(times[k]), Peer: &peer, Ratio: median(times[k]) / median(times[last])}
		if allowed > 0 {
			difference := median(times[k]) - median(times[last])
			r = r.judged(fmt.Sprintf("< %g us", allowed), max(difference, -difference) < allowed)
		}
		s.add(r)
	}
}

// quartiles is the median with the middle half.
func quartiles(values []float64) spread {
	q := spreadOf(values)
	q.Min, q.Max = median(below(values, q.Median)), median(above(values, q.Median))
	return q
}

func below(values []float64, limit float64) (out []float64) {
	for _, v := range values {
		if v <= limit {
			out = append(out, v)
		}
	}
	return out
}

func above(values []float64, limit float64) (out []float64) {
	for _, v := range values {
		if v >= limit {
			out = append(out, v)
		}
	}
	return out
}

// loginTiming compares a wrong password of somebody who is there with names that nobody has (facts U18). Every try is of another
// name, because the second one would be delayed.
func (b *bench) loginTiming(s *section) error {
	tries := 200
	if b.quick {
		tries = 10
	}
	set := standard()
	set.tools, set.people = 10, tries
	cmd := exec.Command(b.program, "user", "hash")
	cmd.Stdin = strings.NewReader(password + "\n")
	hash, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("user hash: %w", err)
	}
	set.hash = strings.TrimSpace(string(hash))
	x, err := b.serve("login", set)
	if err != nil {
		return err
	}
	try := func(name string, block int) kind {
		return kind{name: name, ask: func(i int) error { return x.wrongLogin(fmt.Sprintf(name, i), block, i) }}
	}
	kinds := []kind{try("nobody-%d", 1), try("p%d", 2), try("stranger-%d", 3)}
	times, err := alternate(tries, kinds)
	if err != nil {
		return err
	}
	kinds[0].name, kinds[1].name = "login, control", "login, wrong password of a user"
	s.note("login: %d tries of each, argon2id with its default cost; between the brackets is the middle half", tries)
	s.compare(kinds, times, 2000)
	return nil
}

// wrongLogin posts a wrong password. The page before it is not part of the time that matters, but the same for all.
func (x *site) wrongLogin(name string, block, i int) error {
	p, err := x.person(block*1000 + i)
	if err != nil {
		return err
	}
	p.legs = 0
	_, page, err := p.send("GET", "/ui/login", nil, http.StatusOK)
	if err != nil {
		return err
	}
	_, _, err = p.send("POST", "/ui/login", url.Values{"form_token": {formToken(page)}, "username": {name}, "password": {"wrong"}}, http.StatusForbidden)
	return err
}

// introspectionTiming compares tokens that are not alive (facts I3), and wrong secrets that begin right with others.
func (b *bench) introspectionTiming(s *section) error {
	set := standard()
	set.tools, set.accessTTL = 10, "1m"
	x, err := b.serve("introspection", set)
	if err != nil {
		return err
	}
	t, err := x.tokenServer()
	if err != nil {
		return err
	}
	count := 2000
	if b.quick {
		count = 20
	}
	expired, err := b.accessTokens(x, x.people)
	if err != nil {
		return err
	}
	if !b.quick {
		time.Sleep(95 * time.Second) // a minute, and what clocks may differ by
	}
	revoked, err := b.accessTokens(x, x.people)
	if err != nil {
		return err
	}
	c, err := dial(x.address)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, token := range revoked {
		if status, body, err := c.do(post(issuerHost, "/revoke", kindForm, nil, url.Values{"client_id": {"cli"}, "token": {token}}.Encode())); err != nil || status != http.StatusOK {
			return fmt.Errorf("revoke: %d %s %w", status, body, err)
		}
	}
	for _, token := range append(revoked, expired...) { // each was seen before, or the first kind that asks would pay for the others
		if _, _, err := c.do(introspectRequest(t, token)); err != nil {
			return err
		}
	}
	kinds := inactiveKinds(t, c, revoked, expired, !b.quick)
	times, err := alternate(count, kinds)
	if err != nil {
		return err
	}
	s.note("introspection: %d of each kind in random order; every answer is exactly {\"active\":false}; no target", count)
	s.compare(kinds, times, 0)
	return b.secretTiming(s, t, x, count)
}

// inactiveKinds are the tokens that must all look alike, the revoked ones last: they are what the others are compared with.
func inactiveKinds(t *tokenServer, c *connection, revoked, expired []string, waited bool) []kind {
	ask := func(name string, token func(i int) string) kind {
		return kind{name, func(i int) error {
			status, body, err := c.do(introspectRequest(t, token(i)))
			if err != nil {
				return err
			}
			return want(status, http.StatusOK, body, string(body) == `{"active":false}`)
		}}
	}
	kinds := []kind{ask("introspection, control", func(i int) string { return revoked[i%len(revoked)] })}
	if waited {
		kinds = append(kinds, ask("introspection, expired", func(i int) string { return expired[i%len(expired)] }))
	}
	return append(kinds,
		ask("introspection, garbage", func(i int) string { return fmt.Sprintf("%040d", i) }),
		ask("introspection, forged signature", func(i int) string { return forged(revoked[i%len(revoked)], i) }),
		ask("revoked", func(i int) string { return revoked[(i+1)%len(revoked)] }))
}

// forged is a token with another signature, which no cache has seen.
func forged(token string, i int) string { return token[:len(token)-8] + fmt.Sprintf("%06dAA", i) }

// secretTiming compares wrong secrets by how much of them is right. The address changes, because wrong ones are limited by it.
func (b *bench) secretTiming(s *section, t *tokenServer, x *site, count int) error {
	c, err := dial(x.address)
	if err != nil {
		return err
	}
	defer c.Close()
	ask := func(name string, block int, wrong string) kind {
		return kind{name, func(i int) error {
			from := fmt.Sprintf("X-Forwarded-For: 10.%d.%d.%d", block, i/250+1, i%250+1)
			status, body, err := c.do(post(t.host, t.asking, kindForm, []string{"Authorization: Bearer " + wrong, from}, "token=x"))
			if err != nil {
				return err
			}
			return want(status, http.StatusUnauthorized, body, true)
		}}
	}
	kinds := []kind{ask("secret, control", 101, strings.Repeat("x", len(secret))), ask("secret, all but the last character", 102, secret[:len(secret)-1]+"x"),
		ask("all wrong", 103, strings.Repeat("y", len(secret)))}
	times, err := alternate(count, kinds)
	if err != nil {
		return err
	}
	s.note("wrong secrets of a resource: %d of each; no target", count)
	s.compare(kinds, times, 0)
	return nil
}
