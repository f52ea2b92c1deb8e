package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// lanes are queues, one for each key that somebody waits for, in which the callers of this process wait for their turn. Whoever
// waits obeys its own deadline.
type lanes struct {
	used  atomic.Int64 // how many there are
	mu    sync.Mutex
	byKey map[string]*lane
}

// A lane is the queue of one key.
type lane struct {
	turn  chan struct{} // holds something while it is somebody's turn
	empty chan struct{} // closed when nobody waits or has a turn any more
	users int           // who wait or have their turn; guarded by lanes.mu
	let   int           // who let it pass; guarded by lanes.mu
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

// yield waits until nobody has a turn with key, or waits for one, but no longer than patience. It returns an error when ctx ends.
func (ls *lanes) yield(ctx context.Context, key string, patience time.Duration) error {
	if ls.used.Load() == 0 {
		return nil
	}
	ls.mu.Lock()
	l := ls.byKey[key]
	if l != nil {
		l.let++
	}
	ls.mu.Unlock()
	if l == nil {
		return nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.empty:
	case <-timer.C:
	case <-ctx.Done():
		return explain(ctx.Err())
	}
	return nil
}

// crowded reports whether others have waited since somebody had or awaited a turn with key first: for theirs, or to let it pass.
func (ls *lanes) crowded(key string) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byKey[key]
	return l != nil && l.users+l.let > 1
}

// join returns the lane of key for one user more.
func (ls *lanes) join(key string) *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byKey[key]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1), empty: make(chan struct{})}
		ls.byKey[key] = l
		ls.used.Add(1)
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
		ls.used.Add(-1)
		close(l.empty)
	}
}

// A backoff is the growing pause of one operation that lost to another writer and is to try again.
type backoff struct {
	window time.Duration // the next pause is shorter than that
	most   time.Duration // what the window grows to
	begin  time.Time     // of the present attempt; zero for the first
}

const (
	firstPause = 50 * time.Microsecond
	// maxPause bounds the pauses where an attempt takes a 32nd of it, else they may be 32 times as long as an attempt: so that
	// one of 64 writers who do nothing else finds the others pausing more often than not.
	maxPause = 250 * time.Millisecond
)

// newBackoff returns the backoff of an operation that begins its first attempt now.
func newBackoff() backoff { return backoff{window: firstPause, most: maxPause} }

// wait pauses for a random time before the next attempt, of which the window doubles ([AWS full jitter]). It returns an error
// when ctx ends first.
//
// [AWS full jitter]: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
func (b *backoff) wait(ctx context.Context) error {
	if !b.begin.IsZero() {
		b.most = max(maxPause, 32*time.Since(b.begin))
	}
	timer := time.NewTimer(rand.N(b.window))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return explain(ctx.Err())
	}
	b.window = min(2*b.window, b.most)
	b.begin = time.Now()
	return nil
}

// again says that the present attempt, which is not the first, begins only now.
func (b *backoff) again() { b.begin = time.Now() }
