package historytest

import (
	"sync"
	"time"
)

const (
	lagEvery = 2 * time.Millisecond
	leastLag = 2 * time.Millisecond
)

// A lag knows when the machine was too busy to let this process run: a timer went off late then. A call that comes back late because
// of that is not to be blamed.
type lag struct {
	start time.Time // of the round

	mu    sync.Mutex
	spans []span
}

// watch notes how late timers go off until stop is closed.
func (l *lag) watch(stop <-chan struct{}) {
	for {
		due := time.Since(l.start) + lagEvery
		select {
		case <-stop:
			return
		case <-time.After(lagEvery):
		}
		if now := time.Since(l.start); now-due >= leastLag {
			l.mu.Lock()
			l.spans = append(l.spans, span{from: due, to: now})
			l.mu.Unlock()
		}
	}
}

// within returns how much of the time between two moments the process could not run.
func (l *lag) within(from, to time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum time.Duration
	for _, s := range l.spans {
		sum += max(0, min(s.to, to)-max(s.from, from))
	}
	return sum
}
