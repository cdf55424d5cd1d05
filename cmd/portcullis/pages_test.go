package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"portcullis/storage"
)

// A large database that cannot be looked through at the moment is not called damaged and does not end the server: it is tried again. Damage ends it.
func TestOnlyDamageEndsTheServer(t *testing.T) {
	busy, damaged := errors.New("database is locked"), fmt.Errorf("%w: page 7", storage.ErrCorrupt)
	for name, c := range map[string]struct {
		found      []error // by each look
		stopped    bool
		says, hush string
	}{
		"whole":               {[]error{nil}, false, "", "damaged"},
		"out of reach":        {[]error{busy, busy, nil}, false, "database is locked", "damaged"},
		"damaged":             {[]error{damaged}, true, "damaged", "looked through"},
		"out of reach before": {[]error{busy, damaged}, true, "damaged", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedBuffer
				looks, stopped := 0, false
				err := lookThrough(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), func() { stopped = true }, func(context.Context) error {
					looks++
					return c.found[looks-1]
				})
				if looks != len(c.found) || stopped != c.stopped || errors.Is(err, storage.ErrCorrupt) != c.stopped || (err == nil) == c.stopped {
					t.Errorf("%d looks, stopped %v, %v", looks, stopped, err)
				}
				if text := log.String(); !strings.Contains(text, c.says) || c.hush != "" && strings.Contains(text, c.hush) {
					t.Errorf("log %s", text)
				}
			})
		})
	}
	ctx, end := context.WithCancel(t.Context())
	err := lookThrough(ctx, slog.New(slog.DiscardHandler), func() { t.Error("stopped") }, func(context.Context) error { end(); return busy })
	if err != nil {
		t.Errorf("while the server ends: %v", err)
	}
}
