package oauth

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLRUForgetsTheLeastRecentlyUsed(t *testing.T) {
	c := newLRU[string, int](2)
	c.Put("a", 1)
	c.Put("b", 2)
	if v, ok := c.Get("a"); !ok || v != 1 {
		t.Fatalf("a is %d, %v", v, ok)
	}
	c.Put("c", 3)
	if _, ok := c.Get("b"); ok || c.Len() != 2 {
		t.Errorf("b is still there, or %d values", c.Len())
	}
	c.Put("a", 4)
	if v, _ := c.Get("a"); v != 4 || c.Len() != 2 {
		t.Errorf("a is %d of %d values", v, c.Len())
	}
	c.Remove("a")
	c.Remove("a")
	if _, ok := c.Get("a"); ok || c.Len() != 1 {
		t.Errorf("a was not removed, or %d values", c.Len())
	}
}

func TestLimiterAllowsTheBurstAndThenTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(6, time.Minute, 3, 10)
		for i := range 3 {
			if ok, _ := l.Allow("a"); !ok {
				t.Fatalf("event %d of the burst was refused", i)
			}
		}
		for range 5 {
			if ok, after := l.Allow("a"); ok || after != 10*time.Second {
				t.Fatalf("beyond the burst: %v, retry after %v", ok, after)
			}
		}
		if ok, _ := l.Allow("b"); !ok {
			t.Error("another key was refused")
		}
		time.Sleep(9 * time.Second)
		if ok, after := l.Check("a"); ok || after != time.Second {
			t.Errorf("after 9 s: %v, retry after %v", ok, after)
		}
		time.Sleep(time.Second)
		if ok, _ := l.Check("a"); !ok {
			t.Error("after 10 s Check refuses")
		}
		if ok, _ := l.Allow("a"); !ok {
			t.Error("after 10 s Allow refuses, so Check took the event")
		}
		if ok, _ := l.Allow("a"); ok {
			t.Error("one token was given twice")
		}
		time.Sleep(time.Hour)
		for i := range 3 {
			if ok, _ := l.Allow("a"); !ok {
				t.Errorf("event %d after an hour was refused", i)
			}
		}
		if ok, _ := l.Allow("a"); ok {
			t.Error("an hour filled the bucket over its burst")
		}
	})
}

func TestLimiterKeepsABoundedNumberOfKeys(t *testing.T) {
	l := NewLimiter(1, time.Hour, 1, 100)
	for i := range 10000 {
		l.Allow(strconv.Itoa(i))
	}
	if n := l.buckets.Len(); n != 100 {
		t.Errorf("%d keys", n)
	}
}

func TestLimiterCountsExactlyUnderConcurrency(t *testing.T) {
	l := NewLimiter(1, time.Hour, 50, 10)
	var wg sync.WaitGroup
	var mu sync.Mutex
	allowed := 0
	for range 200 {
		wg.Go(func() {
			if ok, _ := l.Allow("a"); ok {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if allowed != 50 {
		t.Errorf("%d allowed, want 50", allowed)
	}
}
