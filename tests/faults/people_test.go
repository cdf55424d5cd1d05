package faults

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// atOnce is how many people are under way at a time: more logins would wait for hashing slots in vain.
const atOnce = 24

// TestEverybodyGetsTheOwnToken: U23: under load no answer is mixed up with another person's. Every token's sub belongs to the person who
// logged in, in the token itself, in introspection, on the account page and in the audit.
func TestEverybodyGetsTheOwnToken(t *testing.T) {
	n := number("users")
	s := newSite(t, n)
	p := s.start()
	subjects := make([]map[string]bool, n)
	owner := map[string]string{} // jti → person
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		subjects[i] = map[string]bool{}
		for round, client := range []string{"cli", "web"} {
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				person := s.person(i)
				person.from = fmt.Sprintf("10.%d.%d.%d", 3+round, i/250, i%250+1)
				tokens, err := person.connect(client)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("%s with %s: %v", person.name, client, err)
				}
				for _, told := range tokens {
					subjects[i][told.Subject] = true
					owner[told.JTI] = person.name
				}
			})
		}
	}
	all.Wait()
	if t.Failed() {
		return
	}
	seen := map[string]int{}
	for i, of := range subjects {
		for subject := range of {
			if other, there := seen[subject]; there || len(of) != 1 {
				t.Errorf("p%d and p%d: %v", i, other, of)
			}
			seen[subject] = i
		}
	}
	tokens := len(owner)
	checkOwners(t, s, owner, n)
	p.stop()
	t.Logf("%d people, %d tokens", n, tokens)
}

// checkOwners compares the tokens with the audit.
func checkOwners(t *testing.T, s *site, owner map[string]string, people int) {
	t.Helper()
	if want := people * 4; len(owner) != want {
		t.Errorf("%d different tokens, want %d", len(owner), want)
	}
	for _, r := range s.audit(0) {
		if r.JTI == "" {
			continue
		}
		if owner[r.JTI] != r.Username {
			t.Errorf("row %d: the token of %s was issued to %q", r.Seq, r.Username, owner[r.JTI])
		}
		delete(owner, r.JTI)
	}
	if len(owner) != 0 {
		t.Errorf("%d tokens have no audit row", len(owner))
	}
	s.verify()
}

// connect gets two access tokens and checks whose they are.
func (p *person) connect(client string) ([]claims, error) {
	code, err := p.code(client)
	if err != nil {
		return nil, err
	}
	first := patiently(func() *call { return p.s.exchange(client, code) })
	if err := first.want(http.StatusOK); err != nil {
		return nil, err
	}
	second := patiently(func() *call { return p.s.refresh(client, first.text("refresh_token")) })
	if err := second.want(http.StatusOK); err != nil {
		return nil, err
	}
	var all []claims
	for _, c := range []*call{first, second} {
		told, err := claimsOf(c.text("access_token"))
		if err != nil {
			return nil, err
		}
		said := p.s.introspect(c.text("access_token"))
		if said.text("username") != p.name || said.text("sub") != told.Subject || said.text("client_id") != client || told.Client != client || told.Audience != resource {
			return nil, fmt.Errorf("the token says %+v: %w", told, &unexpected{said})
		}
		all = append(all, told)
	}
	at, err := p.see("account", "/ui/account")
	if err != nil {
		return nil, err
	}
	if !strings.Contains(at.body, "<bdi>"+p.name+"</bdi>") && !strings.Contains(at.body, ">"+p.name+"<") {
		return nil, fmt.Errorf("the account page does not name %s:\n%s", p.name, at.body)
	}
	return all, nil
}
