package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// lanes are queues, one for each key that somebody waits for, in which the callers of this process wait for their turn. Whoever
// waits obeys its own deadline, and no code of a user runs in a turn.
type lanes struct {
	mu    sync.Mutex
	byKey map[string]*lane
}

// A lane is the queue of one key.
type lane struct {
	turn  chan struct{} // holds something while it is somebody's turn
	users int           // who wait or have their turn; guarded by lanes.mu
}

func newLanes() *lanes { return &lanes{byKey: map[string]*lane{}} }

// enter waits for a turn with key, which ends when leave is called.
func (ls *lanes) enter(ctx context.Context, key string) (leave func(), err error) {
	l := ls.join(key)
	select {
	case l.turn <- struct{}{}:
		return func() {
			<-l.turn
			ls.quit(key, l)
		}, nil
	case <-ctx.Done():
		ls.quit(key, l)
		return nil, explain(ctx.Err())
	}
}

// join returns the lane of key for one user more.
func (ls *lanes) join(key string) *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byKey[key]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1)}
		ls.byKey[key] = l
	}
	l.users++
	return l
}

// quit takes a user out of a lane, which goes with the last.
func (ls *lanes) quit(key string, l *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(ls.byKey, key)
	}
}

// A backoff is the growing pause of one operation that lost to another writer and is to try again.
type backoff struct {
	window time.Duration // the next pause is shorter than that
	begin  time.Time     // of the present attempt
}

const (
	firstPause = 50 * time.Microsecond
	// maxPause bounds the pauses where an attempt takes a 32nd of it, else they may be 32 times as long as an attempt: so that
	// one of 64 writers who do nothing else finds the others pausing more often than not.
	maxPause = 250 * time.Millisecond
)

// newBackoff returns the backoff of an operation that begins its first attempt now.
func newBackoff() backoff { return backoff{window: firstPause} }

// wait pauses for a random time before the next attempt, of which the window doubles ([AWS full jitter]). It returns an error
// when ctx ends first.
//
// [AWS full jitter]: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
func (b *backoff) wait(ctx context.Context) error {
	most := maxPause
	if !b.begin.IsZero() {
		most = max(most, 32*time.Since(b.begin))
	}
	timer := time.NewTimer(rand.N(b.window))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return explain(ctx.Err())
	}
	b.window = min(2*b.window, most)
	b.begin = time.Now()
	return nil
}
