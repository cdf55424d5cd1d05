package oauth

import (
	"sync"
	"time"
)

// failureKeys are the two counters of a login: the person at one place, and the person anywhere. They are hashed, or a
// password typed into the wrong field would be kept.
func failureKeys(name, ip string) [2]string {
	return [2]string{"place:" + hexOf(HashSecret(name+"|"+AddressBlock(ip, 24))), "user:" + hexOf(HashSecret(name))}
}

// loginDelay grows with the failures and never locks for good: at one place up to 15 minutes, for a person anywhere up to
// 5 seconds, so that a stranger cannot keep the owner out (DESIGN §9).
func loginDelay(failures, counter int) time.Duration {
	free, longest := 3, 15*time.Minute
	if counter == 1 {
		free, longest = 10, 5*time.Second
	}
	if failures <= free {
		return 0
	}
	return min(time.Second<<min(failures-free-1, 20), longest)
}

// turns lets one login per name run at a time, or parallel guesses would all read the counter before any writes it.
type turns struct {
	mu    sync.Mutex
	names map[string]*turn
}

type turn struct {
	running sync.Mutex
	callers int
}

// maxWaiting logins of one name may wait for their turn.
const maxWaiting = 8

// take waits for the name's turn; false when too many wait already.
func (t *turns) take(name string) (done func(), ok bool) {
	t.mu.Lock()
	x := t.names[name]
	if x == nil {
		x = &turn{}
		t.names[name] = x
	}
	if x.callers > maxWaiting {
		t.mu.Unlock()
		return nil, false
	}
	x.callers++
	t.mu.Unlock()
	x.running.Lock()
	return func() {
		x.running.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if x.callers--; x.callers == 0 {
			delete(t.names, name)
		}
	}, true
}
