package oauth

import (
	"context"
	"math"
	"sync"
	"time"
)

// Limiter is a token bucket per key. It keeps a bounded number of keys; the one that was quiet the longest is forgotten
// first and begins anew. It lives in memory, so every process counts for itself.
type Limiter struct {
	mu      sync.Mutex
	rate    float64 // tokens per second
	burst   float64
	buckets *lru[string, bucket]
}

type bucket struct {
	tokens float64
	at     time.Time
}

// NewLimiter allows burst events of one key at once and count events every per in the long run.
func NewLimiter(count int, per time.Duration, burst, maxKeys int) *Limiter {
	if count < 1 || per <= 0 || burst < 1 {
		panic("oauth: a limiter needs a positive rate and burst")
	}
	return &Limiter{rate: float64(count) / per.Seconds(), burst: float64(burst), buckets: newLRU[string, bucket](maxKeys)}
}

// Allow takes one event of the key. When there is none left, retryAfter says when there will be one, in whole seconds.
func (l *Limiter) Allow(key string) (ok bool, retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.now(key)
	if b.tokens < 1 {
		return false, l.wait(b)
	}
	b.tokens--
	l.buckets.Put(key, b)
	return true, 0
}

// Check tells what Allow would answer and takes nothing.
func (l *Limiter) Check(key string) (ok bool, retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.now(key)
	if b.tokens < 1 {
		return false, l.wait(b)
	}
	return true, 0
}

// now is the key's bucket at this moment.
func (l *Limiter) now(key string) bucket {
	at := time.Now()
	b, ok := l.buckets.Get(key)
	if !ok {
		return bucket{tokens: l.burst, at: at}
	}
	if passed := at.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = math.Min(l.burst, b.tokens+passed*l.rate)
	}
	b.at = at
	return b
}

func (l *Limiter) wait(b bucket) time.Duration {
	return time.Duration(math.Ceil((1-b.tokens)/l.rate)) * time.Second
}

// limitedAddress is the address that a request is counted under.
func limitedAddress(ctx context.Context) string { return AddressBlock(RequestFrom(ctx).IP, 32) }
