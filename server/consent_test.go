package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/oauth"
)

func TestDoubleSubmitGetsOneAnswer(t *testing.T) {
	r, calls := newRepeats(), atomic.Int32{}
	answer := func(context.Context) (oauth.Step, error) {
		calls.Add(1)
		time.Sleep(10 * time.Millisecond)
		return oauth.RedirectStep{URL: "https://app.example/cb?code=1"}, nil
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			step, err := r.once(t.Context(), "k", answer)
			if err != nil || step.(oauth.RedirectStep).URL != "https://app.example/cb?code=1" {
				t.Errorf("%v %v", step, err)
			}
		})
	}
	wg.Wait()
	if calls.Load() != 1 {
		t.Errorf("answered %d times", calls.Load())
	}
}

func TestFirstClickGoesOnWhenItsConnectionEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newRepeats().once(ctx, "k", func(ctx context.Context) (oauth.Step, error) { return oauth.RedirectStep{}, ctx.Err() })
	if err != nil {
		t.Error("the second click would get the first one's cancellation:", err)
	}
}

func TestAnswersAreForgottenAndErrorsNeverKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, calls := newRepeats(), 0
		count := func(context.Context) (oauth.Step, error) {
			calls++
			if calls == 1 {
				return nil, errors.New("busy")
			}
			return oauth.RedirectStep{}, nil
		}
		for range 3 {
			_, _ = r.once(t.Context(), "k", count)
		}
		if calls != 2 {
			t.Errorf("%d calls, want the failed one and one more", calls)
		}
		time.Sleep(rememberFor + time.Second)
		_, _ = r.once(t.Context(), "k", count)
		if calls != 3 {
			t.Errorf("%d calls: an answer was remembered too long", calls)
		}
	})
}

func TestOnlyEqualAnswersShareAResult(t *testing.T) {
	browser := oauth.Browser{ID: "b", SessionID: "s"}
	answer := oauth.Answer{FormToken: "t", Allow: true, Scopes: []string{"x", "y"}}
	base := answerKey("i", browser, answer)
	if base != answerKey("i", browser, oauth.Answer{FormToken: "t", Allow: true, Scopes: []string{"y", "x"}}) {
		t.Error("the order of checkboxes must not matter")
	}
	for name, key := range map[string]string{
		"interaction": answerKey("j", browser, answer),
		"browser":     answerKey("i", oauth.Browser{ID: "c", SessionID: "s"}, answer),
		"session":     answerKey("i", oauth.Browser{ID: "b", SessionID: "q"}, answer),
		"token":       answerKey("i", browser, oauth.Answer{FormToken: "u", Allow: true, Scopes: []string{"x", "y"}}),
		"deny":        answerKey("i", browser, oauth.Answer{FormToken: "t", Scopes: []string{"x", "y"}}),
		"scopes":      answerKey("i", browser, oauth.Answer{FormToken: "t", Allow: true, Scopes: []string{"xy"}}),
		"shifted":     answerKey("ib", oauth.Browser{SessionID: "s"}, answer),
	} {
		if key == base {
			t.Errorf("another %s has the same key", name)
		}
	}
}
