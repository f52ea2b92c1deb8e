package store

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"time"
)

// lanes are queues, one for each of many shares of the keys of a connection, in which the callers of this process wait for their
// turn. Whoever waits obeys its own deadline, and no code of a user runs in a turn.
type lanes struct {
	seed maphash.Seed
	lane [64]chan struct{} // holds something while it is somebody's turn
}

func newLanes() *lanes {
	l := &lanes{seed: maphash.MakeSeed()}
	for i := range l.lane {
		l.lane[i] = make(chan struct{}, 1)
	}
	return l
}

// enter waits for a turn with key, which ends when leave is called.
func (l *lanes) enter(ctx context.Context, key string) (leave func(), err error) {
	lane := l.lane[maphash.String(l.seed, key)%uint64(len(l.lane))]
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, explain(ctx.Err())
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
