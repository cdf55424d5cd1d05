package oauth

import "sync"

// turns lets one caller per name run at a time, where parallel ones would all read a counter before any writes it.
type turns struct {
	waiting int // how many of one name may wait
	mu      sync.Mutex
	names   map[string]*turn
}

type turn struct {
	running sync.Mutex
	callers int
}

func newTurns(waiting int) *turns { return &turns{waiting: waiting, names: map[string]*turn{}} }

// take waits for the name's turn; false when too many wait already.
func (t *turns) take(name string) (done func(), ok bool) {
	t.mu.Lock()
	x := t.names[name]
	if x == nil {
		x = &turn{}
		t.names[name] = x
	}
	if x.callers > t.waiting {
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
