package fetch

import (
	"strings"
	"sync"
)

// Share tells whose document is fetched. Strangers choose addresses, also slow ones, and must not be able to hold every fetch at once.
type Share int

// The two shares.
const (
	Stranger Share = iota // nobody here has used the document yet
	Known                 // a client that people use
)

// How many fetches run at the same time, so that neither strangers nor one host take them all.
const (
	maxParallel      = 16
	maxStrangers     = 12
	maxPerHost       = 4
	strangersPerHost = 2
)

// slots counts the running fetches.
type slots struct {
	mu             sync.Mutex
	all, strangers int
	hosts          map[string]int
}

func newSlots() *slots { return &slots{hosts: map[string]int{}} }

// take begins a fetch from a host. When there is no room for it ok is false; else done must be called at its end.
func (s *slots) take(host string, whose Share) (done func(), ok bool) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	stranger, most := 0, maxPerHost
	if whose != Known {
		stranger, most = 1, strangersPerHost
	}
	if s.all >= maxParallel || stranger == 1 && s.strangers >= maxStrangers || s.hosts[host] >= most {
		return nil, false
	}
	s.all++
	s.strangers += stranger
	s.hosts[host]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		s.strangers -= stranger
		if s.hosts[host]--; s.hosts[host] == 0 {
			delete(s.hosts, host)
		}
	}, true
}
