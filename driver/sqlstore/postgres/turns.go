package postgres

import (
	"context"
	"sync"
)

// turns are queues, one for each key, in which the increments of this process wait. On the server they would wait for the lock of the
// row, each with a connection, and pass it on at half the rate.
type turns struct {
	mu    sync.Mutex
	byKey map[string]*turn
}

// A turn is the queue of one key.
type turn struct {
	taken chan struct{} // holds something while it is somebody's turn
	users int           // who wait or have their turn; guarded by turns.mu
}

// take waits for a turn with key, which ends when leave is called. Its error is that of ctx.
func (ts *turns) take(ctx context.Context, key string) (leave func(), err error) {
	t := ts.join(key)
	select {
	case t.taken <- struct{}{}:
		return func() {
			<-t.taken
			ts.quit(key, t)
		}, nil
	case <-ctx.Done():
		ts.quit(key, t)
		return nil, ctx.Err()
	}
}

func (ts *turns) join(key string) *turn {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.byKey[key]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		ts.byKey[key] = t
	}
	t.users++
	return t
}

func (ts *turns) quit(key string, t *turn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(ts.byKey, key)
	}
}
