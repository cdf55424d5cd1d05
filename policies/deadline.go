package policies

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// maxAbandoned is how many evaluations may go on after the backstop before new ones are refused.
const maxAbandoned = 8

// maxWait is how long an evaluation may wait for a slot.
const maxWait = time.Second

// guard runs one evaluation. From its begin it never takes longer than twice the deadline: at the deadline it asks the evaluation to
// stop, and at the double it goes on without it. The goroutine cannot be ended, so those are counted, and when
// there are too many no new ones begin.
func (e *Engine) guard(evaluation func() result, stop func()) result {
	leave, err := e.enter()
	if err != nil {
		return result{err: err}
	}
	defer leave()
	return e.within(e.deadline, &e.abandoned, evaluation, stop)
}

// enter waits until an evaluation may begin. leave must be called after it.
func (e *Engine) enter() (leave func(), err error) {
	if e.abandoned.Load() >= maxAbandoned {
		return nil, fmt.Errorf("refused: %d evaluations have not stopped at their deadline", maxAbandoned)
	}
	if !e.takeSlot() {
		return nil, fmt.Errorf("refused: no evaluation could begin within %s", maxWait)
	}
	return func() { <-e.slots }, nil
}

// within runs an evaluation that was let in, up to twice the limit.
func (e *Engine) within(limit time.Duration, abandoned *atomic.Int32, evaluation func() result, stop func()) result {
	done := make(chan result, 1)
	go func() {
		defer func() {
			if recover() != nil { // what panicked may hold values of the input
				done <- result{err: errors.New("the evaluation panicked")}
			}
		}()
		growStack(false)
		done <- evaluation()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r
	case <-timer.C:
	case <-e.ended:
	}
	stop()
	timer.Reset(limit)
	select {
	case r := <-done:
		return r // as a rule the error that it was stopped
	case <-timer.C:
	}
	abandoned.Add(1)
	go func() {
		<-done
		abandoned.Add(-1)
	}()
	return result{err: fmt.Errorf("the evaluation did not stop %s after its deadline and was abandoned", limit)}
}

// stackRoom is what ordinary evaluations need of a stack, in bytes: OPA recurses deeply.
const stackRoom = 64 << 10

// growStack makes the stack of a new goroutine large at once, while there is nothing on it to copy. Growing step by step in the depth
// of an evaluation took a third of its time.
//
// The room itself is never touched: to clear it took as long as the growing.
//
//go:noinline
func growStack(touched bool) byte {
	if !touched {
		return 0 // the stack has the size of this function's frame already
	}
	var room [stackRoom]byte
	return touch(&room)
}

//go:noinline
func touch(room *[stackRoom]byte) byte { return room[len(room)-1] }

// takeSlot waits until a core is likely to be free. Without it a burst of calls would share the cores, and the
// deadline of each would count the others' work.
func (e *Engine) takeSlot() bool {
	select {
	case e.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case e.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

// DefaultDeadline is how long one evaluation may take unless Config says otherwise.
const DefaultDeadline = 50 * time.Millisecond
