package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// M9: strangers and slow hosts take no more than their share of the fetches at the same time.
func TestSharesOfFetches(t *testing.T) {
	type fetch struct {
		host  string
		whose Share
		ok    bool
	}
	repeated := func(n int, whose Share, hosts string, ok bool) (out []fetch) {
		for i := range n {
			host := hosts
			if host == "" {
				host = fmt.Sprintf("h%d.example", i)
			}
			out = append(out, fetch{host, whose, ok})
		}
		return out
	}
	for name, list := range map[string][][]fetch{
		"strangers leave a share free":    {repeated(maxStrangers, Stranger, "", true), repeated(5, Stranger, "another.example", false), repeated(maxPerHost, Known, "known.example", true)},
		"all have an end":                 {repeated(maxParallel, Known, "", true), repeated(1, Known, "another.example", false), repeated(1, Stranger, "another.example", false)},
		"a host has an end":               {repeated(maxPerHost, Known, "slow.example", true), repeated(3, Known, "slow.example", false), repeated(3, Stranger, "slow.example", false), repeated(5, Known, "", true)},
		"strangers' share of a host":      {repeated(strangersPerHost, Stranger, "a.example", true), repeated(3, Stranger, "a.example", false), repeated(maxPerHost-strangersPerHost, Known, "a.example", true), repeated(1, Known, "a.example", false)},
		"another spelling is no other":    {repeated(strangersPerHost, Stranger, "a.example", true), repeated(1, Stranger, "A.EXAMPLE", false), repeated(1, Stranger, "a.example.", false)},
		"known ones take from strangers":  {repeated(maxParallel-1, Known, "", true), repeated(1, Stranger, "x.example", true), repeated(1, Stranger, "y.example", false)},
		"what strangers left is for them": {repeated(maxParallel-maxStrangers, Known, "", true), repeated(maxStrangers, Stranger, "", true)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlots()
			var release []func()
			for _, group := range list {
				for i, f := range group {
					done, ok := s.take(f.host, f.whose)
					if ok != f.ok {
						t.Fatalf("fetch %d of %+v: %v", i, f, ok)
					}
					if ok {
						release = append(release, done)
					}
				}
			}
			for _, done := range release {
				done()
			}
			if s.all != 0 || s.strangers != 0 || len(s.hosts) != 0 {
				t.Errorf("after the end of all fetches %+v", s)
			}
		})
	}
}

// M9: a host that keeps strangers' fetches waiting does not keep a known client's document from being fetched.
func TestASlowHostLeavesAShareForKnownClients(t *testing.T) {
	release := make(chan struct{})
	var waiting atomic.Int32
	client, u, _ := serve(t, Config{Timeout: 5 * time.Second}, func(w http.ResponseWriter, r *http.Request) {
		if waiting.Add(1) <= strangersPerHost {
			<-release
		}
		reply(200, "application/json", "{}")(w, r)
	})
	ended := make(chan struct{}, strangersPerHost)
	for range strangersPerHost {
		go func() {
			_, _ = client.Get(context.Background(), u, Stranger)
			ended <- struct{}{}
		}()
	}
	deadline := time.Now().Add(3 * time.Second)
	for waiting.Load() < strangersPerHost && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	_, err := client.Get(context.Background(), u, Stranger)
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != ReasonBusy || !failed.Temporary() {
		t.Errorf("another stranger: %v", err)
	}
	if _, err := client.Get(context.Background(), u, Known); err != nil {
		t.Errorf("a known client: %v", err)
	}
	close(release)
	for range strangersPerHost {
		<-ended
	}
	if _, err := client.Get(context.Background(), u, Stranger); err != nil {
		t.Errorf("a stranger afterwards: %v", err)
	}
}
