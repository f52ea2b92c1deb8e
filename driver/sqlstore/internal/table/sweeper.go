package table

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// SweepRows is how many rows one statement of a sweep may remove.
	SweepRows = 1000
	// sweepPause lies between the statements of one sweep: others get their turn.
	sweepPause = 10 * time.Millisecond
	// sweepTimeout bounds each statement.
	sweepTimeout = 10 * time.Second
)

// A Sweeper removes rows that have expired, in the background. Nobody sees them: it is about room alone, and what fails now is
// done in the next round.
type Sweeper struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Sweep begins a round about once in every, at times that differ from process to process. step removes up to [SweepRows] and
// returns how many it removed; a round goes on while it removes that many.
func Sweep(every time.Duration, step func(ctx context.Context) (int, error)) *Sweeper {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sweeper{cancel: cancel}
	s.done.Go(func() {
		for wait(ctx, every/2+rand.N(every)) {
			for more := true; more; more = more && wait(ctx, sweepPause) {
				more = bounded(ctx, step) >= SweepRows
			}
		}
	})
	return s
}

// bounded takes one step.
func bounded(ctx context.Context, step func(context.Context) (int, error)) int {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	n, err := step(ctx)
	if err != nil {
		return 0
	}
	return n
}

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Stop ends the sweeper and a statement under way, and returns when it has ended.
func (s *Sweeper) Stop() {
	s.cancel()
	s.done.Wait()
}
