package postgres

import (
	"context"
	"sync"
	"time"
)

// attempt connects. The first try has all the time there is; where it is silent for long, another is made beside it, anew each
// second. The first that succeeds wins, and the first that is told why not fails the attempt.
func (p *pool) attempt() (*conn, error) {
	ctx, cancel := context.WithTimeout(p.closing, p.timeout)
	tries := &tries{pool: p, done: make(chan struct{})}
	tries.begin(ctx)
	again := time.NewTicker(impatience)
	defer again.Stop()
	stop := func() {}
	for waiting := true; waiting; {
		select {
		case <-tries.done:
			waiting = false
		case <-again.C:
			stop()
			var short context.Context
			short, stop = context.WithCancel(ctx)
			tries.begin(short)
		}
	}
	stop()
	cancel()
	tries.running.Wait()
	c, err := tries.conn, tries.err
	if err != nil && p.closing.Err() == nil {
		p.mu.Lock()
		p.lastErr, p.redialAt = err, time.Now().Add(redialGap)
		p.mu.Unlock()
	}
	return c, err
}

// tries are the attempts under way for one connection.
type tries struct {
	pool    *pool
	running sync.WaitGroup
	once    sync.Once
	done    chan struct{} // closed when one has won, or failed them all
	conn    *conn
	err     error
}

// begin starts one more.
func (t *tries) begin(ctx context.Context) {
	t.running.Go(func() {
		c, err := t.pool.dial(ctx)
		if err != nil && ctx.Err() == context.Canceled && t.pool.closing.Err() == nil {
			return // another one took its place
		}
		won := false
		t.once.Do(func() {
			won = true
			t.conn, t.err = c, err
			close(t.done)
		})
		if !won && c != nil {
			t.pool.bury(c)
		}
	})
}
